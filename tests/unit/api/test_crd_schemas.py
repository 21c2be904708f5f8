"""What schemas of CRDs are refused, and the estimated cost of their rules."""

from typing import Any

import pytest

from kybern.api.apiextensions import schema_rules
from kybern.api.cel import cost
from kybern.api.cel.messages import Messages
from kybern.api.cel.program import compiled
from kybern.api.field import Errors

STRING: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def ruled(schema: dict[str, Any], rule: str, **more: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}


def array(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def complaints(schema: dict[str, Any], *, unchanged: bool = False) -> list[str]:
    errors = Errors()
    schema_rules.check(schema, "s", errors, unchanged=unchanged)
    return [str(error) for error in errors]


MAP = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
KEYED = {**obj(k=STRING, n=INTEGER), "required": ["k"]}
NAMES = obj(name={"type": "string", "maxLength": 5})


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({}, "s.type: Required value: must not be empty at the root"),
        (obj(a={}), "s.properties[a].type: Required value: must not be empty for specified object fields"),
        (obj(a=array({})), "s.properties[a].items.type: Required value: must not be empty for specified array items"),
        (obj(a={"type": "array"}), "s.properties[a].items: Required value: must be specified"),
        (obj(a={"type": "null"}), "s.properties[a].type: Forbidden: type cannot be set to null, use nullable"),
        (
            {"type": "object", "additionalProperties": STRING},
            "s.additionalProperties: Forbidden: must not be used at the",
        ),
        (
            obj(metadata=obj(labels=STRING)),
            "s.properties[metadata]: Forbidden: must not specify anything other than name",
        ),
        (
            obj(a={**obj(b=STRING), "additionalProperties": STRING}),
            "additionalProperties and properties are mutual exclu",
        ),
        (obj(a={**STRING, "pattern": "(?=a)"}), "must be a valid regular expression, but isn't: invalid perl operator"),
        (
            obj(a={**STRING, "anyOf": [{"type": "string"}]}),
            "s.properties[a].anyOf[0].type: Forbidden: must be empty to be",
        ),
        (
            obj(a={**obj(), "allOf": [obj(b=STRING)]}),
            "Required value: because it is defined in s.properties[a].allOf[0]",
        ),
        (
            obj(a=array(obj(), **MAP)),
            's.properties[a].x-kubernetes-list-map-keys: Invalid value: ["k"]: entries must all',
        ),
        (
            obj(a=array(obj(k=STRING), **MAP)),
            "s.properties[a].items.properties[k].default: Required value: this property",
        ),
        (obj(a=array(STRING, **MAP)), 's.properties[a].items.type: Invalid value: "string": must be object if parent'),
        (
            obj(a=array(obj(), **{"x-kubernetes-list-type": "set"})),
            "must be atomic as item of a list with x-kubernetes",
        ),
        (obj(a={**STRING, "x-kubernetes-list-type": "set"}), "must be array if x-kubernetes-list-type is specified"),
        (obj(a={"x-kubernetes-int-or-string": True, "type": "string"}), "must be empty if x-kubernetes-int-or-string"),
        (
            obj(a={"type": "object", "x-kubernetes-embedded-resource": True}),
            "s.properties[a].properties: Required value",
        ),
        (obj(a={**STRING, "uniqueItems": True}), "uniqueItems cannot be set to true since the runtime complexity"),
        (obj(a={**STRING, "default": 3}), "s.properties[a].default in body must be of type string"),
        (
            obj(a={**obj(b=STRING), "default": {"c": 1}}),
            's.properties[a].default: Invalid value: {"c":1}: must not have unk',
        ),
        (obj(a={**STRING, "maxLength": 1, "default": "xx"}), "s.properties[a].default: Too long"),
        (ruled(obj(), " "), "s.x-kubernetes-validations[0].rule: Required value: rule is not specified"),
        (ruled(obj(), "true", message=" "), "message must be non-empty if specified"),
        (ruled(obj(), "true &&\n true"), "message must be specified if rule contains line breaks"),
        (ruled(obj(), "true", reason="Because"), "s.x-kubernetes-validations[0].reason: Unsupported value"),
        (ruled(obj(a=STRING), "true", fieldPath=".b"), "fieldPath must be a valid path"),
        (ruled(obj(a=STRING), "self.b == 'x'"), "compilation failed: ERROR: <input>:1:5: undefined field 'b'"),
        (ruled(obj(a=STRING), "self.a"), "cel expression must evaluate to a bool"),
        (ruled(obj(), "true", messageExpression="1"), "messageExpression must evaluate to a string"),
        (
            ruled(obj(), "true", messageExpression="nope"),
            ": messageExpression compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope'",
        ),
        (ruled(obj(), "true", optionalOldSelf=True), "may not be set if oldSelf is not used in rule"),
        (
            obj(a=array(obj(b=ruled(STRING, "self == oldSelf")))),
            "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[a]",
        ),
        (
            obj(a=array(ruled(obj(b=array(STRING)), "self.b.all(x, x == 'abc')"))),
            "estimated rule cost exceeds budget by",
        ),
    ],
)
def test_what_is_refused(schema: dict[str, Any], said: str) -> None:
    assert said in "\n".join(complaints(schema))


