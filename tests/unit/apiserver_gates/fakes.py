"""Listers over plain lists."""

from __future__ import annotations

from kybern.api.types import Object


class FakeLister:
    """A lister whose objects a test puts in and takes out."""

    def __init__(self, *objects: Object) -> None:
        self.version = 0
        self.objects: dict[tuple[str, str], Object] = {}
        for obj in objects:
            self.put(obj)

    def put(self, obj: Object) -> None:
        meta = obj["metadata"]
        self.objects[(meta.get("namespace", ""), meta["name"])] = obj
        self.version += 1

    def drop(self, namespace: str, name: str) -> None:
        del self.objects[(namespace, name)]
        self.version += 1

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
