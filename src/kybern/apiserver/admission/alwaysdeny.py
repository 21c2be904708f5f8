"""AlwaysDeny: refuses every write, for tests of what clients then do."""

from __future__ import annotations

from kybern.apiserver.admission.base import CONNECT, CREATE, DELETE, UPDATE, Attributes, Plugin


class AlwaysDeny(Plugin):
    """Looks at all there is."""

    name = "AlwaysDeny"
    operations = frozenset((CONNECT, CREATE, DELETE, UPDATE))

    async def validate(self, a: Attributes) -> None:
        raise a.forbidden("admission control is denying all modifications")
