"""ReplicaSets: keep the asked-for number of pods that match a selector.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.errors import APIError, NotFound
from kybern.api.selectors import Selector
from kybern.api.types import Object
from kybern.controllers import conditions, pods
from kybern.controllers.owners import controller_of, is_deleting
from kybern.controllers.podcontrol import BURST
from kybern.controllers.podowner import PodOwner


class ReplicaSetController(PodOwner):
    """Also the base of the replication controller, which differs only in its selector."""

    name = "replicaset-controller"
    aliases = ("replicaset",)
    api_version, kind, plural = "apps/v1", "ReplicaSet", "replicasets"

    async def reconcile(self, key: str) -> float | None:
        owner = self.sets.get(key)
        if owner is None:
            self.expectations.forget(key)
            return None
        settled = self.expectations.satisfied(key)
        active = await self.claimed(owner, pods.is_active)
        terminating = self._terminating(owner)
        failure: Exception | None = None
        if settled and not is_deleting(owner):
            try:
                await self._scale(owner, active)
            except APIError as error:
                failure = error
        status = new_status(owner, active, terminating, self.selector(owner), failure)
        updated = await self._write_status(owner, status)
        if failure is not None:
            raise failure
        return recheck(updated, active)

    def _terminating(self, owner: Object) -> int:
        selector = self.selector(owner)
        owned = self.pods.by_index("owner", owner["metadata"]["uid"])
        leaving = (pod for pod in owned if is_deleting(pod) and not pods.is_finished(pod))
        return sum(selector.matches(pod["metadata"].get("labels")) for pod in leaving)

    async def _scale(self, owner: Object, active: list[Object]) -> None:
        """Make or delete pods, at most a burst of them. Raises the first error."""
        missing = owner["spec"].get("replicas", 1) - len(active)
        if missing > 0:
            body = pods.from_template(owner["spec"]["template"], owner)
            await self.control.create(owner, [body] * min(missing, BURST))
        elif missing < 0:
            surplus = pods.to_delete(active, self._related(owner), min(-missing, BURST))
            await self.control.delete(owner, surplus)

    def _related(self, owner: Object) -> list[Object]:
        """The active pods of all sets that belong to the same Deployment."""
        uid = (controller_of(owner) or {}).get("uid")
        siblings = self.sets.by_index("namespace", owner["metadata"]["namespace"]) if uid else []
        uids = [one["metadata"]["uid"] for one in siblings if (controller_of(one) or {}).get("uid") == uid]
        owned = (pod for each in uids or [owner["metadata"]["uid"]] for pod in self.pods.by_index("owner", each))
        return [pod for pod in owned if pods.is_active(pod)]

    async def _write_status(self, owner: Object, status: Object) -> Object:
        if status == (owner.get("status") or {}):
            return owner
        try:
            return await self.resource.update_status({**owner, "status": status})
        except NotFound:
            return owner


def new_status(
    owner: Object, active: Iterable[Object], terminating: int, selector: Selector, failure: Exception | None
) -> Object:
    """The status a set should show."""
    labels = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    wait = owner["spec"].get("minReadySeconds", 0)
    total = labeled = ready = available = 0
    for pod in active:
        total += 1
        labeled += labels.items() <= (pod["metadata"].get("labels") or {}).items()
        if pods.is_ready(pod):
            ready += 1
            available += pods.is_available(pod, wait)
    status: Object = {"replicas": total}
    counts = {"fullyLabeledReplicas": labeled, "readyReplicas": ready, "availableReplicas": available}
    status |= {name: value for name, value in counts.items() if value}
    if owner["kind"] == "ReplicaSet":
        status["terminatingReplicas"] = terminating
    status["observedGeneration"] = owner["metadata"].get("generation", 0)
    if before := (owner.get("status") or {}).get("conditions"):
        status["conditions"] = before
    if failure and conditions.find(status, "ReplicaFailure"):
        # What came first stays until all goes well again.
        return status
    if failure:
        asked = owner["spec"].get("replicas", 1)
        reason = "FailedCreate" if total < asked else "FailedDelete"
        conditions.put(status, conditions.make("ReplicaFailure", "True", reason, str(failure)))
    else:
        conditions.drop(status, "ReplicaFailure")
    return status


def recheck(owner: Object, active: Iterable[Object]) -> float | None:
    """Seconds until the next ready pod counts as available, where that only takes time."""
    wait = owner["spec"].get("minReadySeconds", 0)
    status = owner.get("status") or {}
    if not wait or status.get("readyReplicas", 0) == status.get("availableReplicas", 0):
        return None
    left = [seconds for pod in active if (seconds := pods.seconds_to_available(pod, wait)) is not None]
    return min(left, default=1.0)
