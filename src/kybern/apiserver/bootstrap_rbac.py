"""Reconciles the bootstrap policy: adds what a newer version grants, never takes away what an admin added.

An object whose autoupdate annotation is "false" is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from kybern.api.types import Object
from kybern.apiserver.authz import policy
from kybern.apiserver.authz.rules import compiled, uncovered

Ensure = Callable[[str, str, Iterable[Object], Callable[[Object, Object], Object | None] | None], Awaitable[None]]


async def ensure(ensure_all: Ensure) -> None:
    """Make or mend all default roles and bindings; `ensure_all(group, plural, wanted, mend)` does the writing."""
    await asyncio.gather(
        ensure_all(policy.GROUP, "clusterroles", policy.cluster_roles(), mend_role),
        ensure_all(policy.GROUP, "clusterrolebindings", policy.cluster_role_bindings(), mend_binding),
        ensure_all(policy.GROUP, "roles", policy.roles(), mend_role),
        ensure_all(policy.GROUP, "rolebindings", policy.role_bindings(), mend_binding),
    )


def mend_role(found: Object, wanted: Object) -> Object | None:
    """The role with the wanted rules that it lacks; None if it lacks none."""
    if not _autoupdates(found):
        return None
    mended = _with_metadata(found, wanted)
    aggregated = wanted.get("aggregationRule")
    if aggregated and not found.get("aggregationRule"):
        mended = {**(mended or found), "aggregationRule": aggregated}
    missing = uncovered(compiled(found.get("rules")), compiled(wanted.get("rules")))
    if missing:
        mended = {**(mended or found), "rules": [*(found.get("rules") or ()), *missing]}
    return mended


def mend_binding(found: Object, wanted: Object) -> Object | None:
    """The binding with the wanted subjects that it lacks; None if it lacks none."""
    if not _autoupdates(found):
        return None
    mended = _with_metadata(found, wanted)
    if found["roleRef"] != wanted["roleRef"]:
        mended = {**(mended or found), "roleRef": wanted["roleRef"]}
    there = found.get("subjects") or []
    missing = [subject for subject in wanted.get("subjects") or () if subject not in there]
    if missing:
        mended = {**(mended or found), "subjects": [*there, *missing]}
    return mended


def _autoupdates(found: Object) -> bool:
    return bool((found["metadata"].get("annotations") or {}).get(policy.AUTOUPDATE) != "false")


def _with_metadata(found: Object, wanted: Object) -> Object | None:
    meta, want = found["metadata"], wanted["metadata"]
    lacking = any(
        key not in (meta.get(field) or {}) for field in ("labels", "annotations") for key in want.get(field) or {}
    )
    if not lacking:
        return None
    merged = {field: {**want.get(field, {}), **(meta.get(field) or {})} for field in ("labels", "annotations")}
    return {**found, "metadata": {**meta, **merged}}
