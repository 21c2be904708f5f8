"""LimitRanges through the API: what they fill in, what they refuse and how they say so."""

from __future__ import annotations

from typing import Any

from tests.integration.apiserver.inprocess import MERGE, Api


def pod(name: str = "p", **resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]}}


async def limited(api: Api, *limits: dict[str, Any]) -> str:
    """A namespace's path, with one LimitRange in it."""
    namespace = await api.ns()
    path = f"/api/v1/namespaces/{namespace}"
    await api.ok("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
    await api.ok("POST", f"{path}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": list(limits)}})
    return path


async def test_containers_get_defaults_and_an_annotation_says_which(api: Api) -> None:
    path = await limited(
        api,
        {"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "500m"}},
    )
    sent = pod(limits={"cpu": "1"}, requests={"memory": "10Mi"})
    sent["spec"]["initContainers"] = [{"name": "i", "image": "i"}]
    made = await api.ok("POST", f"{path}/pods", sent)
    assert made["metadata"]["annotations"] == {
        "kubernetes.io/limit-ranger": "LimitRanger plugin set: memory limit for container c; "
        "cpu, memory request for init container i; cpu, memory limit for init container i"
    }
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "10Mi"},
    }  # fmt: skip
    assert made["spec"]["initContainers"][0]["resources"] == {
        "limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"},
    }  # fmt: skip
    assert made["status"]["qosClass"] == "Burstable"


async def test_quality_of_service_counts_what_was_filled_in(api: Api) -> None:
    path = await limited(api, {"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}})
    assert (await api.ok("POST", f"{path}/pods", pod()))["status"]["qosClass"] == "Guaranteed"


async def test_containers_and_pods_are_held_to_bounds(api: Api) -> None:
    path = await limited(
        api,
        {"type": "Container", "min": {"cpu": "100m"}, "max": {"memory": "1Gi"}, "maxLimitRequestRatio": {"cpu": "2"}},
        {"type": "Pod", "max": {"cpu": "3"}},
    )
    said = await api.why(403, "POST", f"{path}/pods", pod(limits={"cpu": "4", "memory": "2Gi"}, requests={"cpu": "1"}))
    assert said == (
        'pods "p" is forbidden: [maximum memory usage per Container is 1Gi, but limit is 2Gi, '
        "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000, "
        "maximum cpu usage per Pod is 3, but limit is 4]"
    )
    said = await api.why(
        403, "POST", f"{path}/pods", pod(limits={"cpu": "1", "memory": "1Mi"}, requests={"cpu": "10m"})
    )
    assert "minimum cpu usage per Container is 100m, but request is 10m" in said
    good = pod(limits={"cpu": "1", "memory": "1Mi"}, requests={"cpu": "500m"})
    await api.ok("POST", f"{path}/pods", good)
    bigger = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "8"}}}]}}
    said = await api.why(403, "PATCH", f"{path}/pods/p/resize", bigger, kind="application/strategic-merge-patch+json")
    assert "maximum cpu usage per Pod is 3, but limit is 8" in said
    await api.ok("PATCH", f"{path}/pods/p", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)


async def test_what_lacks_an_amount_that_is_bounded(api: Api) -> None:
    path = await limited(api, {"type": "Pod", "min": {"memory": "1Mi"}, "max": {"cpu": "1"}})
    assert await api.why(403, "POST", f"{path}/pods", pod()) == (
        'pods "p" is forbidden: [minimum memory usage per Pod is 1Mi.  No request is specified, '
        "maximum cpu usage per Pod is 1.  No limit is specified]"
    )


async def test_claims(api: Api) -> None:
    path = await limited(api, {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}})

    def claim(size: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "data"}, "spec": spec}

    said = 'persistentvolumeclaims "data" is forbidden: '
    assert await api.why(403, "POST", f"{path}/persistentvolumeclaims", claim("10Gi")) == (
        f"{said}maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 10Gi"
    )
    assert await api.why(403, "POST", f"{path}/persistentvolumeclaims", claim("1Mi")) == (
        f"{said}minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
    )
    await api.ok("POST", f"{path}/persistentvolumeclaims", claim("2Gi"))
