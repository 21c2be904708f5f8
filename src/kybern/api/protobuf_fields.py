"""The fields of messages in Kubernetes' protobuf encoding, read from the tables of numbers in protobuf_tables/.

A table has an entry per message: its fields in the order of their numbers, from 1; `@n` continues at n. A field is
`name:kind`, where the kind is one of LEAVES (nothing means string) or a message's name; `*` before it is a list,
`{kind}` a map by string, and `+Message` a message whose fields are the holder's own in JSON. What ends in `?` is a
pointer in Go: absent unless set. Any other single value is always written, be it zero, and a zero then shows in JSON
only where `!` says so (Go's json tag has no omitempty).

A message is named `group.version.Name`. Versions of a group share an entry unless there is a `version/Name` of their
own. Within a table, names are of the same group if it has them, else of meta, else of core; `core/Name` insists.
Source: the .proto files and types of k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver, v0.36.
"""

from __future__ import annotations

import importlib
from functools import cache
from typing import NamedTuple

LEAVES = frozenset(
    {
        "string", "int", "bool", "double", "bytes",
        "time", "microtime", "quantity", "intorstring",
        "json",             # a message of JSON bytes
        "strings",          # a message of a list of strings; left out where it is null, as lists are
        "schemaorbool", "schemaorarray", "schemaorstrings",  # parts of a CRD's schema that are one thing or the other
    }
)  # fmt: skip
"""Kinds that aren't messages with a table."""

GROUPS: dict[str, str] = {
    "": "core v1",
    "admissionregistration.k8s.io": "admissionregistration v1 v1beta1 v1alpha1",
    "apidiscovery.k8s.io": "apidiscovery v2",
    "apiextensions.k8s.io": "apiextensions v1",
    "apiregistration.k8s.io": "apiregistration v1",
    "apps": "apps v1",
    "authentication.k8s.io": "authentication v1",
    "authorization.k8s.io": "authorization v1",
    "autoscaling": "autoscaling v1 v2",
    "batch": "batch v1",
    "certificates.k8s.io": "certificates v1 v1beta1 v1alpha1",
    "coordination.k8s.io": "coordination v1 v1beta1 v1alpha2",
    "discovery.k8s.io": "discovery v1",
    "events.k8s.io": "events v1",
    "flowcontrol.apiserver.k8s.io": "flowcontrol v1",
    "internal.apiserver.k8s.io": "apiserverinternal v1alpha1",
    "meta.k8s.io": "meta v1 v1beta1",
    "networking.k8s.io": "networking v1 v1beta1",
    "node.k8s.io": "node v1",
    "policy": "policy v1 v1beta1",
    "rbac.authorization.k8s.io": "rbac v1",
    "resource.k8s.io": "resource v1 v1beta2 v1beta1 v1alpha3",
    "scheduling.k8s.io": "scheduling v1 v1alpha2",
    "storage.k8s.io": "storage v1 v1beta1",
    "storagemigration.k8s.io": "storagemigration v1beta1",
}
"""API group -> its table, and the versions that it is for."""

_EVERYWHERE = frozenset(
    {"CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"}
)
"""Kinds of meta that clients send in whatever version they speak."""

_OF_CORE = frozenset({"APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "List", "Status"})
"""Kinds of meta that are v1."""


class Field(NamedTuple):
    """One field. `shape` is "one", "list", "map" or "inline"; `kind` is one of LEAVES or the full name of a message, of
    each item or value where there are several."""

    name: str
    kind: str
    shape: str
    number: int
    pointer: bool
    """Whether it is absent unless set."""
    shown: bool
    """Whether JSON has it even when it is zero, empty or false."""

    @property
    def always(self) -> bool:
        """Whether upstream writes it even when JSON lacks it: as zero, or as a message of what it always writes."""
        return self.shape in ("one", "inline") and not self.pointer and self.kind not in ("bytes", "strings")


@cache
def root(api_version: str, kind: str) -> str:
    """The message of a kind, or of a list of them; "" if there is no table for it."""
    group, _, version = api_version.rpartition("/")
    if kind in _EVERYWHERE or (api_version == "v1" and kind in _OF_CORE):
        return f"meta.v1.{kind}"
    table, *versions = GROUPS.get(group, "").split() or [""]
    name = f"{table}.{version}.{kind}"
    return name if version in versions and _entry(name) is not None else ""


@cache
def fields(message: str) -> dict[int, Field]:
    """A message's fields by number, in the order of the numbers. Raises KeyError for a message without a table."""
    entry = _entry(message)
    if entry is None:
        raise KeyError(message)
    made: dict[int, Field] = {}
    number = 1
    for part in entry.split():
        if part.startswith("@"):
            number = int(part[1:])
            continue
        name, _, kind = part.rstrip("?!").partition(":")
        if name.startswith("+"):
            name, kind, shape = "", name[1:], "inline"
        elif kind.startswith("*"):
            kind, shape = kind[1:], "list"
        elif kind.startswith("{"):
            kind, shape = kind[1:-1], "map"
        else:
            shape = "one"
        full = _full(kind or "string", message)
        made[number] = Field(name, full, shape, number, part.endswith("?"), part.endswith("!"))
        number += 1
    return made


@cache
def _table(group: str) -> dict[str, str]:
    messages: dict[str, str] = importlib.import_module(f"kybern.api.protobuf_tables.{group}").MESSAGES
    return messages


def _entry(message: str) -> str | None:
    """What the table says of a message; lists of kinds need no entry, as they are all alike."""
    group, version, name = message.split(".")
    table = _table(group)
    for key in (f"{version}/{name}", name):
        if key in table:
            return table[key]
    item = name.removesuffix("List")
    return f"metadata:ListMeta items:*{item}" if item != name and item in table else None


def _full(kind: str, holder: str) -> str:
    """The full name of what a table of `holder`'s group calls `kind`."""
    if kind in LEAVES:
        return kind
    group, version, _ = holder.split(".")
    if kind in _table(group):
        return f"{group}.{version}.{kind}"
    group, _, kind = kind.rpartition("/")
    if not group:
        group = "meta" if kind in _table("meta") else "core"
    return f"{group}.v1.{kind}"
