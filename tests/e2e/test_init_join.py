"""Three bare machines become a cluster: `init` on one, `join` on the others, as worker and second control plane."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.bare import IMAGES, NAMES, Machine, Machines
from tests.e2e.conftest import Cluster, eventually
from tests.e2e.host_state import differences, snapshot
from tests.e2e.test_nodes import web

FIRST, WORKER, SECOND = NAMES
STATIC = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
LIFE = 130
"""Seconds that what the cluster signs is good for, and five minutes before; kubelets renew at 0.7 to 0.9 of it all, so
1 s to 87 s after it was signed."""
ON_WORKER = json.dumps({"spec": {"nodeName": WORKER}})


@dataclass
class Joined(Cluster):
    """The cluster, and how machines join it."""

    machines: Machines
    worker: list[str]
    control_plane: list[str]

    @property
    def kubeconfig(self) -> str:
        return str(self.machines[FIRST].data_dir / "kubeconfig" / "admin.conf")

    def join(self, machine: Machine, words: list[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        return machine.kybern("join", *words, *node_flags(machine), check=check)

    def ready(self, kind: str, *flags: str) -> list[str]:
        """Names of those that are."""
        ready = {"type": "Ready", "status": "True"}
        return [
            one["metadata"]["name"]
            for one in self.get(kind, *flags)["items"]
            if any(condition.items() >= ready.items() for condition in one["status"].get("conditions", []))
        ]


def node_flags(machine: Machine) -> tuple[str, str]:
    return f"--image-dir={IMAGES}", f"--cgroup-root=/kybern/{machine.name}"


def init(machine: Machine, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return machine.kybern("init", *node_flags(machine), *flags, check=check)


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command refuses with."""
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith("kybern: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def bare(host: None) -> Iterator[Machines]:
    before = snapshot()
    made = Machines()
    try:
        yield made
    finally:
        made.remove()
    assert differences(before, snapshot()) == {}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--node-name=Not_a_name"], "'Not_a_name' is no name for a node"),
        (["--node-ip=203.0.113.7"], "choose an address of this machine with --node-ip"),
    ],
)
def test_init_refuses_before_it_changes_anything(bare: Machines, flags: list[str], said: str) -> None:
    assert said in refusal(init(bare[FIRST], *flags, check=False))
    assert not bare[FIRST].data_dir.exists()
    assert not bare[FIRST].processes()


def test_init_refuses_a_taken_port_and_others_data(bare: Machines) -> None:
    with bare[FIRST].background("busybox", "nc", "-l", "-p", "2379"):
        assert "2379, for the clients of etcd: address already in use" in eventually(
            lambda: refusal(init(bare[FIRST], "--service-cidr=10.96.0.0/16", check=False))
        )
    member = bare[FIRST].data_dir / "etcd" / "member"
    member.mkdir(parents=True)
    assert "holds the data of a member of some other cluster" in refusal(init(bare[FIRST], check=False))
    member.rmdir()
    member.parent.rmdir()
    member.parent.parent.rmdir()


@pytest.fixture(scope="module")
def joined(bare: Machines) -> Joined:
    """After `init`, with what it says to type."""
    address = bare[FIRST].ip
    done = init(
        bare[FIRST], f"--control-plane-endpoint={address}", "--upload-certs", f"--cluster-signing-duration={LIFE}s"
    )
    worker, control_plane = re.findall(r"^  kybern join (.*)$", done.stdout, re.M)
    return Joined({}, done.stdout, bare, shlex.split(worker), shlex.split(control_plane))


def test_the_control_plane_is_static_pods(joined: Joined) -> None:
    pods = {f"{name}-{FIRST}" for name in STATIC}
    eventually(lambda: pods <= set(joined.ready("pods", "-n", "kube-system", "-l", "tier=control-plane")))
    names = joined.get("pods", "-n", "kube-system", f"etcd-{FIRST}")["metadata"]["annotations"]
    assert names["kubernetes.io/config.source"] == "file"
    assert "supervise" in " ".join(joined.machines[FIRST].command_lines())
    node = joined.get("nodes", FIRST)
    assert "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]
    assert node["spec"]["taints"] == [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]


def test_join_refuses_before_it_changes_anything(joined: Joined) -> None:
    machine, taken = joined.machines[WORKER], f"--node-name={FIRST}"
    for words, said in (
        ([*joined.control_plane[:-1], "0" * 64], "--certificate-key is not the one"),
        ([*joined.worker, taken], f'a Node with name "{FIRST}" and status "Ready" already exists'),
    ):
        assert said in refusal(joined.join(machine, words, check=False))
    assert not machine.data_dir.exists()
    again = joined.join(joined.machines[FIRST], [*joined.worker, "--node-name=another"], check=False)
    assert "holds a cluster's node already" in refusal(again)


