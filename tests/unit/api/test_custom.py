"""What a CRD makes: pruning, defaults, validation, rules, columns, versions."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kybern.api import tables
from kybern.api.apiextensions import formats, jsonpath, rules, schema_rules, structural, values
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.errors import BadRequest
from kybern.api.field import Errors
from kybern.process.clock import clock

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
WITHOUT = '<nil>: Invalid value: "": '
PRESERVE = {"x-kubernetes-preserve-unknown-fields": True}


def obj_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def definition(schema: dict[str, Any], *more: dict[str, Any], generation: int = 1, **version: Any) -> dict[str, Any]:
    first = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    return {
        "metadata": {"name": "things.example.com", "generation": generation},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [first, *more],
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"]},
        },
    }  # fmt: skip


def kind(spec: dict[str, Any], *more: dict[str, Any], **version: Any) -> CustomResource:
    return CustomResource(definition(obj_of(spec=spec, status=obj_of(n=INTEGER)), *more, **version))


def thing(spec: Any, **more: Any) -> dict[str, Any]:
    metadata = {"name": "t", "namespace": "ns"}
    return {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": metadata, "spec": spec, **more}


def complaints(resource: CustomResource, obj: Any, old: Any = None) -> list[str]:
    errors = Errors()
    if old is None:
        resource.validate(obj, errors)
    else:
        resource.validate_changed(obj, old, errors)
    return [str(error) for error in errors]


# Pruning and defaults.


def test_pruning_goes_all_the_way_down() -> None:
    schema = obj_of(
        spec=obj_of(
            known=STRING,
            items={"type": "array", "items": obj_of(a=STRING)},
            map={"type": "object", "additionalProperties": obj_of(a=STRING)},
            free={"type": "object", **PRESERVE, "properties": {"strict": obj_of(a=STRING)}},
        )
    )
    obj = {
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "bogus": 1}, "top": 1,
        "spec": {
            "known": "x", "gone": 1, "items": [{"a": "1", "b": 2}], "map": {"k": {"a": "1", "b": 2}},
            "free": {"any": {"thing": 1}, "strict": {"a": "1", "b": 2}},
        },
    }  # fmt: skip
    unknown = structural.prune(schema, obj)
    assert obj == {
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "x"},
        "spec": {
            "known": "x", "items": [{"a": "1"}], "map": {"k": {"a": "1"}},
            "free": {"any": {"thing": 1}, "strict": {"a": "1"}},
        },
    }  # fmt: skip
    assert sorted(unknown) == [
        "metadata.bogus", "spec.free.strict.b", "spec.gone", "spec.items[0].b", "spec.map.k.b", "top",
    ]  # fmt: skip


def test_embedded_resources_keep_their_head() -> None:
    schema = obj_of(template={"type": "object", "x-kubernetes-embedded-resource": True, **obj_of(data=STRING)})
    obj = {"template": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "no": 1}, "data": "d", "more": 1}}
    assert sorted(structural.prune(schema, obj)) == ["template.metadata.no", "template.more"]
    assert obj["template"] == {"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "data": "d"}


def test_metadata_of_a_wrong_type_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match=r"cannot unmarshal number into .*metadata\.name of type string"):
        structural.prune(obj_of(), {"apiVersion": "v1", "kind": "K", "metadata": {"name": 3}})


def test_defaults_fill_in_what_is_absent_or_null() -> None:
    schema = obj_of(
        a={**STRING, "default": "x"},
        n={**STRING, "default": "x", "nullable": True},
        deep={**obj_of(b={**INTEGER, "default": 1}), "default": {}},
        none=obj_of(b={**INTEGER, "default": 1}),
        items={"type": "array", "items": obj_of(c={**STRING, "default": "y"})},
        map={"type": "object", "additionalProperties": STRING},
    )
    value: dict[str, Any] = {"a": None, "n": None, "items": [{}, {"c": "z"}], "map": {"k": None, "l": "m"}}
    structural.default(schema, value)
    assert value == {
        "a": "x", "n": None, "deep": {"b": 1}, "items": [{"c": "y"}, {"c": "z"}], "map": {"l": "m"},
    }  # fmt: skip


def test_a_default_is_no_alias() -> None:
    schema = obj_of(a={"type": "object", **PRESERVE, "default": {"x": []}})
    one: dict[str, Any] = {}
    structural.default(schema, one)
    one["a"]["x"].append(1)
    assert schema["properties"]["a"]["default"] == {"x": []}


# Values.


@pytest.mark.parametrize(
    ("schema", "value", "said"),
    [
        (INTEGER, "string", 'f: Invalid value: "string": f in body must be of type integer: "string"'),
        (INTEGER, None, 'f: Invalid value: "null": f in body must be of type integer: "null"'),
        (INTEGER, 1.5, 'f: Invalid value: "number": f in body must be of type integer: "number"'),
        (STRING, {"a": 1}, 'f: Invalid value: "object": f in body must be of type string: "object"'),
        (
            {**INTEGER, "minimum": 1, "exclusiveMinimum": True}, 1,
            "f: Invalid value: 1: f in body should be greater than 1",
        ),
        ({**INTEGER, "maximum": 3}, 4, "f: Invalid value: 4: f in body should be less than or equal to 3"),
        ({**INTEGER, "multipleOf": 2}, 3, "f: Invalid value: 3: f in body should be a multiple of 2"),
        ({**STRING, "minLength": 2}, "a", 'f: Invalid value: "a": f in body should be at least 2 chars long'),
        ({**STRING, "maxLength": 2}, "abc", "f: Too long: may not be more than 2 bytes"),
        ({**STRING, "pattern": "^a$"}, "a\n", "f: Invalid value: \"a\\n\": f in body should match '^a$'"),
        ({**STRING, "format": "ipv4"}, "x", 'f: Invalid value: "x": f in body must be of type ipv4: "x"'),
        ({**STRING, "enum": ["b", "a"]}, "c", 'f: Unsupported value: "c": supported values: "b", "a"'),
        ({"type": "array", "items": STRING, "maxItems": 1}, ["a", "b"], "f: Too many: 2: must have at most 1 items"),
        (
            {"type": "array", "items": STRING}, [1],
            'f[0]: Invalid value: "integer": f[0] in body must be of type string: "integer"',
        ),
        ({**obj_of(), "minProperties": 1}, {}, "f: Invalid value: 0: f in body should have at least 1 properties"),
        ({**obj_of(), "required": ["g"]}, {}, "f.g: Required value"),
        ({**INTEGER, "format": "int32"}, 2**31,
         f"{WITHOUT}Checked value must be of type integer with format int32 in f"),
        ({**INTEGER, "format": "int32", "maximum": 2**32 - 1}, 1,
         f"{WITHOUT}Maximum boundary value must be of type integer with format int32 in f"),
        (INTEGER, 2.0**63, f"{WITHOUT}Checked value must be of type integer (default format) in f"),
        ({**INTEGER, "minimum": 0.5}, 1,
         f"{WITHOUT}Minimum boundary value must be of type integer (default format) in f"),
        ({"type": "number", "format": "float"}, 3.5e38,
         f"{WITHOUT}Checked value must be of type number with format float in f"),
        ({**STRING, "not": {"enum": ["a"]}}, "a", '<nil>: Invalid value: "": "f" must not validate the schema (not)'),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(schema: Any, value: Any, said: str) -> None:
    errors = Errors()
    values.check(obj_of(f=schema), {"f": value}, errors)
    assert [str(error) for error in errors] == [said]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (INTEGER, 3.0),
        (INTEGER, -(2**63)),
        ({**INTEGER, "format": "int32"}, -(2**31)),
        ({**INTEGER, "format": "int64", "maximum": 2**32 - 1}, 2**31),
        ({**INTEGER, "format": "uint32"}, 2**40),
        ({"type": "number", "format": "float"}, 3.4e38),
        ({"type": "number", "format": "double"}, 1e300),
        ({"type": "number"}, 3),
        ({**INTEGER, "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True, "anyOf": [INTEGER, STRING]}, "x"),
        ({"x-kubernetes-int-or-string": True}, 1),
        ({**STRING, "pattern": "b"}, "abc"),
        ({**STRING, "format": "unheard-of"}, "x"),
        ({**obj_of(), **PRESERVE}, {"any": None}),
    ],
)
def test_values_that_fit(schema: Any, value: Any) -> None:
    errors = Errors()
    values.check(obj_of(f=schema), {"f": value}, errors)
    assert not errors


def test_one_of_says_how_many_fit() -> None:
    schema = {**obj_of(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    for value, said in [
        ({}, ['<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found none valid',
              "f.a: Required value"]),
        ({"a": "", "b": ""}, ['<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). '
                              "Found 2 valid alternatives"]),
        ({"a": ""}, []),
    ]:  # fmt: skip
        errors = Errors()
        values.check(obj_of(f=schema), {"f": value}, errors)
        assert [str(error) for error in errors] == said


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2020-02-29T12:00:00.5+01:00", "2021-02-29T12:00:00Z"),
        ("date", "2020-02-29", "2020-2-9"),
        ("duration", "1h30m", "1 fortnight"),
        ("email", "a@b.c", "a@"),
        ("hostname", "a.b-c", "a..b"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("ipv6", "::1", "1.2.3.4"),
        ("mac", "00:11:22:aa:BB:cc", "00:11"),
        ("uri", "https://x/y", "x y"),
        ("uuid4", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "7c9e6679-7425-10de-944b-e07fc1f90ae7"),
        ("uuid5", "7c9e6679-7425-50de-944b-e07fc1f90ae7", "7c9e6679-7425-50de-144b-e07fc1f90ae7"),
        ("byte", "YQ==", "Y"),
        ("bsonobjectid", "507f1f77bcf86cd799439011", "507f1f77bcf86cd79943901"),
        ("isbn", "978-0-306-40615-7", "978-0-306-40615-8"),
        ("isbn10", "0-8044-2957-X", "0-8044-2957-1"),
        ("isbn13", "9780306406157", "080442957X"),
        ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
        ("ssn", "123-45 6789", "123-456789x"),
        ("hexcolor", "#FFaa00", "#ffff"),
        ("rgbcolor", "rgb(0, 10 ,255)", "rgb(0,10,256)"),
        ("k8s-short-name", "a-b", "a.b"),
        ("k8s-long-name", "a.b", "a..b"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    schema = obj_of(f={**STRING, "format": name})
    for value, wrong in ((good, 0), (bad, 1)):
        errors = Errors()
        values.check(schema, {"f": value}, errors)
        assert len(errors) == wrong


# Rules.


def broken(schema: Any, value: Any, old: Any = None) -> list[str]:
    errors = Errors()
    rules.Rules(obj_of(spec=schema)).check({"spec": value}, None if old is None else {"spec": old}, errors)
    return [str(error) for error in errors]


def ruled(schema: Any, rule: str, **more: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}


def test_a_broken_rule_is_told_of_in_its_own_words() -> None:
    schema = obj_of(a=INTEGER, b=INTEGER)
    value, rule = {"a": 2, "b": 1}, "self.a < self.b"
    assert broken(ruled(schema, rule), value) == ["spec: Invalid value: failed rule: self.a < self.b"]
    assert broken(ruled(schema, rule, message="no"), value) == ["spec: Invalid value: no"]
    told = ruled(schema, "self.a < self.b", messageExpression="'a is ' + string(self.a)", reason="FieldValueForbidden")
    assert broken(told, {"a": 2, "b": 1}) == ["spec: Forbidden: a is 2"]
    placed = ruled(schema, "self.a < self.b", message="no", fieldPath=".a")
    assert broken(placed, {"a": 2, "b": 1}) == ["spec.a: Invalid value: no"]
    assert broken(placed, {"a": 1, "b": 2}) == []
    on_leaf = obj_of(a=ruled(INTEGER, "self > 2", message="too small"))
    assert broken(on_leaf, {"a": 1}) == ["spec.a: Invalid value: 1: too small"]


def test_rules_are_looked_at_wherever_they_are() -> None:
    items = {"type": "array", "items": ruled(obj_of(n=INTEGER), "self.n > 0", message="low")}
    filled = ruled(STRING, "self != ''", message="empty")
    schema = obj_of(items=items, map={"type": "object", "additionalProperties": filled})
    assert broken(schema, {"items": [{"n": 1}, {"n": 0}], "map": {"k": ""}}) == [
        "spec.items[1]: Invalid value: low", 'spec.map[k]: Invalid value: "": empty',
    ]  # fmt: skip


def test_rules_about_changes() -> None:
    schema = obj_of(a=ruled(STRING, "self == oldSelf", message="immutable"))
    assert broken(schema, {"a": "x"}) == []
    assert broken(schema, {"a": "x"}, {"a": "x"}) == []
    assert broken(schema, {"a": "y"}, {"a": "x"}) == ['spec.a: Invalid value: "y": immutable']
    assert broken(schema, {"a": "y"}, {}) == []
    once = obj_of(a=ruled(STRING, "!oldSelf.hasValue() || oldSelf.value() == self", message="no", optionalOldSelf=True))
    assert broken(once, {"a": "y"}, {}) == []
    assert broken(once, {"a": "y"}, {"a": "x"}) == ['spec.a: Invalid value: "y": no']


def test_items_of_keyed_lists_are_compared_by_key() -> None:
    item = ruled(obj_of(name=STRING, n=INTEGER), "self.n >= oldSelf.n", message="less")
    schema = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item}
    old = [{"name": "a", "n": 1}, {"name": "b", "n": 5}]
    assert broken(schema, [{"name": "b", "n": 4}, {"name": "a", "n": 2}, {"name": "c", "n": 0}], old) == [
        "spec[0]: Invalid value: less"
    ]


def test_names_numbers_and_times_as_rules_see_them() -> None:
    schema = obj_of(
        **{"namespace": STRING, "a-b": INTEGER, "x.y": STRING}, ratio={"type": "number"},
        at={**STRING, "format": "date-time"}, long={**STRING, "format": "duration"},
    )  # fmt: skip
    value = {
        "namespace": "n", "a-b": 1, "x.y": "z", "ratio": 1, "at": "2024-01-01T00:00:00Z", "long": "90m",
    }  # fmt: skip
    for rule in (
        "self.__namespace__ == 'n'", "self.a__dash__b == 1", "self.x__dot__y == 'z'", "self.ratio / 2.0 == 0.5",
        "self.at > timestamp('2023-01-01T00:00:00Z')", "self.long > duration('1h')",
    ):  # fmt: skip
        assert broken(ruled(schema, rule), value) == [], rule


def test_a_rule_that_fails_says_so() -> None:
    [said] = broken(ruled(obj_of(a=INTEGER), "self.missing > 1"), {"a": 1})
    assert said == 'spec: Invalid value: "object": no such key: missing evaluating rule: self.missing > 1'


def test_rules_wait_for_values_that_fit() -> None:
    spec = ruled({**obj_of(a=INTEGER, b=INTEGER), "required": ["b"]}, "self.a < self.b")
    assert complaints(kind(spec), thing({"a": 1})) == [
        "spec.b: Required value",
        "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation",
    ]


# The kind.


def test_what_was_wrong_before_is_forgiven() -> None:
    spec = {**obj_of(a={**STRING, "maxLength": 1}, b=INTEGER), "required": ["c"]}
    old = thing({"a": "too long", "b": 1})
    assert sorted(complaints(kind(spec), thing({"a": "also long", "b": 1}), old)) == [
        "spec.a: Too long: may not be more than 1 bytes", "spec.c: Required value",
    ]  # fmt: skip
    assert complaints(kind(spec), {**copy.deepcopy(old), "metadata": {"name": "t", "labels": {"x": "y"}}}, old) == []


def test_items_are_told_again_by_their_keys_or_not_at_all() -> None:
    item = {**obj_of(k=STRING, v={**STRING, "maxLength": 1}), "required": ["k"]}
    keyed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    bad, good = {"k": "a", "v": "too long"}, {"k": "b", "v": "x"}
    old, moved = thing({"l": [bad]}), thing({"l": [good, bad]})
    assert complaints(kind(obj_of(l=keyed)), moved, old) == []
    plain = {"type": "array", "items": item}
    assert complaints(kind(obj_of(l=plain)), moved, old) == ["spec.l[1].v: Too long: may not be more than 1 bytes"]
    same = {**thing({"l": [bad]}), "metadata": {"name": "t", "labels": {"x": "y"}}}
    assert complaints(kind(obj_of(l=plain)), same, old) == []
    appended = complaints(kind(obj_of(l=plain)), thing({"l": [bad, good]}), old)
    assert appended == ["spec.l[0].v: Too long: may not be more than 1 bytes"], "the list has changed as a whole"


def test_rules_about_changes_are_never_forgiven() -> None:
    changes = ruled(STRING, "self != oldSelf", message="again")
    schema = obj_of(a=changes, b=ruled(STRING, "self == 'x'", message="not x"))
    old = thing({"a": "1", "b": "y"})
    assert complaints(kind(schema), thing({"a": "1", "b": "y"}), old) == ['spec.a: Invalid value: "1": again']
    assert complaints(kind(schema), thing({"a": "2", "b": "z"}), old) == ['spec.b: Invalid value: "z": not x']


def test_the_order_of_sets_says_nothing_to_rules_about_changes() -> None:
    words = {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}
    schema = ruled(obj_of(l=words), "self.l == oldSelf.l", message="changed")
    old, moved, other = thing({"l": ["a", "b"]}), thing({"l": ["b", "a"]}), thing({"l": ["a", "c"]})
    assert complaints(kind(schema), moved, old) == []
    assert complaints(kind(schema), other, old) == ["spec: Invalid value: changed"]
    first = ruled(obj_of(l=words), "self.l[0] == oldSelf.l[0]", message="changed")
    assert complaints(kind(first), moved, old) == ["spec: Invalid value: changed"]


def test_scope_names_and_keys() -> None:
    resource = kind(obj_of())
    assert (resource.singular, resource.short_names, resource.namespaced) == ("thing", ("th",), True)
    assert resource.key("ns", "t") == "/registry/example.com/things/ns/t"
    assert (resource.has_status, resource.scale) == (False, None)


def test_subresources() -> None:
    paths = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}
    resource = kind(obj_of(), subresources={"status": {}, "scale": paths})
    assert resource.has_status
    assert resource.scale is not None
    assert (resource.scale.spec_replicas, resource.scale.selector) == ("spec.n", "status.s")
    old = thing({"n": 1}, status={"n": 1})
    assert not resource.changes_generation({**old, "status": {"n": 2}}, old)
    assert kind(obj_of()).changes_generation({**old, "status": {"n": 2}}, old)


async def test_versions_are_views_with_a_schema_of_their_own() -> None:
    beta = {
        "name": "v1beta1", "served": True, "storage": False,
        "schema": {"openAPIV3Schema": obj_of(spec={**obj_of(old=STRING, both=STRING), "required": ["old"]})},
    }  # fmt: skip
    resource = kind(obj_of(new={**STRING, "default": "d"}, both=STRING), beta)
    assert resource.versions == ("v1", "v1beta1")
    assert resource.stored_as == "v1" and resource.views["v1"] is resource
    view = resource.views["v1beta1"]
    assert isinstance(view, CustomResource) and (view.stored_as, view.written_as) == ("v1beta1", "v1")
    assert view.cache_key() != resource.cache_key() and view.prefix() == resource.prefix()
    sent = {**thing({"both": "x", "new": "y"}), "apiVersion": "example.com/v1beta1"}
    assert view.prune(sent, "v1beta1") == ["spec.new"]
    assert complaints(view, sent) == ["spec.old: Required value"] and complaints(resource, sent) == []
    [stored] = await view.converted([sent], "v1")
    assert (stored["apiVersion"], stored["spec"]) == ("example.com/v1", {"both": "x", "new": "d"})
    [shown] = await resource.converted([stored], "v1beta1")
    assert (shown["apiVersion"], shown["spec"]) == ("example.com/v1beta1", {"both": "x"})


def test_reads_show_defaults_that_came_later() -> None:
    schema = obj_of(spec=obj_of(a={**STRING, "default": "x"}))
    fresh, changed = (CustomResource(definition(schema, generation=n)) for n in (1, 2))
    assert (fresh.filled_when_read, changed.filled_when_read) == (False, True)
    assert changed.from_storage(thing({}), "v1")["spec"] == {"a": "x"}


def test_fields_to_select_by() -> None:
    spec = obj_of(color=STRING, on={"type": "boolean"})
    resource = kind(spec, selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.on"}])
    assert resource.selectable_fields == ("spec.color", "spec.on")
    assert resource.selectable(thing({"on": True})) == {"spec.color": "", "spec.on": "true"}


def test_a_deprecated_version_warns() -> None:
    assert kind(obj_of(), deprecated=True).warnings_of("v1") == ["example.com/v1 Thing is deprecated"]
    assert kind(obj_of(), deprecated=True, deprecationWarning="old").warnings_of("v1") == ["old"]
    assert kind(obj_of()).warnings_of("v1") == []


# Columns.


def test_columns_show_values_by_type(monkeypatch: pytest.MonkeyPatch) -> None:
    said = [
        {"name": "S", "type": "string", "jsonPath": ".spec.s"},
        {"name": "List", "type": "string", "jsonPath": ".spec.list"},
        {"name": "I", "type": "integer", "jsonPath": ".spec.i"},
        {"name": "B", "type": "boolean", "jsonPath": ".spec.b"},
        {"name": "Wrong", "type": "integer", "jsonPath": ".spec.s"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Since", "type": "date", "jsonPath": ".spec.since", "priority": 1},
        {"name": "Bad", "type": "date", "jsonPath": ".spec.s"},
    ]
    monkeypatch.setattr(clock, "time", lambda: 1_700_000_060.0)
    resource = kind(obj_of(), additionalPrinterColumns=said)
    spec = {"s": "x", "list": ["a", 1], "i": 3.0, "b": False, "since": "2023-11-14T22:13:20Z"}
    conditions = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]
    made = tables.table(resource, [thing(spec, status={"conditions": conditions})])
    assert made["rows"][0]["cells"] == ["t", "x", '["a",1]', 3, False, None, "True", "60s", "<invalid>"]
    assert made["columnDefinitions"][7] == {
        "name": "Since", "type": "date", "format": "", "priority": 1,
        "description": "Custom resource definition column (in JSONPath format): .spec.since",
    }  # fmt: skip


DOCUMENT = {"a": {"b.c": [1, 2, {"d": "x"}]}, "l": [{"n": "a", "v": 1}, {"n": "b", "v": 2}, {"v": 3}]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".l[*].n", ["a", "b"]),
        (".l[0].v", [1]),
        (".l[-1].v", [3]),
        (".l[0:2].v", [1, 2]),
        (".l[9]", []),
        (r".a.b\.c[1]", [2]),
        (".a['b.c'][2].d", ["x"]),
        ("{.l[?(@.v>1)].v}", [2, 3]),
        ('.l[?(@.n=="b")].v', [2]),
        (".l[?(@.n!='b')].v", [1]),
        (".l[?(@.n)].v", [1, 2]),
        ("..d", ["x"]),
        (".none.at.all", []),
    ],
)
def test_paths(path: str, found: list[Any]) -> None:
    assert jsonpath.compiled(path).find(DOCUMENT) == found


@pytest.mark.parametrize("path", [".a[", ".a[?(x)]", ".a b", '.l[?(@.n=="b)]', ".a[?(@.x==y)]"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(jsonpath.PathError):
        jsonpath.JSONPath(path)


def test_a_schema_whose_items_are_no_schema_is_refused_and_no_more() -> None:
    errors = Errors()
    schema = {"type": "object", "items": "a", "allOf": [{"items": {"not": {"type": "string"}}}]}
    schema_rules.check(schema, "spec.validation.openAPIV3Schema", errors)
    assert errors


def test_numbers_beyond_their_format_are_forgiven_where_they_were_there_before() -> None:
    resource = kind(obj_of(n={**INTEGER, "format": "int32"}, other=INTEGER))
    old = thing({"n": 2**40, "other": 1})
    assert complaints(resource, thing({"n": 2**40, "other": 2}), old) == []
    assert len(complaints(resource, thing({"n": 2**41, "other": 1}), old)) == 1


def test_formats_that_mean_nothing() -> None:
    schema = obj_of(
        a={**STRING, "format": "date-time"}, b={**STRING, "format": "int32"}, c={**INTEGER, "format": "int64"},
        d={"type": "array", "items": {**INTEGER, "format": "uint32"}}, e={"format": "odd"},
        f={"type": "object", "additionalProperties": {"type": "number", "format": "double"}},
    )  # fmt: skip
    assert list(formats.unknown(schema)) == ["int32", "uint32"]
