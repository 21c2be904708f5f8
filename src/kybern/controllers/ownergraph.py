"""Who owns whom, by uid. Holds no more of an object than ownership needs; does no I/O.

An owner that is referred to and was never seen is a *virtual* node until it is seen, or found not to exist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kybern.api.types import Object

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"


@dataclass(slots=True, eq=False)
class Node:
    """An object. `resource` is (apiVersion, plural)."""

    uid: str
    namespace: str
    name: str
    resource: tuple[str, str] | None = None
    owners: list[Object] = field(default_factory=list)
    dependents: dict[str, None] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    deleting: bool = False
    virtual: bool = False
    absent: bool = False
    """A virtual node: it is known not to exist (any more; uids don't come back)."""
    reference: Object = field(default_factory=dict)
    """A virtual node: the owner reference that named it."""

    @property
    def deleting_dependents(self) -> bool:
        """In foreground deletion: it waits for what it owns."""
        return self.deleting and FOREGROUND in self.finalizers

    @property
    def orphaning(self) -> bool:
        """Its deletion waits until what it owns is set free."""
        return self.deleting and ORPHAN in self.finalizers


class Graph:
    """Fed with every change; each method gives the uids whose situation has to be looked at."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}

    def put(self, resource: tuple[str, str], obj: Object) -> set[str]:
        """An object was added or changed."""
        meta = obj["metadata"]
        uid: str = meta["uid"]
        todo: set[str] = set()
        node = self.nodes.get(uid)
        fresh = node is None
        if node is None:
            node = self.nodes[uid] = Node(uid, meta.get("namespace", ""), meta["name"])
        if node.virtual:
            # Now that it is known, references that named it wrongly show.
            todo.update(node.dependents)
        before = (node.deleting_dependents, node.orphaning)
        node.virtual, node.reference = False, {}
        node.resource, node.namespace, node.name = resource, meta.get("namespace", ""), meta["name"]
        node.finalizers = tuple(meta.get("finalizers") or ())
        node.deleting = bool(meta.get("deletionTimestamp"))
        owners = meta.get("ownerReferences") or []
        if owners != node.owners:
            todo |= self._set_owners(node, owners)
            if not fresh:
                todo.add(uid)
        if (node.deleting_dependents, node.orphaning) != before:
            todo.add(uid)
            if node.deleting_dependents:
                todo.update(node.dependents)
        return todo

    def remove(self, uid: str, *, known_absent: bool = True) -> set[str]:
        """An object is gone; without `known_absent`, all that is known is that it can't be watched any more."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return set()
        todo = set(node.dependents)
        for owner in self._owners(node):
            owner.dependents.pop(uid, None)
            if owner.deleting_dependents:
                todo.add(owner.uid)
            if owner.virtual and not owner.dependents:
                del self.nodes[owner.uid]
        if node.dependents:
            # Who still refers to it must be findable should it be asked for again.
            held = self.nodes[uid] = Node(uid, node.namespace, node.name, dependents=node.dependents, virtual=True)
            held.resource = node.resource
            refs = (ref for one in node.dependents for ref in self._references(one) if ref["uid"] == uid)
            held.reference, held.absent = next(refs, {}), known_absent
        return todo

    def blocking(self, node: Node) -> list[Node]:
        """Dependents that its foreground deletion has to wait for."""
        found = []
        for uid in node.dependents:
            dependent = self.nodes[uid]
            if any(ref["uid"] == node.uid and ref.get("blockOwnerDeletion") for ref in dependent.owners):
                found.append(dependent)
        return found

    def in_circle(self, node: Node) -> bool:
        """Whether something it owns is in foreground deletion already: the two would wait for each other."""
        return any(self.nodes[uid].deleting_dependents for uid in node.dependents if uid in self.nodes)

    def _set_owners(self, node: Node, owners: list[Object]) -> set[str]:
        todo: set[str] = set()
        wanted = {ref["uid"]: ref for ref in owners}
        for held in node.owners:
            owner = self.nodes.get(held["uid"])
            if owner is not None and held["uid"] not in wanted:
                owner.dependents.pop(node.uid, None)
                if owner.deleting_dependents:
                    todo.add(owner.uid)
                if owner.virtual and not owner.dependents:
                    del self.nodes[owner.uid]
        for uid, ref in wanted.items():
            owner = self.nodes.get(uid)
            if owner is None:
                owner = self.nodes[uid] = Node(uid, node.namespace, ref["name"], virtual=True, reference=ref)
                todo.add(uid)
            owner.dependents[node.uid] = None
            if owner.deleting_dependents:
                todo |= {uid, node.uid}
            if owner.virtual and (owner.absent or owner.namespace != node.namespace):
                # What is found out about it for others doesn't reach, or doesn't hold for, this one.
                todo.add(node.uid)
            if not owner.virtual and owner.namespace and owner.namespace != node.namespace:
                todo.add(node.uid)
        node.owners = owners
        return todo

    def _owners(self, node: Node) -> Iterable[Node]:
        return [self.nodes[ref["uid"]] for ref in node.owners if ref["uid"] in self.nodes]

    def _references(self, uid: str) -> list[Object]:
        return self.nodes[uid].owners if uid in self.nodes else []
