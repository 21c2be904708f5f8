"""Admission plugins that somebody has to turn on, through a server with nearly all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kybern.apiserver.admission.order import OFF_BY_DEFAULT
from kybern.apiserver.gates import GateOptions
from kybern.process.daemon import OperatorError
from tests.integration.apiserver.inprocess import MERGE, Api, serving
from tests.unit.apiserver_gates.webhook import ReviewServer

CONFIGURATION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  configuration:
    kind: Configuration
    apiVersion: eventratelimit.admission.k8s.io/v1alpha1
    limits: [{type: Namespace, qps: 1, burst: 2}, {type: Server, qps: 1000, burst: 1000}]
- name: PodNodeSelector
  configuration:
    podNodeSelectorPluginConfig:
      clusterDefaultNodeSelector: pool=common
      confined: disk=ssd,pool=common
- name: PodTolerationRestriction
  configuration:
    kind: Configuration
    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1
    default: [{key: shared, operator: Exists}]
"""


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    file = tmp_path_factory.mktemp("admission") / "admission.yaml"
    file.write_text(CONFIGURATION)
    wanted = sorted(OFF_BY_DEFAULT - {"AlwaysDeny", "ImagePolicyWebhook"})
    options = GateOptions(enable_admission_plugins=wanted, admission_control_config_file=file)
    async with serving(options) as made:
        yield made


def pod(name: str = "p", *, metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "i:1", **spec.pop("container", {})}
    return {"metadata": {"name": name, **(metadata or {})}, "spec": {"containers": [container], **spec}}


