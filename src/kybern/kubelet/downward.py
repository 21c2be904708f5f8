"""The downward API: what a pod may know about itself, by field path or resource name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING

from kybern.api import quantity
from kybern.api.types import Object
from kybern.kubelet import resources

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['([^']*)'\]$")
_ESCAPES = {char: f"\\{name}" for char, name in zip('\\"\a\b\f\n\r\t\v', '\\"abfnrtv', strict=True)}


class Unknown(Exception):
    """A field path or resource that doesn't exist; the message is upstream's."""


def field(pod: Object, path: str, *, ips: tuple[str, ...] = (), host_ips: tuple[str, ...] = ()) -> str:
    """The value of `fieldRef.fieldPath`. Raises Unknown."""
    meta, spec = pod["metadata"], pod["spec"]
    if match := _SUBSCRIPT.match(path):
        return str((meta.get(match[1]) or {}).get(match[2], ""))
    match path:
        case "metadata.labels" | "metadata.annotations":
            entries = meta.get(path.removeprefix("metadata.")) or {}
            return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(entries.items()))
        case "metadata.name" | "metadata.namespace" | "metadata.uid":
            return str(meta.get(path.removeprefix("metadata."), ""))
        case "spec.nodeName":
            return str(spec.get("nodeName") or "")
        case "spec.serviceAccountName":
            return str(spec.get("serviceAccountName") or "")
        case "status.podIP":
            return ips[0] if ips else ""
        case "status.podIPs":
            return ",".join(ips)
        case "status.hostIP":
            return host_ips[0] if host_ips else ""
        case "status.hostIPs":
            return ",".join(host_ips)
    raise Unknown(f"unsupported fieldPath: {path}")


def _quoted(value: str) -> str:
    """In double quotes, as Go's %q writes it: what is not printable is escaped."""
    return '"' + "".join(_ESCAPES.get(char) or _plain(char) for char in value) + '"'


def _plain(char: str) -> str:
    number = ord(char)
    if char.isprintable():
        return char
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def resource(pod: Object, reference: Object, container_name: str, allocatable: Mapping[str, str]) -> str:
    """The value of a `resourceFieldRef`; a missing CPU or memory limit is the node's. Raises Unknown."""
    name = reference.get("containerName") or container_name
    container = next((c for c in resources.containers(pod) if c["name"] == name), None)
    if container is None:
        raise Unknown(f"unable to find container {name}")
    kind, _, what = reference["resource"].partition(".")
    if kind not in ("limits", "requests") or not what:
        raise Unknown(f"Unsupported container resource : {reference['resource']}")
    amounts = resources.limits(container) if kind == "limits" else resources.requests(container)
    amount = amounts.get(what)
    if amount is None or (kind == "limits" and not quantity.milli(amount)):
        amount = allocatable.get(what, "0") if kind == "limits" else "0"
    divisor = quantity.parse(reference.get("divisor") or "1") or quantity.parse("1")
    return str(int((quantity.parse(amount) / divisor).to_integral_value(ROUND_CEILING)))
