"""Configuration files with anything in any place: refused with a message, never worse."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.apiserver.authn import config as authn
from kybern.apiserver.authz import config as authz
from kybern.process.daemon import OperatorError

HEAD = "apiserver.config.k8s.io/v1"
AUTHENTICATION: Any = {
    "apiVersion": HEAD,
    "kind": authn.KIND,
    "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]},
    "jwt": [
        {
            "issuer": {"url": "https://a.example", "audiences": ["a", "b"], "audienceMatchPolicy": "MatchAny"},
            "claimMappings": {
                "username": {"claim": "sub", "prefix": ""},
                "groups": {"expression": "claims.groups"},
                "uid": {"claim": "id"},
                "extra": [{"key": "a.io/b", "valueExpression": "claims.b"}],
            },
            "claimValidationRules": [{"claim": "hd", "requiredValue": "a"}, {"expression": "true", "message": "no"}],
            "userValidationRules": [{"expression": "user.username != ''"}],
        }
    ],
}
AUTHORIZATION: Any = {
    "apiVersion": HEAD,
    "kind": authz.KIND,
    "authorizers": [
        {
            "type": "Webhook",
            "name": "hook",
            "webhook": {
                "timeout": "3s",
                "authorizedTTL": "30s",
                "subjectAccessReviewVersion": "v1",
                "matchConditionSubjectAccessReviewVersion": "v1",
                "failurePolicy": "Deny",
                "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/dev/null"},
                "matchConditions": [{"expression": "has(request.resourceAttributes)"}],
            },
        },
        {"type": "RBAC", "name": "rbac"},
    ],
}
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just([]), st.just({}), st.just([None]),
    st.just({"x": 1}), st.just([[1]]), st.just("https://[::1"), st.just("-1s"), st.just("a.("),
)  # fmt: skip


def places(found: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    keys = list(found) if isinstance(found, dict) else list(range(len(found))) if isinstance(found, list) else []
    return [place for key in keys for place in [(found, key), *places(found[key])]]


@st.composite
def spoiled(draw: st.DrawFn, document: Any) -> Any:
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 2))):
        where = places(made)
        container, key = where[draw(st.integers(0, len(where) - 1))]
        container[key] = copy.deepcopy(draw(JUNK))
    return made


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("junk") / "file"


def load(path: Path, document: Any) -> None:
    path.write_text(yaml.safe_dump(document))
    with contextlib.suppress(OperatorError):
        if document is not None and document.get("kind") == authz.KIND:
            authz.load(path)
        else:
            authn.load(path, ["https://own"])


@settings(max_examples=200, deadline=None)
@given(document=st.one_of(spoiled(AUTHENTICATION), spoiled(AUTHORIZATION)))
def test_nothing_worse_than_a_message(path: Path, document: Any) -> None:
    load(path, document)


def test_the_documents_are_well_before_they_are_spoiled(path: Path) -> None:
    path.write_text(yaml.safe_dump(AUTHENTICATION))
    assert len(authn.load(path, []).issuers) == 1
    path.write_text(yaml.safe_dump(AUTHORIZATION))
    with pytest.raises(OperatorError, match="must be a regular file"):
        authz.load(path)
