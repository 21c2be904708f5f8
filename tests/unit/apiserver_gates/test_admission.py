from __future__ import annotations

from typing import Any

import pytest

from kybern.api.core.namespace import Namespace
from kybern.api.core.node import Node
from kybern.api.core.serviceaccount import ServiceAccount as ServiceAccountKind
from kybern.api.errors import Forbidden, NotFound
from kybern.api.rbac.clusterrole import ClusterRole
from kybern.api.rbac.rolebinding import RoleBinding
from kybern.api.resource import Resource
from kybern.api.scheduling.priorityclass import PriorityClass
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, DELETE, UPDATE, AdmissionChain, Attributes, Plugin
from kybern.apiserver.admission.defaulttolerationseconds import DefaultTolerationSeconds
from kybern.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from kybern.apiserver.admission.noderestriction import NodeRestriction
from kybern.apiserver.admission.priority import Priority
from kybern.apiserver.admission.rolebindings import RoleEscalation
from kybern.apiserver.admission.serviceaccount import ServiceAccount
from kybern.apiserver.admission.taintnodesbycondition import TaintNodesByCondition
from kybern.apiserver.authz.rbac import RBAC
from kybern.apiserver.request import UserInfo
from tests.unit.apiserver_gates.fakes import FakeLister, named


class Pod(Resource):
    kind, plural = "Pod", "pods"


class FakeApp:
    """Listers by plural; reads through to them."""

    def __init__(self, **listers: FakeLister) -> None:
        self.listers = listers
        self.registry: Any = self
        self.scheme: Any = self
        self.authorizers: list[object] = []
        self.services: dict[str, Any] = {}

    def lister(self, group: str, plural: str) -> FakeLister:
        return self.listers.setdefault(plural, FakeLister())

    def resource(self, group: str, plural: str) -> Resource:
        return ServiceAccountKind() if plural == "serviceaccounts" else Namespace()

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        found = self.listers[resource.plural].get(namespace, name)
        if found is None:
            raise NotFound.of(resource.plural, resource.group, name)
        return found


def app(**listers: FakeLister) -> Any:
    return FakeApp(**listers)


def attributes(
    obj: Object | None, resource: Resource | None = None, operation: str = CREATE, **more: Any
) -> Attributes:
    resource = resource or Pod()
    meta = ((obj or more.get("old")) or {"metadata": {}})["metadata"]
    namespace = meta.get("namespace", "default") if resource.namespaced else ""
    user = more.pop("user", UserInfo("bob"))
    name = more.pop("name", meta.get("name", ""))
    return Attributes(operation, resource, namespace, name, user, obj, **more)


def pod(**spec: Any) -> Object:
    return named("web", "default", spec={"containers": [{"name": "c"}], **spec})


async def test_namespace_must_be_there_and_stay() -> None:
    going = {**named("going"), "status": {"phase": "Terminating"}}
    plugin = NamespaceLifecycle(app(namespaces=FakeLister(named("default"), going)))
    await plugin.admit(attributes(pod()))
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await plugin.admit(attributes(named("web", "nowhere", spec={})))
    with pytest.raises(Forbidden) as caught:
        await plugin.admit(attributes(named("web", "going", spec={})))
    assert caught.value.message == (
        'pods "web" is forbidden: unable to create new content in namespace going because it is being terminated'
    )
    assert (caught.value.details or {})["causes"][0]["reason"] == "NamespaceTerminating"
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        await plugin.admit(attributes(None, Namespace(), DELETE, old=named("kube-system"), name="kube-system"))


