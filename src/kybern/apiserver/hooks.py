"""What a resource needs done around its writes beyond admission: things that are given out and taken back."""

from __future__ import annotations

from typing import Protocol

from kybern.api.types import Object


class Hooks(Protocol):
    """Called by the verbs after admission; registry.hooks has them by (group, plural)."""

    async def before_create(self, obj: Object, dry_run: bool) -> None:
        """Fill in what the server gives. Raises APIError; then nothing is held."""
        ...

    async def before_update(self, obj: Object, old: Object, dry_run: bool) -> None:
        """The same for an update."""
        ...

    def after_update(self, obj: Object, old: Object) -> None:
        """The update is stored."""
        ...

    def after_delete(self, obj: Object) -> None:
        """The object is gone."""
        ...

    def rollback(self, obj: Object) -> None:
        """The write failed, or was a dry run: take back what `before_*` gave and isn't stored."""
        ...
