from __future__ import annotations

import pytest

from kybern.api.types import Object
from kybern.apiserver.authz.base import Masters, Union, forbidden
from kybern.apiserver.authz.rbac import RBAC
from kybern.apiserver.authz.rules import compiled, shown, uncovered
from kybern.apiserver.request import RequestInfo, UserInfo
from tests.unit.apiserver_gates.fakes import FakeLister, named

BOB = UserInfo("bob", ("dev", "system:authenticated"))


def pods(verb: str, namespace: str = "default", name: str = "", sub: str = "") -> RequestInfo:
    return RequestInfo(verb, "/x", True, "", "v1", "pods", sub, namespace, name)


def binding(role: str, *subjects: Object, kind: str = "ClusterRole", namespace: str = "") -> Object:
    made = named(f"bind-{role}", namespace)
    return {**made, "roleRef": {"kind": kind, "name": role}, "subjects": list(subjects)}


USER = {"kind": "User", "name": "bob"}


def rbac(rules: list[Object], *subjects: Object, namespace: str = "") -> tuple[RBAC, FakeLister, FakeLister]:
    roles = FakeLister(named("r", rules=rules))
    bound = FakeLister(binding("r", *(subjects or (USER,)), namespace=namespace))
    if namespace:
        return RBAC(FakeLister(), bound, roles, FakeLister()), roles, bound
    return RBAC(FakeLister(), FakeLister(), roles, bound), roles, bound


def rule(verbs: str, resources: str, **more: object) -> Object:
    return {"verbs": verbs.split(), "apiGroups": [""], "resources": resources.split(), **more}


async def test_verb_resource_and_group_must_match() -> None:
    authorizer, _, _ = rbac([rule("get list", "pods")])
    assert (await authorizer.authorize(BOB, pods("list"))).allowed
    assert (await authorizer.authorize(BOB, pods("delete"))).allowed is None
    assert (await authorizer.authorize(BOB, pods("get", sub="log"))).allowed is None
    other = RequestInfo("list", "/x", True, "apps", "v1", "pods", "", "default", "")
    assert (await authorizer.authorize(BOB, other)).allowed is None


@pytest.mark.parametrize("resources", ["pods/log", "*/log", "*"])
async def test_subresources(resources: str) -> None:
    authorizer, _, _ = rbac([rule("get", resources)])
    assert (await authorizer.authorize(BOB, pods("get", sub="log"))).allowed


async def test_resource_names_restrict() -> None:
    authorizer, _, _ = rbac([rule("get", "pods", resourceNames=["web"])])
    assert (await authorizer.authorize(BOB, pods("get", name="web"))).allowed
    assert (await authorizer.authorize(BOB, pods("get", name="db"))).allowed is None
    assert (await authorizer.authorize(BOB, pods("get"))).allowed is None


async def test_role_binding_holds_in_its_namespace_only() -> None:
    authorizer, _, _ = rbac([rule("get", "pods")], namespace="default")
    assert (await authorizer.authorize(BOB, pods("get"))).allowed
    assert (await authorizer.authorize(BOB, pods("get", namespace="kube-system"))).allowed is None
    assert (await authorizer.authorize(BOB, pods("get", namespace=""))).allowed is None


async def test_groups_and_service_accounts() -> None:
    authorizer, _, _ = rbac([rule("get", "pods")], {"kind": "Group", "name": "dev"})
    assert (await authorizer.authorize(BOB, pods("get"))).allowed
    account = {"kind": "ServiceAccount", "name": "robot", "namespace": "ci"}
    authorizer, _, _ = rbac([rule("get", "pods")], account)
    decision = await authorizer.authorize(UserInfo("system:serviceaccount:ci:robot"), pods("get"))
    assert decision.allowed
    assert decision.reason == (
        'RBAC: allowed by ClusterRoleBinding "bind-r" of ClusterRole "r" to ServiceAccount "robot/ci"'
    )


