"""What the controllers that own pods share: which owner a pod belongs to, claiming, and waiting for the cache."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api.selectors import Selector, from_object
from kybern.api.types import Object, key_of
from kybern.controllers import pods
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import Expectations, claim, controller_of, is_deleting
from kybern.controllers.podcontrol import PodControl


class PodOwner(Controller):
    """Keys are owners of one kind. Subclasses name the kind and write `reconcile`."""

    api_version = ""
    kind = ""
    plural = ""
    finalizers: tuple[str, ...] = ()
    """Given to pods that are taken in."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = self.informer(self.api_version, self.plural)
        self.sets.add_index("namespace", lambda obj: [obj["metadata"]["namespace"]])
        self.pods = pods.index(self.informer("v1", "pods"))
        self.resource = self.client.resource(self.api_version, self.plural)
        self.pod_resource = self.client.resource("v1", "pods")
        self.recorder = context.recorder(self.name)
        self.expectations = Expectations()
        self.control = PodControl(self.pod_resource, self.recorder, self.expectations)
        self.watch(self.sets, lambda obj: [key_of(obj)])
        self.pods.on_change(self._pod_changed)

    def selector(self, owner: Object) -> Selector:
        """Which pods count."""
        return from_object(owner["spec"]["selector"])

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        pod = new or old
        assert pod is not None
        owners = self._owners(pod)
        if new is None or is_deleting(new):
            for key in owners:
                self.expectations.deleted(key, key_of(pod))
        elif old is None:
            for key in owners if controller_of(pod) else ():
                self.expectations.created(key)
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

    async def claimed(self, owner: Object, counts: Callable[[Object], bool]) -> list[Object]:
        """The owner's pods for which `counts` holds, orphans taken in and those of other labels let go."""
        meta = owner["metadata"]
        owned = filter(counts, self.pods.by_index("owner", meta["uid"]))
        orphans = filter(counts, self.pods.by_index("owner", f"orphan/{meta['namespace']}"))
        return await claim(
            owner,
            self.selector(owner),
            owned,
            orphans,
            self.pod_resource,
            lambda: self.resource.get(meta["name"], meta["namespace"]),
            self.finalizers,
        )