def test_a_worker_and_a_control_plane_join(joined: Joined) -> None:
    joined.join(joined.machines[WORKER], joined.worker)
    joined.join(joined.machines[SECOND], joined.control_plane)
    eventually(lambda: sorted(joined.ready("nodes")) == [FIRST, WORKER, SECOND])
    pods = {f"{name}-{machine}" for name in STATIC for machine in (FIRST, SECOND)}
    eventually(lambda: pods <= set(joined.ready("pods", "-n", "kube-system", "-l", "tier=control-plane")))
    roles = joined.kubectl("get", "nodes", "-l", "node-role.kubernetes.io/control-plane", "-o", "name").split()
    assert roles == [f"node/{FIRST}", f"node/{SECOND}"]


def etcd_members(machine: Machine) -> list[dict[str, Any]]:
    pki = machine.data_dir / "pki" / "etcd"
    command = (
        "etcdctl", "--endpoints=https://127.0.0.1:2379", f"--cacert={pki}/ca.crt",
        f"--cert={pki}/healthcheck-client.crt", f"--key={pki}/healthcheck-client.key", "-w=json", "member", "list",
    )  # fmt: skip
    found: list[dict[str, Any]] = json.loads(machine.run("env", "ETCDCTL_API=3", *command).stdout)["members"]
    return found


def test_both_members_of_etcd_vote(joined: Joined) -> None:
    found = etcd_members(joined.machines[SECOND])
    assert sorted(member["name"] for member in found) == [FIRST, SECOND]
    assert not any(member.get("isLearner") for member in found)


def test_agents_run_on_every_node(joined: Joined) -> None:
    def ready(name: str) -> bool:
        return len(joined.ready("pods", "-n", "kube-system", "-l", f"k8s-app={name}")) == 3

    eventually(lambda: ready("kube-proxy") and ready("kybern-network"))
    joined.kubectl("rollout", "status", "-n", "kube-system", "deployment/kube-dns", "--timeout=60s")


def test_a_deployment_is_reached_by_its_services_name(joined: Joined) -> None:
    deployment, service = web("bare-web", 2)
    deployment["spec"]["template"]["spec"]["tolerations"].append({"operator": "Exists", "effect": "NoSchedule"})
    joined.apply(deployment, service)
    joined.kubectl("rollout", "status", "deployment/bare-web", "--timeout=90s")
    ask = ["exec", "deploy/bare-web", "--", "timeout", "3", "wget", "-qO-", "http://bare-web.default.svc.cluster.local"]
    answers = {eventually(lambda: joined.kubectl(*ask)) for _ in range(12)}
    assert len(answers) == 2, answers


def test_certificates_are_checked_and_renewed(joined: Joined) -> None:
    machine = joined.machines[SECOND]
    lines = machine.kybern("certs", "check").stdout.splitlines()
    assert lines[0].split("  ")[0] == "CERTIFICATE"
    left = {line.split()[0]: re.split(r"\s{3,}", line)[2] for line in lines[1:]}
    assert {"admin.conf", "apiserver", "etcd-peer", "front-proxy-client", "ca", "etcd-ca"} <= set(left)
    assert left["apiserver"] == "364d"
    assert left["ca"].startswith(("9y", "3649d"))
    certificate = machine.data_dir / "pki" / "apiserver.crt"
    before = certificate.read_bytes()
    assert "apiserver is renewed" in machine.kybern("certs", "renew", "apiserver").stdout
    assert certificate.read_bytes() != before
    assert "there is no certificate nonesuch" in refusal(machine.kybern("certs", "renew", "nonesuch", check=False))


def test_kubelets_renew_their_client_certificates(joined: Joined) -> None:
    pki = joined.machines[WORKER].data_dir / "kubelet" / "pki"
    eventually(lambda: len([*pki.glob("kubelet-client-2*.pem")]) > 1, seconds=LIFE * 0.9)
    for file in pki.glob("kubelet-client-2*.pem"):
        command = ["openssl", "x509", "-in", str(file), "-noout", "-subject", "-issuer"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        assert said == [f"subject=O = system:nodes, CN = system:node:{WORKER}", "issuer=CN = kubernetes"]
    joined.kubectl("run", "later", "--image=busybox:1.35", f"--overrides={ON_WORKER}", "--", "true")
    eventually(lambda: joined.get("pod", "later")["status"]["phase"] == "Running")


def test_reset_leaves_nothing(joined: Joined) -> None:
    assert "kybern reset" in refusal(joined.machines[WORKER].kybern("down", check=False))
    said = joined.machines[SECOND].kybern("reset").stdout
    assert f"member {SECOND} has left etcd" in said
    assert [member["name"] for member in etcd_members(joined.machines[FIRST])] == [FIRST]
    assert joined.kubectl("get", "--raw", "/readyz") == "ok"
    joined.machines[WORKER].kybern("reset")
    joined.machines[FIRST].kybern("reset")
    for machine in joined.machines.all.values():
        assert machine.left() == []
        assert "there is no node in" in machine.kybern("reset").stdout
