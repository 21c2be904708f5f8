"""What servers behind this one say of themselves, made part of what this one says: discovery and OpenAPI. Pure.

Source: KEP-3352 Aggregated Discovery; KEP-2896 OpenAPI v3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from kybern.api.types import Object

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
_V2_REF = "#/definitions/"


def discovered(document: Object, group: str, version: str) -> list[Object] | None:
    """The resources of a version in an APIGroupDiscoveryList; None if that isn't one, or doesn't have it."""
    if document.get("kind") != "APIGroupDiscoveryList":
        return None
    for item in document.get("items") or ():
        if item["metadata"].get("name") == group:
            for one in item.get("versions") or ():
                if one.get("version") == version:
                    return list(one.get("resources") or ())
    return None


def from_legacy(document: Object, group: str, version: str) -> list[Object]:
    """The same of an APIResourceList."""
    found: dict[str, Object] = {}
    for entry in document.get("resources") or ():
        name, slash, part = str(entry["name"]).partition("/")
        kind = {"group": entry.get("group") or group, "version": entry.get("version") or version, "kind": entry["kind"]}
        if slash:
            if name in found:
                said = {"subresource": part, "responseKind": kind, "verbs": entry.get("verbs") or []}
                found[name].setdefault("subresources", []).append(said)
            continue
        made = {
            "resource": name,
            "responseKind": kind,
            "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
            "singularResource": entry.get("singularName") or "",
            "verbs": entry.get("verbs") or [],
        }
        for key in ("shortNames", "categories"):
            if entry.get(key):
                made[key] = entry[key]
        found[name] = made
    return list(found.values())


def v3_paths(index: Object, root: str) -> dict[str, Object]:
    """The entries of an index of OpenAPI v3 for a group and version."""
    wanted = root.strip("/")
    return {path: said for path, said in (index.get("paths") or {}).items() if path == wanted}


def v2_part(document: Object, root: str) -> Object:
    """What an OpenAPI v2 document says of the paths of a group and version."""
    paths = {path: said for path, said in (document.get("paths") or {}).items() if path.startswith(f"{root}/")}
    known, needed = document.get("definitions") or {}, dict[str, Any]()
    waiting = list(_references(paths))
    while waiting:
        name = waiting.pop()
        if name in known and name not in needed:
            needed[name] = known[name]
            waiting += _references(known[name])
    return {"paths": paths, "definitions": needed}


def v2_with(document: Object, parts: Iterable[Object]) -> Object:
    """An OpenAPI v2 document with such parts; of theirs, definitions that differ from one of that name are renamed, and
    paths that are there already left out."""
    paths, definitions = dict(document["paths"]), dict(document["definitions"])
    for part in parts:
        renamed = {}
        for name, said in part["definitions"].items():
            free, number = name, 1
            while free in definitions and definitions[free] != said:
                number += 1
                free = f"{name}_v{number}"
            renamed[name] = free
        changed = {old: new for old, new in renamed.items() if old != new}
        if changed:
            part = _rewritten(part, changed)
        definitions |= {renamed[name]: said for name, said in part["definitions"].items()}
        paths = {**part["paths"], **paths}
    return {**document, "paths": paths, "definitions": definitions}


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref" and isinstance(inner, str) and inner.startswith(_V2_REF):
                yield inner.removeprefix(_V2_REF)
            else:
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _rewritten(part: Object, changed: dict[str, str]) -> Object:
    """The part with references to renamed definitions; its definitions stay under their own names."""
    text = orjson.dumps(part)
    for old, new in changed.items():
        text = text.replace(orjson.dumps(f"{_V2_REF}{old}"), orjson.dumps(f"{_V2_REF}{new}"))
    found: Object = orjson.loads(text)
    return found
