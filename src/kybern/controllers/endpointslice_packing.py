"""Which EndpointSlices to make, change and delete so that they hold the endpoints asked for: pure functions.

As upstream: slices are changed as little as possible and are filled up, but never shuffled to be packed tighter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from kybern.api.types import Object

PortKey = bytes


@dataclass(slots=True)
class Plan:
    """Slices to write. Those to create have no name yet."""

    create: list[Object] = field(default_factory=list)
    update: list[Object] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)


def port_key(ports: list[Object]) -> PortKey:
    """Endpoints with equal ports share slices."""
    return orjson.dumps(
        sorted(ports, key=lambda port: (port.get("name", ""), port.get("port", 0))), option=orjson.OPT_SORT_KEYS
    )


def pack(
    existing: list[Object],
    wanted: dict[PortKey, list[Object]],
    new_slice: Callable[[], Object],
    refresh: Callable[[Object], Object],
    capacity: int,
) -> Plan:
    """`existing` are the slices of one Service and address family; `wanted` endpoints by their ports. `new_slice` makes
    an empty slice, `refresh` gives a slice the labels it should have (the same object if it has them)."""
    plan = Plan()
    by_ports: dict[PortKey, list[Object]] = {}
    for one in existing:
        by_ports.setdefault(port_key(one.get("ports") or []), []).append(one)
    for key, endpoints in wanted.items():
        _pack_ports(plan, key, by_ports.pop(key, []), endpoints, new_slice, refresh, capacity)
    plan.delete += [one for unwanted in by_ports.values() for one in unwanted]
    if not wanted:
        _keep_empty(plan, new_slice, refresh)
    return plan


def _keep_empty(plan: Plan, new_slice: Callable[[], Object], refresh: Callable[[Object], Object]) -> None:
    """A Service without endpoints keeps one empty slice: it shows that somebody looked."""
    if not plan.delete:
        plan.create.append(new_slice())
        return
    kept = min(plan.delete, key=lambda one: len(one.get("endpoints") or ()) + len(one.get("ports") or ()))
    plan.delete = [one for one in plan.delete if one is not kept]
    fresh = refresh(kept)
    if fresh is not kept or kept.get("endpoints") or kept.get("ports"):
        plan.update.append({**fresh, "endpoints": [], "ports": []})


def _pack_ports(
    plan: Plan,
    key: PortKey,
    existing: list[Object],
    wanted: list[Object],
    new_slice: Callable[[], Object],
    refresh: Callable[[Object], Object],
    capacity: int,
) -> None:
    left = {_identity(endpoint): endpoint for endpoint in wanted}
    changed: list[Object] = []
    unchanged: list[Object] = []
    for one in existing:
        kept = [left.pop(identity) for had in one.get("endpoints") or () if (identity := _identity(had)) in left]
        fresh = refresh(one)
        if kept != (one.get("endpoints") or []):
            changed.append({**fresh, "endpoints": kept})
        elif fresh is not one:
            changed.append(fresh)
        else:
            unchanged.append(one)
    rest = list(left.values())
    # First the slices that are written anyway.
    for one in changed:
        room = capacity - len(one["endpoints"])
        one["endpoints"] = [*one["endpoints"], *rest[:room]]
        del rest[:room]
    while len(rest) > capacity:
        plan.create.append(_filled(new_slice(), key, rest[:capacity]))
        del rest[:capacity]
    if rest:
        # The fullest slice that has room for all of them; else a new one.
        roomy = [one for one in unchanged if len(one.get("endpoints") or ()) + len(rest) <= capacity]
        fullest = max(roomy, key=lambda one: len(one.get("endpoints") or ()), default=None)
        if fullest is None:
            plan.create.append(_filled(new_slice(), key, rest))
        else:
            changed.append({**fullest, "endpoints": [*(fullest.get("endpoints") or ()), *rest]})
    plan.update += [one for one in changed if one["endpoints"]]
    plan.delete += [one for one in changed if not one["endpoints"]]


def _filled(made: Object, key: PortKey, endpoints: list[Object]) -> Object:
    return {**made, "ports": orjson.loads(key), "endpoints": endpoints}


def _identity(endpoint: Object) -> tuple[str, ...]:
    """What makes an endpoint the same one: its pod at its address, else the address."""
    ref = endpoint.get("targetRef") or {}
    return (ref.get("uid") or ref.get("name") or "", *endpoint["addresses"])
