"""What claims for devices cost, and that pods that ask for the same devices by other names pay once."""

from __future__ import annotations

from typing import Any

from kybern.api.quotas.devices import FOR_EXTENDED, Nothing
from kybern.api.quotas.registry import Evaluators

CLASS, IMPLICIT, EXPLICIT = (
    "gpu.deviceclass.resource.k8s.io/devices",
    "requests.deviceclass.resource.kubernetes.io/gpu",
    "requests.x.io/gpu",
)
COUNT = "count/resourceclaims.resource.k8s.io"


class Around(Nothing):
    """One class of devices, which are an extended resource, and a pod that asks for one."""

    def __init__(self, **status: Any) -> None:
        container = {"name": "c", "resources": {"requests": {"x.io/gpu": "1"}}}
        metadata = {"name": "p", "namespace": "n", "uid": "1"}
        self.the_pod = {"metadata": metadata, "spec": {"containers": [container]}, "status": status}
        self.the_claims: list[Any] = []

    def extended_resource(self, device_class: str) -> str:
        return "x.io/gpu" if device_class == "gpu" else ""

    def has_class(self, extended_resource: str) -> bool:
        return extended_resource == "x.io/gpu"

    def pod(self, namespace: str, name: str) -> Any:
        return self.the_pod if (namespace, name) == ("n", "p") else None

    def claims(self, namespace: str) -> Any:
        return self.the_claims


def claim(*requests: dict[str, Any], name: str = "c", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "n", **metadata}, "spec": {"devices": {"requests": list(requests)}}}


def asked(count: int = 1, device_class: str = "gpu", **more: Any) -> dict[str, Any]:
    return {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": count, **more}


def for_pod(name: str = "c", uid: str = "1", created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": True}
    return claim(
        {"exactly": asked(2)}, name=name, annotations={FOR_EXTENDED: "true"}, ownerReferences=[owner],
        creationTimestamp=created,
    )  # fmt: skip


def used(obj: dict[str, Any], around: Any = None) -> Any:
    return Evaluators(around).of("resource.k8s.io", "resourceclaims").usage(obj)


def test_devices_are_counted_by_class_the_worst_of_alternatives() -> None:
    either = {"firstAvailable": [asked(3), asked(1), asked(2, "other")]}
    found = used(claim({"exactly": asked(2)}, either, {"exactly": {"deviceClassName": "all", "allocationMode": "All"}}))
    assert found[COUNT] == "1" and found[CLASS] == "5"
    assert found["other.deviceclass.resource.k8s.io/devices"] == "2"
    assert found["all.deviceclass.resource.k8s.io/devices"] == "32"


def test_devices_that_are_extended_resources_are_counted_as_those_too() -> None:
    assert used(claim({"exactly": asked(2)}), Around()) == {COUNT: "1", CLASS: "2", IMPLICIT: "2", EXPLICIT: "2"}
    evaluator = Evaluators(Around()).of("resource.k8s.io", "resourceclaims")
    assert evaluator.matching([IMPLICIT, EXPLICIT, "requests.y.io/gpu", "requests.cpu"]) == [IMPLICIT, EXPLICIT]
    assert [one.plural for one in Evaluators(Around()).concerning([EXPLICIT])] == ["pods", "resourceclaims"]
    assert [one.plural for one in Evaluators().concerning([EXPLICIT])] == ["pods"]


def test_what_the_pod_was_charged_for_is_not_charged_again() -> None:
    around = Around()
    assert used(for_pod(), around)[EXPLICIT] == "1"
    named = Around(extendedResourceClaimStatus={"resourceClaimName": "c"})
    assert used(for_pod(), named)[EXPLICIT] == "1" and used(for_pod("other"), named)[EXPLICIT] == "2"
    assert used(for_pod(uid="2"), around)[EXPLICIT] == "2"
    around.the_claims = [for_pod("b", created="2025-01-01T00:00:00Z"), for_pod()]
    assert used(for_pod(), around)[EXPLICIT] == "2", "a pod has one such claim, the oldest"
