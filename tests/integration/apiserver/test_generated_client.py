"""The official Python client, generated from upstream's OpenAPI: every method of every group that is served.

Each resource is created, read, listed, patched, replaced and deleted through the methods generated for it, and so are
its parts. What a class has besides (watches are lists; proxies and streams need nodes) is listed at the end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.integration.apiserver.conftest import TOKEN, Kubectl
from tests.integration.apiserver.minimal import minimal

NAMESPACE = "generated"
PATCHED = {"metadata": {"labels": {"patched": "yes"}}}
ELSEWHERE = re.compile(r"^(connect_|close$)|_(log|exec|attach|portforward|proxy)$")
"""Methods that other tests are about: they need a node; and what the client has besides."""
NEWER = re.compile(
    "_cluster_trust_bundle|_pod_certificate_request|_csi_node_status|_device_taint_rule|_admission_policy"
)
"""Of versions after v1.36, which newer clients know."""


def snake(kind: str) -> str:
    """How the client's generator writes a kind."""
    return re.sub("([a-z0-9])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()


def class_name(group: str, version: str) -> str:
    words = group.removesuffix(".k8s.io").split(".") if group else ["core"]
    return "".join(word.capitalize() for word in [*words, version]) + "Api"


class Methods:
    """The methods of one generated class, called with plain dicts; remembers which have been."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self.called: set[str] = set()
        self.names = {
            name for name in dir(api)
            if name[0] != "_" and not name.endswith("_with_http_info") and callable(getattr(api, name))
            and not isinstance(getattr(api, name), client.ApiClient)
        }  # fmt: skip

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def call(self, method: str, *arguments: Any, **more: Any) -> Any:
        self.called.add(method)
        made = getattr(self.api, method)(*arguments, **more)
        raw = "_preload_content" in more
        return None if raw else self.api.api_client.sanitize_for_serialization(made)


@pytest.fixture(scope="module")
def connection(apiserver: Kubectl) -> Iterator[Any]:
    configuration = client.Configuration(host=apiserver.server)
    configuration.verify_ssl = False
    configuration.api_key = {"authorization": f"Bearer {TOKEN}", "BearerToken": f"Bearer {TOKEN}"}
    made = client.ApiClient(configuration)
    core = client.CoreV1Api(made)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "default"}})
    yield made
    core.delete_namespace(NAMESPACE)
    made.close()


class Exercise:
    """One resource through all its generated methods."""

    def __init__(
        self, methods: Methods, group: str, version: str, kind: str, parts: list[str], *, namespaced: bool
    ) -> None:
        self.methods, self.kind, self.parts = methods, kind, parts
        self.stem = f"namespaced_{snake(kind)}" if namespaced else snake(kind)
        self.at = [NAMESPACE] if namespaced else []
        self.object = minimal(group, version, kind, f"generated-{kind.lower()}", *self.at)
        self.name = self.object["metadata"]["name"]

    def has(self, verb: str, part: str = "") -> bool:
        return f"{verb}_{self.stem}{part}" in self.methods

    def call(self, verb: str, *arguments: Any, part: str = "", **more: Any) -> Any:
        return self.methods.call(f"{verb}_{self.stem}{part}", *arguments, **more)

    def run(self) -> None:
        made = self.call("create", *self.at, self.object)
        if not self.has("read"):
            assert made.get("status") or self.kind == "Binding", made
            return
        assert made["metadata"]["uid"], made
        self.read_and_listed()
        self.written()
        for part in self.parts:
            if self.has("read", part) and not ELSEWHERE.search(part):
                self.part(part)
        self.deleted()

    def read_and_listed(self) -> None:
        assert self.call("read", self.name, *self.at)["metadata"]["name"] == self.name
        listed = self.call("list", *self.at)
        assert self.name in [item["metadata"]["name"] for item in listed["items"]]
        everywhere = f"list_{snake(self.kind)}_for_all_namespaces"
        if everywhere in self.methods:
            listed = self.methods.call(everywhere, field_selector=f"metadata.name={self.name}")
            assert [item["metadata"]["namespace"] for item in listed["items"]] == [NAMESPACE]

    def written(self) -> None:
        patched = self.call("patch", self.name, *self.at, PATCHED)
        assert patched["metadata"]["labels"]["patched"] == "yes"
        replaced = self.replaced("", {"replaced": "yes"})
        assert replaced["metadata"]["labels"].items() >= {"patched": "yes", "replaced": "yes"}.items()

    def part(self, part: str) -> None:
        """A subresource that is read, patched and replaced: status, scale, approval, ..."""
        assert self.call("read", self.name, *self.at, part=part)["metadata"]["name"] == self.name
        if self.has("patch", part):
            self.call("patch", self.name, *self.at, {"metadata": {}}, part=part)
        if self.has("replace", part):
            assert self.replaced(part, {})["metadata"]["name"] == self.name

    def replaced(self, part: str, labels: dict[str, str]) -> Any:
        """Read, changed and written back; again where the server itself wrote in between."""
        while True:
            current = self.call("read", self.name, *self.at, part=part)
            if labels:
                current["metadata"]["labels"] |= labels
            try:
                return self.call("replace", self.name, *self.at, current, part=part)
            except ApiException as error:
                if error.status != 409:
                    raise

    def deleted(self) -> None:
        self.call("delete", self.name, *self.at, grace_period_seconds=0, propagation_policy="Background")
        self.gone()
        if self.has("delete_collection"):
            self.call("create", *self.at, self.object)
            self.call("delete_collection", *self.at, field_selector=f"metadata.name={self.name}",
                      grace_period_seconds=0)  # fmt: skip
            self.gone()

    def gone(self) -> None:
        """Gone; or, where controllers or finalizers have a say, going, which is then cut short."""
        try:
            left = self.call("read", self.name, *self.at)
            assert left["metadata"].get("deletionTimestamp"), left
            self.call("patch", self.name, *self.at, {"metadata": {"finalizers": None}})
        except ApiException as error:
            assert error.status == 404, error


def other_methods(methods: Methods, version: str) -> None:
    """Methods that create parts of objects, or say what is served."""
    if "get_api_resources" in methods:
        assert methods.call("get_api_resources")["resources"]
    if version == "v1" and "create_namespaced_pod_binding" in methods:
        pod = minimal("", "v1", "Pod", "parts", NAMESPACE)
        methods.call("create_namespaced_pod", NAMESPACE, pod)
        binding = {"metadata": {"name": "parts"}, "target": {"kind": "Node", "name": "n"}}
        methods.call("create_namespaced_pod_binding", "parts", NAMESPACE, binding, _preload_content=False)
        pod["metadata"]["name"] = "bound"
        methods.call("create_namespaced_pod", NAMESPACE, pod)
        binding["metadata"]["name"] = "bound"
        methods.call("create_namespaced_binding", NAMESPACE, binding, _preload_content=False)
        eviction = {"metadata": {"name": "parts", "namespace": NAMESPACE}}
        methods.call("create_namespaced_pod_eviction", "parts", NAMESPACE, eviction, _preload_content=False)
        account = minimal("", "v1", "ServiceAccount", "holder", NAMESPACE)
        methods.call("create_namespaced_service_account", NAMESPACE, account)
        token = methods.call(
            "create_namespaced_service_account_token", "holder", NAMESPACE, {"spec": {"audiences": []}}
        )
        assert token["status"]["token"].count(".") == 2
        namespace = methods.call("read_namespace", NAMESPACE)
        assert methods.call("replace_namespace_finalize", NAMESPACE, namespace)["spec"]["finalizers"]
        assert methods.call("list_component_status")["items"]
        assert methods.call("read_component_status", "etcd-0")["conditions"]


def served(apiserver: Kubectl) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(group, version, resources) of what the server has."""

    def get(path: str) -> Any:
        return json.loads(apiserver.out("get", "--raw", path))

    yield "", "v1", get("/api/v1")["resources"]
    for group in get("/apis")["groups"]:
        for version in group["versions"]:
            yield group["name"], version["version"], get(f"/apis/{version['groupVersion']}")["resources"]


def test_every_generated_method(apiserver: Kubectl, connection: Any) -> None:
    wrong: dict[str, str] = {}
    classes = 0
    for group, version, resources in served(apiserver):
        generated = getattr(client, class_name(group, version), None)
        if generated is None:
            continue
        classes += 1
        methods = Methods(generated(connection))
        for resource in resources:
            if "/" in resource["name"] or resource["kind"] in ("Binding", "ComponentStatus"):
                continue
            whole = f"{resource['name']}/"
            parts = [f"_{one['name'].removeprefix(whole)}" for one in resources if one["name"].startswith(whole)]
            exercise = Exercise(methods, group, version, resource["kind"], parts, namespaced=resource["namespaced"])
            try:
                exercise.run()
            except (ApiException, AssertionError, AttributeError, ValueError) as error:
                wrong[f"{group}/{version} {resource['kind']}"] = str(error)
        other_methods(methods, version)
        for name in sorted(methods.names - methods.called - {"api_client"}):
            if not ELSEWHERE.search(name) and not NEWER.search(name):
                wrong[f"{class_name(group, version)}.{name}"] = "not called"
    assert not wrong, "\n".join(f"{where}: {what[:1500]}" for where, what in wrong.items())
    assert classes >= 20
