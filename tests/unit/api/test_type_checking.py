"""Type checking of validating policies, against definitions as a server publishes them."""

from typing import Any

from kybern.api.admissionregistration.type_checking import Checked, inlined, warnings

DEFINITIONS: dict[str, Any] = {
    "Widget": {
        "type": "object",
        "properties": {
            "metadata": {"allOf": [{"$ref": "#/components/schemas/Meta"}], "default": {}},
            "spec": {"$ref": "#/components/schemas/Spec"},
        },
    },
    "Meta": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "creationTimestamp": {"type": "string", "format": "date-time"},
        },
    },
    "Spec": {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer", "format": "int32"},
            "port": {"x-kubernetes-int-or-string": True},
            "free": {"type": "object"},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Spec"}},
        },
    },
}
KIND = Checked("example.com/v1, Kind=Widget", inlined("Widget", DEFINITIONS))


def checked(*expressions: str, **spec: Any) -> list[dict[str, Any]]:
    return warnings({"spec": {"validations": [{"expression": text} for text in expressions], **spec}}, [KIND])


def test_what_fits_is_not_warned_of() -> None:
    assert checked(
        "object.spec.replicas > 1 && object.spec.port == 80 && object.spec.free.anything == 'x'",
        "object.metadata.labels['a'] == 'b' && object.metadata.__namespace__ == request.namespace",
        "object.spec.children.all(c, c.anything > 1) && oldObject.spec.replicas == 1",
        "object.metadata.creationTimestamp > timestamp('2020-01-01T00:00:00Z')",
        "namespaceObject.metadata.name == 'x' && authorizer.path('/').check('get').allowed()",
    ) == []  # fmt: skip


def test_what_does_not_fit_is_named_with_its_place() -> None:
    [found] = checked("object.spec.replicas > 1", "object.spec.replica > 1")
    assert found["fieldRef"] == "spec.validations[1].expression"
    said = "ERROR: <input>:1:12: undefined field 'replica'\n | object.spec.replica > 1\n | ...........^"
    assert found["warning"] == f"example.com/v1, Kind=Widget: {said}\n"


def test_variables_and_parameters_have_types_too() -> None:
    variables = [{"name": "n", "expression": "object.spec.replicas + 1"}]
    assert checked("variables.n > 1", variables=variables) == []
    [found] = checked("variables.n == 'x'", variables=variables)
    assert "found no matching overload for '_==_' applied to '(int, string)'" in found["warning"]
    params = inlined("Spec", DEFINITIONS)
    policy = {"spec": {"paramKind": {}, "validations": [{"expression": "params.replicas == 'x'"}]}}
    assert warnings(policy, [KIND], params)
    assert not warnings(policy, [KIND])
