"""Kept decisions are those that would be found anew, whatever happens to roles and bindings."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.api.scheme import builtin
from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import decide
from kybern.apiserver.authz.rbac import GROUP, RBAC
from kybern.apiserver.gates import GateOptions, Gates
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.store.memory import MemoryStore
from tests.unit.apiserver_gates.fakes import FakeLister, named

USERS = [
    UserInfo("ann", ("dev", "all")),
    UserInfo("bob", ("all",)),
    UserInfo("system:serviceaccount:a:robot", ("all",)),
]
SUBJECTS = [
    {"kind": "User", "name": "ann"}, {"kind": "User", "name": "bob"}, {"kind": "Group", "name": "dev"},
    {"kind": "Group", "name": "all"}, {"kind": "ServiceAccount", "name": "robot", "namespace": "a"},
]  # fmt: skip
ASKED = [
    RequestInfo(verb, "", True, "", "v1", resource, "", namespace, "x")
    for verb in ("get", "list")
    for resource in ("pods", "secrets")
    for namespace in ("", "a", "b")
]
names = st.sampled_from(("r", "s"))
places = st.sampled_from(("", "a", "b"))
rules = st.lists(
    st.fixed_dictionaries(
        {
            "verbs": st.lists(st.sampled_from(("get", "list", "*")), max_size=2),
            "apiGroups": st.just([""]),
            "resources": st.lists(st.sampled_from(("pods", "secrets")), max_size=2),
            "resourceNames": st.sampled_from(([], ["x"], ["y"])),
        }
    ),
    max_size=2,
)
role = st.tuples(st.just("role"), places, names, st.one_of(st.none(), rules))
binding = st.tuples(
    st.just("binding"),
    places,
    names,
    st.one_of(
        st.none(),
        st.tuples(st.sampled_from(("Role", "ClusterRole")), names, st.lists(st.sampled_from(SUBJECTS), max_size=3)),
    ),
)


def apply(listers: dict[tuple[str, bool], FakeLister], change: Any) -> None:
    """Write a role or a binding, or take it away."""
    what, namespace, name, content = change
    lister = listers[what, bool(namespace)]
    if content is None:
        if lister.get(namespace, name) is not None:
            lister.drop(namespace, name)
        return
    made: Object = named(name, namespace)
    if what == "role":
        made["rules"] = content
    else:
        kind, role_name, subjects = content
        made |= {"roleRef": {"kind": kind if namespace else "ClusterRole", "name": role_name}, "subjects": subjects}
    lister.put(made)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(role, binding), max_size=12))
def test_what_is_kept_is_what_would_be_found(changes: list[Any]) -> None:
    listers = {(what, placed): FakeLister() for what in ("role", "binding") for placed in (True, False)}

    def made() -> RBAC:
        return RBAC(*(listers[key] for key in (("role", True), ("binding", True), ("role", False), ("binding", False))))

    kept = made()
    for change in changes:
        apply(listers, change)
        anew = made()
        for user in USERS:
            for info in ASKED:
                mine, theirs = kept.decide(user, info), anew.decide(user, info)
                assert mine.allowed == theirs.allowed, (change, user, info)
                # Nobody may hear of a role that is there as missing, or the other way round.
                assert ("not found" in mine.reason) == ("not found" in theirs.reason)
            for namespace in ("", "a"):
                assert sorted(map(str, kept.rules_for(user, namespace).resource)) == sorted(
                    map(str, anew.rules_for(user, namespace).resource)
                )


async def test_what_one_server_is_told_counts_at_the_other() -> None:
    store = MemoryStore()
    apps = [App(Registry(builtin(), store)) for _ in range(2)]
    gates = [Gates(app, GateOptions(shared_store=True)) for app in apps]
    for each in gates:
        await each.start()
    ann, asked = UserInfo("ann"), RequestInfo("get", "", True, "", "v1", "pods", "", "default", "x")
    one, other = apps

    async def until(allowed: bool) -> None:
        async with asyncio.timeout(30):
            while bool((await decide(other, ann, asked)).allowed) is not allowed:
                await asyncio.sleep(0.005)

    try:
        assert not (await decide(other, ann, asked)).allowed
        roles, bindings = (one.registry.scheme.resource(GROUP, f"clusterrole{end}") for end in ("s", "bindings"))
        assert roles is not None and bindings is not None
        rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
        await one.registry.create(roles, {"metadata": {"name": "r"}, "rules": [rule]})
        ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "r"}
        subjects = [{"apiGroup": GROUP, "kind": "User", "name": "ann"}]
        await one.registry.create(bindings, {"metadata": {"name": "b"}, "roleRef": ref, "subjects": subjects})
        await until(True)
        await one.registry.guaranteed_update(roles, "", "r", lambda found: {**found, "rules": []})
        await until(False)
        await one.registry.guaranteed_update(roles, "", "r", lambda found: {**found, "rules": [rule]})
        await until(True)
        await one.registry.delete(bindings, "", "b")
        await until(False)
    finally:
        for app, each in zip(apps, gates, strict=True):
            await each.stop()
            await app.registry.close()
        await store.close()
