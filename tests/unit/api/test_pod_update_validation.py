"""What may change in a pod: by a plain update, through status, ephemeralcontainers and resize."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from kybern.api import names
from kybern.api.core import pod_update_validation as updates
from kybern.api.core.podspec import default_pod
from kybern.api.field import Errors
from kybern.api.types import Object

FORBIDDEN = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
    "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` "
    "(allow it to be set to 1 if it was previously negative)"
)
TERMS = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"

Check = Callable[[Object, Object, Errors], None]


def pod(**spec: Any) -> Object:
    result: Object = {
        "metadata": {"name": "p", "resourceVersion": "1"},
        "spec": {
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
            "initContainers": [{"name": "n", "image": "i"}],
            **spec,
        },
        "status": {"phase": "Running", "qosClass": "Burstable"},
    }
    default_pod(result)
    return result


def said(check: Check, old: Object, change: Callable[[Object], Any]) -> list[str]:
    """The complaints about `old` changed in place by `change`."""
    new, errors = copy.deepcopy(old), Errors()
    change(new)
    check(new, old, errors)
    return [str(error) for error in errors]


def sets(**fields: Any) -> Callable[[Object], None]:
    return lambda obj: obj["spec"].update(fields)


def sets_status(**fields: Any) -> Callable[[Object], None]:
    return lambda obj: obj["status"].update(fields)


def resizes(**kinds: Any) -> Callable[[Object], None]:
    return lambda obj: obj["spec"]["containers"][0]["resources"].update(kinds)


def selects(*expressions: str) -> Object:
    term = {"matchExpressions": [{"key": key, "operator": "Exists"} for key in expressions]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


GATE = [{"name": "g"}]
TOLERATION = {"key": "a", "operator": "Exists", "effect": "NoExecute"}

ALLOWED_UPDATES = [
    (pod(), sets()),
    (pod(), lambda obj: obj["spec"]["containers"][0].update(image="other")),
    (pod(), lambda obj: obj["spec"]["initContainers"][0].update(image="other")),
    (pod(), sets(activeDeadlineSeconds=9)),
    (pod(activeDeadlineSeconds=9), sets(activeDeadlineSeconds=8)),
    (pod(), sets(tolerations=[TOLERATION])),
    (pod(tolerations=[TOLERATION]), sets(tolerations=[{**TOLERATION, "tolerationSeconds": 3}])),
    (pod(terminationGracePeriodSeconds=-5), sets(terminationGracePeriodSeconds=1)),
    (pod(schedulingGates=GATE), sets(schedulingGates=[])),
    (pod(schedulingGates=GATE), sets(nodeSelector={"a": "b"})),
    (pod(schedulingGates=GATE), sets(affinity=selects("a"))),
    (pod(schedulingGates=GATE, affinity=selects("a")), sets(affinity=selects("a", "b"))),
]

REFUSED_UPDATES = [
    (pod(), sets(hostNetwork=True), FORBIDDEN),
    (pod(), lambda obj: obj["spec"]["containers"][0].update(env=[{"name": "A"}]), FORBIDDEN),
    (pod(), resizes(requests={"cpu": "2"}), FORBIDDEN),
    (pod(), sets(terminationGracePeriodSeconds=1), FORBIDDEN),
    (pod(), sets(nodeSelector={"a": "b"}), FORBIDDEN),
    (pod(), sets(affinity=selects("a")), FORBIDDEN),
    (pod(), sets(containers=[]), "spec.containers: Forbidden: pod updates may not add or remove containers"),
    (pod(activeDeadlineSeconds=9), sets(activeDeadlineSeconds=10),
     "spec.activeDeadlineSeconds: Invalid value: 10: must be less than or equal to previous value"),
    (pod(activeDeadlineSeconds=9), sets(activeDeadlineSeconds=None),
     "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"),
    (pod(tolerations=[TOLERATION]), sets(tolerations=[]),
     "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"),
    (pod(), sets(schedulingGates=GATE),
     "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"),
    (pod(schedulingGates=GATE, nodeSelector={"a": "b"}), sets(nodeSelector={"a": "c"}),
     'spec.nodeSelector: Invalid value: {"a":"c"}: only additions to spec.nodeSelector are allowed '
     "(no mutations or deletions)"),
    (pod(schedulingGates=GATE, affinity=selects("a")), sets(affinity=selects("b")),
     f'{TERMS}[0]: Invalid value: {{"matchExpressions":[{{"key":"b","operator":"Exists"}}]}}: '
     "only additions are allowed (no mutations or deletions)"),
    (pod(schedulingGates=GATE, affinity=selects("a")), sets(affinity=None),
     f"{TERMS}: Invalid value: []: no additions/deletions to non-empty NodeSelectorTerms list are allowed"),
    (pod(), lambda obj: obj["metadata"].update(annotations={"kubernetes.io/config.mirror": "x"}),
     "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not add mirror pod annotation"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "change"), ALLOWED_UPDATES)
def test_what_may_change(old: Object, change: Callable[[Object], None]) -> None:
    assert said(updates.validate_pod_update, old, change) == []


@pytest.mark.parametrize(("old", "change", "text"), REFUSED_UPDATES)
def test_what_may_not_change(old: Object, change: Callable[[Object], None], text: str) -> None:
    assert said(updates.validate_pod_update, old, change) == [text]


def ended(code: int, **spec: Any) -> Object:
    result = pod(**spec)
    result["status"]["containerStatuses"] = [{"name": "c", "state": {"terminated": {"exitCode": code}}}]
    return result


RUNS = sets_status(containerStatuses=[{"name": "c", "state": {"running": {}}}])
ENDED_FOR_GOOD = "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
ALLOCATED, EXTENDED = "status.containerStatuses[0].allocatedResourcesStatus", "status.extendedResourceClaimStatus"
DUAL = [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]

STATUS_WRITES = [
    (pod(), sets_status(qosClass="BestEffort"), ['status.qosClass: Invalid value: "BestEffort": field is immutable']),
    (pod(), sets_status(qosClass=None), []),
    (pod(), sets_status(podIPs=DUAL), []),
    (pod(), sets_status(podIPs=[{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]),
     ['status.podIPs: Invalid value: [{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]: '
      "may specify no more than one IP for each IP family"]),
    (pod(), sets_status(hostIP="10.0.0.2", hostIPs=[{"ip": "10.0.0.1"}]),
     ['status.hostIPs[0].ip: Invalid value: "10.0.0.1": must be equal to `hostIP`']),
    (pod(), sets_status(resourceClaimStatuses=[{"name": "x"}]),
     ['status.resourceClaimStatuses[0].name: Invalid value: "x": must match the name of an entry in '
      "`spec.resourceClaims`"]),
    (ended(1), RUNS, []),
    (ended(0, restartPolicy="Never"), RUNS, [ENDED_FOR_GOOD]),
    (ended(0, containers=[{"name": "c", "image": "i", "restartPolicy": "Never"}]), RUNS, [ENDED_FOR_GOOD]),
    (ended(0, containers=[{"name": "d", "image": "i"}]), RUNS, [ENDED_FOR_GOOD]),
    (ended(0, restartPolicy="Never", containers=[{"name": "c", "image": "i"}, {"name": "d", "image": "i",
        "restartPolicyRules": [{"action": "RestartAllContainers", "exitCodes": {"operator": "In"}}]}]), RUNS, []),
    (pod(nodeName="n"), sets_status(nominatedNodeName="m"),
     ["status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node"]),
    (pod(), sets_status(conditions=[{"type": "a b", "observedGeneration": -1}], observedGeneration=-1),
     ["status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer",
      f'status.conditions[0].Type: Invalid value: "a b": {names.qualified_name("a b")[0]}',
      "status.observedGeneration: Invalid value: -1: must be a non-negative integer"]),
    (pod(), sets_status(podIPs=[{"ip": "10.0.0.01"}]),
     ['status.podIPs[0]: Invalid value: "10.0.0.01": must not have leading 0s']),
    (pod(os={"name": "windows"}), sets_status(containerStatuses=[{"name": "c", "user": {"linux": {"uid": 1}}}]),
     ["status.containerStatuses[0].user.linux: Forbidden: cannot be set for a windows pod"]),
    (pod(), sets_status(containerStatuses=[{"name": "c", "allocatedResourcesStatus": [
        {"name": "cpu", "resources": [{"resourceID": "a", "health": "Healthy"}]},
        {"name": "example.com/gpu", "resources": [{"resourceID": "a", "health": "Ill", "message": ""},
                                                  {"resourceID": "a", "health": "Unknown"}]},
        {"name": "claim:x/y"}]}]),
     [f'{ALLOCATED}[1].name: Invalid value: "example.com/gpu": must match one of the container\'s resource requests',
      f'{ALLOCATED}[1].resources[0].health: Unsupported value: "Ill": supported values: "Healthy", "Unhealthy", '
      '"Unknown"',
      f"{ALLOCATED}[1].resources[0].message: Required value: must be non-empty if specified",
      f'{ALLOCATED}[1].resources[1].resourceID: Duplicate value: "a"',
      f'{ALLOCATED}[2].name: Invalid value: "claim:x/y": must match one of the container\'s resource claims in a '
      "format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is empty"]),
    (pod(), sets_status(extendedResourceClaimStatus={"requestMappings": [
        {"containerName": "c", "resourceName": "example.com/gpu", "requestName": "r"},
        {"containerName": "x", "resourceName": "cpu", "requestName": "r"}]}),
     [f'{EXTENDED}.requestMappings[0].resourceName: Invalid value: "example.com/gpu": must match the extended '
      "resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests",
      f'{EXTENDED}.requestMappings[1].containerName: Invalid value: "x": must match the name of an entry in '
      "spec.initContainers.name or spec.containers.name",
      f"{EXTENDED}.resourceClaimName: Required value"]),
    (ended(0, restartPolicy="OnFailure"), RUNS, [ENDED_FOR_GOOD]),
    (ended(1, restartPolicy="OnFailure"), RUNS, []),
    (ended(42, restartPolicy="Never", containers=[{"name": "c", "image": "i", "restartPolicyRules": [
        {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]), RUNS, []),
]  # fmt: skip


@pytest.mark.parametrize(("old", "change", "texts"), STATUS_WRITES)
def test_status(old: Object, change: Callable[[Object], None], texts: list[str]) -> None:
    assert said(updates.validate_pod_status_update, old, change) == texts


def test_ephemeral_containers_are_only_added() -> None:
    check = updates.validate_ephemeral_containers_update
    old = pod(ephemeralContainers=[{"name": "e", "image": "i"}])
    two = [*old["spec"]["ephemeralContainers"], {"name": "f", "image": "i"}]
    assert said(check, old, sets(ephemeralContainers=two)) == []
    path = "spec.ephemeralContainers: Forbidden: existing ephemeral containers"
    assert said(check, old, sets(ephemeralContainers=two[1:])) == [f'{path} "e" may not be removed\n']
    assert said(check, old, sets(ephemeralContainers=[{"name": "e"}])) == [f'{path} "e" may not be changed\n']


RESIZES = [
    (resizes(requests={"cpu": "2", "memory": "1Gi"}), []),
    (resizes(requests={"cpu": "1", "memory": "1Gi"}, limits={"cpu": "3"}), []),
    (resizes(requests={"cpu": "1"}),
     ["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"]),
    (resizes(requests={"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}),
     ["spec: Forbidden: only cpu and memory resources are mutable"]),
    (lambda obj: obj["spec"]["initContainers"][0].update(resources={"requests": {"cpu": "1"}}), []),
    (lambda obj: obj["spec"]["initContainers"][0].update(image="j"),
     ["spec.initContainers[0]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable"]),
    (sets(resources={"limits": {"cpu": "4"}}), []),
    (sets(resources={"limits": {"cpu": "4", "hugepages-2Mi": "4Mi"}}),
     ["spec: Forbidden: only cpu and memory resources are mutable at pod-level"]),
    (lambda obj: obj["spec"]["containers"][0].update(name="x"),
     ["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"]),
    (sets(hostNetwork=True), ["spec: Forbidden: only cpu and memory resources are mutable"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "texts"), RESIZES)
def test_resize(change: Callable[[Object], None], texts: list[str]) -> None:
    old = pod(initContainers=[{"name": "n", "image": "i"}])
    assert said(updates.validate_pod_resize, old, change) == texts


def test_a_pod_keeps_its_own_amounts() -> None:
    old = pod(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "4"}})
    assert said(updates.validate_pod_resize, old, sets(resources={"requests": {"cpu": "3"}})) == [
        "spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"
    ]


def test_pods_that_cannot_be_resized() -> None:
    windows = pod(os={"name": "windows"})
    assert said(updates.validate_pod_resize, windows, sets()) == [": Forbidden: windows pods cannot be resized"]
    running = pod()
    running["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    assert said(updates.validate_pod_resize, running, sets()) == [
        "spec: Forbidden: Pod running on node without support for resize"
    ]


def test_a_resize_keeps_the_quality_of_service() -> None:
    change = resizes(limits={"cpu": "1", "memory": "1Gi"})
    assert said(updates.validate_pod_resize, pod(initContainers=[]), change) == [
        'spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing'
    ]
