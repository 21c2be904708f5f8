"""The cluster of the fault tests: how to look at it, and how to break it; and a trial, one fault under load."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import psutil

from kybern.cluster import machines
from tests.chaos.figures import Fault
from tests.chaos.recording import BALANCER, Recorder
from tests.e2e.conftest import eventually
from tests.e2e.test_nodes import CONTROL_PLANES, NODES_DIR, WORKERS, Nodes, ready_pods, web

ADDRESSES = {name: f"10.89.0.{11 + number}" for number, name in enumerate(CONTROL_PLANES)}
SERVERS = {BALANCER: "https://10.89.0.1:6443", **{name: f"https://{ip}:6443" for name, ip in ADDRESSES.items()}}
ELECTED = ("controller-manager", "scheduler")


class Chaos(Nodes):
    """The cluster, and how to break it."""

    def etcdctl(self, *words: str, at: tuple[str, ...] = CONTROL_PLANES) -> str:
        """What etcdctl says of the members at these nodes; it may fail."""
        pki = NODES_DIR / "nodes" / CONTROL_PLANES[0] / "pki" / "etcd"
        endpoints = ",".join(f"https://{ADDRESSES[name]}:2379" for name in at)
        flags = [f"--endpoints={endpoints}", f"--cacert={pki}/ca.crt", f"--cert={pki}/client.crt"]
        flags += [f"--key={pki}/client.key", "--command-timeout=2s", "--write-out=json"]
        command = ["etcdctl", *flags, *words]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)
        return done.stdout

    def etcd(self) -> dict[str, dict[str, Any]]:
        """Node -> what its member of etcd says of itself; without those that don't answer."""
        names = {f"https://{ip}:2379": name for name, ip in ADDRESSES.items()}
        answers = json.loads(self.etcdctl("endpoint", "status") or "[]") or []
        return {names[answer["Endpoint"]]: answer["Status"] for answer in answers}

    def etcd_leader(self) -> str:
        """The node whose member leads, by the word of most; "" while there is none."""
        members = self.etcd()
        ids = {status["header"]["member_id"]: name for name, status in members.items()}
        said = [status.get("leader", 0) for status in members.values()]
        return next((ids.get(leader, "") for leader in said if leader and said.count(leader) >= 2), "")

    def server_ready(self, name: str) -> bool:
        server = [f"--server={SERVERS[name]}", "--request-timeout=2s"]
        return self.kubectl_process("get", "--raw", "/readyz", *server, timeout=10).returncode == 0

    def holder(self, component: str) -> str:
        """The node whose copy leads; "" if none does, or nobody answers."""
        lease = ["-n", "kube-system", "lease", f"kube-{component}", "-o", "jsonpath={.spec.holderIdentity}"]
        done = self.kubectl_process("get", *lease, "--request-timeout=3s", timeout=10)
        return done.stdout.partition("_")[0] if done.returncode == 0 else ""

    def identity(self, lease: str) -> str:
        """The very process that leads."""
        return str(self.get("-n", "kube-system", "lease", lease)["spec"].get("holderIdentity") or "")

    def whole(self) -> bool:
        """Whether nothing is missing."""
        members = self.etcd()
        return (
            len({status.get("leader") for status in members.values()}) == 1
            and len(members) == 3
            and all(self.server_ready(name) for name in SERVERS)
            and self.ready() == dict.fromkeys((*CONTROL_PLANES, *WORKERS), "True")
            and all(self.holder(component) for component in ELECTED)
        )

    def process(self, node: str, *words: str) -> psutil.Process:
        """The process of a node whose command line has all these words."""
        for found in machines.processes(node):
            try:
                line = found.cmdline()
            except psutil.NoSuchProcess:
                continue
            if all(any(word == part or part.endswith(f"/{word}") for part in line) for word in words):
                return found
        raise AssertionError(f"{node} runs no {' '.join(words)}")

    def kill(self, node: str, *words: str) -> None:
        """With SIGKILL; returns when it is gone."""
        victim = self.process(node, *words)
        victim.send_signal(signal.SIGKILL)
        psutil.wait_procs([victim], timeout=10)

    def kill_cloud_controller_manager(self) -> None:
        """It runs on the machine, beside the nodes."""
        pid = json.loads((NODES_DIR / "run" / "cloud-controller-manager.json").read_text())["pid"]
        psutil.Process(pid).send_signal(signal.SIGKILL)

    def supervisor(self, node: str) -> psutil.Process:
        return self.process(node, "kybern", "supervise")

    def logs_of(self, node: str, component: str) -> str:
        return (NODES_DIR / "nodes" / node / "logs" / f"{component}.log").read_text(errors="replace")

    def control_plane_works(self, name: str) -> bool:
        """A new Deployment gets its pod bound: API, controllers and scheduler."""
        # It may exist already, from an earlier look.
        make = ["create", "deployment", name, "--image=busybox:1.35", "--", "sleep", "3600"]
        self.kubectl_process(*make, timeout=20)
        pods = self.get("pods", "-l", f"app={name}")["items"]
        return any(pod["spec"].get("nodeName") for pod in pods)

    def gather(self) -> str:
        """Have one node hold etcd's leader and the leases of all that lead; gives it."""
        chosen = self.holder(ELECTED[0])
        others = [name for name in CONTROL_PLANES if name != chosen]
        for component in ELECTED[1:]:
            self._end_copies(component, others, lambda component=component: self.holder(component) == chosen)
        ids = {name: status["header"]["member_id"] for name, status in self.etcd().items()}
        if self.etcd_leader() != chosen:
            self.etcdctl("move-leader", f"{ids[chosen]:x}", at=(self.etcd_leader(),))
        eventually(lambda: self.etcd_leader() == chosen and self.whole(), 60)
        return chosen

    def _end_copies(self, component: str, nodes: list[str], until: Callable[[], bool]) -> None:
        """Told to end, a copy gives its lease back; none is started again before `until`."""
        supervisors = [self.supervisor(name) for name in nodes]
        for supervisor in supervisors:
            supervisor.suspend()
        try:
            for name in nodes:
                self.process(name, "kybern", component).terminate()
            eventually(until, 60)
        finally:
            for supervisor in supervisors:
                supervisor.resume()

    def spread(self, name: str, replicas: int, over: set[str]) -> None:
        """A Deployment whose pods leave a lost node soon, on all of these nodes."""
        self.apply(*web(name, replicas))
        eventually(lambda: len(self.places(name)) == replicas and set(self.places(name)) == over)

    def places(self, app: str) -> list[str]:
        """Where its ready pods are."""
        return [item["spec"]["nodeName"] for item in ready_pods(self, app)]

    def kill_everything(self) -> None:
        """Kill the machine's processes of the cluster and all of all nodes, none with the time to say goodbye."""
        pids = {json.loads(path.read_text())["pid"] for path in (NODES_DIR / "run").glob("*.json")}
        victims = [p for name in (*CONTROL_PLANES, *WORKERS) for p in machines.processes(name)]
        victims += [psutil.Process(pid) for pid in pids - {victim.pid for victim in victims} if psutil.pid_exists(pid)]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(victims, timeout=10)
        assert not alive


