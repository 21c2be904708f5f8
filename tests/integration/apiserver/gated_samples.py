"""Objects that use the fields of feature gates: what each needs besides the least that its kind needs."""

from __future__ import annotations

from typing import Any

from kybern.api.gated_fields import Rule
from tests.integration.apiserver.minimal import contents

SHARE = "6e5f5b1c-9a3e-4a63-9d24-0f4c2f0b6a11"
_DRIVER = {"driver": "d.example", "pool": "p", "device": "x"}


def _container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i", **fields}]}


def _projected(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "projected": {"sources": [source]}}]}


def _request(**fields: Any) -> dict[str, Any]:
    return {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "d", **fields}}]}}


def _device(**fields: Any) -> dict[str, Any]:
    return {"spec": {"devices": [{"name": "x", **fields}]}}


def _allocated(**fields: Any) -> dict[str, Any]:
    results = [{"request": "r", **_DRIVER, **fields}]
    return {"status": {"allocation": {"devices": {"results": results}}}}


def _container_status(**fields: Any) -> dict[str, Any]:
    state = {"running": {"startedAt": "2030-01-02T03:04:05Z"}}
    status = {"name": "c", "image": "i", "imageID": "i", "ready": True, "restartCount": 0, "state": state}
    return {"status": {"phase": "Running", "containerStatuses": [{**status, **fields}]}}


_MOUNT = {"name": "v", "mountPath": "/v", "volumeStatus": {"image": {"imageRef": "i@sha256:0"}}}
_HEALTH = [{"name": "example.com/d", "resources": [{"resourceID": "x", "health": "Healthy", "message": "well"}]}]
_MAPPINGS = [{"containerName": "c", "resourceName": "example.com/d", "requestName": "r"}]
_SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["key"],
           "labelSelector": {"matchLabels": {"app": "a"}}}  # fmt: skip
_GROUP = {"name": "g", "schedulingPolicy": {"gang": {"minCount": 1}}}
_CLAIMS = [{"name": "r", "resourceClaimName": "c"}]
_ON_EXIT = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]
_CERTIFICATE = {"signerName": "example.com/s", "keyType": "ED25519", "credentialBundlePath": "p"}
_POLICY = {"default": "1", "validRange": {"min": "1"}}
_COUNTERS = [{"counterSet": "s", "counters": {"c": {"value": "1"}}}]

SAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("ClusterTrustBundleProjection", "pod spec"): _projected(clusterTrustBundle={"name": "b", "path": "p"}),
    ("ContainerRestartRules", "pod spec"): _container(restartPolicy="Never", restartPolicyRules=_ON_EXIT),
    ("ContainerStopSignals", "pod spec"): {
        "os": {"name": "linux"}, **_container(lifecycle={"stopSignal": "SIGUSR1"}),
    },
    ("EnvFiles", "pod spec"): {
        "volumes": [{"name": "v", "emptyDir": {}}],
        **_container(env=[{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "K"}}}]),
    },
    ("GenericWorkload", "pod spec"): {"schedulingGroup": {"podGroupName": "g"}},
    ("HostnameOverride", "pod spec"): {"hostnameOverride": "other"},
    ("MatchLabelKeysInPodTopologySpread", "pod spec"): {"topologySpreadConstraints": [_SPREAD]},
    ("PodCertificateRequest", "pod spec"): _projected(podCertificate=_CERTIFICATE),
    ("PodLevelResources", "pod spec"): {"resources": {"requests": {"cpu": "1"}}},
    ("DRAExtendedResource", "Pod"): {
        "spec": _container(resources={"limits": {"example.com/d": "1"}}),
        "status": {"extendedResourceClaimStatus": {"resourceClaimName": "r", "requestMappings": _MAPPINGS}}
    },
    ("DRANodeAllocatableResources", "Pod"): {
        "status": {
            "nodeAllocatableResourceClaimStatuses": [
                {"resourceClaimName": "r", "containers": ["c"], "resources": {"cpu": "1"}}
            ]
        }
    },
    ("ImageVolumeWithDigest", "Pod"): {
        "spec": {
            "volumes": [{"name": "v", "image": {"reference": "i"}}],
            **_container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        },
        **_container_status(volumeMounts=[_MOUNT]),
    },
    ("InPlacePodLevelResourcesVerticalScaling", "Pod"): {
        "status": {"resources": {"requests": {"cpu": "1"}}, "allocatedResources": {"cpu": "1"}}
    },
    ("ResourceHealthStatus", "Pod"): {
        "spec": _container(resources={"limits": {"example.com/d": "1"}}),
        **_container_status(allocatedResourcesStatus=_HEALTH),
    },
    ("ResourceHealthStatusMessage", "Pod"): {
        "spec": _container(resources={"limits": {"example.com/d": "1"}}),
        **_container_status(allocatedResourcesStatus=_HEALTH),
    },
    ("NodeDeclaredFeatures", "Node"): {"status": {"declaredFeatures": ["A"]}},
    ("CrossNamespaceVolumeDataSource", "PersistentVolumeClaim"): {
        "spec": {"dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "c", "namespace": "other"}}
    },
    ("DeploymentReplicaSetTerminatingReplicas", "apps/Deployment"): {"status": {"terminatingReplicas": 1}},
    ("DeploymentReplicaSetTerminatingReplicas", "apps/ReplicaSet"): {"status": {"terminatingReplicas": 1}},
    ("MaxUnavailableStatefulSet", "apps/StatefulSet"): {
        "spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}}
    },
    ("HPAConfigurableTolerance", "autoscaling/HorizontalPodAutoscaler"): {
        "spec": {"behavior": {"scaleUp": {"tolerance": "0.1"}, "scaleDown": {"tolerance": "0.2"}}}
    },
    ("CoordinatedLeaderElection", "coordination.k8s.io/Lease"): {
        "spec": {"strategy": "OldestEmulationVersion", "preferredHolder": "h"}
    },
    ("VolumeLimitScaling", "storage.k8s.io/CSIDriver"): {"spec": {"preventPodSchedulingIfMissing": True}},
    ("DRAExtendedResource", "resource.k8s.io/DeviceClass"): {"spec": {"extendedResourceName": "example.com/d"}},
    ("DRAPrioritizedList", "claim spec"): {
        "devices": {"requests": [{"name": "r", "firstAvailable": [{"name": "a", "deviceClassName": "d"}]}]}
    },
    ("DRADeviceTaints", "claim spec"): _request(tolerations=[{"operator": "Exists"}]),
    ("DRAConsumableCapacity", "claim spec"): _request(capacity={"requests": {"d.example/memory": "1Gi"}}),
    ("DRAConsumableCapacity", "resource.k8s.io/ResourceClaim"): _allocated(
        shareID=SHARE, consumedCapacity={"memory": "1Gi"}
    ),
    ("DRADeviceBindingConditions", "resource.k8s.io/ResourceClaim"): _allocated(
        bindingConditions=["Ready"], bindingFailureConditions=["Failed"]
    ),
    ("DRAResourceClaimDeviceStatus", "resource.k8s.io/ResourceClaim"): {
        "status": {**_allocated()["status"], "devices": [_DRIVER]}
    },
    ("DRADeviceTaints", "resource.k8s.io/ResourceSlice"): _device(taints=[{"key": "k", "effect": "NoSchedule"}]),
    ("DRAPartitionableDevices", "resource.k8s.io/ResourceSlice"): {
        "spec": {
            "nodeName": None, "perDeviceNodeSelection": True,
            "devices": [{"name": "x", "nodeName": "n"}],
        }
    },
    ("DRADeviceBindingConditions", "resource.k8s.io/ResourceSlice"): _device(
        bindingConditions=["Ready"], bindingFailureConditions=["Failed"], bindsToNode=True
    ),
    ("DRAConsumableCapacity", "resource.k8s.io/ResourceSlice"): _device(
        allowMultipleAllocations=True, capacity={"memory": {"value": "2", "requestPolicy": _POLICY}}
    ),
    ("DRANodeAllocatableResources", "resource.k8s.io/ResourceSlice"): _device(
        capacity={"cores": {"value": "2"}}, nodeAllocatableResourceMappings={"cpu": {"capacityKey": "cores"}}
    ),
    ("DRAListTypeAttributes", "resource.k8s.io/ResourceSlice"): _device(
        attributes={"a": {"bools": [True]}, "b": {"ints": [1]}, "c": {"strings": ["x"]}, "d": {"versions": ["1.0.0"]}}
    ),
    ("TopologyAwareWorkloadScheduling", "group spec"): {
        **_GROUP, "schedulingConstraints": {"topology": [{"key": "z"}]},
    },
    ("DRAWorkloadResourceClaims", "group spec"): {**_GROUP, "resourceClaims": _CLAIMS},
    ("WorkloadAwarePreemption", "group spec"): {
        **_GROUP, "disruptionMode": "PodGroup", "priorityClassName": "p", "priority": 5,
    },
    ("DRAWorkloadResourceClaims", "scheduling.k8s.io/PodGroup"): {
        "spec": {**_GROUP, "resourceClaims": _CLAIMS},
        "status": {"resourceClaimStatuses": [{"name": "r", "resourceClaimName": "c"}]},
    },
}  # fmt: skip
"""(first gate, kind or what kinds share) -> fields."""


def merged(one: Any, other: Any) -> Any:
    """`other` over `one`; lists are replaced, what is None is taken away."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    both = {key: merged(one.get(key), other[key]) if key in other else one[key] for key in {**one, **other}}
    return {key: value for key, value in both.items() if value is not None}


def nested(path: str, value: Any) -> Any:
    """`value` at a dotted path; in a list of its own where that says `[]`."""
    for part in reversed(path.strip(".").split(".") if path else ()):
        value = {part.removesuffix("[]"): [value] if part.endswith("[]") else value}
    return value


def sample(rule: Rule, kind: str, place: str, namespace: str) -> Any:
    """All that an object of this kind needs besides its metadata; `place`: where what kinds share is in it."""
    name = kind.rpartition("/")[2]
    least = {"PodGroup": {"spec": {}}, "Workload": {"spec": {}}, "DeviceClass": {"spec": {}}}.get(name)
    return merged(least or contents(name, namespace), nested(place, SAMPLES[(rule.gates.split()[0], rule.kind)]))


def values(obj: Any, path: str) -> list[Any]:
    """What is at a path as the rules write them."""
    found = [obj]
    for part in path.split("(")[0].split("!=")[0].replace("?", "").split("."):
        name = part.removesuffix("[]").removesuffix("{}")
        found = [one[name] for one in found if isinstance(one, dict) and one.get(name) is not None]
        if part.endswith("[]"):
            found = [item for one in found for item in one]
        elif part.endswith("{}"):
            found = [item for one in found for item in one.values()]
    return found