async def namespace(api: Api, name: str = "", **annotations: str) -> str:
    name = name or await api.ns()
    path = f"/api/v1/namespaces/{name}"
    await api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    marks = {f"scheduler.alpha.kubernetes.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    await api.ok("PATCH", path, {"metadata": {"annotations": marks}}, kind=MERGE)
    await api.ok("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
    return path


async def test_images_are_always_pulled(api: Api) -> None:
    path = await namespace(api)
    volume = {"name": "v", "image": {"reference": "i", "pullPolicy": "Never"}}
    made = await api.ok("POST", f"{path}/pods", pod(container={"imagePullPolicy": "Never"}, volumes=[volume]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert made["spec"]["volumes"][0]["image"]["pullPolicy"] == "Always"


async def test_external_addresses_of_services_can_be_kept_but_not_had(api: Api) -> None:
    path = await namespace(api)
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "externalIPs": ["192.0.2.1"]}}
    assert await api.why(403, "POST", f"{path}/services", service) == (
        'services "s" is forbidden: Use of external IPs is denied by admission control.'
    )
    del service["spec"]["externalIPs"]
    await api.ok("POST", f"{path}/services", service)


async def test_events_are_limited(api: Api) -> None:
    path = await namespace(api)
    name = path.rpartition("/")[2]
    event = {"involvedObject": {"kind": "Pod", "namespace": name, "name": "p"}, "reason": "R", "type": "Normal"}
    for number in range(2):
        await api.ok("POST", f"{path}/events", {"metadata": {"name": f"e{number}"}, **event})
    status = await api.refused(429, "POST", f"{path}/events", {"metadata": {"name": "e2"}, **event})
    assert status["message"].endswith(f"Too many requests: limit reached on type Namespace for key {name}")
    await api.ok("POST", f"{path}/events?dryRun=All", {"metadata": {"name": "e2"}, **event})


async def test_pods_tolerate_what_their_devices_and_namespaces_need(api: Api) -> None:
    path = await namespace(api)
    resources = {"limits": {"x.io/gpu": "1"}, "requests": {"x.io/gpu": "1", "cpu": "1"}}
    made = await api.ok("POST", f"{path}/pods", pod(container={"resources": resources}))
    added = {one["key"]: (one["operator"], one.get("effect")) for one in made["spec"]["tolerations"]}
    assert added["x.io/gpu"] == ("Exists", "NoSchedule")
    assert added["shared"] == ("Exists", None)
    assert added["node.kubernetes.io/memory-pressure"] == ("Exists", "NoSchedule")
    path = await namespace(api, defaultTolerations="", tolerationsWhitelist='[{"key": "a", "operator": "Exists"}]')
    assert "conflict with its namespace whitelist" in await api.why(
        403, "POST", f"{path}/pods", pod(tolerations=[{"key": "b", "operator": "Exists"}])
    )
    path = await namespace(api, defaultTolerations="{}")
    assert "defaultTolerations is no list of tolerations" in await api.why(403, "POST", f"{path}/pods", pod())


async def test_pods_may_insist_to_be_apart_by_node_only(api: Api) -> None:
    path = await namespace(api)
    term = {"labelSelector": {}, "topologyKey": "topology.kubernetes.io/zone"}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert await api.why(403, "POST", f"{path}/pods", pod(affinity=affinity)) == (
        'pods "p" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey '
        "topology.kubernetes.io/zone but only key kubernetes.io/hostname is allowed"
    )


async def test_namespaces_are_made_for_what_is_made_in_them(api: Api) -> None:
    path = "/api/v1/namespaces/provided"
    assert (await api.ask("POST", f"{path}/configmaps?dryRun=All", {"metadata": {"name": "m"}}))[0] == 404
    await api.ok("POST", f"{path}/configmaps", {"metadata": {"name": "m"}})
    assert (await api.ok("GET", path))["status"]["phase"] == "Active"
    assert await api.why(404, "DELETE", "/api/v1/namespaces/nowhere/configmaps/m")


async def test_who_gives_an_object_an_owner_may_delete_it(api: Api) -> None:
    path = await namespace(api)
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]}]
    roles = path.replace("/api/v1", "/apis/rbac.authorization.k8s.io/v1")
    await api.ok("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": rules})
    await api.ok("POST", f"{roles}/rolebindings", {
        "metadata": {"name": "r"},
        "subjects": [{"kind": "User", "name": "joe", "apiGroup": "rbac.authorization.k8s.io"}],
        "roleRef": {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"},
    })  # fmt: skip
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "blockOwnerDeletion": True}
    owned = {"metadata": {"name": "m", "ownerReferences": [owner]}}
    assert await api.why(403, "POST", f"{path}/configmaps", owned, who="joe") == (
        'configmaps "m" is forbidden: cannot set an ownerRef on a resource you can\'t delete: , <nil>'
    )
    await api.ok("POST", f"{path}/configmaps", {"metadata": {"name": "m"}}, who="joe")
    more = [{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]
    await api.ok("PATCH", f"{roles}/roles/r", more, kind="application/json-patch+json")
    assert "an ownerReference refers to a resource you can't set finalizers on: , <nil>" in await api.why(
        403, "PATCH", f"{path}/configmaps/m", owned, who="joe", kind=MERGE
    )
    owner["blockOwnerDeletion"] = False
    await api.ok("PATCH", f"{path}/configmaps/m", owned, who="joe", kind=MERGE)


async def test_namespaces_choose_the_nodes_of_their_pods(api: Api) -> None:
    path = await namespace(api)
    assert (await api.ok("POST", f"{path}/pods", pod()))["spec"]["nodeSelector"] == {"pool": "common"}
    path = await namespace(api, node_selector="env=test")
    made = await api.ok("POST", f"{path}/pods", pod(nodeSelector={"disk": "ssd"}))
    assert made["spec"]["nodeSelector"] == {"env": "test", "disk": "ssd"}
    assert "conflicts with its namespace node label selector" in await api.why(
        403, "POST", f"{path}/pods", pod("q", nodeSelector={"env": "prod"})
    )
    path = await namespace(api, "confined")
    await api.ok("POST", f"{path}/pods", pod(nodeSelector={"disk": "ssd"}))
    assert "labels conflict with its namespace whitelist" in await api.why(
        403, "POST", f"{path}/pods", pod("q", nodeSelector={"disk": "hdd"})
    )


async def test_pods_get_the_topology_of_their_node(api: Api) -> None:
    zone = {"topology.kubernetes.io/zone": "z", "topology.kubernetes.io/region": "r"}
    await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n", "labels": {**zone, "other": "x"}}})
    path = await namespace(api)
    made = await api.ok("POST", f"{path}/pods", pod(nodeName="n", metadata={"labels": {"a": "b"}}))
    assert made["metadata"]["labels"] == {"a": "b", **zone}
    await api.ok("POST", f"{path}/pods", pod("q"))
    binding = {"metadata": {"name": "q"}, "target": {"kind": "Node", "name": "n"}}
    await api.ok("POST", f"{path}/pods/q/binding", binding)
    assert (await api.ok("GET", f"{path}/pods/q"))["metadata"]["labels"] == zone


async def test_all_can_be_denied() -> None:
    async with serving(GateOptions(enable_admission_plugins=["AlwaysDeny"])) as api:
        assert await api.why(403, "POST", "/api/v1/namespaces", {"metadata": {"name": "n"}}) == (
            'namespaces "n" is forbidden: admission control is denying all modifications'
        )
        await api.ok("GET", "/api/v1/namespaces/default")


@pytest.mark.parametrize(
    ("plugin", "configuration", "said"),
    [
        ("EventRateLimit", "{kind: Limits}", "must be Configuration in eventratelimit.admission.k8s.io/v1alpha1"),
        ("PodNodeSelector", "podNodeSelectorPluginConfig: {a: b}", "invalid selector"),
        ("PodSecurity", "{kind: PodSecurityConfiguration, apiVersion: v1}", "must be PodSecurityConfiguration"),
    ],
)
async def test_bad_configurations_are_operators_errors(
    tmp_path: Path, plugin: str, configuration: str, said: str
) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\n"
        f"plugins:\n- name: {plugin}\n  configuration:\n    {configuration}\n"
    )
    options = GateOptions(enable_admission_plugins=[plugin], admission_control_config_file=file)
    with pytest.raises(OperatorError, match=said):
        async with serving(options):
            pass