class Trial:
    """One fault while clients write and watch. Times count from `begin`."""

    def __init__(self, chaos: Chaos, recorder: Recorder, fault: Fault) -> None:
        self.chaos, self.recorder, self.fault = chaos, recorder, fault
        self.began = time.monotonic()
        self.first = 0.0
        """When the first fault was: from then on pauses of writers count."""
        self.namespace = recorder.namespace
        self.excused: set[str] = set()
        """Nodes whose logs tell late that they no longer lead, as they were held still."""

    def begin(self) -> None:
        """The fault, or its end, is now."""
        self.began = time.monotonic()
        self.first = self.first or self.began

    def until(self, what: str, check: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait, and write down how long it took."""
        value = eventually(check, seconds)
        taken = time.monotonic() - self.began
        self.fault.recoveries.append((what, taken))
        print(f"    {what}: {taken:.1f} s")
        return value

    def writes_go_on(self, server: str = BALANCER, seconds: float = 60) -> None:
        """Until a write that began after the fault is acknowledged."""
        writes = self.recorder.history.writes

        def gone_on() -> bool:
            return any(w.acknowledged and w.server == server and w.began > self.began for w in reversed(writes[-500:]))

        eventually(gone_on, seconds, every=0.02)


Begin = Callable[[str], AbstractContextManager[Trial]]
"""What the fixture `trial` gives: a trial by its title; everything is judged at its end."""
