"""Defaults and rules of webhook configurations, path by path."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.admissionregistration import rules
from kybern.api.admissionregistration.mutatingwebhookconfiguration import MutatingWebhookConfiguration
from kybern.api.field import Errors
from kybern.api.types import Object

KIND = MutatingWebhookConfiguration()
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
HOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://example.com/x"},
    "rules": [RULE],
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}


def configuration(**fields: Any) -> Object:
    made: Object = {"metadata": {"name": "c"}, "webhooks": [{**HOOK, **fields}]}
    KIND.default(made)
    return made


def complaints(obj: Object, old: Object | None = None) -> list[str]:
    errors = Errors()
    if old is None:
        KIND.validate(obj, errors)
    else:
        KIND.validate_changed(obj, old, errors)
    return [str(error).removeprefix("webhooks[0].") for error in errors]


def test_defaults() -> None:
    hook = configuration(clientConfig={"service": {"name": "s", "namespace": "n"}}, rules=[dict(RULE)])["webhooks"][0]
    assert hook["failurePolicy"] == "Fail" and hook["matchPolicy"] == "Equivalent" and hook["timeoutSeconds"] == 10
    assert hook["namespaceSelector"] == hook["objectSelector"] == {} and hook["reinvocationPolicy"] == "Never"
    assert hook["clientConfig"]["service"]["port"] == 443 and hook["rules"][0]["scope"] == "*"
    assert complaints(configuration()) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "a.b"}, 'name: Invalid value: "a.b": should be a domain with at least three segments separated by'),
        ({"sideEffects": None}, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
        ({"sideEffects": "Some"}, 'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        ({"timeoutSeconds": 31}, "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30"),
        ({"clientConfig": {}}, "clientConfig: Required value: exactly one of url or service is required"),
        (
            {"clientConfig": {"url": "http://x"}},
            'clientConfig.url: Invalid value: "http": \'https\' is the only allowed URL scheme; desired format: '
            "https://host[/path]",
        ),
        (
            {"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "x//y"}}},
            'clientConfig.service.path: Invalid value: "x//y": must start with a \'/\'',
        ),
        ({"admissionReviewVersions": []}, "admissionReviewVersions: Required value: must specify one of v1, v1beta1"),
        (
            {"admissionReviewVersions": ["v9"]},
            'admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
        ),
        ({"rules": [{**RULE, "operations": ["GET"]}]}, 'rules[0].operations[0]: Unsupported value: "GET": supported'),
        (
            {"rules": [{**RULE, "resources": ["*", "pods"]}]},
            'rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other resources '
            "without subresources",
        ),
        (
            {"rules": [{**RULE, "apiGroups": ["*", ""]}]},
            'rules[0].apiGroups: Invalid value: ["*",""]: if \'*\' is present, must not specify other API groups',
        ),
        (
            {"matchConditions": [{"name": "x", "expression": "object.("}]},
            'matchConditions[0].expression: Invalid value: "object.(": compilation failed: ',
        ),
        (
            {"matchConditions": [{"name": "x", "expression": "params.x"}]},
            "matchConditions[0].expression: Invalid value: \"params.x\": compilation failed: ERROR: <input>:1:1: "
            "undeclared reference to 'params' (in container '')\n | params.x\n | ^",
        ),
        ({"reinvocationPolicy": "Twice"}, 'reinvocationPolicy: Unsupported value: "Twice"'),
    ],
)  # fmt: skip
def test_what_is_refused(fields: dict[str, Any], said: str) -> None:
    found = complaints(configuration(**fields))
    assert found and found[0].startswith(said), found


def test_an_update_forgives_what_was_there() -> None:
    old = configuration(sideEffects="Unknown", admissionReviewVersions=["v9"])
    assert complaints(old, old) == []
    assert complaints(configuration(sideEffects="Some"), configuration()) != []


@pytest.mark.parametrize(
    ("rule", "asked", "matches"),
    [
        ({}, rules.Asked("CREATE", "", "v1", "pods", "", "n"), True),
        ({}, rules.Asked("CREATE", "", "v1", "pods", "status", "n"), False),
        ({"resources": ["*/status"]}, rules.Asked("CREATE", "", "v1", "pods", "status", "n"), True),
        ({"resources": ["pods/*"]}, rules.Asked("CREATE", "", "v1", "pods", "", "n"), True),
        ({"resources": ["*"]}, rules.Asked("CREATE", "", "v1", "pods", "status", "n"), False),
        ({"scope": "Cluster"}, rules.Asked("CREATE", "", "v1", "pods", "", "n"), False),
        ({"scope": "Cluster", "resources": ["*"]}, rules.Asked("CREATE", "", "v1", "namespaces", "", "n"), True),
        ({"scope": "Namespaced", "resources": ["*"]}, rules.Asked("CREATE", "", "v1", "namespaces", "", "n"), False),
        ({"operations": ["DELETE"]}, rules.Asked("CREATE", "", "v1", "pods", "", "n"), False),
    ],
)
def test_rules_match(rule: dict[str, Any], asked: rules.Asked, matches: bool) -> None:
    assert rules.matches({**RULE, **rule}, asked) is matches
