"""Checks a validating policy's expressions against the kinds it is about, for its status: which fields they lack, which
functions don't take what they are given. Warnings only; the policy works whatever they say.

Source: Kubernetes documentation, "Validating Admission Policy", "Type checking"; KEP-3488.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kybern.api.admissionregistration import variables
from kybern.api.cel.escaping import escaped
from kybern.api.cel.messages import Messages
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.types import Object

MAX_TYPES = 10
_FREE: Object = {"x-kubernetes-int-or-string": True}
"""The schema of what may be anything."""


class Checked(NamedTuple):
    """A kind to check against: as errors name it, `apps/v1, Kind=Deployment`, and its schema (see `inlined`)."""

    shown: str
    schema: Object


def inlined(name: str, definitions: Mapping[str, Object], above: tuple[str, ...] = ()) -> Object:
    """An OpenAPI v3 definition with those it refers to in it, and its properties named as expressions name them."""
    return _FREE if name in above else _inlined(definitions.get(name) or {}, definitions, (*above, name))


def _inlined(node: Object, definitions: Mapping[str, Object], above: tuple[str, ...]) -> Object:
    referred = node.get("$ref") or next((part["$ref"] for part in node.get("allOf") or () if "$ref" in part), "")
    if referred:
        return inlined(referred.rpartition("/")[2], definitions, above)
    kind: Any = node.get("type")
    kind = next((one for one in kind if one != "null"), "") if isinstance(kind, list) else kind
    if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
        return _FREE
    if kind == "array":
        return {"type": "array", "items": _inlined(node.get("items") or {}, definitions, above)}
    if node.get("properties"):
        parts = {escaped(name): _inlined(part, definitions, above) for name, part in node["properties"].items()}
        return {"type": "object", "properties": {name: part for name, part in parts.items() if name}}
    if isinstance(node.get("additionalProperties"), dict):
        values = _inlined(node["additionalProperties"], definitions, above)
        return {"type": "object", "additionalProperties": values}
    if kind in ("string", "boolean", "integer", "number"):
        return {"type": kind, "format": node.get("format") or ""}
    return _FREE


def warnings(policy: Object, kinds: Sequence[Checked], params: Object | None = None) -> list[Object]:
    """The policy's expressionWarnings. `params` is the schema of its parameters, where that is known."""
    spec, found = policy["spec"], []
    environments = [(one.shown, *_environment(spec, one.schema, params)) for one in kinds]
    for path, text in _expressions(spec):
        said = []
        for shown, messages, known in environments:
            try:
                compiled(text, known, messages)
            except ExpressionError as error:
                said.append(f"{shown}: {str(error).removeprefix('compilation failed: ')}\n")
        if said:
            found.append({"fieldRef": path, "warning": "\n".join(said)})
    return found


def _expressions(spec: Object) -> Iterator[tuple[str, str]]:
    for index, said in enumerate(spec.get("validations") or ()):
        for key in ("expression", "messageExpression"):
            if said.get(key):
                yield f"spec.validations[{index}].{key}", said[key]


def _environment(spec: Object, schema: Object, params: Object | None) -> tuple[Messages, dict[str, str]]:
    """The types of all variables for one kind, and the messages they are."""
    whole = {"object": schema, "request": variables.REQUEST, "namespaceObject": variables.NAMESPACE}
    if params is not None:
        whole["params"] = params
    messages = Messages({"type": "object", "properties": whole}, whole=False, verbatim=True)
    known = {**variables.CONDITION, **{name: messages.type_of(part) or "dyn" for name, part in whole.items()}}
    known["oldObject"] = known["object"]
    if spec.get("paramKind") is not None:
        known.setdefault("params", "dyn")
    for variable in spec.get("variables") or ():
        try:
            kind = compiled(variable["expression"], known, messages).result
        except ExpressionError:
            kind = "dyn"
        known[f"variables.{variable['name']}"] = kind
    return messages, known
