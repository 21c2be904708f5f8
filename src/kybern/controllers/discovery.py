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


class Incomplete(APIError):
    """Some versions can't be read, mostly of servers behind the API server: what isn't found may be there. `found` is
    what could be read, `missing` has the (group, version) of what could not."""

    def __init__(self, found: list[Served], missing: set[tuple[str, str]]) -> None:
        names = ", ".join(sorted(f"{group}/{version}" for group, version in missing))
        super().__init__(f"unable to retrieve the complete list of server APIs: {names}: stale GroupVersion discovery")
        self.found, self.missing = found, missing


async def served(client: Client) -> list[Served]:
    """All resources, each once. Raises Incomplete, and APIError if nothing can be read."""
    found: dict[tuple[str, str], Served] = {}
    missing: set[tuple[str, str]] = set()
    for root in ("/api", "/apis"):
        answer = await client.request("GET", root, headers={"Accept": _AGGREGATED})
        if answer.get("kind") == "APIGroupDiscoveryList":
            resources = _from_aggregated(answer, missing)
        else:
            resources = await _from_legacy(client, root, answer, missing)
        for one in resources:
            found.setdefault((one.group, one.plural), one)
    if missing:
        raise Incomplete(list(found.values()), missing)
    return list(found.values())


async def known(client: Client) -> list[Served]:
    """What of it can be read now. Raises APIError if nothing can."""
    try:
        return await served(client)
    except Incomplete as error:
        return error.found


def _from_aggregated(answer: Object, missing: set[tuple[str, str]]) -> list[Served]:
    found = []
    for group in answer.get("items") or ():
        name = (group.get("metadata") or {}).get("name", "")
        for version in group.get("versions") or ():
            if version.get("freshness") == "Stale":
                missing.add((name, version["version"]))
                continue
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


async def _from_legacy(client: Client, root: str, answer: Object, missing: set[tuple[str, str]]) -> list[Served]:
    if root == "/api":
        versions = answer.get("versions") or []
    else:
        versions = [version["groupVersion"] for group in answer.get("groups") or () for version in _ordered(group)]
    found = []
    for version in versions:
        group, _, bare = version.rpartition("/")
        try:
            listing = await client.request("GET", f"{root}/{version}")
        except APIError:
            missing.add((group, bare))
            continue
        found += [
            Served(group, bare, one["name"], one["kind"], one["namespaced"], frozenset(one["verbs"]))
            for one in listing.get("resources") or ()
            if "/" not in one["name"]
        ]
    return found


def _ordered(group: Object) -> list[Object]:
    preferred = (group.get("preferredVersion") or {}).get("version")
    return sorted(group.get("versions") or [], key=lambda one: one["version"] != preferred)
