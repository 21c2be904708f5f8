from __future__ import annotations

import pytest

from kybern.api.resource import Deprecated, Resource
from kybern.api.scheme import Scheme, stable
from kybern.apiserver.discovery import Discovery
from kybern.apiserver.runtime_config import apply
from kybern.process.daemon import OperatorError


class Slice(Resource):
    group, kind, plural, versions = "resource.k8s.io", "Slice", "slices", ("v1", "v1beta2", "v1alpha3")
    deprecated = {"v1beta2": Deprecated(34, 37, "resource.k8s.io/v1 Slice")}


class Taint(Resource):
    group, kind, plural, versions = "resource.k8s.io", "Taint", "taints", ("v1alpha3",)


def scheme() -> Scheme:
    made = Scheme()
    made.add(Slice())
    made.add(Taint())
    made.serve(stable)
    return made


def served(config: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {kind.plural: kind.versions for kind in apply(scheme(), config)}


def test_stable_versions_are_served_and_others_are_known() -> None:
    made = scheme()
    assert served({}) == {"slices": ("v1",), "taints": ()}
    assert made.resource("resource.k8s.io", "slices", "v1beta2") is None
    taints = made.resource("resource.k8s.io", "taints")
    assert taints is not None and taints.stored_as == "v1alpha3"
    assert list(Discovery(made).groups()["resource.k8s.io"]) == ["v1"]


@pytest.mark.parametrize(
    ("config", "slices", "taints"),
    [
        ({"api/all": "true"}, ("v1", "v1beta2", "v1alpha3"), ("v1alpha3",)),
        ({"api/beta": "true"}, ("v1", "v1beta2"), ()),
        ({"api/alpha": "true", "api/ga": "false"}, ("v1alpha3",), ("v1alpha3",)),
        ({"api/all": "false", "api/ga": "true"}, ("v1",), ()),
        ({"resource.k8s.io/v1alpha3": ""}, ("v1", "v1alpha3"), ("v1alpha3",)),
        ({"resource.k8s.io/v1alpha3/taints": "true"}, ("v1",), ("v1alpha3",)),
        ({"resource.k8s.io/v1alpha3/slices": "0", "resource.k8s.io/v1alpha3": "1"}, ("v1",), ("v1alpha3",)),
        ({"api/all": "true", "resource.k8s.io/v1beta2": "false"}, ("v1", "v1alpha3"), ("v1alpha3",)),
    ],
)
def test_what_is_nearer_prevails(config: dict[str, str], slices: tuple[str, ...], taints: tuple[str, ...]) -> None:
    assert served(config) == {"slices": slices, "taints": taints}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"api/all": "maybe"}, "invalid value api/all=maybe"),
        ({"api/all": "false"}, "invalid key with only api/all=false"),
        ({"v1": "true"}, "runtime-config invalid key v1"),
        ({"nothing.io/v1": "true"}, "unknown api groups nothing.io"),
        ({"resource.k8s.io/v7": "true"}, "group version resource.k8s.io/v7 that has not been registered"),
        ({"resource.k8s.io/v1": "x"}, "invalid value of resource.k8s.io/v1: x"),
        ({"resource.k8s.io/v1/Slices": "true"}, "resource is always lowercase plural"),
    ],
)
def test_what_can_not_be_meant_is_refused(config: dict[str, str], why: str) -> None:
    with pytest.raises(OperatorError, match=why):
        served(config)


def test_deprecated_versions_warn() -> None:
    assert Slice().warnings_of("v1") == []
    assert Slice().warnings_of("v1beta2") == [
        "resource.k8s.io/v1beta2 Slice is deprecated in v1.34+, unavailable in v1.37+; use resource.k8s.io/v1 Slice"
    ]