@pytest.mark.parametrize(
    "schema",
    [
        obj(metadata=NAMES, spec={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        obj(
            a={"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^a"}
        ),
        obj(a=array(KEYED, **MAP), b={**STRING, "default": "x", "enum": ["x", "y"]}),
        obj(a=array(ruled(KEYED, "self.n >= oldSelf.n"), **MAP)),
        ruled(obj(a={"type": "object", "additionalProperties": STRING}), "self.a['x'] == 'y'", fieldPath=".a['x.y']"),
        ruled(obj(spec=obj(a=STRING)), "self.metadata.name.startsWith('x') && self.spec.a == self.kind"),
        obj(a=array(ruled(obj(b=array(STRING, maxItems=5)), "self.b.all(x, x == 'abc')"), maxItems=5)),
    ],
)
def test_what_is_accepted(schema: dict[str, Any]) -> None:
    assert complaints(schema) == []


def test_costs_of_schemas_that_were_there_before_are_forgiven_one_by_one() -> None:
    expensive = obj(a=array(ruled(obj(b=array(STRING)), "self.b.all(x, x == 'abc')")))
    whole = complaints(expensive, unchanged=True)
    assert (
        "s.properties[a].items.x-kubernetes-validations[0].rule: Forbidden: contributed to estimated rule" in whole[0]
    )
    assert whole[1].startswith("s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3")
    middling = obj(a=array(ruled(obj(b=STRING), "self.b.contains('abc') && self.b.contains('abd')"), maxItems=40))
    assert len(complaints(middling)) == 1
    assert complaints(middling, unchanged=True) == []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("self.n > 1", 2), ("self.short == 'abc'", 3), ("self.long.startsWith('abc')", 3), ("has(self.n)", 1),
        ("self.few.all(x, x == 'a')", 53), ("self.few.all(x, self.few.exists(y, x == y))", 863),
        ("self.many.all(x, x > 0)", 7864318), ("self.short + self.short == 'x'", 13),
        ("self.long.matches('^a')", 314575), ("quantity(self.short) == quantity('1')", 8),
    ],
)  # fmt: skip
def test_estimates(rule: str, expected: int) -> None:
    schema = obj(
        n=INTEGER, short={**STRING, "maxLength": 10}, long=STRING, many=array(INTEGER), few=array(STRING, maxItems=10)
    )
    schema["properties"]["few"]["items"] = {**STRING, "maxLength": 5}
    messages = Messages(schema, whole=False)
    program = compiled(rule, {"self": messages.root}, messages)
    assert cost.estimate(program.tree, schema) == expected
