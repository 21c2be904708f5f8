"""Who may do what: roles, escalation, impersonation, kubelets, and what reviews say. Texts are upstream's."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.testing import builders, certificates
from tests.integration.apiserver.inprocess import MERGE, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

RBAC = "rbac.authorization.k8s.io"
ROLES = f"/apis/{RBAC}/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"


def rule(verbs: str, resources: str, group: str = "", names: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return made | ({"resourceNames": names.split()} if names else {})


def user(name: str) -> dict[str, Any]:
    return {"apiGroup": RBAC, "kind": "User", "name": name}


async def bind(api: Api, namespace: str, name: str, role: str, *subjects: Any, kind: str = "ClusterRole") -> None:
    """Bind a role in a namespace, or everywhere if that is empty."""
    where = f"namespaces/{namespace}/rolebindings" if namespace else "clusterrolebindings"
    ref = {"apiGroup": RBAC, "kind": kind, "name": role}
    body = {"metadata": {"name": name}, "roleRef": ref, "subjects": list(subjects)}
    await api.ok("POST", f"{ROLES}/{where}", body)


async def grant(api: Api, namespace: str, who: str, *rules: Any) -> None:
    """Give a user a role of these rules in a namespace."""
    name = f"of-{who}"
    await api.ok("POST", f"{ROLES}/namespaces/{namespace}/roles", {"metadata": {"name": name}, "rules": list(rules)})
    await bind(api, namespace, name, name, user(who), kind="Role")


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "/api/v1/namespaces/default/pods",
         'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "default"'),
        ("GET", "/api/v1/namespaces/default/pods?watch=1",
         'pods is forbidden: User "bob" cannot watch resource "pods" in API group "" in the namespace "default"'),
        ("GET", "/api/v1/namespaces/default/pods/x",
         'pods "x" is forbidden: User "bob" cannot get resource "pods" in API group "" in the namespace "default"'),
        ("GET", "/api/v1/pods",
         'pods is forbidden: User "bob" cannot list resource "pods" in API group "" at the cluster scope'),
        ("DELETE", "/apis/apps/v1/namespaces/default/deployments",
         'deployments.apps is forbidden: User "bob" cannot deletecollection resource "deployments" in API group "apps" '
         'in the namespace "default"'),
        ("GET", "/api/v1/namespaces/default/pods/x/log",
         'pods "x" is forbidden: User "bob" cannot get resource "pods/log" in API group "" in the namespace "default"'),
        ("POST", "/api/v1/nodes",
         'nodes is forbidden: User "bob" cannot create resource "nodes" in API group "" at the cluster scope'),
        ("GET", "/api/v1/namespaces/default",
         'namespaces "default" is forbidden: User "bob" cannot get resource "namespaces" in API group "" '
         'in the namespace "default"'),
        ("PATCH", "/apis/apps/v1/namespaces/default/deployments/x/scale",
         'deployments.apps "x" is forbidden: User "bob" cannot patch resource "deployments/scale" in API group "apps" '
         'in the namespace "default"'),
        ("GET", "/metrics", 'forbidden: User "bob" cannot get path "/metrics"'),
        ("POST", "/some/where", 'forbidden: User "bob" cannot post path "/some/where"'),
    ],
)  # fmt: skip
async def test_what_is_not_granted_is_forbidden(api: Api, method: str, path: str, text: str) -> None:
    status = await api.refused(403, method, path, {} if method == "POST" else None, who="bob")
    assert (status["reason"], status["message"]) == ("Forbidden", text)


async def test_details_of_a_refusal(api: Api) -> None:
    status = await api.refused(403, "GET", "/apis/apps/v1/namespaces/default/deployments/x", who="bob")
    assert status["details"] == {"name": "x", "group": "apps", "kind": "deployments"}


async def test_those_without_credentials(api: Api) -> None:
    said = await api.why(403, "GET", "/api/v1/namespaces/default/pods", who="")
    assert 'User "system:anonymous" cannot list resource "pods"' in said
    for path in ("/healthz", "/livez", "/readyz", "/version"):
        assert (await api.ask("GET", path, who=""))[0] == 200
    assert (await api.ask("GET", "/apis", who=""))[0] == 403
    response = await api.respond("GET", "/api/v1/pods", who="", authorization="Bearer none.such.token")
    assert response.status == 401


async def test_roles_hold_in_their_namespace(api: Api) -> None:
    here, there = await api.maps("a b"), await api.maps("a")
    await grant(api, here.split("/")[4], "carol", rule("get list", "configmaps"))
    await api.ok("GET", here, who="carol")
    await api.ok("GET", f"{here}/a", who="carol")
    for method, path in (("GET", there), ("DELETE", f"{here}/a"), ("GET", here.replace("configmaps", "secrets"))):
        await api.refused(403, method, path, who="carol")
    await api.refused(403, "GET", "/api/v1/configmaps", who="carol")


async def test_grants_change_at_once(api: Api) -> None:
    path = await api.maps("a")
    namespace = path.split("/")[4]
    await api.refused(403, "GET", path, who="dan")
    await grant(api, namespace, "dan", rule("list", "configmaps"))
    await api.ok("GET", path, who="dan")
    role = f"{ROLES}/namespaces/{namespace}/roles/of-dan"
    await api.ok("PATCH", role, {"rules": []}, kind=MERGE)
    await api.refused(403, "GET", path, who="dan")
    await api.ok("PATCH", role, {"rules": [rule("*", "*")]}, kind=MERGE)
    await api.ok("GET", path, who="dan")
    await api.ok("DELETE", f"{ROLES}/namespaces/{namespace}/rolebindings/of-dan")
    await api.refused(403, "GET", path, who="dan")


async def test_a_binding_to_no_role_is_said(api: Api) -> None:
    path = await api.maps("a")
    await bind(api, path.split("/")[4], "broken", "none", user("erin"))
    said = await api.why(403, "GET", path, who="erin")
    assert said.endswith(f': RBAC: clusterrole.{RBAC} "none" not found')


async def test_resource_names_and_subresources(api: Api) -> None:
    path = await api.maps("a b")
    mine = rule("get update delete", "configmaps", names="a")
    await grant(api, path.split("/")[4], "frank", mine, rule("get", "pods/log"), rule("get", "*/status"))
    await api.ok("GET", f"{path}/a", who="frank")
    await api.refused(403, "GET", f"{path}/b", who="frank")
    await api.refused(403, "GET", path, who="frank")
    pods = path.replace("configmaps", "pods")
    await api.refused(403, "GET", f"{pods}/p", who="frank")
    assert (await api.ask("GET", f"{pods}/p/status", who="frank"))[0] == 404
    await api.refused(403, "PATCH", f"{pods}/p/status", {}, who="frank", kind=MERGE)


async def test_groups_and_service_accounts_are_subjects(api: Api) -> None:
    path = await api.maps("a")
    namespace = path.split("/")[4]
    account = {"kind": "ServiceAccount", "name": "robot", "namespace": namespace}
    await bind(api, namespace, "readers", "view", {"apiGroup": RBAC, "kind": "Group", "name": "dev"}, account)
    await api.ok("GET", path, who="gina:ops;dev")
    await api.refused(403, "GET", path, who="gina:ops")
    accounts = path.replace("configmaps", "serviceaccounts")
    await api.ok("POST", accounts, {"metadata": {"name": "robot"}})
    token = (await api.ok("POST", f"{accounts}/robot/token", {"spec": {}}))["status"]["token"]
    response = await api.respond("GET", path, who="", authorization=f"Bearer {token}")
    assert response.status == 200


async def test_view_edit_and_admin(api: Api) -> None:
    path = await api.maps("a")
    namespace = path.split("/")[4]
    secrets, roles = path.replace("configmaps", "secrets"), f"{ROLES}/namespaces/{namespace}/roles"
    may = {
        "view": [("GET", path)],
        "edit": [("GET", path), ("GET", secrets), ("POST", path)],
        "admin": [("GET", path), ("GET", secrets), ("POST", path), ("GET", roles)],
    }
    everything = may["admin"]
    for role, allowed in may.items():
        await bind(api, namespace, f"{role}s", role, user(f"the-{role}"))
        for method, target in everything:
            body = {"metadata": {"generateName": "x-"}} if method == "POST" else None
            code, _ = await api.ask(method, target, body, who=f"the-{role}")
            assert (code < 300) is ((method, target) in allowed), (role, method, target, code)


def asks(name: str, groups: str, *wanted: str) -> str:
    """The text of a refused escalation."""
    quoted = " ".join(f'"{group}"' for group in groups.split())
    head = f'user "{name}" (groups=[{quoted}]) is attempting to grant RBAC permissions not currently held:\n'
    return head + "\n".join(wanted)


async def test_nobody_grants_what_they_do_not_hold(api: Api) -> None:
    namespace = await api.ns()
    await grant(api, namespace, "heidi", rule("create patch", "roles", RBAC), rule("get list", "pods"))
    roles = f"{ROLES}/namespaces/{namespace}/roles"
    body = {"metadata": {"name": "r"}, "rules": [rule("get", "pods"), rule("get watch", "secrets pods")]}
    said = await api.why(403, "POST", roles, body, who="heidi")
    assert said == f'roles.{RBAC} "r" is forbidden: ' + asks(
        "heidi", "system:authenticated",
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}',
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "watch"]}',
    )  # fmt: skip
    await api.ok("POST", roles, {**body, "rules": [rule("get", "pods")]}, who="heidi")
    more = {"rules": [rule("get delete", "pods")]}
    assert '{APIGroups:[""], Resources:["pods"], Verbs:["delete"]}' in await api.why(
        403, "PATCH", f"{roles}/r", more, who="heidi", kind=MERGE
    )
    await api.ok("PATCH", f"{roles}/r", {"metadata": {"labels": {"a": "b"}}}, who="heidi", kind=MERGE)


async def test_nobody_binds_what_they_do_not_hold(api: Api) -> None:
    namespace = await api.ns()
    await grant(api, namespace, "ivan", rule("create", "rolebindings", RBAC), rule("get", "pods"))
    bindings = f"{ROLES}/namespaces/{namespace}/rolebindings"

    def binding(name: str, role: str) -> Any:
        ref = {"apiGroup": RBAC, "kind": "ClusterRole", "name": role}
        return {"metadata": {"name": name}, "roleRef": ref, "subjects": [user("ivan")]}

    said = await api.why(403, "POST", bindings, binding("b", "cluster-admin"), who="ivan")
    assert said.startswith(f'rolebindings.{RBAC} "b" is forbidden: user "ivan" (groups=["system:authenticated"]) is ')
    said = await api.why(404, "POST", bindings, binding("b", "none"), who="ivan")
    assert said == f'clusterroles.{RBAC} "none" not found'
    await grant(api, namespace, "judy", rule("*", "rolebindings", RBAC), rule("bind", "clusterroles", RBAC, "edit"))
    await api.ok("POST", bindings, binding("c", "edit"), who="judy")
    await api.refused(403, "POST", bindings, binding("d", "admin"), who="judy")


async def test_escalate_lifts_the_restriction(api: Api) -> None:
    namespace = await api.ns()
    await grant(api, namespace, "ken", rule("create escalate", "roles", RBAC))
    body = {"metadata": {"name": "all"}, "rules": [rule("*", "*")]}
    await api.ok("POST", f"{ROLES}/namespaces/{namespace}/roles", body, who="ken")


async def test_the_role_of_a_binding_stays(api: Api) -> None:
    namespace = await api.ns()
    await bind(api, namespace, "b", "view", user("leo"))
    body = {"roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "edit"}}
    said = await api.why(422, "PATCH", f"{ROLES}/namespaces/{namespace}/rolebindings/b", body, kind=MERGE)
    assert said == (
        f'RoleBinding.{RBAC} "b" is invalid: roleRef: Invalid value: '
        f'{{"apiGroup":"{RBAC}","kind":"ClusterRole","name":"edit"}}: cannot change roleRef'
    )


async def test_impersonation(api: Api) -> None:
    path = await api.maps("a")
    namespace = path.split("/")[4]
    await bind(api, namespace, "b", "view", user("mia"))
    await api.ok("GET", path, impersonate_user="mia")
    said = await api.why(403, "GET", path, impersonate_user="nobody")
    assert said.startswith('configmaps is forbidden: User "nobody" cannot list resource "configmaps"')
    here = 'in API group "" at the cluster scope'
    for headers, text in (
        ({"impersonate_user": "mia"},
         f'users "mia" is forbidden: User "bob" cannot impersonate resource "users" {here}'),
        ({"impersonate_user": f"system:serviceaccount:{namespace}:robot"},
         'serviceaccounts "robot" is forbidden: User "bob" cannot impersonate resource "serviceaccounts" in API group '
         f'"" in the namespace "{namespace}"'),
    ):  # fmt: skip
        assert await api.why(403, "GET", path, who="bob", **headers) == text
    body = {"metadata": {"name": "imp"}, "rules": [rule("impersonate", "users", names="mia")]}
    await api.ok("POST", f"{ROLES}/clusterroles", body)
    await bind(api, "", "imp", "imp", user("nina"))
    await api.ok("GET", path, who="nina", impersonate_user="mia")
    said = await api.why(403, "GET", path, who="nina", impersonate_user="mia", impersonate_group="system:masters")
    assert said == f'groups "system:masters" is forbidden: User "nina" cannot impersonate resource "groups" {here}'


async def test_who_one_is_while_impersonating(api: Api) -> None:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    more = {"impersonate_user": "mia", "impersonate_group": "dev", "impersonate_uid": "7"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    said = (await api.ok("POST", path, body, **more, **{"impersonate-extra-team": "red"}))["status"]["userInfo"]
    assert said == {
        "username": "mia", "uid": "7", "groups": ["dev", "system:authenticated"], "extra": {"team": ["red"]},
    }  # fmt: skip
    robot = await api.ok("POST", path, body, impersonate_user="system:serviceaccount:ns:robot")
    assert robot["status"]["userInfo"]["groups"] == [
        "system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated",
    ]  # fmt: skip


async def may(api: Api, name: str, namespace: str, *rules: Any) -> None:
    """Give a user a role, in a namespace or everywhere."""
    role = f"{name}-may-{namespace or 'everywhere'}"
    path = f"{ROLES}/namespaces/{namespace}/roles" if namespace else f"{ROLES}/clusterroles"
    await api.ok("POST", path, {"metadata": {"name": role}, "rules": list(rules)})
    ref = {"apiGroup": RBAC, "kind": "Role" if namespace else "ClusterRole", "name": role}
    binding = {"metadata": {"name": role}, "roleRef": ref, "subjects": [user(name)]}
    path = f"{ROLES}/namespaces/{namespace}/rolebindings" if namespace else f"{ROLES}/clusterrolebindings"
    await api.ok("POST", path, binding)


AUTHN = "authentication.k8s.io"


async def test_impersonation_for_some_things_only(api: Api) -> None:
    path = await api.maps("a")
    namespace = path.split("/")[4]
    await bind(api, namespace, "b", "edit", user("jane"))
    await may(api, "quinn", "", rule("impersonate:user-info", "users", AUTHN, "jane"))
    said = await api.why(403, "GET", path, who="quinn", impersonate_user="jane")
    assert said.startswith('users "jane" is forbidden: User "quinn" cannot impersonate resource "users"')
    await may(api, "quinn", namespace, rule("impersonate-on:user-info:list", "configmaps"))
    await api.ok("GET", path, who="quinn", impersonate_user="jane")
    for method, target, more in (
        ("GET", f"{path}/a", {}),
        ("DELETE", f"{path}/a", {}),
        ("GET", path, {"impersonate_group": "dev"}),
        ("GET", path, {"impersonate_group": "system:masters"}),
        ("GET", path, {"impersonate_uid": "7"}),
    ):
        await api.refused(403, method, target, who="quinn", impersonate_user="jane", **more)
    # Whom one is, is not more than who that is.
    await api.refused(403, "GET", "/api/v1/configmaps", who="quinn", impersonate_user="jane")


async def test_impersonation_of_accounts_and_nodes_for_some_things_only(api: Api) -> None:
    base = await kubelets_pod(api)
    namespace = base.rpartition("/")[2]
    account = f"system:serviceaccount:{namespace}:default"
    await bind(api, namespace, "b", "view", {"kind": "ServiceAccount", "name": "default", "namespace": namespace})
    await may(
        api, "rita", namespace,
        rule("impersonate:serviceaccount", "serviceaccounts", AUTHN),
        rule("impersonate-on:serviceaccount:list", "pods"),
        rule("impersonate-on:arbitrary-node:get", "pods"),
    )  # fmt: skip
    await api.ok("GET", f"{base}/pods", who="rita", impersonate_user=account)
    await api.refused(403, "GET", f"{base}/pods/p", who="rita", impersonate_user=account)
    await api.refused(403, "GET", f"{base}/pods/p", who="rita", impersonate_user="system:node:node-1")
    await may(api, "rita", "", rule("impersonate:arbitrary-node", "nodes", AUTHN, "node-1"))
    await api.ok("GET", f"{base}/pods/p", who="rita", impersonate_user="system:node:node-1")
    await api.refused(403, "GET", f"{base}/pods/p", who="rita", impersonate_user="system:node:node-2")


async def kubelets_pod(api: Api) -> str:
    """The path of a new namespace with a pod `p` on node-1 that uses the secret `used`."""
    base = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{base}/serviceaccounts", {"metadata": {"name": "default"}})
    for name in ("used", "unused"):
        await api.ok("POST", f"{base}/secrets", {"metadata": {"name": name}})
    volumes = [
        {"name": "s", "secret": {"secretName": "used"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
    ]
    await api.ok("POST", f"{base}/pods", builders.pod("p", "", nodeName="node-1", volumes=volumes))
    return base


async def test_kubelets_read_what_their_pods_use(api: Api) -> None:
    base = await kubelets_pod(api)
    await api.ok("GET", f"{base}/secrets/used", who="node-1")
    await api.ok("GET", f"{base}/secrets?fieldSelector=metadata.name%3Dused", who="node-1")
    namespace = base.rpartition("/")[2]
    said = await api.why(403, "GET", f"{base}/secrets/unused", who="node-1")
    assert said == (
        'secrets "unused" is forbidden: User "system:node:node-1" cannot get resource "secrets" in API group "" in the '
        f"namespace \"{namespace}\": no relationship found between node 'node-1' and this object"
    )
    for path, why in (
        (f"{base}/secrets/used", "no relationship found between node 'node-2' and this object"),
        (f"{base}/secrets", "No Object name found"),
        ("/api/v1/secrets", "can only read namespaced object of this type"),
        ("/api/v1/nodes", "node 'node-2' cannot read all nodes, only its own Node object"),
        ("/api/v1/nodes/node-1", "node 'node-2' cannot read 'node-1', only its own Node object"),
        (f"{base}/pods", "can only list/watch pods with spec.nodeName field selector"),
        (f"{base}/pods/p", "no relationship found between node 'node-2' and this object"),
        ("/api/v1/persistentvolumes", "can only get individual resources of this type"),
        (f"{base.replace('/api', '/apis/coordination.k8s.io')}/leases/node-2",
         'can only access leases in the "kube-node-lease" system namespace'),
    ):  # fmt: skip
        said = await api.why(403, "GET", path, who="node-2")
        assert said.endswith(f": {why}"), path
    await api.ok("GET", f"{base}/pods/p", who="node-1")
    await api.ok("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-2", who="node-2")
    await api.ok("DELETE", f"{base}/pods/p?gracePeriodSeconds=0", who="node-1")
    await api.refused(403, "GET", f"{base}/secrets/used", who="node-1")


async def test_kubelets_read_the_volumes_of_their_claims(api: Api) -> None:
    base = await kubelets_pod(api)
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "volumeName": "the-volume"}
    await api.ok("POST", f"{base}/persistentvolumeclaims", {"metadata": {"name": "claim"}, "spec": spec})
    await api.ok("GET", f"{base}/persistentvolumeclaims/claim", who="node-1")
    namespace = base.rpartition("/")[2]
    uses = ("nodeStage", "controllerPublish")
    secrets = {f"{use}SecretRef": {"name": use.lower(), "namespace": namespace} for use in uses}
    await api.refused(403, "GET", f"{base}/secrets/nodestage", who="node-1")
    for name, claim in (("the-volume", "claim"), ("another", "other")):
        body = {
            "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
                "csi": {"driver": "d", "volumeHandle": "h", **secrets},
            },
        }  # fmt: skip
        await api.ok("POST", "/api/v1/persistentvolumes", body)
    await api.ok("GET", "/api/v1/persistentvolumes/the-volume", who="node-1")
    await api.refused(403, "GET", "/api/v1/persistentvolumes/another", who="node-1")
    await api.refused(404, "GET", f"{base}/secrets/nodestage", who="node-1")
    await api.refused(403, "GET", f"{base}/secrets/controllerpublish", who="node-1")
    await api.ok("DELETE", "/api/v1/persistentvolumes/the-volume?gracePeriodSeconds=0")
    await api.ask("PATCH", "/api/v1/persistentvolumes/the-volume", {"metadata": {"finalizers": None}}, kind=MERGE)
    await api.refused(403, "GET", f"{base}/secrets/nodestage", who="node-1")


async def test_kubelets_see_their_own_devices_only(api: Api) -> None:
    slices = "/apis/resource.k8s.io/v1/resourceslices"
    for node in ("node-1", "node-2"):
        pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
        body = {"metadata": {"name": f"of-{node}"}, "spec": {"driver": "d.example.com", "pool": pool, "nodeName": node}}
        await api.ok("POST", slices, body)
    await api.ok("GET", f"{slices}/of-node-1", who="node-1")
    await api.refused(403, "GET", f"{slices}/of-node-2", who="node-1")
    await api.ok("GET", f"{slices}?fieldSelector=spec.nodeName%3Dnode-1", who="node-1")
    for query in ("", "?fieldSelector=spec.nodeName%3Dnode-2", "?fieldSelector=spec.nodeName!%3Dnode-1"):
        said = await api.why(403, "GET", slices + query, who="node-1")
        assert said.endswith("can only list/watch/deletecollection resourceslices with nodeName field selector")


async def test_kubelets_write_only_what_is_theirs(api: Api) -> None:
    base = await kubelets_pod(api)
    for name in ("node-1", "node-2"):
        await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": name}}, who=name)
    status = {"status": {"phase": "Running"}}
    await api.ok("PATCH", f"{base}/pods/p/status", status, who="node-1", kind=MERGE)
    for method, path, body, why in (
        ("PATCH", f"{base}/pods/p/status", status,
         'node "node-2" can only update pod status for pods with spec.nodeName set to itself'),
        ("DELETE", f"{base}/pods/p", None, 'node "node-2" can only delete pods with spec.nodeName set to itself'),
        ("PATCH", "/api/v1/nodes/node-1", {"spec": {"unschedulable": True}},
         'node "node-2" is not allowed to modify node "node-1"'),
        ("PATCH", "/api/v1/nodes/node-2", {"metadata": {"labels": {"node-restriction.kubernetes.io/a": "b"}}},
         "is not allowed to modify labels: node-restriction.kubernetes.io/a"),
        ("PATCH", "/api/v1/nodes/node-2", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}},
         'node "node-2" is not allowed to modify taints'),
    ):  # fmt: skip
        said = await api.why(403, method, path, body, who="node-2", kind=MERGE)
        assert said.endswith(f" is forbidden: {why}"), said
    said = await api.why(403, "POST", f"{base}/pods", builders.pod("q", "", nodeName="node-1"), who="node-1")
    assert said == (
        'pods "q" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "node-1" can only '
        "create mirror pods"
    )
    await api.refused(403, "POST", f"{base}/configmaps", {"metadata": {"name": "x"}}, who="node-1")


async def test_what_kubelets_make_stands_for_what_runs_already(api: Api) -> None:
    base = await kubelets_pod(api)
    name = f"node-{base.rpartition('-')[2]}"
    made = await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": name}}, who=name)
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": made["metadata"]["uid"], "controller": True}

    def mirror(*owners: Any, **spec: Any) -> Any:
        pod = builders.pod("m", "", nodeName=name, **spec)
        pod["metadata"] |= {"annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": list(owners)}
        return pod

    itself = "an owner reference set to itself"
    for pod, why in (
        (mirror(), f'node "{name}" can only create pods with {itself}'),
        (mirror(owner, {**owner, "uid": "x", "controller": False}),
         f'node "{name}" can only create pods with a single owner reference set to itself'),
        (mirror({**owner, "kind": "Pod"}), f'node "{name}" can only create pods with {itself}'),
        (mirror({**owner, "controller": False}),
         f'node "{name}" can only create pods with a controller owner reference set to itself'),
        (mirror({**owner, "blockOwnerDeletion": True}),
         f'node "{name}" must not set blockOwnerDeletion on an owner reference'),
        (mirror({**owner, "uid": "x"}), f"node {name} UID mismatch: expected x got {made['metadata']['uid']}"),
        (mirror(owner, volumes=[{"name": "s", "configMap": {"name": "used"}}]),
         f'node "{name}" can not create pods that reference configmaps'),
        (mirror(owner, resourceClaims=[{"name": "c", "resourceClaimTemplateName": "t"}]),
         f'node "{name}" can not create pods that reference resourceclaims'),
    ):  # fmt: skip
        said = await api.why(403, "POST", f"{base}/pods", pod, who=name)
        assert said == f'pods "m" is forbidden: {why}'
    await api.ok("POST", f"{base}/pods", mirror(owner), who=name)
    labels = {"metadata": {"labels": {"a": "b"}}}
    said = await api.why(403, "PATCH", f"{base}/pods/m/status", labels, who=name, kind=MERGE)
    assert said.endswith(f'node "{name}" cannot update labels through pod status')
    await api.ok("DELETE", f"{base}/pods/m?gracePeriodSeconds=0", who=name)
    owned = {"metadata": {"ownerReferences": [owner]}}
    said = await api.why(403, "PATCH", f"/api/v1/nodes/{name}", owned, who=name, kind=MERGE)
    assert said.endswith(f'node "{name}" is not allowed to modify ownerReferences')


async def test_kubelets_ask_for_the_audiences_of_their_pods(api: Api) -> None:
    base = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{base}/serviceaccounts", {"metadata": {"name": "default"}})
    sources = [{"serviceAccountToken": {"audience": "vault", "path": "t"}}, {"serviceAccountToken": {"path": "u"}}]
    volumes = [{"name": "t", "projected": {"sources": sources}}]
    pod = await api.ok("POST", f"{base}/pods", builders.pod("p", "", nodeName="node-1", volumes=volumes))
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": pod["metadata"]["uid"]}
    path = f"{base}/serviceaccounts/default/token"

    def asked(*audiences: str) -> Any:
        return {"spec": {"audiences": list(audiences), "boundObjectRef": ref}}

    for audiences in ((), ("vault",)):
        await api.ok("POST", path, asked(*audiences), who="node-1")
    said = await api.why(403, "POST", path, asked("other"), who="node-1")
    assert said == (
        'serviceaccounts "default" is forbidden: audience "other" not found in pod spec volume, system:node:node-1 is '
        "not authorized to request tokens for this audience"
    )
    assert "may only request 0 or 1 audiences" in await api.why(403, "POST", path, asked("vault", "x"), who="node-1")
    await api.ok("GET", f"{base}/serviceaccounts/default", who="node-1")
    await api.refused(403, "GET", f"{base}/serviceaccounts/default", who="node-2")


async def test_kubelets_ask_for_certificates_of_their_own(api: Api) -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

    def asked(name: str) -> Any:
        pem = certificates.request(f"system:node:{name}", ["system:nodes"])
        usages = ["digital signature", "client auth"]
        return certificates.signing_request(name, pem, "kubernetes.io/kube-apiserver-client-kubelet", usages)

    await api.ok("POST", path, asked("node-1"), who="node-1")
    said = await api.why(403, "POST", path, asked("node-2"), who="node-1")
    assert said.endswith("can only create a node CSR with CN=system:node:node-1")


async def test_reviews_of_access(api: Api) -> None:
    namespace = await api.ns()
    await grant(api, namespace, "olga", rule("get list", "pods"), rule("get", "secrets", names="s"))
    path = f"{REVIEWS}/selfsubjectaccessreviews"

    async def may(verb: str, resource: str, where: str = namespace, name: str = "") -> Any:
        attributes = {"verb": verb, "resource": resource, "namespace": where, "name": name}
        return (await api.ok("POST", path, {"spec": {"resourceAttributes": attributes}}, who="olga"))["status"]

    said = await may("list", "pods")
    assert said["allowed"] is True
    assert said["reason"] == f'RBAC: allowed by RoleBinding "of-olga/{namespace}" of Role "of-olga" to User "olga"'
    assert await may("delete", "pods") == {"allowed": False}
    assert (await may("get", "secrets", name="s"))["allowed"]
    assert not (await may("get", "secrets"))["allowed"]
    assert not (await may("list", "pods", ""))["allowed"]
    asked = {"spec": {"user": "olga", "nonResourceAttributes": {"verb": "get", "path": "/version"}}}
    assert not (await api.ok("POST", f"{REVIEWS}/subjectaccessreviews", asked))["status"]["allowed"]
    asked["spec"]["groups"] = ["system:authenticated"]
    assert (await api.ok("POST", f"{REVIEWS}/subjectaccessreviews", asked))["status"]["allowed"]
    await api.refused(403, "POST", f"{REVIEWS}/subjectaccessreviews", asked, who="olga")


async def test_reviews_of_access_with_selectors(api: Api) -> None:
    path = f"{REVIEWS}/subjectaccessreviews"

    def asked(**more: Any) -> Any:
        attributes = {"verb": "list", "resource": "pods", "version": "v1", **more}
        return {"spec": {"user": "system:node:node-1", "groups": ["system:nodes"], "resourceAttributes": attributes}}

    requirement = {"key": "spec.nodeName", "operator": "In", "values": ["node-1"]}
    for selector in ({"requirements": [requirement]}, {"rawSelector": "spec.nodeName=node-1,status.phase=Running"}):
        assert (await api.ok("POST", path, asked(fieldSelector=selector)))["status"]["allowed"], selector
    for selector in ({"rawSelector": "spec.nodeName=node-2"}, {"requirements": [{**requirement, "operator": "NotIn"}]}):
        assert not (await api.ok("POST", path, asked(fieldSelector=selector)))["status"]["allowed"], selector
    status = (await api.ok("POST", path, asked(fieldSelector={"rawSelector": "spec.nodeName=node-1,x"})))["status"]
    assert not status["allowed"]
    assert status["evaluationError"] == "spec.resourceAttributes.fieldSelector ignored due to parse error"
    at = "spec.resourceAttributes.fieldSelector"
    for selector, why in (
        ({}, f"{at}.requirements: Required value: when {at} is specified, requirements or rawSelector is required"),
        ({"requirements": [requirement], "rawSelector": "a=b"},
         f'{at}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements'),
        ({"requirements": [{"key": "a", "operator": "In"}]},
         f"{at}.requirements[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"),
        ({"requirements": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
         f"{at}.requirements[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
    ):  # fmt: skip
        assert (await api.why(422, "POST", path, asked(fieldSelector=selector))).endswith(why)


async def test_reviews_of_rules(api: Api) -> None:
    namespace = await api.ns()
    await grant(api, namespace, "pete", rule("get list", "pods"), rule("get", "secrets", names="s"))
    path = f"{REVIEWS}/selfsubjectrulesreviews"
    found = (await api.ok("POST", path, {"spec": {"namespace": namespace}}, who="pete"))["status"]
    assert rule("get list", "pods") in found["resourceRules"]
    assert rule("get", "secrets", names="s") in found["resourceRules"]
    assert any("/healthz" in one["nonResourceURLs"] for one in found["nonResourceRules"])
    assert found["incomplete"] is False
    elsewhere = (await api.ok("POST", path, {"spec": {"namespace": "default"}}, who="pete"))["status"]
    assert rule("get list", "pods") not in elsewhere["resourceRules"]
    assert (await api.ok("POST", path, {"spec": {"namespace": "default"}}, who="node-1"))["status"]["incomplete"]
    assert await api.why(400, "POST", path, {"spec": {}}, who="pete") == "no namespace on request"


CLUSTER_ROLES = """
admin cluster-admin edit view system:aggregate-to-admin system:aggregate-to-edit system:aggregate-to-view
system:auth-delegator system:basic-user system:certificates.k8s.io:certificatesigningrequests:nodeclient
system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
system:certificates.k8s.io:kube-apiserver-client-approver
system:certificates.k8s.io:kube-apiserver-client-kubelet-approver system:certificates.k8s.io:kubelet-serving-approver
system:certificates.k8s.io:legacy-unknown-approver system:discovery system:heapster system:kube-aggregator
system:kube-controller-manager system:kube-dns system:kube-scheduler system:kubelet-api-admin system:monitoring
system:node system:node-bootstrapper system:node-problem-detector system:node-proxier
system:persistent-volume-provisioner system:public-info-viewer system:service-account-issuer-discovery
system:volume-scheduler
"""
CONTROLLERS = """
attachdetach-controller certificate-controller clusterrole-aggregation-controller cronjob-controller
daemon-set-controller deployment-controller disruption-controller endpoint-controller endpointslice-controller
endpointslicemirroring-controller ephemeral-volume-controller expand-controller generic-garbage-collector
horizontal-pod-autoscaler job-controller legacy-service-account-token-cleaner namespace-controller node-controller
persistent-volume-binder pod-garbage-collector pv-protection-controller pvc-protection-controller
replicaset-controller replication-controller resourcequota-controller root-ca-cert-publisher route-controller
service-account-controller service-controller statefulset-controller ttl-after-finished-controller ttl-controller
"""
CLUSTER_BINDINGS = """
cluster-admin system:basic-user system:discovery system:kube-controller-manager system:kube-dns system:kube-scheduler
system:monitoring system:node system:node-proxier system:public-info-viewer system:service-account-issuer-discovery
system:volume-scheduler
"""


async def test_the_roles_every_cluster_has(api: Api) -> None:
    controllers = {f"system:controller:{name}" for name in CONTROLLERS.split()}
    for plural, wanted in (
        ("clusterroles", {*CLUSTER_ROLES.split(), *controllers}),
        ("clusterrolebindings", {*CLUSTER_BINDINGS.split(), *controllers}),
    ):
        items = (await api.ok("GET", f"{ROLES}/{plural}"))["items"]
        found = {item["metadata"]["name"]: item for item in items}
        assert wanted - found.keys() == set()
        for name in wanted:
            metadata = found[name]["metadata"]
            assert metadata["labels"]["kubernetes.io/bootstrapping"] == "rbac-defaults"
            assert metadata["annotations"] == {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    roles = await api.ok("GET", f"{ROLES}/roles")
    names = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in roles["items"]}
    assert {
        ("kube-system", "extension-apiserver-authentication-reader"),
        ("kube-system", "system::leader-locking-kube-controller-manager"),
        ("kube-system", "system::leader-locking-kube-scheduler"),
        ("kube-system", "system:controller:bootstrap-signer"),
        ("kube-system", "system:controller:cloud-provider"),
        ("kube-system", "system:controller:token-cleaner"),
        ("kube-public", "system:controller:bootstrap-signer"),
    } <= names
