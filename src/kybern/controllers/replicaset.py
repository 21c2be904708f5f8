"""ReplicaSets: keep the asked-for number of pods that match a selector.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from kybern.api.errors import APIError, Forbidden, NotFound
from kybern.api.selectors import Selector, from_object
from kybern.api.types import Object, key_of
from kybern.controllers import conditions, pods
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import Expectations, claim, controller_of, is_deleting

_BURST = 500
"""Pods made or deleted in one pass."""


class ReplicaSetController(Controller):
    """Also the base of the replication controller, which differs only in its selector."""

    name = "replicaset-controller"
    aliases = ("replicaset",)
    api_version, kind, plural = "apps/v1", "ReplicaSet", "replicasets"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informer(self.api_version, self.plural)
        self.sets.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
        self.pods = pods.index(self.informer("v1", "pods"))
        self._sets = self.client.resource(self.api_version, self.plural)
        self._pods = self.client.resource("v1", "pods")
        self._recorder = context.recorder(self.name)
        self._expectations = Expectations()
        self.watch(self.sets, lambda obj: [key_of(obj)])
        self.pods.on_change(self._pod_changed)

    def selector(self, owner: Object) -> Selector:
        """Which pods count."""
        return from_object(owner["spec"]["selector"])

    async def reconcile(self, key: str) -> float | None:
        owner = self.sets.get(key)
        if owner is None:
            self._expectations.forget(key)
            return None
        settled = self._expectations.satisfied(key)
        active = await self._claimed(owner)
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

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        owners = self._owners(pod)
        if new is None or is_deleting(new):
            for key in owners:
                self._expectations.deleted(key, key_of(pod))
        elif old is None:
            for key in owners if controller_of(pod) else ():
                self._expectations.created(key)
        if old is not None and new is not None and controller_of(old) != controller_of(new):
            owners = {*owners, *self._owners(old)}
        for key in owners:
            self.queue.add(key)

    def _owners(self, pod: Object) -> set[str]:
        """The keys of the set that controls the pod, or of all that might adopt it."""
        namespace = pod["metadata"]["namespace"]
        if ref := controller_of(pod):
            if ref["kind"] != self.kind or ref["apiVersion"] != self.api_version:
                return set()
            owner = self.sets.get(f"{namespace}/{ref['name']}")
            return {key_of(owner)} if owner and owner["metadata"]["uid"] == ref["uid"] else set()
        labels = pod["metadata"].get("labels")
        found = self.sets.by_index("namespace", namespace) if labels else []
        return {key_of(owner) for owner in found if self.selector(owner).matches(labels)}

    async def _claimed(self, owner: Object) -> list[Object]:
        meta = owner["metadata"]
        owned = filter(pods.is_active, self.pods.by_index("owner", meta["uid"]))
        orphans = [pod for pod in self.pods.by_index("owner", f"orphan/{meta['namespace']}") if pods.is_active(pod)]
        return await claim(
            owner,
            self.selector(owner),
            owned,
            orphans,
            self._pods,
            lambda: self._sets.get(meta["name"], meta["namespace"]),
        )

    def _terminating(self, owner: Object) -> int:
        selector = self.selector(owner)
        owned = self.pods.by_index("owner", owner["metadata"]["uid"])
        leaving = (pod for pod in owned if is_deleting(pod) and not pods.is_finished(pod))
        return sum(selector.matches(pod["metadata"].get("labels")) for pod in leaving)

    async def _scale(self, owner: Object, active: list[Object]) -> None:
        """Make or delete pods, at most a burst of them. Raises the first error."""
        missing = owner["spec"].get("replicas", 1) - len(active)
        if missing > 0:
            await self._create(owner, min(missing, _BURST))
        elif missing < 0:
            surplus = pods.to_delete(active, self._related(owner), min(-missing, _BURST))
            await self._delete(owner, surplus)

    def _related(self, owner: Object) -> list[Object]:
        """The active pods of all sets that belong to the same Deployment."""
        uid = (controller_of(owner) or {}).get("uid")
        siblings = self.sets.by_index("namespace", owner["metadata"]["namespace"]) if uid else []
        uids = [one["metadata"]["uid"] for one in siblings if (controller_of(one) or {}).get("uid") == uid]
        owned = (pod for each in uids or [owner["metadata"]["uid"]] for pod in self.pods.by_index("owner", each))
        return [pod for pod in owned if pods.is_active(pod)]

    async def _create(self, owner: Object, count: int) -> None:
        key = key_of(owner)
        template = {**owner["spec"]["template"]}
        body = pods.from_template(template, owner)
        self._expectations.expect_creations(key, count)

        async def create() -> None:
            try:
                pod = await self._pods.create(body)
            except APIError as error:
                if not _namespace_ends(error):
                    self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            name = pod["metadata"]["name"]
            self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name}")

        done, failure = await slow_start(count, create)
        self._expectations.created(key, count - done)
        if failure and not _namespace_ends(failure):
            raise failure

    async def _delete(self, owner: Object, surplus: Sequence[Object]) -> None:
        key = key_of(owner)
        self._expectations.expect_deletions(key, [key_of(pod) for pod in surplus])

        async def delete(pod: Object) -> None:
            meta = pod["metadata"]
            try:
                await self._pods.delete(meta["name"], meta["namespace"], uid=meta["uid"])
            except NotFound:
                self._expectations.deleted(key, key_of(pod))
            except APIError as error:
                self._expectations.deleted(key, key_of(pod))
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            else:
                self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")

        results = await asyncio.gather(*map(delete, surplus), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _write_status(self, owner: Object, status: Object) -> Object:
        if status == (owner.get("status") or {}):
            return owner
        try:
            return await self._sets.update_status({**owner, "status": status})
        except NotFound:
            return owner


async def slow_start(count: int, create: Callable[[], Awaitable[None]]) -> tuple[int, APIError | None]:
    """Call `create` `count` times in batches of 1, 2, 4, ...: what fails for all then fails once, not `count` times.
    Gives how many succeeded, and the first error."""
    done, batch = 0, 1
    while done < count:
        batch = min(batch, count - done)
        results = await asyncio.gather(*(create() for _ in range(batch)), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        done += batch - len(errors)
        for error in errors:
            if not isinstance(error, APIError):
                raise error
            return done, error
        batch *= 2
    return done, None


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


def _namespace_ends(error: APIError) -> bool:
    causes = (error.details or {}).get("causes") or ()
    ends = any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
    return ends or (isinstance(error, Forbidden) and "because it is being terminated" in error.message)
