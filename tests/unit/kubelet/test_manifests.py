"""Manifests of static pods: what is made of them, and what is refused instead of harming the kubelet."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.kubelet.sources.base import BadManifest, parse, static_pod
from kybern.kubelet.sources.files import FileSource

GOOD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: x:1}]}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "yaml"),
        ("- 1", "array"),
        ("kind: PodList\nitems: [1]", "not a pod: 1"),
        ("kind: PodList\nitems: {a: 1}", "items is no list"),
        ("kind: Service\nmetadata: {name: web}", "not a pod: Service"),
        ("kind: Pod\nmetadata: web\nspec: {}", "metadata"),
        ("kind: Pod\nspec: {containers: [{name: c}]}", "metadata.name: Required value"),
        ("kind: Pod\nmetadata: {name: web}\nspec: {}", "spec.containers: Required value"),
        ("kind: Pod\nmetadata: {name: web}\nspec: {containers: [c]}", "containers"),
        ("kind: Pod\nmetadata: {name: web}\nspec: {containers: {a: b}}", "containers"),
        (GOOD.replace("{name: web}", "{name: web, labels: {1: 2}}"), "labels"),
        (GOOD.replace("{name: web}", "{name: web, annotations: [1]}"), "annotations"),
        (GOOD.replace("x:1", "x:1, ports: [1]"), "ports"),
        (GOOD.replace("{name: web}", "{name: Web_1}"), "metadata.name: Invalid value"),
        (GOOD.replace(", image: x:1", ""), "spec.containers[0].image: Required value"),
        (GOOD.replace("x:1", "x:1, volumeMounts: [{name: v, mountPath: /v}]"), 'volumeMounts[0].name: Not found: "v"'),
    ],
)
def test_a_bad_manifest_is_refused_with_its_reason(text: str, said: str) -> None:
    with pytest.raises(BadManifest) as refused:
        for manifest in parse(text):
            static_pod(manifest, "/m/a.yaml", "file", "node1")
    assert said.lower() in str(refused.value).lower()


def test_a_bad_file_does_not_keep_others_from_being_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Pod\nmetadata: {name: web}\nspec: {containers: [c]}")
    (tmp_path / "b.yaml").write_text(GOOD)
    (pod,) = FileSource(str(tmp_path), "node1", lambda *_: None).read()
    assert pod["metadata"]["name"] == "web-node1"


def test_a_static_pod_has_the_defaults_of_the_api() -> None:
    text = GOOD.replace("{containers", "{hostNetwork: true, containers")
    text = text.replace("x:1", "x:1, ports: [{containerPort: 80}], livenessProbe: {tcpSocket: {port: 80}}")
    (manifest,) = parse(text)
    pod = static_pod(manifest, "/m/a.yaml", "file", "node1")
    spec = pod["spec"]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"], spec["nodeName"]) == ("Always", 30, "node1")
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]
    assert spec["containers"][0]["livenessProbe"]["failureThreshold"] == 3
    assert pod["metadata"]["namespace"] == "default"
    assert pod["metadata"]["name"] == "web-node1"
    assert {"operator": "Exists", "effect": "NoExecute"} in spec["tolerations"]
    again = static_pod(manifest, "/m/a.yaml", "file", "node1")
    assert again["metadata"]["uid"] == pod["metadata"]["uid"]
    assert static_pod(manifest, "/m/b.yaml", "file", "node1")["metadata"]["uid"] != pod["metadata"]["uid"]
