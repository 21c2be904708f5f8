"""StatefulSets: pods with names, order and storage of their own.

Identity is in statefulset_identity.py, what to do next in statefulset_rolling.py; here is what acts.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from kybern.api.errors import AlreadyExists, APIError, Conflict, NotFound
from kybern.api.types import Object
from kybern.controllers import pods, revisions
from kybern.controllers import statefulset_identity as identity
from kybern.controllers import statefulset_rolling as rolling
from kybern.controllers.controller import Context, Failure
from kybern.controllers.owners import is_deleting
from kybern.controllers.podcontrol import slow_start
from kybern.controllers.revisions import RevisionOwner


class StatefulSetController(RevisionOwner):
    name = "statefulset-controller"
    aliases = ("statefulset",)
    api_version, kind, plural = "apps/v1", "StatefulSet", "statefulsets"
    hash_label = "controller.kubernetes.io/hash"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer("v1", "persistentvolumeclaims")
        self._claims = self.client.resource("v1", "persistentvolumeclaims")

    async def reconcile(self, key: str) -> float | None:
        stateful_set = self.sets.get(key)
        if stateful_set is None:
            return None
        found = await self._members(stateful_set)
        history = await self.own_revisions(stateful_set)
        current, update = await self._revisions_of(stateful_set, history)
        failure: Exception | None = None
        if not is_deleting(stateful_set):
            try:
                await self._act(stateful_set, found, current, update)
                await self._forget_old(stateful_set, found, history, current, update)
            except (APIError, Failure) as error:
                failure = error
        found = self._cached(stateful_set)
        names = current["metadata"]["name"], update["metadata"]["name"]
        await self._write_status(stateful_set, rolling.new_status(stateful_set, found, *names))
        if failure is not None:
            raise failure
        wait = stateful_set["spec"].get("minReadySeconds", 0)
        left = [seconds for pod in found if (seconds := pods.seconds_to_available(pod, wait)) is not None]
        return min(left, default=None) if wait else None

    async def _members(self, stateful_set: Object) -> list[Object]:
        return await self.claimed(stateful_set, lambda pod: identity.ordinal(stateful_set, pod) >= 0)

    def _cached(self, stateful_set: Object) -> list[Object]:
        """The set's pods as the cache shows them now."""
        selector = self.selector(stateful_set)
        owned = self.pods.by_index("owner", stateful_set["metadata"]["uid"])
        labelled = (pod for pod in owned if selector.matches(pod["metadata"].get("labels")))
        return [pod for pod in labelled if identity.ordinal(stateful_set, pod) >= 0]

    async def _write_status(self, stateful_set: Object, status: Object) -> None:
        if status != (stateful_set.get("status") or {}):
            try:
                await self.resource.update_status({**stateful_set, "status": status})
            except NotFound:
                return

    # Revisions.

    async def _revisions_of(self, stateful_set: Object, history: list[Object]) -> tuple[Object, Object]:
        """The revision that pods were made from before the present update, and that of the present template."""
        data = revisions.snapshot(stateful_set)
        number = revisions.next_number(history)
        same = [one for one in history if one.get("data") == data]
        if same and same[-1] is history[-1]:
            update = same[-1]
        elif same:
            update = await self.revision_resource.update({**same[-1], "revision": number})
        else:
            update = await self.create_revision(stateful_set, data, number)
        name = (stateful_set.get("status") or {}).get("currentRevision")
        return next((one for one in history if one["metadata"]["name"] == name), update), update

    async def _forget_old(
        self, stateful_set: Object, found: Sequence[Object], history: Sequence[Object], current: Object, update: Object
    ) -> None:
        live = {rolling.revision_of(pod) for pod in found}
        live |= {one["metadata"]["name"] for one in (current, update)}
        idle = [one for one in history if one["metadata"]["name"] not in live]
        limit = stateful_set["spec"].get("revisionHistoryLimit", 10)
        await self.delete_revisions(revisions.to_forget(idle, limit, ()))

    # Pods.

    async def _act(self, stateful_set: Object, found: Sequence[Object], current: Object, update: Object) -> None:
        steps = rolling.plan(stateful_set, found, update["metadata"]["name"])

        async def create(number: int) -> None:
            revision = current if rolling.uses_current(stateful_set, number) else update
            template = revisions.template_of(revision)
            pod = identity.new_pod(stateful_set, template, revision["metadata"]["name"], number)
            await self._create(stateful_set, pod)

        await _each(steps.create, create)
        await _each(steps.provide, lambda pod: self._provide(stateful_set, pod))
        await _each(steps.tend, lambda pod: self._tend(stateful_set, pod))
        await _each(steps.retain, lambda pod: self._settle_claims(stateful_set, pod))
        await _each(steps.delete, lambda pod: self._delete(stateful_set, pod))

    async def _create(self, stateful_set: Object, pod: Object) -> None:
        if identity.deletes_when_scaled(stateful_set) and any(
            identity.is_stale(claim, pod) for claim in self._claims_of(stateful_set, pod)
        ):
            # The claims of the pod that was scaled away before are still going.
            return
        try:
            await self._provide(stateful_set, pod)
            made = await self.pod_resource.create(pod)
        except AlreadyExists as error:
            # Either the cache is late, or somebody else's pod has the name: only time helps.
            raise Conflict(error.message) from None
        except (APIError, Failure) as error:
            self._tell("create", stateful_set, pod, error)
            raise
        await self._settle_claims(stateful_set, made)
        self._tell("create", stateful_set, pod)

    async def _delete(self, stateful_set: Object, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            await self.pod_resource.delete(meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return
        except APIError as error:
            self._tell("delete", stateful_set, pod, error)
            raise
        self._tell("delete", stateful_set, pod)

    async def _tend(self, stateful_set: Object, pod: Object) -> None:
        """Give a pod back what makes it a member of the set."""
        await self._settle_claims(stateful_set, pod)
        if identity.conforms(stateful_set, pod):
            return
        await self._provide(stateful_set, pod)
        try:
            await self.pod_resource.update(identity.conforming(stateful_set, pod))
        except Conflict:
            raise
        except APIError as error:
            self._tell("update", stateful_set, pod, error)
            raise
        self._tell("update", stateful_set, pod)

    def _tell(self, verb: str, stateful_set: Object, pod: Object, error: Exception | None = None) -> None:
        said = f"{verb} Pod {pod['metadata']['name']} in StatefulSet {stateful_set['metadata']['name']}"
        if error is None:
            self.recorder.event(stateful_set, "Normal", f"Successful{verb.title()}", f"{said} successful")
        else:
            self.recorder.event(stateful_set, "Warning", f"Failed{verb.title()}", f"{said} failed error: {error}")

    # Claims.

    def _claims_of(self, stateful_set: Object, pod: Object) -> list[Object]:
        """Those of the pod's claims that are there."""
        wanted = identity.claims_of(stateful_set, pod).values()
        found = (self.claims.get(f"{one['metadata']['namespace']}/{one['metadata']['name']}") for one in wanted)
        return [claim for claim in found if claim is not None]

    async def _provide(self, stateful_set: Object, pod: Object) -> None:
        """Make the pod's claims that are missing. Raises Failure for one that is going."""
        held = {claim["metadata"]["name"]: claim for claim in self._claims_of(stateful_set, pod)}
        for claim in identity.claims_of(stateful_set, pod).values():
            name = claim["metadata"]["name"]
            if name in held:
                if is_deleting(held[name]):
                    raise Failure(f"pvc {name} is being deleted")
                continue
            said = f"Pod {pod['metadata']['name']} in StatefulSet {stateful_set['metadata']['name']}"
            try:
                await self._claims.create(claim)
            except AlreadyExists:
                continue
            except APIError as error:
                text = f"create Claim {name} for {said} failed error: {error}"
                self.recorder.event(stateful_set, "Warning", "FailedCreate", text)
                raise
            self.recorder.event(stateful_set, "Normal", "SuccessfulCreate", f"create Claim {name} {said} success")

    async def _settle_claims(self, stateful_set: Object, pod: Object) -> None:
        """Let the pod's claims go with the set, with the pod or with neither, as the policy has it."""
        for claim in self._claims_of(stateful_set, pod):
            if not identity.owners_fit(stateful_set, pod, claim):
                await self._claims.update(identity.with_owners(stateful_set, pod, claim))


async def _each(items: Sequence[object], act: Callable[..., Awaitable[None]]) -> None:
    """Act on each, slowly at first. Raises the first error."""
    left = iter(items)
    _, failure = await slow_start(len(items), lambda: act(next(left)))
    if failure is not None:
        raise failure
