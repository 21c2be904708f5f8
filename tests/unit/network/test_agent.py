"""The agent's loop, with a kernel that only counts: when it syncs, and what it says of its own Node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_interface
from typing import Any

import pytest

from kybern.api.errors import Forbidden
from kybern.network import agent as module
from kybern.network.agent import Agent, trim
from kybern.network.kernel import KernelError, Outcome
from kybern.network.routes import VTEP_MAC, Link, Options, Plan, mac_of


class Nodes:
    """An informer and the API behind it: patches of metadata and conditions are seen at once."""

    def __init__(self) -> None:
        self.store: dict[str, Any] = {}
        self.handlers: list[Any] = []
        self.patches: list[tuple[str, Any, str]] = []
        self.refuses = False

    def resource(self, *_: Any, **__: Any) -> Nodes:
        return self

    def on_change(self, handler: Any) -> None:
        self.handlers.append(handler)

    def get(self, key: str) -> Any:
        return self.store.get(key)

    def list(self) -> Any:
        return [*self.store.values()]

    def see(self, node: Any) -> None:
        old, new = self.store.get(node["metadata"]["name"]), trim(node)
        self.store[node["metadata"]["name"]] = new
        for handler in self.handlers:
            handler(old, new)

    async def patch(self, name: str, body: Any, *, type: str = "merge", subresource: str = "") -> None:
        if self.refuses:
            raise Forbidden("no")
        self.patches.append((name, body, f"{type} {subresource}".strip()))
        found = self.store[name]
        annotations = {**found["metadata"]["annotations"], **body.get("metadata", {}).get("annotations", {})}
        status = {**found["status"], **body.get("status", {})}
        self.see({**found, "metadata": {"name": name, "annotations": annotations}, "status": status})


class Kernel:
    """Plans as applied; `outcome` is what comes of the next ones."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.outcome: Outcome | KernelError = Outcome(0, ())

    def apply(self, plan: Plan) -> Outcome:
        self.plans.append(plan)
        if isinstance(self.outcome, KernelError):
            raise self.outcome
        return self.outcome

    def links(self) -> list[Link]:
        return [Link("eth0", (ip_interface("10.0.0.1/24"),))]


def node(name: str, number: int, **metadata: Any) -> Any:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}, **metadata},
        "spec": {"podCIDR": f"10.244.{number}.0/24", "providerID": "none://"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": f"10.0.0.{number}"}],
            "images": [{"names": ["registry/image"]}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


@pytest.fixture
async def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(module, "kernel", made)
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    return made


@contextlib.asynccontextmanager
async def running(nodes: Nodes, mode: str = "auto") -> AsyncIterator[Agent]:
    api: Any = nodes
    agent = Agent("a", api, api, Options(mode))
    task = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(what: Any) -> None:
    async with asyncio.timeout(5):
        while not what():
            await asyncio.sleep(0.001)


def test_a_cached_node_is_small() -> None:
    mine = {VTEP_MAC: "02:00:00:00:00:01"}
    small = trim(node("a", 1, annotations={**mine, "other": "x"}, resourceVersion="7"))
    assert small == {
        "metadata": {"name": "a", "resourceVersion": "7", "annotations": mine},
        "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "conditions": []},
    }


async def test_it_waits_for_its_node_to_have_a_range_and_an_address(kernel: Kernel) -> None:
    nodes = Nodes()
    async with running(nodes) as agent:
        assert agent.wrong() == "not synced yet"
        await until(lambda: agent.wrong() == "there is no node a yet")
        nodes.see({**node("a", 1), "spec": {}})
        await until(lambda: agent.wrong() == "node a has no pod CIDR yet")
        nodes.see({**node("a", 1), "status": {}})
        await until(lambda: agent.wrong() == "node a has no address yet")
        assert not kernel.plans and not nodes.patches
        nodes.see(node("a", 1))
        await until(lambda: agent.wrong() is None)
    assert kernel.plans


async def test_it_says_what_it_has_once(kernel: Kernel) -> None:
    nodes = Nodes()
    nodes.see(node("a", 1))
    async with running(nodes, "vxlan") as agent:
        await until(lambda: agent.wrong() is None and len(kernel.plans) > 1)
        nodes.see(node("b", 2))
        await until(lambda: len(kernel.plans) > 2)
    annotation, condition = nodes.patches
    assert annotation == ("a", {"metadata": {"annotations": {VTEP_MAC: mac_of("a", 1)}}}, "merge")
    (said,) = condition[1]["status"]["conditions"]
    assert condition[2] == "strategic status"
    assert (said["type"], said["status"], said["reason"]) == ("NetworkUnavailable", "False", "KybernNetworkIsUp")


async def test_a_tunnel_nobody_needs_is_announced_no_longer(kernel: Kernel) -> None:
    nodes = Nodes()
    nodes.see(node("a", 1, annotations={VTEP_MAC: mac_of("a", 1)}))
    async with running(nodes) as agent:
        await until(lambda: agent.wrong() is None)
    assert nodes.patches[0] == ("a", {"metadata": {"annotations": {VTEP_MAC: None}}}, "merge")


async def test_nodes_that_come_move_and_go_are_followed(kernel: Kernel) -> None:
    nodes = Nodes()
    nodes.see(node("a", 1))

    def gateways() -> dict[str, str]:
        return {cidr: hop.gateway for cidr, hop in kernel.plans[-1].tables.routes.items()}

    async with running(nodes) as agent:
        await until(lambda: agent.wrong() is None)
        for number in (2, 3):
            nodes.see(node("b", number))
            await until(lambda n=number: gateways() == {f"10.244.{n}.0/24": f"10.0.0.{n}"})
        gone = nodes.store.pop("b")
        for handler in nodes.handlers:
            handler(gone, None)
        await until(lambda: not gateways())


async def test_a_heartbeat_is_no_reason_to_sync(kernel: Kernel) -> None:
    nodes = Nodes()
    up = {"type": "NetworkUnavailable", "status": "False", "reason": "KybernNetworkIsUp"}
    own = node("a", 1)
    nodes.see({**own, "status": {**own["status"], "conditions": [up]}})
    async with running(nodes) as agent:
        await until(lambda: agent.wrong() is None)
        nodes.see(node("b", 2, annotations={"other": "1"}))
        assert agent._wake.is_set()
        await until(lambda: not agent._wake.is_set())
        nodes.see(node("b", 2, annotations={"other": "2"}, resourceVersion="9"))
        assert not agent._wake.is_set()


async def test_the_kernel_is_looked_at_from_time_to_time(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_VERIFY_SECONDS", 0.01)
    nodes = Nodes()
    nodes.see(node("a", 1))
    async with running(nodes):
        await until(lambda: len(kernel.plans) > 5)


async def test_failures_are_said_and_tried_again(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.01)
    nodes = Nodes()
    nodes.see(node("a", 1))
    kernel.outcome = KernelError("can't set up kybern.vxlan: Operation not permitted")
    async with running(nodes) as agent:
        await until(lambda: len(kernel.plans) > 3)
        assert agent.wrong() == "can't set up kybern.vxlan: Operation not permitted"
        assert not nodes.patches, "the network is not up"
        nodes.refuses, kernel.outcome = True, Outcome(0, ("route to x: File exists",))
        await until(lambda: agent.wrong() == "no")
        nodes.refuses = False
        await until(lambda: agent.wrong() == "route to x: File exists")
        kernel.outcome = Outcome(1, ())
        await until(lambda: agent.wrong() is None)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["can't set up kybern.vxlan: Operation not permitted", "no", "route to x: File exists"]
