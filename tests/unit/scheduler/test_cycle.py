"""From the informers' changes to bindings, conditions and events, with a fake API."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from kybern.api.errors import Conflict, NotFound
from kybern.api.types import Object
from kybern.scheduler.evaluation import Unfit
from kybern.scheduler.framework import ClusterEvent, Code, CycleState, Handle, NodePlugin, Plugin, Status
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.profiles import Configuration, parse
from kybern.scheduler.report import Reporter
from kybern.scheduler.snapshot import NodeView
from tests.unit.scheduler.builders import DEFAULT, World, node, pod


class FakePods:
    """The pods endpoint: remembers bindings and patches; fails as often as told."""

    def __init__(self) -> None:
        self.bound: dict[str, str] = {}
        self.conditions: list[Object] = []
        self.failures = 0
        self.confirm: Callable[[str, str], None] | None = None
        self.called = asyncio.Event()

    def resource(self, *_: Any, **__: Any) -> FakePods:
        return self

    async def post(self, name: str, subresource: str, body: Object, namespace: str) -> Object:
        self.called.set()
        if self.failures:
            self.failures -= 1
            raise Conflict("pod is being thought about")
        self.bound[name] = body["target"]["name"]
        if self.confirm:
            asyncio.get_running_loop().call_soon(self.confirm, name, self.bound[name])
        return {}

    async def patch(self, name: str, body: Object, namespace: str, **_: Any) -> Object:
        self.conditions += body["status"]["conditions"]
        self.called.set()
        return {}


class FakeRecorder:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, obj: Object, kind: str, reason: str, message: str) -> None:
        self.events.append((reason, message))

    async def close(self) -> None:
        pass


class Running(World):
    """A scheduler at work against the fakes."""

    def __init__(self, *nodes: Object, configuration: Configuration | None = None) -> None:
        self.api, self.recorder = FakePods(), FakeRecorder()
        recorders: Any = {DEFAULT: self.recorder, "second": self.recorder}
        client: Any = self.api
        super().__init__(configuration=configuration, reporter=Reporter(client, recorders), handle=Handle(client))
        for obj in nodes:
            self.feed.node_changed(None, obj)

    async def __aenter__(self) -> Running:
        self.task = asyncio.create_task(self.scheduler.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.001)


async def test_pod_is_bound_and_said_so() -> None:
    async with Running(node("n1")) as world:
        world.feed.pod_changed(None, pod("p"))
        await world.until(lambda: world.recorder.events)
    assert world.api.bound == {"p": "n1"}
    assert world.recorder.events == [("Scheduled", "Successfully assigned default/p to n1")]
    assert len(world.queue) == 0


async def test_identical_pods_fill_the_nodes_evenly() -> None:
    async with Running(*(node(f"n{i}") for i in range(4))) as world:
        for index in range(12):
            world.feed.pod_changed(None, pod(f"p{index}", requests={"cpu": "1"}))
        await world.until(lambda: len(world.api.bound) == 12)
    placed = list(world.api.bound.values())
    assert {name: placed.count(name) for name in placed} == dict.fromkeys(("n0", "n1", "n2", "n3"), 3)


async def test_unschedulable_pod_gets_condition_and_event_and_fits_later() -> None:
    async with Running(node("small", cpu="1")) as world:
        world.feed.pod_changed(None, pod("p", requests={"cpu": "2"}))
        await world.until(lambda: world.api.conditions)
        condition = world.api.conditions[0]
        text = (
            "0/1 nodes are available: 1 Insufficient cpu. "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
        )
        said = [condition[name] for name in ("type", "status", "reason")]
        assert said == ["PodScheduled", "False", "Unschedulable"]
        assert condition["message"] == text
        assert world.recorder.events == [("FailedScheduling", text)]
        world.feed.node_changed(None, node("big"))
        await world.until(lambda: world.api.bound)
    assert world.api.bound == {"p": "big"}


async def test_failed_binding_frees_the_place_and_is_tried_again() -> None:
    world = Running(node("n1", cpu="1"))
    world.queue._initial_backoff = 0.01
    world.api.failures = 1
    async with world:
        world.feed.pod_changed(None, pod("p", requests={"cpu": "1"}))
        await world.until(lambda: world.api.bound)
    assert world.recorder.events[0] == ("FailedScheduling", "pod is being thought about")
    assert world.api.conditions[0]["reason"] == "SchedulerError"
    assert world.api.bound == {"p": "n1"}


async def test_other_schedulers_pods_and_deleted_pods_are_left_alone() -> None:
    world = Running(node("n1"))
    world.feed.pod_changed(None, pod("other", schedulerName="mine"))
    going = pod("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.feed.pod_changed(None, going)
    assert len(world.queue) == 0


async def test_deleted_pod_makes_room() -> None:
    async with Running(node("n1", cpu="1")) as world:
        first = pod("first", requests={"cpu": "1"}, node_name="n1")
        world.feed.pod_changed(None, first)
        world.feed.pod_changed(None, pod("second", requests={"cpu": "1"}))
        await world.until(lambda: world.api.conditions)
        world.feed.pod_changed(first, None)
        await world.until(lambda: world.api.bound)
    assert world.api.bound == {"second": "n1"}


async def test_pods_of_a_node_that_comes_later_count() -> None:
    world = Running()
    world.feed.pod_changed(None, pod("early", requests={"cpu": "3"}, node_name="n1"))
    world.feed.node_changed(None, node("n1"))
    with pytest.raises(Unfit):
        world.choose(pod("p", requests={"cpu": "2"}))
    world.feed.node_changed(node("n1"), None)
    world.feed.node_changed(None, node("n1"))
    with pytest.raises(Unfit):
        world.choose(pod("p", requests={"cpu": "2"}))
    world.feed.pod_changed(pod("early", node_name="n1"), None)
    assert world.choose(pod("p", requests={"cpu": "2"})) == "n1"


async def test_unconfirmed_pod_expires() -> None:
    world = World(node("n1", cpu="1"))
    info = PodInfo(pod("p", requests={"cpu": "1"}))
    world.cache.assume(info, "n1")
    world.cache.bound(info.key, now=0)
    world.cache.expire(now=10)
    assert world.cache.is_assumed(info.key)
    world.cache.expire(now=1000)
    assert world.choose(pod("q", requests={"cpu": "1"})) == "n1"


class EvenNames(NodePlugin):
    name = "EvenNames"

    def fits(self, pod: PodInfo, node: NodeView) -> str | None:
        return None if len(node.name) % 2 == 0 else "node(s) had an odd name"


async def test_per_node_plugin_filters_and_explains() -> None:
    world = World(node("odd"), node("even"))
    world.profiles[DEFAULT].filters.append(EvenNames(Handle(), {}))  # type: ignore[arg-type]
    assert world.choose(pod("p")) == "even"
    world.cache.remove_node("even")
    with pytest.raises(Unfit, match=r"1 node\(s\) had an odd name"):
        world.choose(pod("q"))


async def test_incremental_results_equal_fresh_ones() -> None:
    """Sharing between identical pods must not change where they go."""
    shared = World(*(node(f"n{i}", cpu=str(2 + i), memory=f"{9 - i}Gi") for i in range(6)))
    fresh = World(*(node(f"n{i}", cpu=str(2 + i), memory=f"{9 - i}Gi") for i in range(6)))
    for index in range(20):
        info = PodInfo(pod(f"p{index}", requests={"cpu": "700m", "memory": "300Mi"}))
        kept = shared.scheduler._evaluations.of(shared.profiles[DEFAULT], info)
        fresh.scheduler._evaluations._kept.clear()
        anew = fresh.scheduler._evaluations.of(fresh.profiles[DEFAULT], info)
        assert kept.totals().tolist() == anew.totals().tolist()
        row = int(kept.totals().argmax())
        for world in (shared, fresh):
            world.cache.assume(PodInfo(info.obj), world.cache.table.names[row])


async def test_confirmed_pods_leave_the_rest_of_their_kind_free_to_choose() -> None:
    world = Running(*(node(f"n{i}") for i in range(4)))

    def confirm(name: str, where: str) -> None:
        world.feed.pod_changed(waiting[name], pod(name, requests={"cpu": "1"}, node_name=where))

    world.api.confirm = confirm
    waiting = {f"p{index}": pod(f"p{index}", requests={"cpu": "1"}) for index in range(12)}
    async with world:
        for obj in waiting.values():
            world.feed.pod_changed(None, obj)
            await world.until(lambda obj=obj: obj["metadata"]["name"] in world.api.bound)
    placed = list(world.api.bound.values())
    assert {name: placed.count(name) for name in placed} == dict.fromkeys(("n0", "n1", "n2", "n3"), 3)
    assert not world.cache.is_assumed("default/p0")


async def test_the_log_says_where_and_out_of_how_many(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with Running(node("n1"), node("n2", cpu="1"), node("n3", cpu="1")) as world:
        world.feed.pod_changed(None, pod("p", requests={"cpu": "2"}))
        await world.until(lambda: world.recorder.events)
    assert "pod=default/p node=n1 evaluated=3 feasible=1" in caplog.text


async def test_pod_deleted_while_it_is_bound_is_forgotten() -> None:
    world = Running(node("n1", cpu="1"))
    obj = pod("p", requests={"cpu": "1"})

    async def gone(*_: Any) -> Object:
        world.feed.pod_changed(obj, None)
        world.api.called.set()
        raise NotFound("pods \"p\" not found")

    world.api.post = gone  # type: ignore[method-assign,assignment]
    async with world:
        world.feed.pod_changed(None, obj)
        await world.api.called.wait()
        await world.until(lambda: not world.scheduler._binding)
    assert len(world.queue) == 0
    assert world.recorder.events == []
    assert world.choose(pod("q", requests={"cpu": "1"})) == "n1"


class Doorman(Plugin):
    """Keeps a place back until told, then says no."""

    name = "Doorman"

    def __init__(self) -> None:
        super().__init__(Handle(), {})
        self.asked, self.answer = asyncio.Event(), asyncio.Event()
        self.unreserved: list[str] = []

    def sign(self, pod: PodInfo) -> str:
        return ""

    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        return None

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        self.unreserved.append(node)

    async def permit(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        self.asked.set()
        await self.answer.wait()
        return Status(Code.UNSCHEDULABLE, "not tonight", self.name)


@pytest.mark.parametrize("something_happens", [False, True])
async def test_refused_permit_gives_the_place_back(something_happens: bool) -> None:
    world, doorman = Running(node("n1", cpu="1")), Doorman()
    world.profiles[DEFAULT].reserves.append(doorman)
    world.profiles[DEFAULT].permits.append(doorman)
    world.profiles[DEFAULT].hints[ClusterEvent.NODE_ADD]["Doorman"] = None
    async with world:
        world.feed.pod_changed(None, pod("p", requests={"cpu": "1"}))
        await doorman.asked.wait()
        with pytest.raises(Unfit, match="Insufficient cpu"):
            world.choose(pod("q", requests={"cpu": "1"}))
        if something_happens:
            world.feed.node_changed(None, node("n2", cpu="1", pods="0"))
        doorman.asked.clear()
        doorman.answer.set()
        await world.until(lambda: doorman.unreserved)
        if something_happens:
            # What came while it waited may have been what it needs: it is tried again.
            await world.until(lambda: len(doorman.unreserved) == 2)
    assert world.place_of("p") == "UNSCHEDULABLE"
    nodes = 2 if something_happens else 1
    assert world.recorder.events[0] == ("FailedScheduling", f"0/{nodes} nodes are available: not tonight.")
    assert world.choose(pod("q", requests={"cpu": "1"})) == "n1"


async def test_profiles_schedule_their_own_pods() -> None:
    entries = [
        {},
        {"schedulerName": "second", "plugins": {"filter": {"disabled": [{"name": "TaintToleration"}]}}},
    ]
    head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    async with Running(node("n1", taints=[taint]), configuration=parse({**head, "profiles": entries})) as world:
        world.feed.pod_changed(None, pod("first"))
        world.feed.pod_changed(None, pod("other", schedulerName="second"))
        world.feed.pod_changed(None, pod("nobodys", schedulerName="third"))
        await world.until(lambda: world.api.bound and world.api.conditions)
        assert (world.place_of("first"), world.place_of("nobodys")) == ("UNSCHEDULABLE", "")
    assert world.api.bound == {"other": "n1"}


async def test_nothing_is_chosen_for_a_pod_that_left_while_all_slots_were_taken() -> None:
    world, doorman = Running(node("n1")), Doorman()
    world.profiles[DEFAULT].permits.append(doorman)
    world.scheduler._slots = asyncio.Semaphore(1)
    async with world:
        world.feed.pod_changed(None, pod("first"))
        await doorman.asked.wait()
        world.feed.pod_changed(None, pod("second"))
        await asyncio.sleep(0)
        world.feed.pod_changed(pod("second"), None)
        doorman.answer.set()
        await world.until(lambda: world.recorder.events)
    assert not world.cache.is_assumed("default/second")
    assert len(world.recorder.events) == 1
