"""How large each ReplicaSet of a Deployment should be: pure functions from specs and statuses to sizes.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ ("Updating", "Proportional scaling")
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from kybern.api.types import Object

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"

Sizes = dict[str, int]
"""ReplicaSet name -> replicas it should have; only those that change."""


def replicas(obj: Object) -> int:
    """The asked-for size of a Deployment or ReplicaSet."""
    asked = obj["spec"].get("replicas")
    return 1 if asked is None else int(asked)


def available(replica_set: Object) -> int:
    return int((replica_set.get("status") or {}).get("availableReplicas", 0))


def total(sets: Iterable[Object]) -> int:
    return sum(replicas(one) for one in sets)


def is_rolling(deployment: Object) -> bool:
    return bool(deployment["spec"]["strategy"]["type"] == "RollingUpdate")


def _resolve(value: int | str, of: int, *, up: bool) -> int:
    """A number or a percentage of `of`."""
    if isinstance(value, str):
        exact = int(value.rstrip("%")) * of / 100
        return math.ceil(exact) if up else math.floor(exact)
    return value


def _fence_posts(deployment: Object) -> tuple[int, int]:
    """(maxSurge, maxUnavailable); not both 0, else nothing could ever move."""
    rolling = deployment["spec"]["strategy"].get("rollingUpdate") or {}
    size = replicas(deployment)
    surge = _resolve(rolling.get("maxSurge", "25%"), size, up=True)
    unavailable = _resolve(rolling.get("maxUnavailable", "25%"), size, up=False)
    return surge, unavailable if surge or unavailable else 1


def max_surge(deployment: Object) -> int:
    """Pods there may be above the asked-for number."""
    return _fence_posts(deployment)[0] if is_rolling(deployment) else 0


def max_unavailable(deployment: Object) -> int:
    """Pods that may be missing below the asked-for number."""
    if not is_rolling(deployment) or not replicas(deployment):
        return 0
    return min(_fence_posts(deployment)[1], replicas(deployment))


def size_of_new(deployment: Object, every: Sequence[Object], new: Object) -> int:
    """The size the new ReplicaSet may have now."""
    if not is_rolling(deployment):
        return replicas(deployment)
    room = replicas(deployment) + max_surge(deployment) - total(every)
    if room <= 0:
        return replicas(new)
    return replicas(new) + min(room, replicas(deployment) - replicas(new))


def grow_new(deployment: Object, every: Sequence[Object], new: Object) -> Sizes:
    """What a rolling update does to the new ReplicaSet."""
    size, now = replicas(deployment), replicas(new)
    if now == size:
        return {}
    wanted = size if now > size else size_of_new(deployment, every, new)
    return {new["metadata"]["name"]: wanted} if wanted != now else {}


def shrink_old(deployment: Object, every: Sequence[Object], old: Sequence[Object], new: Object) -> Sizes:
    """What a rolling update does to the old ones: unhealthy pods go first, then as many as availability allows."""
    if not total(old):
        return {}
    least = replicas(deployment) - max_unavailable(deployment)
    unavailable_new = replicas(new) - available(new)
    budget = total(every) - least - unavailable_new
    if budget <= 0:
        return {}
    sizes: Sizes = {one["metadata"]["name"]: replicas(one) for one in by_age(old)}
    left = budget
    for one in by_age(old):
        name = one["metadata"]["name"]
        drop = max(0, min(left, sizes[name] - available(one)))
        sizes[name] -= drop
        left -= drop
    left = sum(available(one) for one in every) - least
    for one in by_age(old):
        name = one["metadata"]["name"]
        drop = max(0, min(left, sizes[name]))
        sizes[name] -= drop
        left -= drop
    return {name: size for name, size in sizes.items() if size != replicas(_named(old, name))}


def proportional(deployment: Object, active: Sequence[Object]) -> Sizes:
    """Spread a change of the Deployment's size over its active ReplicaSets, each in proportion to what it had."""
    size = replicas(deployment)
    allowed = size + max_surge(deployment) if size > 0 else 0
    to_add = allowed - total(active)
    if not to_add:
        return {}
    ordered = _largest(active, newest_first=to_add > 0)
    sizes: Sizes = {}
    added = 0
    for one in ordered:
        share = _share(deployment, one, to_add, added)
        sizes[one["metadata"]["name"]] = replicas(one) + share
        added += share
    first = ordered[0]["metadata"]["name"]
    sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """Whether the new ReplicaSet has reached the Deployment's size, with every pod available."""
    if new is None:
        return False
    desired = (new["metadata"].get("annotations") or {}).get(DESIRED, "")
    size = replicas(deployment)
    return desired == str(size) and replicas(new) == size and available(new) == size


def _share(deployment: Object, one: Object, to_add: int, added: int) -> int:
    size = replicas(deployment)
    if not replicas(one):
        return 0
    if not size:
        fraction = -replicas(one)
    else:
        before = (one["metadata"].get("annotations") or {}).get(MAXIMUM, "")
        whole = int(before) if before.isdigit() else 0
        whole = whole or int((deployment.get("status") or {}).get("replicas", 0))
        if not whole:
            return 0
        fraction = _round(replicas(one) * (size + max_surge(deployment)) / whole) - replicas(one)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def by_age(sets: Iterable[Object]) -> list[Object]:
    """The oldest first."""
    return sorted(sets, key=lambda one: (one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]))


def _largest(sets: Iterable[Object], *, newest_first: bool) -> list[Object]:
    aged = by_age(sets)
    return sorted(reversed(aged) if newest_first else aged, key=replicas, reverse=True)


def _named(sets: Iterable[Object], name: str) -> Object:
    return next(one for one in sets if one["metadata"]["name"] == name)
