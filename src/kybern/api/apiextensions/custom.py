"""The kind that a CustomResourceDefinition makes: a Resource like any other, with the definition's schema for rules.

structural.py prunes and defaults, values.py and rules.py validate, printer.py has the columns. Each version of a kind
is a view of it, a kind by itself: requests see and write objects in its shape only. How objects get from one to another
is the converter's part: with the strategy None it is by their apiVersion, and webhooks are given by the server.
Source: API reference, CustomResourceDefinition v1 apiextensions.k8s.io.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from kybern.api.apiextensions import jsonpath, printer, rules, structural, values
from kybern.api.apiextensions.customresourcedefinition import storage_version
from kybern.api.cells import at
from kybern.api.field import Errors, FieldError
from kybern.api.patch import clone
from kybern.api.resource import Column, Resource, Scale
from kybern.api.schema import Type
from kybern.api.types import Object

_UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
_BLOCKING = frozenset(
    ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
)
_PATH_PART = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


Converter: TypeAlias = Callable[[Sequence[Object], str], Awaitable[list[Object]]]
"""From objects in any version to the same in one, which aren't the given ones where they differ."""


async def renamed(objects: Sequence[Object], version: str) -> list[Object]:
    """The converter of the strategy None."""
    return [{**obj, "apiVersion": f"{str(obj['apiVersion']).rpartition('/')[0]}/{version}"} for obj in objects]


class CustomResource(Resource):
    """The kind of a CRD whose names are accepted, in the version objects are stored in, or as a view in `version`."""

    custom = True
    versioned_updates = True

    def __init__(self, crd: Object, version: str = "") -> None:
        spec, names = crd["spec"], crd["spec"]["names"]
        self.definition = spec
        """The CRD's spec."""
        self.group, self.kind, self.plural = spec["group"], names["kind"], names["plural"]
        self.singular = names.get("singular") or self.kind.lower()
        self.short_names = tuple(names.get("shortNames") or ())
        self.categories = tuple(names.get("categories") or ())
        self.namespaced = spec["scope"] == "Namespaced"
        self._versions = {version["name"]: version for version in spec["versions"]}
        self.versions = tuple(version["name"] for version in spec["versions"] if version.get("served"))
        self.written_as = storage_version(crd)
        """The version that objects are stored in."""
        self.storage_version = version or self.written_as
        self.converter: Converter = renamed
        self.storage_prefix = f"{self.group}/{self.plural}"
        self.schemas = {
            name: at(version, "schema", "openAPIV3Schema") or {structural.PRESERVE: True, "type": "object"}
            for name, version in self._versions.items()
        }
        """version -> openAPIV3Schema, of versions that are not served too."""
        parts = [self._versions[version].get("subresources") or {}] if version else [
            each.get("subresources") or {} for each in self._versions.values()
        ]  # fmt: skip
        self.has_status = any("status" in part for part in parts)
        self.scale = next((_scale(part["scale"]) for part in parts if part.get("scale")), None)
        self.columns = printer.columns(self._versions[self.stored_as])
        self._selectable = _selectable(self._versions.values())
        self.selectable_fields = tuple(self._selectable)
        schema = self.schemas[self.stored_as]
        self._rules = rules.Rules(schema) if rules.anywhere(schema) else None
        changed = (crd["metadata"].get("generation") or 1) > 1
        self.filled_when_read = changed and any(map(structural.has_defaults, self.schemas.values()))
        self.type_of = lru_cache(maxsize=None)(self._type_of)
        """The type of objects of a version, for patches and field management."""
        if not version and len(self._versions) > 1:
            others = {name: CustomResource(crd, name) for name in self.versions if name != self.written_as}
            self.views = {name: others.get(name, self) for name in self.versions}
            for view in others.values():
                view.views = self.views

    def _type_of(self, version: str) -> Type | None:
        return structural.type_of(self.schemas[version], self.kind) if version in self.schemas else None

    def columns_of(self, version: str) -> tuple[Column, ...]:
        found = self._versions.get(version)
        return printer.columns(found) if found else self.columns

    def warnings_of(self, version: str) -> list[str]:
        found = self._versions.get(version) or {}
        if not found.get("deprecated"):
            return []
        return [found.get("deprecationWarning") or f"{self.group}/{version} {self.kind} is deprecated"]

    def each(self) -> list[CustomResource]:
        """The kind and its views."""
        return [self, *(view for view in self.views.values() if isinstance(view, CustomResource) and view is not self)]

    # The request's version.

    def prune(self, obj: Object, version: str) -> list[str]:
        """Drop what the version's schema doesn't know; the paths of that. Raises BadRequest for bad metadata."""
        return structural.prune(self.schemas[version], obj)

    async def converted(self, objects: Sequence[Object], version: str) -> list[Object]:
        """Objects in another version: converted, and with what its schema doesn't know gone and its defaults there.
        Raises what the converter raises."""
        made = [clone(obj) for obj in await self.converter(objects, version)]
        for obj in made:
            self._complete(obj, version)
        return made

    def _complete(self, obj: Object, version: str) -> None:
        metadata = obj["metadata"]
        structural.prune(self.schemas[version], obj)
        structural.default(self.schemas[version], obj)
        obj["metadata"] = metadata

    def cache_key(self) -> str:
        return f"{self.prefix()}@{self.stored_as}" if self.views else self.prefix()

    def from_storage(self, obj: Object, version: str) -> Object:
        if version == self.stored_as and not self.filled_when_read:
            return obj
        found = clone(obj)
        self._complete(found, version)
        return self.convert(found, version)

    # Hooks.

    def default(self, obj: Object) -> None:
        structural.default(self.schemas[self.stored_as], obj)

    def validate(self, obj: Object, errors: Errors) -> None:
        errors += self._problems(obj, None)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        """What was wrong before and has not changed is forgiven."""
        found = self._problems(obj, old)
        errors += found
        errors.warnings += found.warnings

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        self.validate_changed(obj, old, errors)

    def _problems(self, obj: Object, old: Object | None) -> Errors:
        schema, found = self.schemas[self.stored_as], Errors()
        values.check(schema, obj, found)
        values.check_lists(schema, obj, "", found)
        if old is not None:
            found = _forgiving(schema, found, obj, old)
        if self._rules is None:
            return found
        if any(error.type in _BLOCKING for error in found):
            found.invalid(rules.NOWHERE, None, _UNCHECKED)
            return found
        self._rules.check(obj, old, found)
        return found

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {name: _text(path.find(obj)) for name, path in self._selectable.items()}

    def changes_generation(self, obj: Object, old: Object) -> bool:
        kept = {"metadata", "status"} if self.has_status else {"metadata"}
        return any(obj.get(key) != old.get(key) for key in (obj.keys() | old.keys()) - kept)


