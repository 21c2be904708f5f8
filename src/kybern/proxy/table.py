"""One nftables table: its wanted content put together from pieces, what changed in it, and the script for nft. Pure.

Pieces have owners, so that one can be replaced without looking at the others. A chain belongs to one owner; an
element may be claimed by several (two Services with the same external address), and the first claim counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Element = tuple[str, str]
"""(set or map, key)."""


@dataclass(slots=True)
class Piece:
    """A part of the table: chain -> rules, names of address sets that expire, element -> verdict ("" in a set)."""

    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sets: dict[str, str] = field(default_factory=dict)
    """Name -> its declaration, which never changes under one name."""
    elements: dict[Element, str] = field(default_factory=dict)


@dataclass(slots=True)
class Changes:
    """(before, now) of everything that differs; None: not there."""

    chains: dict[str, tuple[tuple[str, ...] | None, tuple[str, ...] | None]]
    sets: dict[str, tuple[str | None, str | None]]
    elements: dict[Element, tuple[str | None, str | None]]

    def __len__(self) -> int:
        return len(self.chains) + len(self.sets) + len(self.elements)

    @property
    def removed_chains(self) -> list[str]:
        return [name for name, (_, now) in self.chains.items() if now is None]


class _Kept(Generic[K, V]):
    """A dict with claims and a memory of what it held when `forget` was last called."""

    def __init__(self) -> None:
        self.now: dict[K, V] = {}
        self._claims: dict[K, dict[Hashable, V]] = defaultdict(dict)
        self._before: dict[K, V | None] = {}

    def claim(self, owner: Hashable, key: K, value: V | None) -> None:
        claims = self._claims[key]
        if value is None:
            claims.pop(owner, None)
        else:
            claims[owner] = value
        self._before.setdefault(key, self.now.get(key))
        if claims:
            self.now[key] = next(iter(claims.values()))
        else:
            del self._claims[key]
            self.now.pop(key, None)

    def differences(self) -> dict[K, tuple[V | None, V | None]]:
        return {key: (before, self.now.get(key)) for key, before in self._before.items() if before != self.now.get(key)}

    def forget(self) -> None:
        self._before.clear()


class Table:
    """`ip NAME`. `header` declares the maps, sets and base chains that are always there, one command a line."""

    def __init__(self, name: str, header: Iterable[str]) -> None:
        self.name = name
        self.header = tuple(header)
        self._pieces: dict[Hashable, Piece] = {}
        self._chains: _Kept[str, tuple[str, ...]] = _Kept()
        self._sets: _Kept[str, str] = _Kept()
        self._elements: _Kept[Element, str] = _Kept()

    def put(self, owner: Hashable, piece: Piece | None) -> None:
        """Replace what `owner` has in the table; None: it has nothing any more."""
        old, new = self._pieces.pop(owner, None) or Piece(), piece or Piece()
        if piece is not None:
            self._pieces[owner] = piece
        _replace(self._chains, owner, old.chains, new.chains)
        _replace(self._sets, owner, old.sets, new.sets)
        _replace(self._elements, owner, old.elements, new.elements)

    @property
    def content(self) -> Piece:
        """Everything wanted."""
        return Piece(dict(self._chains.now), dict(self._sets.now), dict(self._elements.now))

    def changes(self) -> Changes:
        """What differs from the last `commit`."""
        return Changes(self._chains.differences(), self._sets.differences(), self._elements.differences())

    def commit(self) -> None:
        """What is wanted now is in force."""
        self._chains.forget()
        self._sets.forget()
        self._elements.forget()

    # Scripts

    def rebuild(self) -> str:
        """Replaces the whole table in one transaction."""
        everything = Changes(
            {key: (None, value) for key, value in self._chains.now.items()},
            {key: (None, value) for key, value in self._sets.now.items()},
            {key: (None, value) for key, value in self._elements.now.items()},
        )
        table = f"table ip {self.name}"
        head = [f"add {table}", f"delete {table}", f"add {table}", *self.header]
        return "\n".join([*head, *self._commands(everything, flush=False)]) + "\n"

    def update(self, changes: Changes) -> str:
        """Changes only what differs. A chain that is gone is emptied; `delete_chains` takes it away later."""
        return "\n".join(self._commands(changes)) + "\n"

    def delete_chains(self, names: Iterable[str]) -> str:
        """Takes emptied chains away. Kernels before 6.2 refuse for a while after the last map element that led to
        one went, so this is a transaction of its own."""
        return "".join(f"delete chain ip {self.name} {name}\n" for name in names)

    def remove(self) -> str:
        """Takes the table away, whether it is there or not."""
        return f"add table ip {self.name}\ndelete table ip {self.name}\n"

    def _commands(self, changes: Changes, flush: bool = True) -> Iterator[str]:
        """What is referred to comes before what refers to it, and goes after it."""
        at = f"ip {self.name}"
        chains = changes.chains
        yield from (f"add set {at} {name} {now}" for name, (_, now) in changes.sets.items() if now is not None)
        yield from (f"add chain {at} {name}" for name, (before, now) in chains.items() if before is None is not now)
        if flush:
            yield from (f"flush chain {at} {name}" for name in chains)
        gone = {key: "" for key, (before, _) in changes.elements.items() if before is not None}
        yield from self._listed("delete", gone)
        for name, (_, now) in chains.items():
            yield from (f"add rule {at} {name} {rule}" for rule in now or ())
        yield from self._listed("add", {key: now for key, (_, now) in changes.elements.items() if now is not None})
        yield from (f"delete set {at} {name}" for name, (_, now) in changes.sets.items() if now is None)

    def _listed(self, verb: str, elements: dict[Element, str]) -> Iterator[str]:
        """One command per map."""
        grouped: dict[str, list[str]] = defaultdict(list)
        for (container, key), verdict in elements.items():
            grouped[container].append(f"{key} : {verdict}" if verdict else key)
        for container, keys in grouped.items():
            yield f"{verb} element ip {self.name} {container} {{ {', '.join(keys)} }}"


def _replace(kept: _Kept[K, V], owner: Hashable, old: dict[K, V], new: dict[K, V]) -> None:
    for key in old:
        if key not in new:
            kept.claim(owner, key, None)
    for key, value in new.items():
        if old.get(key) != value:
            kept.claim(owner, key, value)
