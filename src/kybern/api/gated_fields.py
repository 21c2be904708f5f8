"""Fields that go where their feature gate is off, unless the object had them before: which ones, and how they go.

Paths are dotted; `[]` goes to each item of a list, `{}` to each value of a map, and `containers*` to all three lists of
a pod's containers. `a?.b`: without `b`, an `a` with nothing else in it goes, too. `a!=X`: unless it is X.
`a(b)`: `a` as a whole, if it has `b`.

Source: upstream's DropDisabledFields and dropDisabled... functions of v1.36, for the gates that can be off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from kybern.api.types import Object
from kybern.process import features


@dataclass(frozen=True, slots=True)
class Rule:
    """Fields that only come together, and stay if the old object has any of them."""

    gates: str
    """All of these must be on."""
    kind: str
    """`Pod`, `apps/Deployment`; or `pod spec`, for every kind that has one."""
    paths: str
    used: str = ""
    """What says that an old object uses them; `paths` themselves where empty."""


_CLAIM = "devices.requests[]"
_RESULT, _DEVICE = "status.allocation.devices.results[]", "spec.devices[]"
_STATUS = "status.containerStatuses*[]"
_ATTRIBUTE = f"{_DEVICE}.attributes{{}}"

RULES = (
    Rule("ClusterTrustBundleProjection", "pod spec", "volumes[].projected.sources[].clusterTrustBundle"),
    Rule("ContainerRestartRules", "pod spec",
         "containers[].restartPolicy containers[].restartPolicyRules initContainers[].restartPolicy!=Always "
         "initContainers[].restartPolicyRules ephemeralContainers[].restartPolicy "
         "ephemeralContainers[].restartPolicyRules"),
    Rule("ContainerStopSignals", "pod spec", "containers*[].lifecycle?.stopSignal"),
    Rule("EnvFiles", "pod spec", "containers*[].env[].valueFrom.fileKeyRef"),
    Rule("GenericWorkload", "pod spec", "schedulingGroup"),
    Rule("HostnameOverride", "pod spec", "hostnameOverride"),
    Rule("MatchLabelKeysInPodTopologySpread", "pod spec", "topologySpreadConstraints[].matchLabelKeys"),
    Rule("PodCertificateRequest", "pod spec", "volumes[].projected.sources[].podCertificate"),
    Rule("PodLevelResources", "pod spec", "resources"),
    Rule("DRAExtendedResource", "Pod", "status.extendedResourceClaimStatus"),
    Rule("DRANodeAllocatableResources", "Pod", "status.nodeAllocatableResourceClaimStatuses"),
    Rule("ImageVolumeWithDigest", "Pod", f"{_STATUS}.volumeMounts[].volumeStatus"),
    Rule("InPlacePodLevelResourcesVerticalScaling", "Pod", "status.resources status.allocatedResources"),
    Rule("ResourceHealthStatus", "Pod", f"{_STATUS}.allocatedResourcesStatus"),
    Rule("ResourceHealthStatusMessage", "Pod", f"{_STATUS}.allocatedResourcesStatus[].resources[].message"),
    Rule("NodeDeclaredFeatures", "Node", "status.declaredFeatures"),
    Rule("CrossNamespaceVolumeDataSource", "PersistentVolumeClaim", "spec.dataSourceRef(namespace)",
         used="spec.dataSourceRef"),
    Rule("DeploymentReplicaSetTerminatingReplicas", "apps/Deployment", "status.terminatingReplicas"),
    Rule("DeploymentReplicaSetTerminatingReplicas", "apps/ReplicaSet", "status.terminatingReplicas"),
    Rule("MaxUnavailableStatefulSet", "apps/StatefulSet", "spec.updateStrategy.rollingUpdate.maxUnavailable"),
    Rule("HPAConfigurableTolerance", "autoscaling/HorizontalPodAutoscaler",
         "spec.behavior.scaleUp.tolerance spec.behavior.scaleDown.tolerance"),
    Rule("CoordinatedLeaderElection", "coordination.k8s.io/Lease", "spec.strategy"),
    Rule("CoordinatedLeaderElection", "coordination.k8s.io/Lease", "spec.preferredHolder"),
    Rule("VolumeLimitScaling", "storage.k8s.io/CSIDriver", "spec.preventPodSchedulingIfMissing"),
    Rule("DRAExtendedResource", "resource.k8s.io/DeviceClass", "spec.extendedResourceName"),
    Rule("DRAPrioritizedList", "claim spec", f"{_CLAIM}.firstAvailable"),
    Rule("DRADeviceTaints", "claim spec", f"{_CLAIM}.exactly.tolerations {_CLAIM}.firstAvailable[].tolerations"),
    Rule("DRAConsumableCapacity", "claim spec",
         f"devices.constraints[].distinctAttribute {_CLAIM}.exactly.capacity {_CLAIM}.firstAvailable[].capacity"),
    Rule("DRAConsumableCapacity", "resource.k8s.io/ResourceClaim",
         f"{_RESULT}.shareID {_RESULT}.consumedCapacity status.devices[].shareID"),
    Rule("DRADeviceBindingConditions", "resource.k8s.io/ResourceClaim",
         f"{_RESULT}.bindingConditions {_RESULT}.bindingFailureConditions"),
    Rule("DRAResourceClaimDeviceStatus", "resource.k8s.io/ResourceClaim", "status.devices"),
    Rule("DRADeviceTaints", "resource.k8s.io/ResourceSlice", f"{_DEVICE}.taints"),
    Rule("DRAPartitionableDevices", "resource.k8s.io/ResourceSlice",
         f"spec.sharedCounters spec.perDeviceNodeSelection {_DEVICE}.consumesCounters {_DEVICE}.nodeName "
         f"{_DEVICE}.nodeSelector {_DEVICE}.allNodes"),
    Rule("DRADeviceBindingConditions DRAResourceClaimDeviceStatus", "resource.k8s.io/ResourceSlice",
         f"{_DEVICE}.bindingConditions {_DEVICE}.bindingFailureConditions {_DEVICE}.bindsToNode"),
    Rule("DRAConsumableCapacity", "resource.k8s.io/ResourceSlice",
         f"{_DEVICE}.allowMultipleAllocations {_DEVICE}.capacity{{}}.requestPolicy"),
    Rule("DRANodeAllocatableResources", "resource.k8s.io/ResourceSlice", f"{_DEVICE}.nodeAllocatableResourceMappings"),
    Rule("DRAListTypeAttributes", "resource.k8s.io/ResourceSlice",
         f"{_ATTRIBUTE}.bools {_ATTRIBUTE}.ints {_ATTRIBUTE}.strings {_ATTRIBUTE}.versions"),
    Rule("TopologyAwareWorkloadScheduling", "group spec", "schedulingConstraints"),
    Rule("DRAWorkloadResourceClaims", "group spec", "resourceClaims"),
    Rule("WorkloadAwarePreemption", "group spec", "disruptionMode"),
    Rule("WorkloadAwarePreemption", "group spec", "priorityClassName"),
    Rule("WorkloadAwarePreemption", "group spec", "priority"),
    Rule("DRAWorkloadResourceClaims", "scheduling.k8s.io/PodGroup", "status.resourceClaimStatuses",
         used="spec.resourceClaims"),
)  # fmt: skip
"""By gate and kind, in the shape in which objects are stored."""

_SHARED = {
    "pod spec": {
        "Pod": "spec.", "PodTemplate": "template.spec.", "ReplicationController": "spec.template.spec.",
        **dict.fromkeys(
            ("apps/Deployment", "apps/ReplicaSet", "apps/StatefulSet", "apps/DaemonSet", "batch/Job"),
            "spec.template.spec.",
        ),
        "batch/CronJob": "spec.jobTemplate.spec.template.spec.",
    },
    "claim spec": {"resource.k8s.io/ResourceClaim": "spec.", "resource.k8s.io/ResourceClaimTemplate": "spec.spec."},
    "group spec": {"scheduling.k8s.io/PodGroup": "spec.", "scheduling.k8s.io/Workload": "spec.podGroupTemplates[]."},
}  # fmt: skip
"""What kinds share -> those kinds, with where it is."""
_ALL_CONTAINERS = {
    "containers*": ("containers", "initContainers", "ephemeralContainers"),
    "containerStatuses*": ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"),
}


@dataclass(slots=True)
class Step:
    """A field to go to, or (where it has a rule) one that goes."""

    name: str
    each: str = ""
    """`[]`, `{}`, or empty."""
    steps: list[Step] = field(default_factory=list)
    rule: Rule | None = None
    unless: str = ""
    """The value with which it stays."""
    having: str = ""
    """The field it must have."""
    prune: bool = False
    """Whether it goes when nothing is left in it."""


def gates() -> set[str]:
    """Those that have fields."""
    return {gate for rule in RULES for gate in rule.gates.split()}


def drop(kind: str, obj: Object, old: Object | None = None) -> None:
    """Take from `obj`, of the kind `group/Kind`, what is of gates that are off and isn't in `old`."""
    steps = _compiled(features.version).get(kind)
    if steps is None:
        return
    found: list[tuple[Rule, Object, Step]] = []
    _find(obj, steps, found)
    if not found:
        return
    kept = {rule for rule, _, _ in found if old is not None and _is_used(rule, kind, old)}
    for rule, holder, step in found:
        if rule not in kept:
            del holder[step.name]
    if len(kept) < len({rule for rule, _, _ in found}):
        _prune(obj, steps)


