from __future__ import annotations

from kybern.api.scheme import builtin
from kybern.apiserver.app import App
from kybern.apiserver.authz import policy
from kybern.apiserver.authz.node import NodeAuthorizer
from kybern.apiserver.authz.noderefs import NodeRefs
from kybern.apiserver.authz.rbac import RBAC
from kybern.apiserver.bootstrap import Bootstrap
from kybern.apiserver.bootstrap_rbac import mend_binding, mend_role
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.store.memory import MemoryStore
from tests.unit.apiserver_gates.fakes import FakeLister, named


def rbac() -> RBAC:
    """RBAC over the bootstrap policy."""
    return RBAC(
        FakeLister(*policy.roles()),
        FakeLister(*policy.role_bindings()),
        FakeLister(*policy.cluster_roles()),
        FakeLister(*policy.cluster_role_bindings()),
    )


def ask(verb: str, resource: str, group: str = "", namespace: str = "", name: str = "", sub: str = "") -> RequestInfo:
    return RequestInfo(verb, "", True, group, "v1", resource, sub, namespace, name)


def allowed(user: UserInfo, info: RequestInfo) -> bool:
    return bool(rbac().decide(user, info).allowed)


def test_every_binding_has_its_role() -> None:
    cluster_roles = {role["metadata"]["name"] for role in policy.cluster_roles()}
    roles = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in policy.roles()}
    assert all(binding["roleRef"]["name"] in cluster_roles for binding in policy.cluster_role_bindings())
    for binding in policy.role_bindings():
        assert (binding["metadata"]["namespace"], binding["roleRef"]["name"]) in roles


def test_components_may_do_their_work_and_no_more() -> None:
    scheduler = UserInfo("system:kube-scheduler", ("system:authenticated",))
    manager = UserInfo("system:kube-controller-manager", ("system:authenticated",))
    assert allowed(scheduler, ask("create", "pods", namespace="x", sub="binding"))
    assert allowed(scheduler, ask("update", "leases", "coordination.k8s.io", "kube-system", "kube-scheduler"))
    assert not allowed(scheduler, ask("get", "secrets", namespace="x"))
    assert allowed(manager, ask("create", "replicasets", "apps", "x"))
    assert allowed(manager, ask("list", "widgets", "example.com"))
    assert not allowed(UserInfo("jane", ("system:authenticated",)), ask("list", "pods"))


def test_everyone_and_anonymous() -> None:
    jane = UserInfo("jane", ("system:authenticated",))
    nobody = UserInfo("system:anonymous", ("system:unauthenticated",))
    assert allowed(jane, RequestInfo("get", "/apis/apps/v1"))
    assert allowed(jane, ask("create", "selfsubjectaccessreviews", "authorization.k8s.io"))
    assert allowed(nobody, RequestInfo("get", "/readyz"))
    assert not allowed(nobody, RequestInfo("get", "/apis"))


def test_edit_holds_view_and_admin_holds_edit() -> None:
    roles = {role["metadata"]["name"]: role["rules"] for role in policy.cluster_roles()}
    assert all(rule in roles["edit"] for rule in roles["view"])
    assert all(rule in roles["admin"] for rule in roles["edit"])
    assert not any("secrets" in rule.get("resources", ()) for rule in roles["view"])


async def test_bootstrap_makes_it_all_and_writes_nothing_the_second_time() -> None:
    store = MemoryStore()
    registry = Registry(builtin(), store)
    app = App(registry)
    bootstrap = Bootstrap(app, "10.0.0.1", 6443, ["10.96.0.1"])
    await bootstrap.run()
    assert {ns["metadata"]["name"] for ns in registry.lister("", "namespaces").list()} == {
        "default", "kube-system", "kube-public", "kube-node-lease",
    }  # fmt: skip
    service = registry.lister("", "services").get("default", "kubernetes")
    assert service is not None
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    endpoints = registry.lister("", "endpoints").get("default", "kubernetes")
    assert endpoints is not None
    assert endpoints["subsets"][0]["addresses"] == [{"ip": "10.0.0.1"}]
    before = await store.revision()
    await Bootstrap(app, "10.0.0.1", 6443, ["10.96.0.1"]).run()
    assert await store.revision() == before
    await Bootstrap(app, "10.0.0.2", 6443, ["10.96.0.1"]).run()
    moved = registry.lister("", "endpoints").get("default", "kubernetes")
    assert moved is not None
    assert moved["subsets"][0]["addresses"] == [{"ip": "10.0.0.2"}]


def test_mending_adds_what_lacks_and_keeps_what_was_added() -> None:
    wanted = next(role for role in policy.cluster_roles() if role["metadata"]["name"] == "system:kube-dns")
    assert mend_role(wanted, wanted) is None
    extra = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
    mended = mend_role({**wanted, "rules": [extra]}, wanted)
    assert mended is not None
    assert mended["rules"][0] == extra
    assert mend_role(mended, wanted) is None
    off = {**wanted, "rules": []}
    off["metadata"] = {**off["metadata"], "annotations": {policy.AUTOUPDATE: "false"}}
    assert mend_role(off, wanted) is None
    binding = next(b for b in policy.cluster_role_bindings() if b["metadata"]["name"] == "system:discovery")
    mended = mend_binding({**binding, "subjects": []}, binding)
    assert mended is not None
    assert mended["subjects"] == binding["subjects"]


async def test_node_authorizer() -> None:
    spec = {
        "nodeName": "n1",
        "serviceAccountName": "robot",
        "volumes": [{"name": "s", "secret": {"secretName": "mine"}}],
        "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "settings"}}]}],
    }
    web, other = named("web", "ci", spec=spec), named("db", "ci", spec={"nodeName": "n2", "containers": []})
    pods = FakeLister(web, other)
    authorizer = NodeAuthorizer(NodeRefs(pods))
    node = UserInfo("system:node:n1", ("system:nodes", "system:authenticated"))

    async def may(info: RequestInfo, user: UserInfo = node) -> bool:
        return bool((await authorizer.authorize(user, info)).allowed)

    assert await may(ask("get", "secrets", namespace="ci", name="mine"))
    assert await may(ask("watch", "configmaps", namespace="ci", name="settings"))
    assert not await may(ask("get", "secrets", namespace="ci", name="theirs"))
    assert not await may(ask("list", "secrets", namespace="ci"))
    assert not await may(ask("update", "secrets", namespace="ci", name="mine"))
    assert await may(ask("get", "pods", namespace="ci", name="web"))
    assert not await may(ask("get", "pods", namespace="ci", name="db"))
    mine = RequestInfo("watch", "", True, "", "v1", "pods", fields="spec.nodeName=n1")
    assert await may(mine)
    assert not await may(RequestInfo("watch", "", True, "", "v1", "pods", fields="spec.nodeName=n2"))
    assert not await may(ask("list", "pods"))
    assert await may(ask("get", "nodes", name="n1"))
    assert not await may(ask("get", "nodes", name="n2"))
    assert await may(ask("update", "leases", "coordination.k8s.io", "kube-node-lease", "n1"))
    assert not await may(ask("update", "leases", "coordination.k8s.io", "kube-node-lease", "n2"))
    assert await may(ask("create", "serviceaccounts", namespace="ci", name="robot", sub="token"))
    assert not await may(ask("create", "serviceaccounts", namespace="ci", name="default", sub="token"))
    assert not await may(ask("get", "nodes", name="n1"), UserInfo("jane"))
    pods.drop("ci", "web")
    refused = await authorizer.authorize(node, ask("get", "secrets", namespace="ci", name="mine"))
    assert refused.reason == "no relationship found between node 'n1' and this object"
