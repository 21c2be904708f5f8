"""metadata.managedFields: who wrote which field. Kept up to date on every write; apply.py decides conflicts by it.

Source: KEP-555; API concepts, "Field management". The entries' form and order are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from kybern.api import fieldsets
from kybern.api.fieldsets import FieldSet
from kybern.api.schema import Type
from kybern.api.types import Object
from kybern.process.clock import clock

MAX_UPDATERS = 10
"""Beyond so many managers that update, the oldest are merged into one."""

_ANCIENT = "ancient-changes"
UPDATE, APPLY = "Update", "Apply"


@dataclass(slots=True)
class Entry:
    """One manager's fields. `time` is a metav1.Time."""

    manager: str
    operation: str
    api_version: str
    subresource: str
    time: str
    fields: FieldSet

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes a manager the same one; who applies does so in any version."""
        version = self.api_version if self.operation == UPDATE else ""
        return (self.manager, self.operation, version, self.subresource)

    def encode(self) -> Object:
        """A ManagedFieldsEntry."""
        entry: Object = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields,
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def decode(entries: list[Object] | None) -> list[Entry]:
    """The entries of an object; those that aren't understood are dropped, as upstream does it."""
    return [
        Entry(
            entry.get("manager") or "unknown",
            entry["operation"],
            entry.get("apiVersion") or "",
            entry.get("subresource") or "",
            entry.get("time") or clock.stamp(),
            entry.get("fieldsV1") or {},
        )
        for entry in entries or ()
        if entry.get("operation") in (UPDATE, APPLY)
    ]


def _is_entry(entry: Object) -> bool:
    """Whether it can be kept: what cannot has the live object's kept instead."""
    known = entry.get("operation") in (UPDATE, APPLY) and entry.get("fieldsType") == "FieldsV1"
    return known and isinstance(entry.get("fieldsV1"), dict) and fieldsets.is_valid(entry["fieldsV1"])


def problem(entries: list[Object] | None) -> str:
    """What is wrong with the first entry that is wrong, or ""."""
    for number, entry in enumerate(entries or ()):
        path, operation, kind = f"managedFields[{number}]", entry.get("operation") or "", entry.get("fieldsType") or ""
        if operation not in (UPDATE, APPLY):
            return f'{path}.operation: Invalid value: "{operation}": must be `Apply` or `Update`'
        if kind != "FieldsV1":
            return f'{path}.fieldsType: Invalid value: "{kind}": must be `FieldsV1`'
        if not _is_entry(entry):
            return f"{path}.fieldsV1: Invalid value: is no set of fields"
    return ""


def encode(entries: list[Entry]) -> list[Object]:
    """Sorted as upstream sorts them; managers without fields vanish."""
    kept = [entry for entry in entries if entry.fields]
    if len(kept) > 1:
        kept.sort(key=lambda e: (e.operation, e.time, e.manager, e.api_version, e.subresource))
    return [entry.encode() for entry in kept]


Differences: TypeAlias = Callable[[str], tuple[FieldSet, FieldSet]]
"""By API version: what was changed, and what removed, in the shape that the object has in it."""


def on_create(
    obj: Object,
    manager: str,
    api_version: str,
    typ: Type,
    subresource: str = "",
    ignore: tuple[str, ...] = (),
    shown: Object | None = None,
) -> None:
    """Note in a new object that `manager` set all of it. `typ` is the type of `obj`, or of `shown`, which is `obj` as
    the request's `api_version` has it; `ignore` are top-level fields that this way in doesn't write (status)."""
    fields = fieldsets.of_object(obj if shown is None else shown, typ, fieldsets.added, ignore)
    entry = Entry(manager, UPDATE, api_version, subresource, clock.stamp(), fields)
    if entries := encode([entry]):
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def on_update(
    old: Object,
    new: Object,
    manager: str,
    api_version: str,
    typ: Type,
    subresource: str = "",
    ignore: tuple[str, ...] = (),
    differences: Differences | None = None,
) -> None:
    """Note in `new` what `manager` changed since `old`. Without a change the entries stay as they are. Entries that
    the client sent count, but for a subresource. `differences`: where the object has several shapes."""
    metadata, before = new["metadata"], old["metadata"].get("managedFields")
    given = None if subresource else metadata.get("managedFields")
    if given and given not in (before, [{}]) and not all(map(_is_entry, given)):
        given = None
    if given == [{}]:
        # The documented way to have them forgotten; an empty list may come from who doesn't know the field.
        metadata.pop("managedFields")
        return
    current = given or before
    if not current:
        # Written before anyone tracked fields: tracking starts with the first apply.
        metadata.pop("managedFields", None)
        return
    changed, removed = fieldsets.compare(typ, old, new, ignore)
    if not changed and not removed:
        metadata["managedFields"] = current
        return
    entries = decode(current)
    said = differences or (lambda _: (changed, removed))
    metadata["managedFields"] = encode(record(entries, manager, api_version, subresource, said))


def record(
    entries: list[Entry], manager: str, api_version: str, subresource: str, differences: Differences
) -> list[Entry]:
    """The entries after `manager` updated: what changed is its own now, what is removed nobody's."""
    own = Entry(manager, UPDATE, api_version, subresource, clock.stamp(), {})
    for entry in entries:
        changed, removed = differences(entry.api_version)
        if entry.identity == own.identity:
            own.time = own.time if changed else entry.time
            own.fields = entry.fields
        else:
            entry.fields = fieldsets.subtract(entry.fields, changed)
        entry.fields = fieldsets.subtract(entry.fields, removed)
    changed, removed = differences(api_version)
    own.fields = fieldsets.union(fieldsets.subtract(own.fields, removed), changed)
    return _capped([entry for entry in entries if entry.identity != own.identity] + [own])


def _capped(entries: list[Entry]) -> list[Entry]:
    updaters = [entry for entry in entries if entry.operation == UPDATE and entry.fields]
    if len(updaters) <= MAX_UPDATERS:
        return entries
    updaters.sort(key=lambda entry: entry.time)
    by_version: dict[str, Entry] = {}
    gone = []
    for entry in updaters[: len(updaters) - MAX_UPDATERS + 1]:
        bucket = by_version.setdefault(
            entry.api_version, Entry(_ANCIENT, UPDATE, entry.api_version, "", entry.time, {})
        )
        bucket.fields = fieldsets.union(bucket.fields, entry.fields)
        bucket.time = max(bucket.time, entry.time)
        gone.append(entry.identity)
    return [entry for entry in entries if entry.identity not in gone] + list(by_version.values())
