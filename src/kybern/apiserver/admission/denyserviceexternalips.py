"""DenyServiceExternalIPs: Services get no more external addresses; those they have they may keep.

Source: Kubernetes documentation, "Admission Control in Kubernetes", DenyServiceExternalIPs.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin


class DenyServiceExternalIPs(Plugin):
    """Looks at Services."""

    name = "DenyServiceExternalIPs"
    handles = frozenset({("", "services")})
    operations = frozenset((CREATE, UPDATE))

    async def validate(self, a: Attributes) -> None:
        if a.subresource:
            return
        wanted = set(at(a.object, "spec", "externalIPs") or ())
        if not wanted <= set(at(a.old, "spec", "externalIPs") or ()):
            raise a.forbidden("Use of external IPs is denied by admission control.")