async def test_service_account_is_filled_in_with_its_token() -> None:
    account = {**named("default", "default"), "imagePullSecrets": [{"name": "pull"}]}
    plugin = ServiceAccount(app(serviceaccounts=FakeLister(account)))
    own = {"name": "x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    obj = pod(initContainers=[{"name": "i", "volumeMounts": [own]}])
    await plugin.admit(attributes(obj))
    spec = obj["spec"]
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    [volume] = spec["volumes"]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken", "configMap", "downwardAPI",
    ]  # fmt: skip
    assert spec["containers"][0]["volumeMounts"] == [
        {"name": volume["name"], "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    ]
    assert len(spec["initContainers"][0]["volumeMounts"]) == 1
    assert spec["imagePullSecrets"] == [{"name": "pull"}]


async def test_service_account_token_can_be_declined_and_must_exist() -> None:
    account = {**named("quiet", "default"), "automountServiceAccountToken": False}
    plugin = ServiceAccount(app(serviceaccounts=FakeLister(account)))
    obj = pod(serviceAccountName="quiet")
    await plugin.admit(attributes(obj))
    assert "volumes" not in obj["spec"]
    wanted = pod(serviceAccountName="quiet", automountServiceAccountToken=True)
    await plugin.admit(attributes(wanted))
    assert wanted["spec"]["volumes"]
    with pytest.raises(Forbidden) as caught:
        await plugin.admit(attributes(pod(serviceAccountName="ghost")))
    assert caught.value.message == (
        'pods "web" is forbidden: error looking up service account default/ghost: serviceaccount "ghost" not found'
    )


async def test_mirror_pods_get_no_account() -> None:
    plugin = ServiceAccount(app())
    obj = pod()
    obj["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    await plugin.admit(attributes(obj))
    assert "serviceAccountName" not in obj["spec"]
    await plugin.validate(attributes(obj))
    obj["spec"]["containers"] = [{"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]}]
    with pytest.raises(Forbidden, match="a mirror pod may not reference secrets"):
        await plugin.validate(attributes(obj))
    token = {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
    obj["spec"] = {"containers": [], "volumes": [{"name": "t", **token}]}
    with pytest.raises(Forbidden, match="a mirror pod may not use ServiceAccountToken volume projections"):
        await plugin.validate(attributes(obj))


async def test_an_account_can_hold_pods_to_its_secrets() -> None:
    account = named("mine", "default", secrets=[{"name": "a"}], imagePullSecrets=[{"name": "p"}])
    account["metadata"]["annotations"] = {"kubernetes.io/enforce-mountable-secrets": "True"}
    plugin = ServiceAccount(app(serviceaccounts=FakeLister(account)))
    because = "is not allowed because service account mine does not reference that"
    env = [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}]

    async def why(operation: str = CREATE, subresource: str = "", **spec: Any) -> str:
        obj = pod(serviceAccountName="mine", **spec)
        with pytest.raises(Forbidden) as caught:
            await plugin.validate(attributes(obj, operation=operation, subresource=subresource))
        return caught.value.message.removeprefix('pods "web" is forbidden: ')

    good = pod(serviceAccountName="mine", volumes=[{"name": "v", "secret": {"secretName": "a"}}])
    await plugin.validate(attributes(good))
    volumes = [{"name": "v", "secret": {"secretName": "b"}}]
    assert await why(volumes=volumes) == f'volume with secret.secretName="b" {because} secret'
    assert await why(initContainers=[{"name": "i", "env": env}]) == (
        f'init container i with envVar E referencing secret.secretName="b" {because} secret'
    )
    assert await why(containers=[{"name": "c", "envFrom": [{"secretRef": {"name": "b"}}]}]) == (
        f'container c with envFrom referencing secret.secretName="b" {because} secret'
    )
    assert await why(imagePullSecrets=[{"name": "p"}, {"name": "q"}]) == (
        f'imagePullSecrets[1].name="q" {because} imagePullSecret'
    )
    debugger = [{"name": "d", "env": env}]
    assert await why(UPDATE, "ephemeralcontainers", ephemeralContainers=debugger, volumes=volumes) == (
        f'ephemeral container d with envVar E referencing secret.secretName="b" {because} secret'
    )


async def test_priority() -> None:
    high = named("high", value=1000, preemptionPolicy="Never")
    usual = named("usual", value=7, globalDefault=True)
    classes = FakeLister(high)
    plugin = Priority(app(priorityclasses=classes))
    obj = pod(priorityClassName="high")
    await plugin.admit(attributes(obj))
    assert (obj["spec"]["priority"], obj["spec"]["preemptionPolicy"]) == (1000, "Never")
    obj = pod()
    await plugin.admit(attributes(obj))
    assert obj["spec"]["priority"] == 0
    classes.put(usual)
    obj = pod()
    await plugin.admit(attributes(obj))
    assert (obj["spec"]["priority"], obj["spec"]["priorityClassName"]) == (7, "usual")
    with pytest.raises(Forbidden, match="no PriorityClass with name nope was found"):
        await plugin.admit(attributes(pod(priorityClassName="nope")))
    with pytest.raises(Forbidden, match="must not be provided in pod spec"):
        await plugin.admit(attributes(pod(priority=5)))
    second = attributes(named("second", value=1, globalDefault=True), PriorityClass())
    with pytest.raises(Forbidden, match="Only one default can exist"):
        await plugin.validate(second)


async def test_default_tolerations() -> None:
    plugin = DefaultTolerationSeconds(app())
    obj = pod(tolerations=[{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}])
    await plugin.admit(attributes(obj))
    added = obj["spec"]["tolerations"][1:]
    assert added == [
        {
            "key": "node.kubernetes.io/unreachable",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
    ]
    other = app()
    other.services["default_toleration_seconds"] = {"node.kubernetes.io/unreachable": 7}
    shorter = pod()
    await DefaultTolerationSeconds(other).admit(attributes(shorter))
    assert [one["tolerationSeconds"] for one in shorter["spec"]["tolerations"]] == [7]
    everything = pod(tolerations=[{"operator": "Exists"}])
    await plugin.admit(attributes(everything))
    assert len(everything["spec"]["tolerations"]) == 1


async def test_new_nodes_are_tainted() -> None:
    node = named("n1")
    await TaintNodesByCondition(app()).admit(attributes(node, Node()))
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]


N1 = UserInfo("system:node:n1", ("system:nodes", "system:authenticated"))


async def test_nodes_keep_to_themselves() -> None:
    mine, other = pod(nodeName="n1"), pod(nodeName="n2")
    plugin = NodeRestriction(app(pods=FakeLister(mine)))
    await plugin.admit(attributes(mine, operation=UPDATE, old=mine, subresource="status", user=N1))
    with pytest.raises(Forbidden, match=r"can only update pod status for pods with spec\.nodeName set to itself"):
        await plugin.admit(attributes(other, operation=UPDATE, old=other, subresource="status", user=N1))
    with pytest.raises(Forbidden, match=r"can only delete pods with spec\.nodeName set to itself"):
        await plugin.admit(attributes(None, operation=DELETE, old=other, user=N1))
    with pytest.raises(Forbidden, match="can only create mirror pods"):
        await plugin.admit(attributes(mine, user=N1))
    await plugin.admit(attributes(named("n1"), Node(), user=N1))
    with pytest.raises(Forbidden, match='node "n1" is not allowed to modify node "n2"'):
        await plugin.admit(attributes(named("n2"), Node(), user=N1))
    await plugin.admit(attributes(other, operation=UPDATE, old=other, subresource="status"))


@pytest.mark.parametrize(
    ("label", "allowed"),
    [
        ("kubernetes.io/hostname", True),
        ("example.com/x", True),
        ("node.kubernetes.io/x", True),
        ("node-role.kubernetes.io/control-plane", False),
        ("node-restriction.kubernetes.io/x", False),
    ],
)
async def test_labels_nodes_may_set(label: str, allowed: bool) -> None:
    node = named("n1")
    node["metadata"]["labels"] = {label: "v"}
    plugin = NodeRestriction(app())
    if allowed:
        await plugin.admit(attributes(node, Node(), user=N1))
    else:
        with pytest.raises(Forbidden, match="not allowed to set the following labels"):
            await plugin.admit(attributes(node, Node(), user=N1))


async def test_nodes_get_tokens_only_for_their_pods() -> None:
    volumes = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}]
    plugin = NodeRestriction(app(pods=FakeLister(pod(nodeName="n1", volumes=volumes))))

    def asked(**ref: str) -> Attributes:
        obj = named("default", "default", spec={"boundObjectRef": ref} if ref else {})
        return attributes(obj, ServiceAccountKind(), subresource="token", user=N1)

    await plugin.admit(asked(kind="Pod", apiVersion="v1", name="web", uid="uid-web"))
    with pytest.raises(Forbidden, match="not bound to a pod"):
        await plugin.admit(asked())
    with pytest.raises(Forbidden, match="does not match the UID in record"):
        await plugin.admit(asked(kind="Pod", apiVersion="v1", name="web", uid="other"))


async def test_roles_may_not_grant_what_the_user_lacks() -> None:
    reader = named("reader", rules=[{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}])
    admin = named("boss", rules=[{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}])
    bound = named("b", roleRef={"kind": "ClusterRole", "name": "reader"}, subjects=[{"kind": "User", "name": "bob"}])
    server = app(clusterroles=FakeLister(reader, admin), clusterrolebindings=FakeLister(bound))
    listers = [server.lister("", p) for p in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")]
    server.authorizers = [RBAC(*listers)]
    plugin = RoleEscalation(server)
    bob = UserInfo("bob", ("dev",))
    await plugin.validate(attributes(named("copy", rules=reader["rules"]), ClusterRole(), user=bob))
    with pytest.raises(Forbidden) as caught:
        await plugin.validate(attributes(named("more", rules=admin["rules"]), ClusterRole(), user=bob))
    assert caught.value.message == (
        'clusterroles.rbac.authorization.k8s.io "more" is forbidden: user "bob" (groups=["dev"]) is attempting to '
        'grant RBAC permissions not currently held:\n{APIGroups:["*"], Resources:["*"], Verbs:["*"]}'
    )
    binding = named("x", "default", roleRef={"kind": "ClusterRole", "name": "boss"}, subjects=[])
    with pytest.raises(Forbidden, match="not currently held"):
        await plugin.validate(attributes(binding, RoleBinding(), user=bob))
    await plugin.validate(attributes(binding, RoleBinding(), user=UserInfo("a", ("system:masters",))))


async def test_the_chain_runs_what_is_concerned_in_order() -> None:
    ran: list[str] = []

    class First(Plugin):
        name = "First"

        async def admit(self, a: Attributes) -> None:
            ran.append("first")

    class Nodes(Plugin):
        name, handles = "Nodes", frozenset({("", "nodes")})

        async def admit(self, a: Attributes) -> None:
            ran.append("nodes")

    class Last(Plugin):
        name, operations = "Last", frozenset({CREATE})

        async def admit(self, a: Attributes) -> None:
            ran.append("last")

        async def validate(self, a: Attributes) -> None:
            ran.append("last validates")

    chain = AdmissionChain([First(app()), Nodes(app()), Last(app())])
    await chain.admit(attributes(pod()))
    await chain.validate(attributes(pod()))
    await chain.admit(attributes(pod(), operation=UPDATE))
    assert ran == ["first", "last", "last validates", "first"]
