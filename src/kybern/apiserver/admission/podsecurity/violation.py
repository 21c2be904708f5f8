"""What a check finds, and the words its findings are told in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple, TypeAlias

from kybern.api.cells import at
from kybern.api.types import Object


class Violation(NamedTuple):
    """`reason` is told of pods in bulk, `detail` besides where one object is refused."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check: TypeAlias = Callable[[Object, Object], Violation | None]
"""From a pod's metadata and spec to what is wrong."""


def containers_of(spec: Object) -> Iterator[Object]:
    """All containers, in the order in which they are told."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def context(holder: Object, *path: str) -> Any:
    """What the security context of a pod or container says at a path."""
    return at(holder.get("securityContext"), *path)


def number_of(many: Collection[Any], one: str, plural: str = "") -> str:
    """`one` for one, else its plural."""
    return one if len(many) == 1 else plural or f"{one}s"


def quoted(items: Collection[str]) -> str:
    """`"a", "b"`."""
    return ", ".join(f'"{item}"' for item in items)


def containers(names: Collection[str]) -> str:
    """`containers "a", "b"`."""
    return f"{number_of(names, 'container')} {quoted(names)}"


def setters(pod: bool, names: Collection[str]) -> str:
    """Who set something: `pod and container "a"`; empty if nobody did."""
    return " and ".join(["pod"] * pod + [containers(names)] * bool(names))
