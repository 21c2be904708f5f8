"""Who owns what, of objects that look different in several versions: each manager's fields are in its own shape."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.apiserver.inprocess import MERGE, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

APPLY = "application/apply-patch+yaml"
TARGET = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}


def autoscaler(version: str, **spec: Any) -> dict[str, Any]:
    spec = {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec}
    return {"apiVersion": f"autoscaling/{version}", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
            "spec": spec}  # fmt: skip


def cpu(percent: int) -> list[dict[str, Any]]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def owned(obj: Any) -> dict[tuple[str, str], list[str]]:
    """(manager, version) -> names of spec's fields."""
    entries = obj["metadata"]["managedFields"]
    return {
        (entry["manager"], entry["apiVersion"].rpartition("/")[2]): sorted(
            key.removeprefix("f:") for key in entry["fieldsV1"].get("f:spec", {})
        )
        for entry in entries
    }


async def paths(api: Api) -> tuple[str, str]:
    namespace = await api.ns()
    one, two = (f"/apis/autoscaling/{v}/namespaces/{namespace}/horizontalpodautoscalers" for v in ("v1", "v2"))
    return one, two


async def test_fields_are_owned_in_the_shape_they_were_written_in(api: Api) -> None:
    one, two = await paths(api)
    made = await api.ok("POST", f"{one}?fieldManager=old", autoscaler("v1", targetCPUUtilizationPercentage=50))
    fields = ["maxReplicas", "minReplicas", "scaleTargetRef", "targetCPUUtilizationPercentage"]
    assert owned(made) == {("old", "v1"): fields}
    change = {"spec": {"metrics": cpu(60), "maxReplicas": 6}}
    made = await api.ok("PATCH", f"{two}/h?fieldManager=new", change, kind=MERGE)
    assert owned(made) == {("old", "v1"): ["minReplicas", "scaleTargetRef"], ("new", "v2"): ["maxReplicas", "metrics"]}


async def test_conflicts_are_seen_across_versions(api: Api) -> None:
    one, two = await paths(api)
    first = autoscaler("v2", metrics=cpu(50))
    await api.ok("PATCH", f"{two}/h?fieldManager=new", first, kind=APPLY)
    other = autoscaler("v1", targetCPUUtilizationPercentage=70)
    status = await api.refused(409, "PATCH", f"{one}/h?fieldManager=old", other, kind=APPLY)
    assert [cause["field"] for cause in status["details"]["causes"]] == [".spec.metrics"]
    same = autoscaler("v1", targetCPUUtilizationPercentage=50)
    got = await api.ok("PATCH", f"{one}/h?fieldManager=old", same, kind=APPLY)
    assert owned(got)[("old", "v1")] == ["maxReplicas", "scaleTargetRef", "targetCPUUtilizationPercentage"]
    got = await api.ok("PATCH", f"{one}/h?fieldManager=old&force=true", other, kind=APPLY)
    assert owned(got)[("new", "v2")] == ["maxReplicas", "scaleTargetRef"]


async def test_what_is_no_longer_applied_goes_whatever_the_version(api: Api) -> None:
    one, two = await paths(api)
    first = autoscaler("v1", targetCPUUtilizationPercentage=50, minReplicas=2)
    await api.ok("PATCH", f"{one}/h?fieldManager=m", first, kind=APPLY)
    got = await api.ok("PATCH", f"{two}/h?fieldManager=m", autoscaler("v2", metrics=cpu(50)), kind=APPLY)
    assert got["spec"]["minReplicas"] == 1
    assert owned(got) == {("m", "v2"): ["maxReplicas", "metrics", "scaleTargetRef"]}


async def test_events_are_owned_in_both_shapes(api: Api) -> None:
    namespace = await api.ns()
    core, new = (f"/{root}/namespaces/{namespace}/events" for root in ("api/v1", "apis/events.k8s.io/v1"))
    event = {
        "metadata": {"name": "e"}, "regarding": {"namespace": namespace}, "note": "so", "reason": "Why", "action": "Do",
        "type": "Normal", "eventTime": "2030-01-01T00:00:00.000000Z", "reportingController": "example.com/c",
        "reportingInstance": "i",
    }  # fmt: skip
    made = await api.ok("POST", new, event)
    assert "f:note" in made["metadata"]["managedFields"][0]["fieldsV1"]
    made = await api.ok("PATCH", f"{core}/e?fieldManager=old", {"message": "other"}, kind=MERGE)
    by_manager = {entry["manager"]: entry for entry in made["metadata"]["managedFields"]}
    assert by_manager["old"]["fieldsV1"] == {"f:message": {}} and by_manager["old"]["apiVersion"] == "v1"
    assert all("f:note" not in entry["fieldsV1"] for entry in by_manager.values())
