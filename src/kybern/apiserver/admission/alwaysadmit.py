"""AlwaysAdmit: refuses nothing. Kept for those who name it; it has no effect."""

from __future__ import annotations

from kybern.apiserver.admission.base import Plugin


class AlwaysAdmit(Plugin):
    """Looks at nothing."""

    name = "AlwaysAdmit"
    operations = frozenset[str]()
