"""Manifests of static pods: what the server's own validation and each program's own flags say to them."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from kybern.__main__ import COMMANDS
from kybern.api.types import Object
from kybern.cluster import audit_policy
from kybern.cluster.bootstrap import manifests, preflight
from kybern.cluster.layout import JOINED, Layout, Settings
from kybern.kubelet.sources.files import FileSource

LAYOUT = Layout(Path("/var/lib/kybern"))
SETTINGS = Settings("one", "192.0.2.10", role=JOINED, server="api.example.org:6443", cluster_cidr="10.9.0.0/16")
CLOUD = manifests.cloud_controller_manager(LAYOUT, SETTINGS, "local", "/etc/cloud.yaml")
CONTROL_PLANE = [*manifests.control_plane(LAYOUT, SETTINGS, "24h0m0s"), CLOUD]
ETCD = manifests.etcd(LAYOUT, SETTINGS)


def name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def command(pod: Object) -> list[str]:
    found: list[str] = pod["spec"]["containers"][0]["command"]
    return found


@pytest.mark.parametrize("pod", CONTROL_PLANE, ids=name)
def test_programs_take_their_flags(pod: Object) -> None:
    python, _, _, component, *flags = command(pod)
    assert python == "python3"
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    importlib.import_module(COMMANDS[component][0]).add_flags(parser)
    assert parser.parse_known_args(flags)[1] == []


@pytest.mark.parametrize("pod", [*CONTROL_PLANE, ETCD], ids=name)
def test_every_file_named_is_mounted(pod: Object) -> None:
    mounted = [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]]
    paths = [flag.partition("=")[2] for flag in command(pod) if flag.partition("=")[2].startswith("/")]
    assert paths
    for path in paths:
        assert any(Path(path).is_relative_to(one) for one in mounted), path


def test_the_api_server_writes_down_who_asked_for_what() -> None:
    (server,) = (pod for pod in CONTROL_PLANE if name(pod) == "kube-apiserver")
    flags = dict(flag.split("=", 1) for flag in command(server) if "=" in flag)
    writable = [m["mountPath"] for m in server["spec"]["containers"][0]["volumeMounts"] if not m.get("readOnly")]
    assert writable == [str(Path(flags["--audit-log-path"]).parent)]
    assert flags["--audit-policy-file"] == str(audit_policy.path(LAYOUT))


@pytest.mark.parametrize("cloud", ["", "external"])
def test_each_port_of_a_control_plane_is_looked_at_before(cloud: str) -> None:
    known = preflight.ports(replace(SETTINGS, cloud_provider=cloud), control_plane=True)
    listening = [flag.partition("=")[2] for flag in command(ETCD) if flag.startswith("--listen-")]
    urls = [url for flag in listening for url in flag.split(",")]
    probed = [
        probe["httpGet"]["port"]
        for pod in (CONTROL_PLANE if cloud else CONTROL_PLANE[:-1])
        for probe in [pod["spec"]["containers"][0]["livenessProbe"]]
    ]
    assert {*(int(url.rpartition(":")[2]) for url in urls), *probed} <= set(known)


def test_the_kubelet_reads_what_was_written(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    manifests.write(layout, [*CONTROL_PLANE, ETCD])
    source = FileSource(str(layout.manifests), "one", lambda *_: None)
    pods = {pod["metadata"]["name"]: pod for pod in source.read()}
    assert set(pods) == {
        f"{pod}-one"
        for pod in ("cloud-controller-manager", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    }
    assert all(pod["spec"]["hostNetwork"] for pod in pods.values())
    assert yaml.safe_load((layout.manifests / "etcd.yaml").read_text()) == ETCD


def test_the_first_member_founds_and_others_join() -> None:
    assert "--initial-cluster=one=https://192.0.2.10:2380" in command(ETCD)
    joining = ["--name=one", "--initial-cluster=zero=https://192.0.2.9:2380,one=https://192.0.2.10:2380",
               "--initial-cluster-state=existing"]  # fmt: skip
    flags = command(manifests.etcd(LAYOUT, SETTINGS, joining))
    assert set(joining) <= set(flags)
    assert len({flag.partition("=")[0] for flag in flags}) == len(flags)
