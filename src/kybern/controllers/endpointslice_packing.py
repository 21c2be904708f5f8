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
    if len(plan.delete) == len(existing) and not plan.create:
        _keep_empty(plan, new_slice, refresh)
    _reuse(plan, refresh)
    return plan


def _keep_empty(plan: Plan, new_slice: Callable[[], Object], refresh: Callable[[Object], Object]) -> None:
    """A Service without endpoints keeps one empty slice: it shows that somebody looked."""
    if [_is_settled_empty(one, refresh) for one in plan.delete] == [True]:
        plan.delete = []
    else:
        plan.create.append(new_slice())


def _is_settled_empty(one: Object, refresh: Callable[[Object], Object]) -> bool:
    return not one.get("endpoints") and not one.get("ports") and refresh(one) is one


def _reuse(plan: Plan, refresh: Callable[[Object], Object]) -> None:
    """One write instead of two: what would be deleted becomes what would be made."""
    while plan.create and plan.delete:
        held, made = plan.delete.pop(0), plan.create.pop()
        plan.update.append({**refresh(held), "endpoints": made["endpoints"], "ports": made["ports"]})


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
        held = one.get("endpoints") or []
        kept = [left.pop(identity) for had in held if (identity := _identity(had)) in left]
        fresh = refresh(one)
        if kept == held and fresh is one:
            unchanged.append(one)
        elif kept or not held:
            changed.append({**fresh, "endpoints": kept})
        else:
            plan.delete.append(one)
    rest = list(left.values())
    # First the slices that are written anyway, the fullest before others.
    for one in sorted(changed, key=_size, reverse=True):
        room = max(0, capacity - _size(one))
        one["endpoints"] = [*one["endpoints"], *rest[:room]]
        del rest[:room]
    while len(rest) >= capacity:
        plan.create.append(_filled(new_slice(), key, rest[:capacity]))
        del rest[:capacity]
    if rest:
        # The fullest slice that has room for all of them; else a new one.
        roomy = [one for one in unchanged if _size(one) + len(rest) <= capacity]
        fullest = max(roomy, key=_size, default=None)
        if fullest is None:
            plan.create.append(_filled(new_slice(), key, rest))
        else:
            changed.append({**fullest, "endpoints": [*(fullest.get("endpoints") or ()), *rest]})
    plan.update += changed


def _size(one: Object) -> int:
    return len(one.get("endpoints") or ())


def _filled(made: Object, key: PortKey, endpoints: list[Object]) -> Object:
    return {**made, "ports": orjson.loads(key), "endpoints": endpoints}


def _identity(endpoint: Object) -> tuple[str, ...]:
    """What makes an endpoint the same one: its pod at its address, else the address."""
    ref = endpoint.get("targetRef") or {}
    return (ref.get("uid") or ref.get("name") or "", *endpoint["addresses"])
