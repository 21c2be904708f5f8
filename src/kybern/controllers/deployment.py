"""Deployments: one ReplicaSet per pod template, and an orderly way from the old ones to the new one.

Sizes are decided in deployment_rolling.py, history in deployment_revision.py, status in deployment_status.py; here is
what acts. Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kybern.api.errors import AlreadyExists, APIError, Conflict, Forbidden, NotFound
from kybern.api.selectors import from_object
from kybern.api.types import Object, key_of
from kybern.controllers import conditions, pods
from kybern.controllers import deployment_revision as history
from kybern.controllers import deployment_rolling as rolling
from kybern.controllers import deployment_status as progress
from kybern.controllers.controller import Context, Controller
from kybern.controllers.deployment_rolling import replicas
from kybern.controllers.owners import claim, controller_of, controller_uid, is_deleting, owner_index
from kybern.controllers.serviceaccount import is_ending


class DeploymentController(Controller):
    name = "deployment-controller"
    aliases = ("deployment",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.deployments = self.informer("apps/v1", "deployments")
        self.deployments.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
        self.sets = self.informer("apps/v1", "replicasets")
        self.sets.add_index("owner", owner_index)
        self.pods = pods.index(self.informer("v1", "pods"))
        self._deployments = self.client.resource("apps/v1", "deployments")
        self._sets = self.client.resource("apps/v1", "replicasets")
        self._recorder = context.recorder(self.name)
        self.watch(self.deployments, lambda obj: [key_of(obj)])
        self.watch(self.sets, self._owners)
        self.pods.on_change(self._pod_changed)

    async def reconcile(self, key: str) -> float | None:
        deployment = self.deployments.get(key)
        if deployment is None:
            return None
        if from_object(deployment["spec"]["selector"]).everything:
            said = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, "Warning", "SelectingAll", said)
            observed = deployment["metadata"].get("generation", 0)
            status = deployment.get("status") or {}
            if status.get("observedGeneration", 0) < observed:
                await self._write_status(deployment, {**status, "observedGeneration": observed})
            return None
        sets = await self._claimed(deployment)
        if is_deleting(deployment):
            new = history.find_new(deployment, sets)
            await self._write_status(deployment, progress.calculate(deployment, sets, new))
            return None
        deployment = await self._note_pause(deployment)
        if deployment["spec"].get("paused") or self._is_scaling(deployment, sets):
            return await self._scale_only(deployment, sets)
        if rolling.is_rolling(deployment):
            return await self._roll(deployment, sets)
        return await self._recreate(deployment, sets)

    # What leads to a Deployment.

    def _owners(self, replica_set: Object) -> Iterable[str]:
        namespace = replica_set["metadata"]["namespace"]
        if ref := controller_of(replica_set):
            return [f"{namespace}/{ref['name']}"] if ref["kind"] == "Deployment" else []
        labels = replica_set["metadata"].get("labels")
        found = self.deployments.by_index("namespace", namespace) if labels else []
        return [key_of(one) for one in found if from_object(one["spec"]["selector"]).matches(labels)]

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Recreate waits for the last old pod to go."""
        if new is not None or old is None:
            return
        ref = controller_of(old)
        replica_set = self.sets.get(f"{old['metadata']['namespace']}/{ref['name']}") if ref else None
        for key in self._owners(replica_set) if replica_set else ():
            deployment = self.deployments.get(key)
            if deployment and not rolling.is_rolling(deployment):
                self.queue.add(key)

    async def _claimed(self, deployment: Object) -> list[Object]:
        meta = deployment["metadata"]
        return await claim(
            deployment,
            from_object(deployment["spec"]["selector"]),
            self.sets.by_index("owner", meta["uid"]),
            self.sets.by_index("owner", f"orphan/{meta['namespace']}"),
            self._sets,
            lambda: self._deployments.get(meta["name"], meta["namespace"]),
        )

    # The strategies.

    async def _roll(self, deployment: Object, sets: list[Object]) -> float | None:
        deployment, new, old = await self._with_new(deployment, sets)
        every = [new, *old]
        sizes = rolling.grow_new(deployment, every, new) or rolling.shrink_old(deployment, every, old, new)
        if sizes:
            every = await self._resize(deployment, every, sizes)
            return await self._finish(deployment, every, every[0])
        if progress.is_complete(deployment, deployment.get("status") or {}):
            await self._forget_old(deployment, old)
        return await self._finish(deployment, every, new)

    async def _recreate(self, deployment: Object, sets: list[Object]) -> float | None:
        deployment, new, old = await self._with_present(deployment, sets)
        sets = [*([new] if new else []), *old]
        if rolling.total(old):
            every = await self._resize(deployment, sets, {one["metadata"]["name"]: 0 for one in old})
            return await self._finish(deployment, every, new)
        if self._runs_old_pods(sets, new):
            return await self._finish(deployment, sets, new)
        deployment, new, old = await self._with_new(deployment, sets)
        every = await self._resize(deployment, [new, *old], {new["metadata"]["name"]: replicas(deployment)})
        if progress.is_complete(deployment, deployment.get("status") or {}):
            await self._forget_old(deployment, old)
        return await self._finish(deployment, every, every[0])

    async def _scale_only(self, deployment: Object, sets: list[Object]) -> float | None:
        """A change of size, or any change while paused: no new template is rolled out."""
        deployment, new, old = await self._with_present(deployment, sets)
        sets = [*([new] if new else []), *old]
        every = await self._resize(deployment, sets, self._sizes(deployment, sets, new))
        if deployment["spec"].get("paused"):
            await self._forget_old(deployment, old)
        new = next((one for one in every if new and one["metadata"]["uid"] == new["metadata"]["uid"]), None)
        await self._write_status(deployment, progress.calculate(deployment, every, new))
        return None

    def _sizes(self, deployment: Object, sets: list[Object], new: Object | None) -> rolling.Sizes:
        active = [one for one in sets if replicas(one)]
        if len(active) <= 1:
            latest = active or ([new] if new else rolling.by_age(sets)[-1:])
            return {one["metadata"]["name"]: replicas(deployment) for one in latest}
        if rolling.is_saturated(deployment, new):
            return {one["metadata"]["name"]: 0 for one in _others(active, new)}
        if rolling.is_rolling(deployment):
            shares = rolling.proportional(deployment, active)
            # All of them are told the Deployment's new size, also where their own stays the same.
            return {one["metadata"]["name"]: shares.get(one["metadata"]["name"], replicas(one)) for one in active}
        return {}

    @staticmethod
    def _is_scaling(deployment: Object, sets: list[Object]) -> bool:
        for one in sets:
            desired = (one["metadata"].get("annotations") or {}).get(rolling.DESIRED, "")
            if replicas(one) and desired.isdigit() and int(desired) != replicas(deployment):
                return True
        return False

    def _runs_old_pods(self, sets: list[Object], new: Object | None) -> bool:
        for one in _others(sets, new):
            if (one.get("status") or {}).get("replicas", 0):
                return True
            if any(not pods.is_finished(pod) for pod in self.pods.by_index("owner", one["metadata"]["uid"])):
                return True
        return False

    # Acts.

    async def _with_new(self, deployment: Object, sets: list[Object]) -> tuple[Object, Object, list[Object]]:
        """The Deployment, its present ReplicaSet (made or brought up to date), and the old ones."""
        deployment, new, old = await self._with_present(deployment, sets)
        if new is None:
            deployment, new = await self._make_new(deployment, old, history.next_revision(old))
        return deployment, new, old

    async def _with_present(self, deployment: Object, sets: list[Object]) -> tuple[Object, Object | None, list[Object]]:
        """The Deployment, its present ReplicaSet brought up to date if there is one, and the old ones."""
        new = history.find_new(deployment, sets)
        old = _others(sets, new)
        if new is None:
            return deployment, None, old
        number = history.next_revision(old)
        annotations = history.annotations_of_new(deployment, new, number)
        wait = deployment["spec"].get("minReadySeconds", 0)
        if annotations != (new["metadata"].get("annotations") or {}) or wait != new["spec"].get("minReadySeconds", 0):
            spec = {**new["spec"], "minReadySeconds": wait}
            new = await self._sets.update(
                {**new, "metadata": {**new["metadata"], "annotations": annotations}, "spec": spec}
            )
        said = f'Found new replica set "{new["metadata"]["name"]}"'
        deployment = await self._record(deployment, new, "FoundNewReplicaSet", said)
        return deployment, new, old

    async def _make_new(self, deployment: Object, old: list[Object], number: int) -> tuple[Object, Object]:
        made = history.make_new(deployment, number)
        name = made["metadata"]["name"]
        reason, said = "NewReplicaSetCreated", f'Created new replica set "{name}"'
        size = rolling.size_of_new(deployment, [*old, made], made)
        made["spec"]["replicas"] = size
        try:
            new = await self._sets.create(made)
        except AlreadyExists:
            new = await self._settle_collision(deployment, made)
            reason, said = "FoundNewReplicaSet", f'Found new replica set "{name}"'
        except APIError as error:
            if not (isinstance(error, Forbidden) and is_ending(error)):
                await self._note_failure(deployment, f'Failed to create new replica set "{name}": {error}')
            raise
        else:
            if size:
                scaled = f"Scaled up replica set {name} from 0 to {size}"
                self._recorder.event(deployment, "Normal", "ScalingReplicaSet", scaled)
        return await self._record(deployment, new, reason, said), new

    async def _note_failure(self, deployment: Object, said: str) -> None:
        self._recorder.event(deployment, "Warning", "ReplicaSetCreateError", said)
        if progress.has_deadline(deployment):
            status = dict(deployment.get("status") or {})
            conditions.put(status, progress.condition("Progressing", "False", "ReplicaSetCreateError", said))
            await self._write_status(deployment, status)

    async def _settle_collision(self, deployment: Object, made: Object) -> Object:
        """The name is taken: by our own earlier attempt, which is fine, or by another template of the same hash."""
        meta = made["metadata"]
        held = await self._sets.get(meta["name"], meta["namespace"])
        ours = controller_uid(held) == deployment["metadata"]["uid"]
        if ours and history.same_template(held["spec"]["template"], deployment["spec"]["template"]):
            return held
        status = dict(deployment.get("status") or {})
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await self._write_status(deployment, status)
        raise Conflict(f"replica set {meta['name']} has the same hash but another template")

    async def _record(self, deployment: Object, new: Object, reason: str, message: str) -> Object:
        """Note the present revision on the Deployment, and progress where none is noted yet."""
        annotations = deployment["metadata"].get("annotations") or {}
        number = (new["metadata"].get("annotations") or {}).get(history.REVISION)
        status = dict(deployment.get("status") or {})
        current = conditions.find(status, "Progressing")
        fresh = reason == "NewReplicaSetCreated" and (current is None or current.get("reason") != reason)
        if progress.has_deadline(deployment) and (current is None or fresh):
            conditions.put(status, progress.condition("Progressing", "True", reason, message))
        if number and annotations.get(history.REVISION) != number:
            # By way of the status: an annotation set through the main resource would count as a new generation.
            meta = {**deployment["metadata"], "annotations": {**annotations, history.REVISION: number}}
            return await self._deployments.update_status({**deployment, "metadata": meta, "status": status})
        return await self._write_status(deployment, status)

    async def _resize(self, deployment: Object, sets: list[Object], sizes: rolling.Sizes) -> list[Object]:
        """Scale; gives the ReplicaSets as they are now, in the same order."""

        async def resize(one: Object) -> Object:
            name = one["metadata"]["name"]
            annotations = {**(one["metadata"].get("annotations") or {}), **history.size_annotations(deployment)}
            before, after = replicas(one), sizes.get(name, replicas(one))
            told = annotations == (one["metadata"].get("annotations") or {})
            if name not in sizes or (before == after and (told or not after)):
                return one
            meta = {**one["metadata"], "annotations": annotations}
            changed = await self._sets.update({**one, "metadata": meta, "spec": {**one["spec"], "replicas": after}})
            if before != after:
                way = "up" if after > before else "down"
                said = f"Scaled {way} replica set {name} from {before} to {after}"
                self._recorder.event(deployment, "Normal", "ScalingReplicaSet", said)
            return changed

        return list(await asyncio.gather(*map(resize, sets)))

    async def _forget_old(self, deployment: Object, old: list[Object]) -> None:
        for one in history.to_forget(deployment, old):
            try:
                await self._sets.delete(one["metadata"]["name"], one["metadata"]["namespace"])
            except NotFound:
                continue

    async def _note_pause(self, deployment: Object) -> Object:
        """Pausing stops the deadline, resuming starts it afresh."""
        if not progress.has_deadline(deployment):
            return deployment
        status = dict(deployment.get("status") or {})
        current = conditions.find(status, "Progressing")
        if current and current.get("reason") == "ProgressDeadlineExceeded":
            return deployment
        paused = bool(deployment["spec"].get("paused"))
        noted = current is not None and current.get("reason") == "DeploymentPaused"
        if paused and not noted:
            change = progress.condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif noted and not paused:
            change = progress.condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")
        else:
            return deployment
        conditions.put(status, change)
        return await self._write_status(deployment, status)

    async def _finish(self, deployment: Object, every: list[Object], new: Object | None) -> float | None:
        status = progress.rollout(deployment, every, new)
        written = await self._write_status(deployment, status)
        return progress.seconds_to_deadline(written, status)

    async def _write_status(self, deployment: Object, status: Object) -> Object:
        if status == (deployment.get("status") or {}):
            return deployment
        return await self._deployments.update_status({**deployment, "status": status})


def _others(sets: Iterable[Object], new: Object | None) -> list[Object]:
    """All but the new one."""
    uid = new["metadata"]["uid"] if new else ""
    return [one for one in sets if one["metadata"]["uid"] != uid]