async def test_non_resource_urls() -> None:
    authorizer, _, _ = rbac([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/logs/*"]}])
    assert (await authorizer.authorize(BOB, RequestInfo("get", "/healthz"))).allowed
    assert (await authorizer.authorize(BOB, RequestInfo("get", "/logs/a/b"))).allowed
    assert (await authorizer.authorize(BOB, RequestInfo("get", "/healthz/etcd"))).allowed is None


async def test_cached_decisions_end_with_the_rule() -> None:
    authorizer, roles, bindings = rbac([rule("get", "pods")])
    assert (await authorizer.authorize(BOB, pods("get"))).allowed
    roles.put(named("r", rules=[]))
    assert (await authorizer.authorize(BOB, pods("get"))).allowed is None
    roles.put(named("r", rules=[rule("get", "pods")]))
    assert (await authorizer.authorize(BOB, pods("get"))).allowed
    bindings.drop("", "bind-r")
    assert (await authorizer.authorize(BOB, pods("get"))).allowed is None


async def test_masters_need_no_rules() -> None:
    union = Union([Masters(), RBAC(FakeLister(), FakeLister(), FakeLister(), FakeLister())])
    assert (await union.authorize(UserInfo("admin", ("system:masters",)), pods("delete"))).allowed
    assert not (await union.authorize(BOB, pods("delete"))).allowed


def test_refusals_are_in_upstreams_words() -> None:
    error = forbidden(BOB, pods("list"), "")
    assert error.message == (
        'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'
    )
    error = forbidden(BOB, RequestInfo("get", "/x", True, "apps", "v1", "deployments", "scale", "", "web"), "why")
    assert error.message == (
        'deployments.apps "web" is forbidden: User "bob" cannot get resource "deployments/scale" in API group "apps" '
        "at the cluster scope: why"
    )
    assert forbidden(BOB, RequestInfo("get", "/metrics"), "").message == (
        'forbidden: User "bob" cannot get path "/metrics"'
    )


def test_uncovered_names_what_is_missing() -> None:
    owned = compiled([rule("get list", "pods"), rule("get", "secrets", resourceNames=["a"])])
    assert uncovered(owned, compiled([rule("get", "pods"), rule("get", "secrets", resourceNames=["a"])])) == []
    missing = uncovered(owned, compiled([rule("get delete watch", "pods")]))
    assert [shown(m) for m in missing] == ['{APIGroups:[""], Resources:["pods"], Verbs:["delete" "watch"]}']
    assert uncovered(owned, compiled([rule("get", "secrets")]))
    assert uncovered(owned, compiled([{"verbs": ["get"], "nonResourceURLs": ["/x"]}]))
    every = compiled([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])
    assert uncovered(every, compiled([rule("get", "pods/log")])) == []
    assert uncovered(every, compiled([{"verbs": ["get"], "nonResourceURLs": ["/x"]}]))


class Counting(FakeLister):
    """Counts how often a role is looked up."""

    def __init__(self, *objects: Object) -> None:
        super().__init__(*objects)
        self.looked_up = 0

    def get(self, namespace: str, name: str) -> Object | None:
        self.looked_up += 1
        return super().get(namespace, name)


async def test_a_change_takes_away_the_decisions_that_it_concerns_and_no_others() -> None:
    roles = Counting(named("r", rules=[rule("get", "pods")]), named("s", rules=[rule("get", "pods")]))
    eve = {"kind": "User", "name": "eve"}
    bound = FakeLister(binding("r", {"kind": "Group", "name": "dev"}), binding("s", eve))
    authorizer = RBAC(FakeLister(), FakeLister(), roles, bound)
    other = UserInfo("eve", ("system:authenticated",))

    def may(user: UserInfo, verb: str = "get") -> bool:
        return bool(authorizer.decide(user, pods(verb)).allowed)

    assert may(BOB) and may(other)
    found = roles.looked_up
    assert may(BOB) and may(other) and roles.looked_up == found
    roles.put(named("r", rules=[rule("list", "pods")]))
    assert not may(BOB) and may(BOB, "list")
    changed = roles.looked_up - found
    assert changed == 1
    assert may(other) and roles.looked_up - found == changed
    # A binding for one user leaves the other alone, and one for a group finds whoever is in it.
    bound.put({**binding("s", eve, USER), "metadata": {"name": "bind-s"}})
    assert may(BOB) and may(other)
    bound.drop("", "bind-s")
    assert not may(BOB) and not may(other)
    bound.put(binding("s", {"kind": "Group", "name": "system:authenticated"}))
    assert may(BOB) and may(other)
    roles.drop("", "s")
    assert not may(BOB)
    assert 'clusterrole.rbac.authorization.k8s.io "s" not found' in authorizer.decide(BOB, pods("get")).reason
    roles.put(named("s", rules=[rule("get", "pods")]))
    assert may(BOB) and may(other)


def test_users_that_are_forgotten_leave_nothing_behind() -> None:
    bound = FakeLister()
    authorizer = RBAC(FakeLister(), FakeLister(), FakeLister(named("r", rules=[rule("get", "pods")])), bound)
    for number in range(50):
        name = f"user-{number}"
        authorizer.decide(UserInfo(name, ("all",)), pods("get"))
        bound.put(binding("r", {"kind": "User", "name": name}))
    assert not authorizer._users and not any(authorizer._users_of.values())
