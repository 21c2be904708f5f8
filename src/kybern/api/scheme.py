"""kind <-> group/version/resource <-> path, for built-ins and custom resources alike."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator

import kybern.api as api
from kybern.api.resource import Resource

_STABLE = re.compile(r"v\d+")


def stable(group: str, version: str, plural: str) -> bool:
    """Whether a version is served unless someone says otherwise: those without beta or alpha in the name."""
    return bool(_STABLE.fullmatch(version))


class Scheme:
    """All kinds a server knows. Built-ins are loaded once; custom kinds are added and removed while it runs."""

    def __init__(self) -> None:
        self._by_resource: dict[tuple[str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str], Resource] = {}
        self.version = 0
        """Changes with every add and remove, so that what is derived from the scheme knows when it is stale."""

    def add(self, resource: Resource) -> None:
        """Register; replaces a kind of the same group and plural (a CRD that changed)."""
        self.remove(resource.group, resource.plural)
        self._by_resource[(resource.group, resource.plural)] = resource
        self._by_kind[(resource.group, resource.kind)] = resource
        self.version += 1

    def remove(self, group: str, plural: str) -> None:
        """Forget a kind; unknown ones are ignored."""
        gone = self._by_resource.pop((group, plural), None)
        if gone:
            self._by_kind.pop((group, gone.kind), None)
            self.version += 1

    def resource(self, group: str, plural: str, version: str = "") -> Resource | None:
        """By URL segments, served or not; with `version`, only if that version is served."""
        found = self._by_resource.get((group, plural))
        return found if found and (not version or version in found.versions) else None

    def kind(self, api_version: str, kind: str) -> Resource | None:
        """By an object's apiVersion and kind."""
        group, _, version = api_version.rpartition("/")
        found = self._by_kind.get((group, kind))
        return found if found and version in found.versions else None

    def serve(self, served: Callable[[str, str, str], bool]) -> None:
        """Serve, of the built-in kinds, the versions of which `served(group, version, plural)` is true."""
        for kind in self:
            if not kind.custom:
                kind.versions = tuple(v for v in type(kind).versions if served(kind.group, v, kind.plural))
        self.version += 1

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_resource.values()))


def builtin() -> Scheme:
    """A scheme of every `Resource` subclass in a module of an API group's package under `kybern.api`; stable versions
    are served."""
    scheme = Scheme()
    for package in pkgutil.iter_modules(api.__path__, f"{api.__name__}."):
        if not package.ispkg or package.name.endswith("_generated"):
            continue
        parent = importlib.import_module(package.name)
        for module in pkgutil.iter_modules(parent.__path__, f"{package.name}."):
            for _, cls in sorted(vars(importlib.import_module(module.name)).items()):
                if isinstance(cls, type) and issubclass(cls, Resource) and cls.kind and cls.__module__ == module.name:
                    scheme.add(cls())
    scheme.serve(stable)
    return scheme
