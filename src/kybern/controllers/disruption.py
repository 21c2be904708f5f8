"""PodDisruptionBudgets: how many of the pods they protect may be evicted now.

Source: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kybern.api.errors import APIError, NotFound
from kybern.api.selectors import from_object
from kybern.api.types import Object, key_of
from kybern.controllers import conditions, discovery, pods
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import controller_of, is_deleting
from kybern.process.clock import clock, parse_time

_DELETION_TIMEOUT = 120.0
"""How long an evicted pod may take to begin its deletion until it counts as there again."""
_POD = "pod:"
"""Keys that begin so are pods; the others are budgets."""


class DisruptionController(Controller):
    name = "disruption-controller"
    aliases = ("disruption",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.budgets = self.informer("policy/v1", "poddisruptionbudgets")
        self.budgets.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
        self.pods = pods.index(self.informer("v1", "pods"))
        self._owners = {
            "ReplicaSet": self.informer("apps/v1", "replicasets"),
            "Deployment": self.informer("apps/v1", "deployments"),
            "ReplicationController": self.informer("v1", "replicationcontrollers"),
        }
        self._budgets = self.client.resource("policy/v1", "poddisruptionbudgets")
        self._recorder = context.recorder("controllermanager")
        self.watch(self.budgets, lambda obj: [key_of(obj)])
        self.watch(self.pods, self._protecting)
        self.watch(self.pods, lambda pod: [_POD + key_of(pod)] if seconds_of_target(pod) is not None else [])
        self._pods = self.client.resource("v1", "pods")

    def _protecting(self, pod: Object) -> Iterable[str]:
        labels = pod["metadata"].get("labels")
        found = self.budgets.by_index("namespace", pod["metadata"]["namespace"])
        return [key_of(one) for one in found if from_object(one["spec"].get("selector")).matches(labels)]

    async def reconcile(self, key: str) -> float | None:
        if key.startswith(_POD):
            return await self._spare(key.removeprefix(_POD))
        budget = self.budgets.get(key)
        if budget is None:
            return None
        selector = from_object(budget["spec"].get("selector"))
        everything = self.pods.by_index("namespace", budget["metadata"]["namespace"])
        chosen = [pod for pod in everything if selector.matches(pod["metadata"].get("labels"))]
        if not chosen:
            self._recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            scale = await self._scale(budget, chosen) if needs_scale(budget) else expected_without_scale(budget, chosen)
        except APIError as error:
            said = f"Failed to calculate the number of expected pods: {error}"
            self._recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", said)
            await self._write_status(budget, failed_status(budget, str(error)))
            raise
        disrupted, again = self._still_expected(budget, chosen)
        await self._write_status(budget, new_status(budget, chosen, scale, disrupted))
        return again

    async def _spare(self, key: str) -> float | None:
        """A pod that was to be disrupted and wasn't, is no longer a target."""
        pod = self.pods.get(key)
        left = seconds_of_target(pod) if pod is not None else None
        if pod is None or left is None or left > 0:
            return left
        meta = pod["metadata"]
        target: Object = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": clock.stamp()}
        target |= {"reason": None, "message": None}
        body = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": [target]}}
        try:
            await self._pods.patch(meta["name"], body, meta["namespace"], type="strategic", subresource="status")
        except NotFound:
            return None
        return None

    async def _write_status(self, budget: Object, status: Object) -> None:
        if status == (budget.get("status") or {}):
            return
        try:
            await self._budgets.update_status({**budget, "status": status})
        except NotFound:
            return

    def _still_expected(self, budget: Object, chosen: Iterable[Object]) -> tuple[dict[str, str], float | None]:
        """The evicted pods that are yet to begin their deletion, and when the first of them is given up."""
        listed: dict[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
        kept: dict[str, str] = {}
        again: float | None = None
        for pod in chosen:
            name = pod["metadata"]["name"]
            if name not in listed or is_deleting(pod):
                continue
            left = parse_time(listed[name]) + _DELETION_TIMEOUT - clock.time()
            if left <= 0:
                said = f"Pod was expected by PDB {key_of(budget)} to be deleted but it wasn't"
                self._recorder.event(pod, "Warning", "NotDeleted", said)
                continue
            kept[name] = listed[name]
            again = left if again is None else min(again, left)
        return kept, again

    async def _scale(self, budget: Object, chosen: Iterable[Object]) -> int:
        """The pods there should be: the sizes of all that control the chosen ones. Raises APIError where what controls
        a pod can't be found."""
        sizes: dict[str, int] = {}
        unmanaged = False
        for pod in chosen:
            ref = controller_of(pod)
            if ref is None:
                unmanaged = True
                continue
            if ref["uid"] in sizes:
                continue
            found = await self._size(pod["metadata"]["namespace"], ref)
            if found is None:
                raise APIError(f'found no controllers for pod "{pod["metadata"]["name"]}"')
            uid, size = found
            # A ReplicaSet counts by its Deployment, once.
            sizes[ref["uid"]] = 0
            sizes[uid] = size
        if unmanaged:
            self._recorder.event(budget, "Warning", "UnmanagedPods", _unmanaged(budget))
        return sum(sizes.values())

    async def _size(self, namespace: str, ref: Object) -> tuple[str, int] | None:
        """The uid and size of what an owner reference leads to, of a ReplicaSet's Deployment where it has one; None
        where it leads nowhere."""
        informer = self._owners.get(ref["kind"])
        if informer is not None:
            owner = informer.get(f"{namespace}/{ref['name']}")
            if owner is None or owner["metadata"]["uid"] != ref["uid"]:
                return None
            above = controller_of(owner)
            if above is not None and above["kind"] == "Deployment":
                return await self._size(namespace, above)
            return ref["uid"], int(owner["spec"].get("replicas", 1))
        group = ref["apiVersion"].rpartition("/")[0]
        found = [one for one in await discovery.known(self.client) if (one.group, one.kind) == (group, ref["kind"])]
        if not found:
            raise APIError(f"no resource is served for kind {ref['kind']} of {ref['apiVersion']}")
        try:
            scale = (
                await found[0].client(self.client, metadata_only=False).get(ref["name"], namespace, subresource="scale")
            )
        except NotFound:
            return None
        return ref["uid"], int(scale["spec"].get("replicas", 0))


def seconds_of_target(pod: Object) -> float | None:
    """How long the pod still counts as about to be disrupted; None where it doesn't, or really goes."""
    target = conditions.find(pod.get("status"), "DisruptionTarget")
    if target is None or target["status"] != "True" or is_deleting(pod) or pods.is_finished(pod):
        return None
    return max(0.0, parse_time(target["lastTransitionTime"]) + _DELETION_TIMEOUT - clock.time())


def needs_scale(budget: Object) -> bool:
    """Whether the budget is relative to the size of what controls the pods."""
    spec = budget["spec"]
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def expected_without_scale(budget: Object, chosen: Sequence[Object]) -> int:
    """The pods there are, where the budget sets a number; none where it sets nothing."""
    return len(chosen) if budget["spec"].get("minAvailable") is not None else 0


def failed_status(budget: Object, said: str) -> Object:
    """To be safe: no evictions while nobody knows how many pods there should be."""
    before = budget.get("status") or {}
    condition = _allowed(budget, 0) | {"reason": "SyncFailed", "message": said}
    condition["observedGeneration"] = before.get("observedGeneration", 0)
    return {**before, "disruptionsAllowed": 0, "conditions": [condition]}


def desired_healthy(budget: Object, expected: int) -> int:
    """How many pods must stay healthy."""
    spec = budget["spec"]
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - _resolved(spec["maxUnavailable"], expected))
    if spec.get("minAvailable") is not None:
        return _resolved(spec["minAvailable"], expected)
    return 0


