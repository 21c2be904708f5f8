"""The garbage collector: what is owned goes when its owners are gone, waits for them, or is set free.

The graph is ownergraph.py's; it is fed by watches of the metadata of every resource the server has. Keys are uids.
Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object
from kybern.client.informer import Informer
from kybern.client.rest import ResourceClient
from kybern.client.transport import severity
from kybern.controllers.controller import Context, Controller, Terminal, periodically
from kybern.controllers.discovery import Incomplete, Served, served
from kybern.controllers.ownergraph import FOREGROUND, ORPHAN, Graph, Node

log = logging.getLogger(__name__)

_PERIOD = 30.0
_IGNORED = {("", "events"), ("events.k8s.io", "events")}
_RESOURCES_CHANGED = "customresourcedefinitions"


class GarbageCollector(Controller):
    name = "garbage-collector-controller"
    aliases = ("garbagecollector",)
    workers = 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph()
        self._recorder = context.recorder("garbage-collector-controller")
        self._resources: dict[tuple[str, str], Served] = {}
        self._kinds: dict[tuple[str, str], Served] = {}
        self._watched: dict[tuple[str, str], Informer] = {}
        self._ready = asyncio.Event()
        self._look_again = asyncio.Event()

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(0.0, self._discover, self.name)]

    # Watching everything.

    async def _discover(self) -> None:
        """Watch what is new, forget what is no longer served; then wait for the period or a change of the CRDs."""
        # What changes from here on may be missed by this look.
        self._look_again.clear()
        try:
            await self._watch_all(await self._served())
        except APIError as error:
            log.log(severity(error), "discovery failed: %s", error)
        try:
            async with asyncio.timeout(_PERIOD):
                await self._look_again.wait()
            # The server needs a moment to serve a new kind.
            await asyncio.sleep(1)
        except TimeoutError:
            return

    async def _served(self) -> list[Served]:
        """What the server has; of what can't be asked for now, what was there before."""
        try:
            return await served(self.client)
        except Incomplete as error:
            log.warning("%s", error)
            before = [one for one in self._kinds.values() if (one.group, one.version) in error.missing]
            return [*error.found, *before]

    async def _watch_all(self, found: list[Served]) -> None:
        wanted = {
            (one.group, one.plural): one
            for one in found
            if {"list", "watch", "delete"} <= one.verbs and (one.group, one.plural) not in _IGNORED
        }
        self._kinds = {(one.group, one.kind): one for one in found}
        self._resources = {(one.api_version, one.plural): one for one in wanted.values()}
        factory = self.context.informers
        for key in [key for key in self._watched if key not in wanted]:
            gone = self._watched.pop(key)
            if gone.resource.metadata_only:
                await factory.discard(gone)
            for uid in [obj["metadata"]["uid"] for obj in gone.store.values()]:
                self._enqueue(self.graph.remove(uid, known_absent=False))
        for key, one in wanted.items():
            if key in self._watched:
                continue
            informer = factory.running(one.api_version, one.plural) or factory.informer(
                one.api_version, one.plural, namespaced=one.namespaced, metadata_only=True, transform=slim
            )
            self._watched[key] = informer
            informer.on_change(self._fed_by((one.api_version, one.plural)))
        await asyncio.gather(*(informer.synced() for informer in [*self._watched.values()]))
        self._ready.set()

    def _fed_by(self, resource: tuple[str, str]) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if new is not None:
                if old is not None and old["metadata"]["uid"] != new["metadata"]["uid"]:
                    self._enqueue(self.graph.remove(old["metadata"]["uid"]))
                self._enqueue(self.graph.put(resource, new))
            elif old is not None:
                self._enqueue(self.graph.remove(old["metadata"]["uid"]))
            if resource[1] == _RESOURCES_CHANGED:
                self._look_again.set()

        return changed

    def _enqueue(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self.queue.add(uid)

    # Deciding.

    async def reconcile(self, key: str) -> float | None:
        await self._ready.wait()
        node = self.graph.nodes.get(key)
        if node is None:
            return None
        if node.virtual:
            if not node.absent:
                await self._verify(node)
            return None
        if node.orphaning:
            await self._orphan_dependents(node)
            return None
        if node.deleting_dependents:
            await self._finish_foreground(node)
            return None
        if not node.deleting and node.owners:
            await self._judge(node)
        return None

    async def _verify(self, node: Node) -> None:
        """Find out whether an owner that was never seen exists."""
        resource = self._of_reference(node.reference)
        namespace = node.namespace if resource.namespaced else ""
        if resource.namespaced and not namespace:
            # Named by a cluster-scoped object, which can't be owned from inside a namespace: nobody can tell.
            self._enqueue(node.dependents)
            return
        exists = await self._uid_of(resource, namespace, node.name) == node.uid
        if not exists and self.graph.nodes.get(node.uid) is node:
            self._enqueue(node.dependents)
            node.absent = True

    async def _judge(self, node: Node) -> None:
        """Decide about an object by its owners: present, waiting for it, or absent."""
        live = await self._live(node)
        if live is None or live["metadata"]["uid"] != node.uid:
            self._enqueue(self.graph.remove(node.uid))
            return
        solid, waiting, dangling = [], [], []
        for ref in live["metadata"].get("ownerReferences") or ():
            owner = self.graph.nodes.get(ref["uid"])
            if not await self._exists(node, ref, owner):
                dangling.append(ref["uid"])
            elif owner is not None and owner.deleting_dependents:
                waiting.append(ref["uid"])
            else:
                solid.append(ref["uid"])
        if solid:
            if dangling or waiting:
                await self._drop_owners(node, live, {*dangling, *waiting})
        elif waiting and node.dependents:
            if self.graph.in_circle(node):
                live = await self._unblock(node, live)
            await self._delete(node, live, "Foreground")
        elif waiting or dangling:
            await self._delete(node, live, _policy(live))

    async def _exists(self, node: Node, ref: Object, owner: Node | None) -> bool:
        """Whether the owner is there, where the reference says. Raises Terminal where nobody can tell."""
        resource = self._of_reference(ref)
        if resource.namespaced and not node.namespace:
            self._complain(node, ref)
            raise Terminal(f"{node.name} is cluster-scoped and names an owner in a namespace; it is never collected")
        namespace = node.namespace if resource.namespaced else ""
        if owner is not None and (owner.namespace == namespace or not resource.namespaced):
            if not owner.virtual and owner.name == ref["name"] and owner.namespace == namespace:
                return True
            if owner.virtual and owner.absent:
                return False
        if await self._uid_of(resource, namespace, ref["name"]) == ref["uid"]:
            return True
        if owner is not None and not owner.virtual and owner.namespace != namespace:
            self._complain(node, ref)
        return False

    def _complain(self, node: Node, ref: Object) -> None:
        kind = self._resources[node.resource].kind if node.resource in self._resources else ""
        said = (
            f"ownerRef [{ref['apiVersion']}/{ref['kind']}, namespace: {node.namespace}, name: {ref['name']}, "
            f'uid: {ref["uid"]}] does not exist in namespace "{node.namespace}"'
        )
        about = {"kind": kind, "namespace": node.namespace, "name": node.name, "uid": node.uid}
        self._recorder.event(about, "Warning", "OwnerRefInvalidNamespace", said)

    # Acting.

    async def _finish_foreground(self, node: Node) -> None:
        blocking = self.graph.blocking(node)
        if not blocking:
            await self._remove_finalizer(node, FOREGROUND)
            return
        self._enqueue(one.uid for one in blocking if not one.deleting_dependents)

    async def _orphan_dependents(self, node: Node) -> None:
        async def free(uid: str) -> None:
            dependent = self.graph.nodes.get(uid)
            live = await self._live(dependent) if dependent else None
            if dependent is not None and live is not None:
                await self._drop_owners(dependent, live, {node.uid})

        results = await asyncio.gather(*map(free, [*node.dependents]), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        await self._remove_finalizer(node, ORPHAN)

    async def _remove_finalizer(self, node: Node, finalizer: str) -> None:
        live = await self._live(node)
        held = (live or {"metadata": {}})["metadata"].get("finalizers") or []
        if live is None or live["metadata"]["uid"] != node.uid or finalizer not in held:
            return
        kept = [one for one in held if one != finalizer]
        await self._patch(node, live, {"finalizers": kept or None})

    async def _unblock(self, node: Node, live: Object) -> Object:
        """Give up blocking its owners' deletion."""
        refs = live["metadata"]["ownerReferences"]
        freed = [{**ref, "blockOwnerDeletion": False} if ref.get("blockOwnerDeletion") else ref for ref in refs]
        await self._patch(node, live, {"ownerReferences": freed})
        return await self._live(node) or live

    async def _drop_owners(self, node: Node, live: Object, uids: set[str]) -> None:
        held = live["metadata"].get("ownerReferences") or []
        kept = [ref for ref in held if ref["uid"] not in uids]
        if kept != held:
            await self._patch(node, live, {"ownerReferences": kept or None})

    async def _patch(self, node: Node, live: Object, change: Object) -> None:
        """Lists are replaced whole, so only at the version they were read at."""
        meta = {"resourceVersion": live["metadata"]["resourceVersion"], "uid": node.uid, **change}
        try:
            await self._client(node).patch(node.name, {"metadata": meta}, node.namespace)
        except NotFound:
            return

    async def _delete(self, node: Node, live: Object, policy: str) -> None:
        """Delete it as it was judged; raises Conflict if it has other owners by now."""
        log.debug("deleting %s %s/%s (%s)", node.resource, node.namespace, node.name, policy)
        try:
            await self._client(node).delete(
                node.name,
                node.namespace,
                propagation_policy=policy,
                uid=node.uid,
                resource_version=live["metadata"]["resourceVersion"],
            )
        except NotFound:
            self._enqueue(self.graph.remove(node.uid))

    async def _live(self, node: Node) -> Object | None:
        """The object's metadata past the cache; None if it is gone."""
        try:
            return await self._client(node).get(node.name, node.namespace)
        except NotFound:
            return None

    async def _uid_of(self, resource: Served, namespace: str, name: str) -> str:
        try:
            found = await resource.client(self.client).get(name, namespace)
        except NotFound:
            return ""
        return str(found["metadata"]["uid"])

    def _client(self, node: Node) -> ResourceClient:
        if node.resource not in self._resources:
            raise APIError(f"{node.resource} is not served any more")
        return self._resources[node.resource].client(self.client)

    def _of_reference(self, ref: Object) -> Served:
        """The resource of an owner reference. Raises APIError for kinds that nobody serves: they may come yet."""
        group, _, _ = ref.get("apiVersion", "").rpartition("/")
        found = self._kinds.get((group, ref.get("kind", "")))
        if found is None:
            raise APIError(f"no resource is served for owner kind {ref.get('kind')} of {ref.get('apiVersion')}")
        return found


def _policy(live: Object) -> str:
    """How to delete a dependent: as its own finalizers ask, else in the background."""
    finalizers = live["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"


_KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")


def slim(obj: Object) -> Object:
    """What ownership needs of an object's metadata."""
    meta = obj["metadata"]
    return {"metadata": {name: meta[name] for name in _KEPT if name in meta}}
