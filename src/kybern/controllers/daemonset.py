"""DaemonSets: one pod on every node that wants one.

Where to run is decided in daemonset_nodes.py, what to start and delete in daemonset_rolling.py; here is what acts.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.apps.daemonset import template_generation
from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object, key_of
from kybern.controllers import daemonset_nodes as placement
from kybern.controllers import daemonset_rolling as rolling
from kybern.controllers import pods, revisions
from kybern.controllers.controller import Context
from kybern.controllers.daemonset_nodes import Placement, Verdict
from kybern.controllers.owners import is_deleting
from kybern.controllers.podcontrol import BURST
from kybern.controllers.revisions import RevisionOwner
from kybern.process.clock import clock

_BACKOFF, _BACKOFF_MAX = 1.0, 900.0
"""Seconds between deletions of pods that fail on the same node: the first wait, and the longest."""


class DaemonSetController(RevisionOwner):
    name = "daemonset-controller"
    aliases = ("daemonset",)
    workers = 2
    api_version, kind, plural = "apps/v1", "DaemonSet", "daemonsets"
    hash_label = revisions.POD_LABEL

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._backoff = Backoff()
        self.nodes.on_change(self._node_changed)

    async def reconcile(self, key: str) -> float | None:
        daemon_set = self.sets.get(key)
        if daemon_set is None:
            self.expectations.forget(key)
            return None
        if self.selector(daemon_set).everything:
            said = "This daemon set is selecting all pods. A non-empty selector is required."
            self.recorder.event(daemon_set, "Warning", "SelectingAll", said)
            return None
        if is_deleting(daemon_set):
            return None
        current, old = await self._history(daemon_set)
        hash = current["metadata"]["labels"][revisions.POD_LABEL]
        settled = self.expectations.satisfied(key)
        failure: APIError | None = None
        again: float | None = None
        if settled:
            try:
                again = await self._settle(daemon_set, hash)
                await self._forget_old(daemon_set, old)
            except APIError as error:
                failure = error
        status = await self._write_status(daemon_set, hash, observed=settled)
        if failure is not None:
            raise failure
        waiting = status["numberReady"] != status.get("numberAvailable", 0)
        wait = daemon_set["spec"].get("minReadySeconds", 0) if waiting else 0
        return min(filter(None, (again, wait)), default=None)

    # What leads to a DaemonSet.

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """Nodes report often; only what changes where pods run counts."""
        if old is not None and new is not None and _shape(old) == _shape(new):
            return
        for daemon_set in self.sets.list():
            wishes = Placement(daemon_set)
            before = wishes.on(old) if old else Verdict(False, False)
            if before != (wishes.on(new) if new else Verdict(False, False)):
                self.queue.add(key_of(daemon_set))

    # Pods.

    async def _settle(self, daemon_set: Object, hash: str) -> float | None:
        """Start and delete pods where needed; if nothing is, take the next step of an update. Gives the seconds until
        the next failed pod may go."""
        verdicts = self._verdicts(daemon_set)
        placed = rolling.by_node(await self.claimed(daemon_set, lambda pod: True))
        plan = rolling.Plan()
        for node, verdict in verdicts.items():
            plan.add(rolling.settle_node(daemon_set, node, verdict, placed.get(node) or (), hash))
        plan.delete += rolling.stranded(verdicts, placed)
        again = self._judge_finished(daemon_set, plan)
        if not plan and daemon_set["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            plan = rolling.roll(daemon_set, verdicts, placed, hash)
        await self._act(daemon_set, plan, hash)
        return again

    def _judge_finished(self, daemon_set: Object, plan: rolling.Plan) -> float | None:
        """Add finished pods to those to delete, each failed one no sooner than its node's backoff allows."""
        waits = []
        meta = daemon_set["metadata"]
        seen = (daemon_set.get("status") or {}).get("observedGeneration", 0)
        for pod in plan.finished:
            node, failed = placement.node_of(pod), pods.phase(pod) == "Failed"
            if failed and (wait := self._backoff.next(f"{meta['uid']}/{seen}/{node}")):
                waits.append(wait)
                continue
            said = f"{'failed' if failed else 'succeeded'} daemon pod {key_of(pod)} on node {node}"
            if failed:
                text = f"Found {said}, will try to kill it"
                self.recorder.event(daemon_set, "Warning", "FailedDaemonPod", text)
            else:
                text = f"Found {said}, will try to delete it"
                self.recorder.event(daemon_set, "Normal", "SucceededDaemonPod", text)
            plan.delete.append(pod)
        return min(waits, default=None)

    async def _act(self, daemon_set: Object, plan: rolling.Plan, hash: str) -> None:
        if not plan:
            return
        spec = daemon_set["spec"]["template"]["spec"]
        template = pods.from_template(daemon_set["spec"]["template"], daemon_set)
        labels = {**(template["metadata"].get("labels") or {}), revisions.POD_LABEL: hash}
        if (generation := template_generation(daemon_set)) is not None:
            labels[rolling.GENERATION] = str(generation)
        template["metadata"]["labels"] = labels
        template["spec"] = {**spec, "tolerations": placement.tolerations(spec)}
        bodies = [{**template, "spec": placement.pinned(template["spec"], node)} for node in plan.start[:BURST]]
        try:
            await self.control.create(daemon_set, bodies)
        finally:
            await self.control.delete(daemon_set, plan.delete[:BURST])

    def _verdicts(self, daemon_set: Object) -> dict[str, Verdict]:
        wishes = Placement(daemon_set)
        return {node["metadata"]["name"]: wishes.on(node) for node in self.nodes.list()}

    def _own_pods(self, daemon_set: Object) -> list[Object]:
        """As the cache shows them now."""
        selector = self.selector(daemon_set)
        owned = self.pods.by_index("owner", daemon_set["metadata"]["uid"])
        return [pod for pod in owned if selector.matches(pod["metadata"].get("labels"))]

    async def _write_status(self, daemon_set: Object, hash: str, *, observed: bool) -> Object:
        placed = rolling.by_node(self._own_pods(daemon_set))
        status = rolling.new_status(daemon_set, self._verdicts(daemon_set), placed, hash, observed=observed)
        if status != (daemon_set.get("status") or {}):
            try:
                await self.resource.update_status({**daemon_set, "status": status})
            except NotFound:
                return status
        return status

    # History.

    async def _history(self, daemon_set: Object) -> tuple[Object, list[Object]]:
        """The revision of the present template (made if there is none), and the others."""
        data = revisions.snapshot(daemon_set)
        found = [await self._labelled(one) for one in await self.own_revisions(daemon_set)]
        old = [one for one in found if one.get("data") != data]
        same = [one for one in found if one.get("data") == data]
        number = revisions.next_number(old)
        if not same:
            return await self.create_revision(daemon_set, data, number), old
        current = same.pop()
        for double in same:
            await self._merge(daemon_set, double, current)
        if current["revision"] < number:
            current = await self.revision_resource.update({**current, "revision": number})
        return current, old

    async def _labelled(self, revision: Object) -> Object:
        meta = revision["metadata"]
        labels = meta.get("labels") or {}
        if revisions.POD_LABEL in labels:
            return revision
        return await self.revision_resource.update(
            {**revision, "metadata": {**meta, "labels": {**labels, revisions.POD_LABEL: meta["name"]}}}
        )

    async def _merge(self, daemon_set: Object, double: Object, kept: Object) -> None:
        """Two revisions of the same template: its pods are told of the one that stays."""
        label = kept["metadata"]["labels"][revisions.POD_LABEL]
        gone = double["metadata"]["labels"][revisions.POD_LABEL]
        for pod in self._own_pods(daemon_set):
            meta = pod["metadata"]
            if (meta.get("labels") or {}).get(revisions.POD_LABEL) == gone:
                change = {"metadata": {"labels": {revisions.POD_LABEL: label}}}
                await self.pod_resource.patch(meta["name"], change, meta["namespace"])
        await self.delete_revisions([double])

    async def _forget_old(self, daemon_set: Object, old: Sequence[Object]) -> None:
        hashes = {(pod["metadata"].get("labels") or {}).get(revisions.POD_LABEL) for pod in self._own_pods(daemon_set)}
        live = [one["metadata"]["name"] for one in old if one["metadata"]["labels"][revisions.POD_LABEL] in hashes]
        limit = daemon_set["spec"].get("revisionHistoryLimit", 10)
        await self.delete_revisions(revisions.to_forget(old, limit, live))


class Backoff:
    """How long to leave what keeps failing alone: twice as long each time, forgotten after a long quiet."""

    def __init__(self) -> None:
        self._waits: dict[str, tuple[float, float]] = {}

    def next(self, key: str) -> float:
        """Seconds left to wait; 0 if it may be tried now, which makes the next wait longer."""
        now = clock.time()
        self._waits = {one: held for one, held in self._waits.items() if now - held[1] <= 2 * _BACKOFF_MAX}
        wait, since = self._waits.get(key, (0.0, now))
        if (left := since + wait - now) > 0:
            return left
        self._waits[key] = min(2 * wait, _BACKOFF_MAX) or _BACKOFF, now
        return 0.0


def _shape(node: Object) -> tuple[object, object]:
    """What of a node decides about daemons."""
    return node["metadata"].get("labels"), node["spec"].get("taints")
