"""What objects cost of a quota, and which quotas they are charged to."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.quotas import amounts
from kybern.api.quotas.charging import Refused, Write, charge
from kybern.api.quotas.registry import Evaluators
from kybern.process.clock import clock

EVALUATORS = Evaluators()
PODS, SERVICES, CLAIMS = (EVALUATORS.of("", plural) for plural in ("pods", "services", "persistentvolumeclaims"))


def pod(requests: dict[str, str] | None = None, status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "resources": {"requests": requests or {}}}
    meta = {"name": "p", "namespace": "n", "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"containers": [container], **spec}, "status": status or {}}


def test_pods_cost_what_their_containers_need_at_the_most() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
    first = {"name": "i", "resources": {"requests": {"cpu": "3", "hugepages-2Mi": "4Mi", "x.io/gpu": "1"}}}
    used = PODS.usage(pod({"cpu": "500m"}, initContainers=[sidecar, first], overhead={"cpu": "250m"}))
    assert used["requests.cpu"] == used["cpu"] == "4250m"
    assert used["hugepages-2Mi"] == used["requests.hugepages-2Mi"] == "4Mi"
    assert used["requests.x.io/gpu"] == "1" and "x.io/gpu" not in used
    whole = pod({"cpu": "1"}, resources={"requests": {"cpu": "2"}, "limits": {"cpu": "4"}})
    assert PODS.usage(whole)["requests.cpu"] == "2" and PODS.usage(whole)["limits.cpu"] == "4"
    assert PODS.missing(["limits.memory"], whole) == ""


def test_a_pod_being_resized_costs_the_greater_of_asked_and_given() -> None:
    given = {"name": "c", "resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "3"}}
    assert PODS.usage(pod({"cpu": "1"}, {"containerStatuses": [given]}))["requests.cpu"] == "3"
    pending = {"type": "PodResizePending", "reason": "Infeasible"}
    status = {"containerStatuses": [given], "conditions": [pending]}
    assert PODS.usage(pod({"cpu": "9"}, status))["requests.cpu"] == "3"


def test_pods_that_are_over_count_as_objects_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PODS.usage(pod(status={"phase": "Failed"})) == {"count/pods": "1"}
    going = pod()
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    monkeypatch.setattr(clock, "now_fn", lambda: 1767225600.0 + 29)
    assert PODS.usage(going)["pods"] == "1"
    monkeypatch.setattr(clock, "now_fn", lambda: 1767225600.0 + 31)
    assert PODS.usage(going) == {"count/pods": "1"}


@pytest.mark.parametrize(
    ("spec", "ports", "balancers"),
    [
        ({"type": "ClusterIP"}, "0", "0"),
        ({"type": "NodePort"}, "2", "0"),
        ({"type": "LoadBalancer"}, "2", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, "1", "1"),
    ],
)
def test_services(spec: dict[str, Any], ports: str, balancers: str) -> None:
    used = SERVICES.usage({"metadata": {}, "spec": {"ports": [{"port": 1, "nodePort": 30001}, {"port": 2}], **spec}})
    assert (used["services.nodeports"], used["services.loadbalancers"], used["services"]) == (ports, balancers, "1")


def test_volume_claims() -> None:
    claim: dict[str, Any] = {
        "metadata": {"name": "c", "annotations": {"volume.beta.kubernetes.io/storage-class": "old"}},
        "spec": {"storageClassName": "new", "resources": {"requests": {"storage": "1500m"}}},
        "status": {"allocatedResources": {"storage": "1Gi"}},
    }
    used = CLAIMS.usage(claim)
    assert used["requests.storage"] == used["old.storageclass.storage.k8s.io/requests.storage"] == "1Gi"
    del claim["status"]
    assert CLAIMS.usage(claim)["requests.storage"] == "2", "bytes are counted whole"
    assert CLAIMS.matching(["a.storageclass.storage.k8s.io/persistentvolumeclaims", "requests.cpu"]) == [
        "a.storageclass.storage.k8s.io/persistentvolumeclaims"
    ]


@pytest.mark.parametrize(
    ("rule", "classes", "expected"),
    [
        ({"operator": "Exists"}, (), False),
        ({"operator": "DoesNotExist"}, (), True),
        ({"operator": "In", "values": ["gold"]}, ("gold",), True),
        ({"operator": "In", "values": ["gold"]}, ("tin", "gold"), True),
        ({"operator": "NotIn", "values": ["gold"]}, ("gold",), False),
        ({"operator": "NotIn", "values": ["gold"]}, (), True),
    ],
)
def test_claims_are_in_the_scopes_of_all_their_attribute_classes(
    rule: dict[str, Any], classes: tuple[str, ...], expected: bool
) -> None:
    spec = {"volumeAttributesClassName": classes[0]} if classes else {}
    status = {"currentVolumeAttributesClassName": classes[1]} if len(classes) > 1 else {}
    found = CLAIMS.in_scope({"scopeName": "VolumeAttributesClass", **rule}, {"spec": spec, "status": status})
    assert found is expected


def quota(name: str = "q", hard: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec, "status": {"hard": hard or {"pods": "1", "requests.cpu": "1"}}}


def test_an_update_is_charged_by_its_difference_and_whole_where_it_is_new() -> None:
    old, new = pod({"cpu": "500m"}), pod({"cpu": "700m"})
    resize = Write(PODS, "UPDATE", "resize", new, old)
    used = {"q": {"pods": "1", "requests.cpu": "500m"}}
    assert charge(resize, [quota()], used) == {"q": {"pods": "1", "requests.cpu": "700m"}}
    smaller = Write(PODS, "UPDATE", "resize", old, new)
    assert charge(smaller, [quota()], used) == {}, "what is given back is the controller's to say"
    ending = Write(PODS, "UPDATE", "", pod({"cpu": "500m"}, activeDeadlineSeconds=5), old)
    scoped = quota("t", scopes=["Terminating"])
    nothing = {"t": {"pods": "0", "requests.cpu": "0"}}
    assert charge(ending, [scoped], nothing) == {"t": {"pods": "1", "requests.cpu": "500m"}}
    with pytest.raises(Refused, match="exceeded quota: t, requested: pods=1, used: pods=1, limited: pods=1"):
        charge(ending, [scoped], {"t": {"pods": "1", "requests.cpu": "0"}})


def test_amounts_are_written_in_the_style_of_what_is_used() -> None:
    assert amounts.plus({"memory": "1Gi"}, {"memory": "512Mi"}) == {"memory": "1536Mi"}
    assert amounts.above({"cpu": "2"}, {"cpu": "500m", "memory": "1Gi"}) == {"cpu": "1500m", "memory": "0"}
    assert amounts.equal({"cpu": "1"}, {"cpu": "1000m"}) and not amounts.equal({"cpu": "1"}, {"cpu": "1", "x": "0"})
    assert amounts.shown({"b": "1024Mi", "a": "1000m"}) == "a=1,b=1Gi"