def _find(obj: Object, steps: list[Step], found: list[tuple[Rule, Object, Step]]) -> None:
    for step in steps:
        value = obj.get(step.name)
        if value is None:
            continue
        if step.rule is not None and value != step.unless and (not step.having or value.get(step.having)):
            found.append((step.rule, obj, step))
        if not step.steps:
            continue
        if not step.each:
            _find(value, step.steps, found)
            continue
        for item in value if step.each == "[]" else value.values():
            if item:
                _find(item, step.steps, found)


def _prune(obj: Object, steps: list[Step]) -> None:
    for step in steps:
        value = obj.get(step.name)
        if value is None:
            continue
        inner = [value] if not step.each else value if step.each == "[]" else value.values()
        for item in filter(None, inner if step.steps else ()):
            _prune(item, step.steps)
        if step.prune and not value:
            del obj[step.name]


def _is_used(rule: Rule, kind: str, old: Object) -> bool:
    steps: list[Step] = []
    for path in _paths(rule, kind, rule.used or rule.paths):
        _add(steps, path, rule)
    found: list[tuple[Rule, Object, Step]] = []
    _find(old, steps, found)
    return any(holder[step.name] not in ("", [], {}) for _, holder, step in found)


@lru_cache(maxsize=1)
def _compiled(version: int) -> dict[str, list[Step]]:
    """What to look for in each kind, with the gates as they are in this version of theirs."""
    made: dict[str, list[Step]] = {}
    for rule in RULES:
        if all(features.enabled(gate) for gate in rule.gates.split()):
            continue
        for kind in _SHARED.get(rule.kind, (rule.kind,)):
            for path in _paths(rule, kind, rule.paths):
                _add(made.setdefault(kind, []), path, rule)
    return made


def _paths(rule: Rule, kind: str, paths: str) -> Iterator[str]:
    start = _SHARED[rule.kind][kind] if rule.kind in _SHARED else ""
    for path in paths.split():
        for short, names in _ALL_CONTAINERS.items():
            if short in path:
                yield from (start + path.replace(short, name) for name in names)
                break
        else:
            yield start + path


def _add(steps: list[Step], path: str, rule: Rule) -> None:
    *way, last = path.split(".")
    for part in way:
        each = part[-2:] if part.endswith(("[]", "{}")) else ""
        name = part.removesuffix(each).removesuffix("?")
        step = next((one for one in steps if one.name == name), None)
        if step is None:
            step = Step(name)
            steps.append(step)
        step.each, step.prune = each or step.each, step.prune or part.endswith("?")
        steps = step.steps
    name, _, having = last.partition("(")
    name, _, unless = name.partition("!=")
    step = next((one for one in steps if one.name == name), None)
    if step is None:
        step = Step(name)
        steps.append(step)
    step.rule, step.unless, step.having = rule, unless, having.rstrip(")")
