"""Listers over plain lists."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api.types import Object


class FakeLister:
    """A lister whose objects a test puts in and takes out."""

    def __init__(self, *objects: Object) -> None:
        self.version = 0
        self.objects: dict[tuple[str, str], Object] = {}
        self.handlers: list[Callable[[Object | None, Object | None], None]] = []
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object) -> None:
        meta = obj["metadata"]
        old = self.objects.get((meta.get("namespace", ""), meta["name"]))
        self.objects[(meta.get("namespace", ""), meta["name"])] = obj
        self.version += 1
        for handler in self.handlers:
            handler(old, obj)

    def drop(self, namespace: str, name: str) -> None:
        old = self.objects.pop((namespace, name))
        self.version += 1
        for handler in self.handlers:
            handler(old, None)

    def on_change(self, handler: Callable[[Object | None, Object | None], None]) -> None:
        self.handlers.append(handler)
        for obj in self.objects.values():
            handler(None, obj)

    def get(self, namespace: str, name: str) -> Object | None:
        return self.objects.get((namespace, name))

    def list(self, namespace: str = "") -> list[Object]:
        return [obj for (where, _), obj in self.objects.items() if namespace in ("", where)]


def named(name: str, namespace: str = "", **fields: object) -> Object:
    """An object with metadata."""
    meta: Object = {"name": name, "uid": f"uid-{name}"}
    if namespace:
        meta["namespace"] = namespace
    return {"metadata": meta, **fields}