def _scale(said: Object) -> Scale:
    return Scale(
        said["specReplicasPath"].removeprefix("."),
        said["statusReplicasPath"].removeprefix("."),
        (said.get("labelSelectorPath") or "").removeprefix("."),
    )


def _selectable(versions: Any) -> dict[str, jsonpath.JSONPath]:
    paths = [said["jsonPath"] for version in versions for said in version.get("selectableFields") or []]
    return {path.removeprefix("."): jsonpath.compiled(path) for path in paths}


def _text(found: list[Any]) -> str:
    if not found or found[0] is None:
        return ""
    return str(found[0]).lower() if isinstance(found[0], bool) else str(found[0])


# Ratcheting: KEP-4008.


def _forgiving(schema: Object, errors: Errors, obj: Object, old: Object) -> Errors:
    """The errors about what has changed."""
    return Errors(error for error in errors if not _unchanged(schema, error, obj, old))


def _unchanged(schema: Object, error: FieldError, obj: Object, old: Object) -> bool:
    """Whether the value that an error is about, or the nearest around it that can be told again, is as it was; of a
    required field that is missing, the object it is missing from."""
    path = error.place if isinstance(error, values.Nowhere) else error.path
    if path in (rules.NOWHERE, ""):
        return bool(obj == old)
    keys: list[Any] = [name or int(index) for name, index in _PATH_PART.findall(path)]
    if error.type == "FieldValueRequired":
        keys = keys[:-1]
    node: Any = schema
    new: Any = obj
    before: Any = old
    for key in keys:
        if isinstance(new, dict) and isinstance(before, dict) and key in new and key in before:
            new, before = new[key], before[key]
            node = (node.get("properties") or {}).get(key) or node.get("additionalProperties")
        elif isinstance(new, list) and isinstance(before, list) and isinstance(key, int) and key < len(new):
            found = _item(node, new[key], before)
            if found is None:
                break
            new, before, node = new[key], found, node.get("items")
        else:
            # What wasn't there before is new, whatever it is in.
            return False
        node = node if isinstance(node, dict) else {}
    return bool(keys) and bool(new == before)


def _item(node: Object, item: Any, before: list[Any]) -> Any:
    """The old item with the same keys; None where items can't be told apart."""
    keys = node.get("x-kubernetes-list-map-keys") or ()
    if node.get("x-kubernetes-list-type") != "map" or not isinstance(item, dict):
        return None
    wanted = [item.get(key) for key in keys]
    found = (one for one in before if isinstance(one, dict) and [one.get(key) for key in keys] == wanted)
    return next(found, None)
