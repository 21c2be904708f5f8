"""What `init` leaves in a cluster for those who join, and what `join` and `init` refuse before they change anything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from kybern.api.errors import Forbidden
from kybern.client.kubeconfig import ClientConfig, connect, load
from kybern.client.rest import Client
from kybern.cluster import joining
from kybern.cluster.bootstrap import certificates, discovery, join, manifests, objects, pods, shared
from kybern.cluster.bootstrap.objects import ClusterConfig
from kybern.cluster.layout import JOINED, Layout, Settings
from kybern.process.daemon import OperatorError
from kybern.store.etcd_client import Tls
from kybern.testing.builders import node, pod
from kybern.testing.etcd import EtcdServers
from tests.integration.joining.conftest import ControlPlane

CONFIG = ClusterConfig("api.example.org:6443", "10.244.0.0/16", "10.96.0.0/12", "cluster.local", "24h0m0s", "", ("x",))
SETTINGS = Settings("one", "192.0.2.10", role=JOINED, server="api.example.org:6443")


@pytest.fixture(scope="module")
def token(plane: ControlPlane) -> str:
    return plane.token("create").stdout.splitlines()[0]


@pytest.fixture
async def admin(plane: ControlPlane) -> AsyncIterator[Client]:
    client = connect(load(plane.admin), "test")
    yield client
    await client.close()


def address(plane: ControlPlane) -> str:
    return plane.server.removeprefix("https://")


def digest(plane: ControlPlane) -> str:
    return joining.ca_hash(Path(plane.ca).read_bytes())


async def joiner(plane: ControlPlane, token: str) -> Client:
    return connect(await discovery.discover(address(plane), token, [digest(plane)]), "test")


async def test_a_token_and_a_hash_find_the_cluster(plane: ControlPlane, token: str) -> None:
    wanted = ClientConfig(plane.server, Path(plane.ca).read_bytes(), token=token)
    assert await discovery.discover(address(plane), token, [digest(plane)]) == wanted
    assert await discovery.discover(address(plane), token, []) == wanted


async def test_holders_of_tokens_read_how_the_cluster_is_set_up(plane: ControlPlane, token: str, admin: Client) -> None:
    for _ in range(2):  # again changes nothing
        await objects.apply(admin, [CONFIG.config_map(), objects.administrators(), *objects.for_joiners()])
    client = await joiner(plane, token)
    try:
        found = await client.resource("v1", "configmaps").get(objects.CONFIG_MAP, objects.NAMESPACE)
        assert ClusterConfig.read(found) == CONFIG
        with pytest.raises(Forbidden):
            await client.resource("v1", "configmaps").get("extension-apiserver-authentication", objects.NAMESPACE)
    finally:
        await client.close()


async def test_keys_come_through_encrypted(plane: ControlPlane, token: str, admin: Client, tmp_path: Path) -> None:
    layout, key = Layout(tmp_path), shared.generate_key()
    layout.make()
    certificates.make(layout, SETTINGS)
    await shared.upload(admin, layout, key)
    secret = plane.get("secret", "-n", "kube-system", objects.CERTS_SECRET)
    assert set(secret["data"]) >= {"ca.key", "etcd-ca.key", "front-proxy-ca.crt", "sa.pub"}
    (owner,) = secret["metadata"]["ownerReferences"]
    assert "expiration" in plane.get("secret", "-n", "kube-system", owner["name"])["data"]
    client = await joiner(plane, token)
    try:
        files = await shared.download(client, key)
        with pytest.raises(OperatorError, match="not the one that"):
            await shared.download(client, shared.generate_key())
    finally:
        await client.close()
    assert files == {name: (layout.pki / name).read_bytes() for name in certificates.SHARED}


async def test_a_member_of_etcd_of_the_same_name_is_found_before_anything_is_kept(
    plane: ControlPlane, admin: Client, tmp_path: Path
) -> None:
    settings, layout = replace(SETTINGS, server=address(plane)), Layout(tmp_path)
    layout.make()
    for name in ("ca.crt", "ca.key"):
        shutil.copy(Path(plane.ca).with_name(name), layout.pki)
    certificates.make(layout, settings)
    keys = {name: (layout.pki / name).read_bytes() for name in certificates.SHARED}
    pki = layout.pki / "etcd"
    servers = EtcdServers(tmp_path, tls=Tls(str(pki / "ca.crt"), str(pki / "server.crt"), str(pki / "server.key")))
    try:
        await servers.start_all(servers.tls)
        member = pod("etcd-m0", "kube-system", labels={"component": "etcd"})
        member["metadata"]["annotations"] = {manifests.ETCD_URLS: servers.location}
        await objects.apply(admin, [objects.administrators()])
        await admin.resource("v1", "pods").create(member)
        await join.check_member(replace(settings, node_name="m1"), keys)
        with pytest.raises(OperatorError, match="etcd has a member m0 already; `kybern etcd member remove m0`"):
            await join.check_member(replace(settings, node_name="m0"), keys)
    finally:
        servers.stop()
        plane.kubectl("delete", "pod", "-n", "kube-system", "etcd-m0", "--force", "--ignore-not-found")


async def test_the_server_takes_what_every_cluster_runs(plane: ControlPlane, admin: Client) -> None:
    for _ in range(2):
        await objects.apply(admin, pods.wanted(SETTINGS))
    names = plane.kubectl("get", "daemonsets,deployments,services", "-n", "kube-system", "-o", "name").split()
    assert names == [
        "daemonset.apps/kube-proxy", "daemonset.apps/kybern-network", "deployment.apps/kube-dns", "service/kube-dns",
    ]  # fmt: skip
    service = plane.get("service", "-n", "kube-system", "kube-dns")["spec"]
    assert (service["clusterIP"], service["selector"]) == ("10.96.0.10", {"k8s-app": "kube-dns"})
    who = "--as=system:serviceaccount:kube-system:kube-proxy"
    assert plane.kubectl("auth", "can-i", "watch", "endpointslices", who) == "yes"


def test_the_token_command_says_what_to_type(plane: ControlPlane) -> None:
    words = plane.token("create", "--print-join-command").stdout.split()
    assert words[:4] == ["kybern", "join", address(plane), "--token"]
    assert words[4] in plane.token("list").stdout
    assert words[5:] == ["--discovery-token-ca-cert-hash", digest(plane)]


def refusal(*words: str) -> str:
    """The one line a command refuses with."""
    done = subprocess.run([sys.executable, "-m", "kybern", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("kybern")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_join_refuses_before_it_changes_anything(plane: ControlPlane, token: str, tmp_path: Path) -> None:
    plane.kubectl("apply", "-f", "-", stdin=CONFIG.config_map())
    for made in (*objects.for_joiners(), *objects.for_control_planes(), node("taken")):
        plane.kubectl("apply", "-f", "-", stdin=made)
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    plane.kubectl("patch", "node", "taken", "--subresource=status", "-p", json.dumps(ready))
    at, ca = address(plane), f"--discovery-token-ca-cert-hash={digest(plane)}"
    wrong = f"{token[:-1]}{'a' if token[-1] != 'a' else 'b'}"
    planes = ["--control-plane", f"--certificate-key={'0' * 64}"]
    for words, said in (
        ([at, f"--token={wrong}", ca], "can't prove that it knows the token"),
        ([at, "--token=nobody.0123456789abcdef", ca], 'knows no token "nobody"'),
        ([at, "--token=nobody", ca], 'the bootstrap token "nobody" was not of the form'),
        ([at, f"--token={token}", f"--discovery-token-ca-cert-hash=sha256:{'0' * 64}"], "has the hash sha256:"),
        ([at, f"--token={token}", "--discovery-token-ca-cert-hash=sha256:00"], "is not like sha256:HEX"),
        ([at, f"--token={token}"], "--discovery-token-ca-cert-hash tells the right cluster from a false one"),
        (["127.0.0.1:1", f"--token={token}", ca], "is 127.0.0.1:1 the address of an API server?"),
        (["nowhere", f"--token={token}", ca], "nowhere is not HOST:PORT"),
        ([at, f"--token={token}", ca, "--node-name=taken"], 'name "taken" and status "Ready" already exists'),
        ([at, f"--token={token}", ca, "--control-plane"], "--control-plane needs --certificate-key"),
        ([at, f"--token={token}", ca, *planes[:1], "--certificate-key=zz"], "must be 64 hexadecimal digits"),
        ([at, f"--token={token}", ca, *planes], "certificate"),
    ):
        assert said in refusal("join", f"--data-dir={tmp_path / 'd'}", *words)
    assert not (tmp_path / "d").exists()
    plane.kubectl("delete", "node", "taken")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--cluster-cidr=10.96.0.0/16"], "--cluster-cidr 10.96.0.0/16 and --service-cidr 10.96.0.0/12 overlap"),
        (["--cluster-cidr=192.0.2.0/24"], "the node's address 192.0.2.10 is in --cluster-cidr 192.0.2.0/24"),
        (["--cluster-cidr=10.244.0.0/25"], "--cluster-cidr 10.244.0.0/25 is too small"),
        (["--service-cidr=10.96.0.0/29"], "--service-cidr 10.96.0.0/29 is too small"),
        (["--cluster-cidr=fd00::/64"], "must be of IPv4"),
        (["--node-ip=here"], "'here' is no address of IPv4"),
        (["--control-plane-endpoint=a:b"], "--control-plane-endpoint a:b is not HOST or HOST:PORT"),
        (["--token=short"], 'the bootstrap token "short" was not of the form'),
        (["--certificate-key=zz"], "--certificate-key must be 64 hexadecimal digits"),
        (["--cloud-provider=local", "--cloud-config=/nowhere"], "there is no file /nowhere"),
    ],
)
def test_init_refuses_before_it_changes_anything(flags: list[str], said: str, tmp_path: Path) -> None:
    assert said in refusal("init", f"--data-dir={tmp_path / 'd'}", "--node-ip=192.0.2.10", *flags)
    assert not (tmp_path / "d").exists()


def test_certs_and_reset_say_that_there_is_nothing(tmp_path: Path) -> None:
    assert "there is no control plane" in refusal("certs", f"--data-dir={tmp_path / 'd'}", "check")
    (tmp_path / "file").touch()
    assert "has files but no node of kybern's" in refusal("reset", f"--data-dir={tmp_path}")
