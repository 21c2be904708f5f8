"""Which resources the server has, for the controllers that treat them all alike."""

from __future__ import annotations

from dataclasses import dataclass

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.client.rest import Client, ResourceClient

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class Served:
    """A resource in the version its group prefers."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    verbs: frozenset[str]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def client(self, client: Client, *, metadata_only: bool = True) -> ResourceClient:
        return client.resource(self.api_version, self.plural, namespaced=self.namespaced, metadata_only=metadata_only)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


async def served(client: Client) -> list[Served]:
    """All resources, each once. Raises APIError if any group can't be read: half an answer would be taken for
    absence."""
    found: dict[tuple[str, str], Served] = {}
    for root in ("/api", "/apis"):
        answer = await client.request("GET", root, headers={"Accept": _AGGREGATED})
        if answer.get("kind") == "APIGroupDiscoveryList":
            resources = _from_aggregated(answer)
        else:
            resources = await _from_legacy(client, root, answer)
        for one in resources:
            found.setdefault((one.group, one.plural), one)
    return list(found.values())


def _from_aggregated(answer: Object) -> list[Served]:
    found = []
    for group in answer.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                raise APIError(f"discovery of {name}/{version['version']} is stale")
            found += [
                Served(
                    name,
                    version["version"],
                    one["resource"],
                    one["responseKind"]["kind"],
                    one["scope"] == "Namespaced",
                    frozenset(one["verbs"]),
                )
                for one in version.get("resources") or ()
            ]
    return found


async def _from_legacy(client: Client, root: str, answer: Object) -> list[Served]:
    if root == "/api":
        versions = answer.get("versions") or []
    else:
        versions = [version["groupVersion"] for group in answer.get("groups") or () for version in _ordered(group)]
    found = []
    for version in versions:
        listing = await client.request("GET", f"{root}/{version}")
        group, _, bare = version.rpartition("/")
        found += [
            Served(group, bare, one["name"], one["kind"], one["namespaced"], frozenset(one["verbs"]))
            for one in listing.get("resources") or ()
            if "/" not in one["name"]
        ]
    return found


def _ordered(group: Object) -> list[Object]:
    preferred = (group.get("preferredVersion") or {}).get("version")
    return sorted(group.get("versions") or [], key=lambda one: one["version"] != preferred)
