"""Volumes stay while they are bound. See protection.py."""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.core.persistentvolume import PROTECTION
from kybern.api.types import Object
from kybern.controllers.protection import Protection


class PersistentVolumeProtectionController(Protection):
    """A volume is used while it is bound."""

    name = "persistentvolume-protection-controller"
    aliases = ("pv-protection",)
    plural, finalizer, namespaced = "persistentvolumes", PROTECTION, False

    def used(self, obj: Object) -> bool:
        return bool(at(obj, "status", "phase") == "Bound")