ODD: list[dict[str, Any]] = [
    {},
    {"containers": None},
    {"containers": [{}], "initContainers": [{}], "volumes": [{}], "tolerations": [{}], "imagePullSecrets": [{}]},
    {"containers": [{"name": "c", "image": "i"}], "volumes": [{}, {"projected": {}}, {"secret": {}}]},
    {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"": "1", "a/b/c": "1"}, "limits": None}}]},
    {
        "containers": [{"name": "c", "image": "i", "env": [{}], "envFrom": [{}], "volumeMounts": [{}], "ports": [{}]}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}},
        "securityContext": {"sysctls": [{}], "seLinuxOptions": {}, "seccompProfile": {}, "appArmorProfile": {}},
    },
]


async def test_odd_pods_are_the_clients_errors(api: Api) -> None:
    path = await namespace(api)
    marks = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    await api.ok("PATCH", path, {"metadata": {"labels": marks}}, kind=MERGE)
    limits = [{"type": "Container", "default": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "3", "memory": "1Gi"}}]
    await api.ok("POST", f"{path}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    workloads = path.replace("/api/v1", "/apis/apps/v1")
    for spec in ODD:
        for marked in ({}, {"kubernetes.io/config.mirror": "x"}):
            made = {"metadata": {"name": "p", "annotations": marked}, "spec": spec}
            assert (await api.ask("POST", f"{path}/pods", made))[0] in (400, 403, 422), made
        template = {"metadata": {"labels": {"a": "b"}}, "spec": spec}
        replicas = {"metadata": {"name": "r"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
        assert (await api.ask("POST", f"{workloads}/replicasets", replicas))[0] in (400, 422), spec
    for text in ('[{"key": 5}]', "[1]", '{"a"', "null", '[{"tolerationSeconds": "x"}]', '[{"operator": [1]}]'):
        path = await namespace(api, defaultTolerations=text)
        assert await api.why(403, "POST", f"{path}/pods", pod())


async def test_a_webhook_decides_about_images(tmp_path: Path) -> None:
    def decide(spec: Any) -> Any:
        images = [container["image"] for container in spec["containers"]]
        bad = [image for image in images if "latest" in image]
        return {"allowed": not bad, "reason": "no latest, please", "auditAnnotations": {"seen": "1"}}

    server = await ReviewServer(tmp_path, decide).start()
    try:
        for default_allow in (False, True):
            file = tmp_path / "admission.yaml"
            settings = {"kubeConfigFile": str(server.kubeconfig), "defaultAllow": default_allow, "retryBackoff": 1}
            plugins = [{"name": "ImagePolicyWebhook", "configuration": {"imagePolicy": settings}}]
            head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration"}
            file.write_text(yaml.safe_dump({**head, "plugins": plugins}))
            options = GateOptions(enable_admission_plugins=["ImagePolicyWebhook"], admission_control_config_file=file)
            async with serving(options) as api:
                await _images_are_judged(api, server, default_allow)
    finally:
        await server.stop()


async def _images_are_judged(api: Api, server: ReviewServer, default_allow: bool) -> None:
    path = await namespace(api)
    server.asked.clear()
    server.code = 200
    marked = {"annotations": {"my.image-policy.k8s.io/ticket": "7", "other": "x"}}
    await api.ok("POST", f"{path}/pods", pod(metadata=marked))
    assert server.asked[0]["apiVersion"] == "imagepolicy.k8s.io/v1alpha1"
    assert server.asked[0]["spec"] == {
        "containers": [{"image": "i:1"}], "namespace": path.rpartition("/")[2],
        "annotations": {"my.image-policy.k8s.io/ticket": "7"},
    }  # fmt: skip
    await api.ok("POST", f"{path}/pods", pod("again", metadata=marked))
    assert len(server.asked) == 1
    assert await api.why(403, "POST", f"{path}/pods", pod("q", container={"image": "i:latest"})) == (
        'pods "q" is forbidden: image policy webhook backend denied one or more images: no latest, please'
    )
    server.code = 500
    if default_allow:
        made = await api.ok("POST", f"{path}/pods", pod("r"))
        assert made["metadata"]["annotations"] == {"alpha.image-policy.k8s.io/failed-open": "true"}
    else:
        assert "an error on the server" in await api.why(403, "POST", f"{path}/pods", pod("r"))
