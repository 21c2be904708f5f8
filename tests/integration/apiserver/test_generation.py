"""metadata.generation counts what is wanted anew, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api.scheme import builtin
from tests.integration.apiserver import filling
from tests.integration.apiserver.inprocess import MERGE, Api
from tests.integration.apiserver.test_every_kind import STORED, api, collection, named

__all__ = ["api"]

CHANGES: dict[str, Any] = {
    "CSIDriver": {"spec": {"requiresRepublish": False}},
    "CronJob": {"spec": {"suspend": False}},
    "CustomResourceDefinition": {"spec": {"names": {"shortNames": ["t"]}}},
    "DaemonSet": {"spec": {"minReadySeconds": 5}},
    "Deployment": {"spec": {"replicas": 5}},
    "DeviceClass": {"spec": {"extendedResourceName": "example.com/other"}},
    "DeviceTaintRule": {"spec": {"taint": {"value": "other"}}},
    "EndpointSlice": {"endpoints": []},
    "FlowSchema": {"spec": {"matchingPrecedence": 600}},
    "Ingress": {"spec": {"ingressClassName": "other"}},
    "IngressClass": {"spec": {"parameters": {"name": "other"}}},
    "Job": {"spec": {"suspend": False}},
    "MutatingWebhookConfiguration": {"webhooks": []},
    "NetworkPolicy": {"spec": {"policyTypes": ["Ingress"]}},
    "Pod": {"spec": {"activeDeadlineSeconds": 1, "tolerations": None}},
    "PodDisruptionBudget": {"spec": {"unhealthyPodEvictionPolicy": "IfHealthyBudget"}},
    "PodTemplate": {"template": {"metadata": {"labels": {"a": "b"}}}},
    "PriorityLevelConfiguration": {"spec": {"limited": {"nominalConcurrencyShares": 7}}},
    "ReplicaSet": {"spec": {"replicas": 5}},
    "ReplicationController": {"spec": {"replicas": 5}},
    "ResourceSlice": {"spec": {"pool": {"generation": 2}}},
    "StatefulSet": {"spec": {"replicas": 5}},
    "ValidatingWebhookConfiguration": {"webhooks": []},
}
"""Kind -> a change of what is wanted."""
FIXED = {"PodGroup", "PriorityClass", "Workload"}
"""Kinds that begin to count, and of which nothing may change that would be counted."""
POLICIES = "AdmissionPolicy"


def test_every_kind_that_counts_is_here() -> None:
    counting = {kind.kind for kind in builtin() if kind.has_generation and {"get", "update"} <= set(kind.verbs)}
    assert {name for name in counting if POLICIES not in name} == CHANGES.keys() | FIXED


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_a_change_counts_once(api: Api, name: str) -> None:
    kind, version = next(one for one in STORED if one[0].kind == name)
    definition = filling.by_kind()[(kind.group, version, name)]
    obj = named(kind, version, filling.filled(definition), 0)
    obj["metadata"]["finalizers"] = []
    path = collection(kind, version)
    created = await api.ok("POST", path, obj)
    path = f"{path}/{obj['metadata']['name']}"
    before = created["metadata"].get("generation", 0)
    change = CHANGES[name] if name != "Pod" else {"spec": {"containers": _other_image(created)}}
    for expected in (before + 1, before + 1):
        got = await api.ok("PATCH", path, change, kind=MERGE)
        assert got["metadata"]["generation"] == expected
    got = await api.ok("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
    assert got["metadata"]["generation"] == before + 1
    await api.ok("DELETE", f"{path}?gracePeriodSeconds=0")


def _other_image(pod: Any) -> Any:
    return [{**container, "image": "other"} for container in pod["spec"]["containers"]]
