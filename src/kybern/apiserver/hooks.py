"""What a resource needs done around its writes beyond admission: things that are given out and taken back."""

from __future__ import annotations

from typing import Protocol

from kybern.api.types import Object


class Claim(Protocol):
    """What a write was given. One of the two is called, or neither, where nobody knows whether it was stored. A dry
    run is given nothing."""

    async def keep(self) -> None:
        """The write is stored: take back what the old object had and the new one hasn't."""
        ...

    async def undo(self) -> None:
        """The write was refused: take back what it was given."""
        ...


class Hooks(Protocol):
    """Called by the verbs after admission; registry.hooks has them by (group, plural)."""

    async def before_create(self, obj: Object, dry_run: bool) -> Claim:
        """Fill in what the server gives. Raises APIError; then nothing is held."""
        ...

    async def before_update(self, obj: Object, old: Object, dry_run: bool) -> Claim:
        """The same for an update."""
        ...

    async def after_delete(self, obj: Object) -> None:
        """The object is gone: take back what it had."""
        ...