def new_status(budget: Object, chosen: Iterable[Object], expected: int, disrupted: dict[str, str]) -> Object:
    """The status a budget should show."""
    healthy = sum(
        pods.is_ready(pod) and not is_deleting(pod) and pod["metadata"]["name"] not in disrupted for pod in chosen
    )
    wanted = desired_healthy(budget, expected)
    allowed = max(0, healthy - wanted) if expected > 0 else 0
    status: Object = {
        "observedGeneration": budget["metadata"].get("generation", 0),
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": expected,
    }
    if disrupted:
        status["disruptedPods"] = disrupted
    status["conditions"] = [_allowed(budget, allowed)]
    return status


def _allowed(budget: Object, count: int) -> Object:
    made: Object = {
        "type": "DisruptionAllowed",
        "status": "True" if count else "False",
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": clock.stamp(),
        "reason": "SufficientPods" if count else "InsufficientPods",
        "message": "",
    }
    for held in (budget.get("status") or {}).get("conditions") or ():
        if held["type"] == made["type"] and held["status"] == made["status"]:
            made["lastTransitionTime"] = held["lastTransitionTime"]
    return made


def _unmanaged(budget: Object) -> str:
    chosen = budget["spec"]["selector"].get("matchLabels") or {}
    labels = "".join(f"{name}: {value}," for name, value in chosen.items())
    return (
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{"
        f"{labels}}},MatchExpressions:[]LabelSelectorRequirement{{}},}}) were found to be unmanaged. As a result, the "
        "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for "
        "these pods please "
        'set ".spec.minAvailable" field of the PDB to an integer value.'
    )


def _resolved(value: int | str, of: int) -> int:
    if isinstance(value, str):
        return math.ceil(int(value.rstrip("%")) * of / 100)
    return value
