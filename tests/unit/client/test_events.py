import asyncio

import pytest

from kybern.client.events import Correlator, EventRecorder, reference
from kybern.process.clock import clock

POD = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "ns", "uid": "u"}}


class FakeEvents:
    def __init__(self):
        self.created, self.patched = [], []

    async def create(self, event):
        self.created.append(event)

    async def patch(self, name, change, namespace, type):
        self.patched.append((name, change))


class FakeClient:
    def __init__(self):
        self.events = FakeEvents()

    def resource(self, *args):
        return self.events


@pytest.fixture
def time(monkeypatch):
    now = [1_000_000.0]
    monkeypatch.setattr(clock, "now_fn", lambda: now[0])
    return now


async def test_repeats_are_counted_on_the_first_event(time):
    client = FakeClient()
    recorder = EventRecorder(client, "kubelet", "n1")
    for _ in range(3):
        recorder.event(POD, "Warning", "BackOff", "Back-off")
        time[0] += 10
    await recorder.close()
    (event,) = client.events.created
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "ns", "name": "p", "uid": "u", "apiVersion": "v1"
    }  # fmt: skip
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert event["metadata"]["namespace"] == "ns"
    assert event["count"] == 1
    assert [change["count"] for _, change in client.events.patched] == [2, 3]
    assert {name for name, _ in client.events.patched} == {event["metadata"]["name"]}
    assert client.events.patched[-1][1]["firstTimestamp"] == event["firstTimestamp"]
    assert client.events.patched[-1][1]["lastTimestamp"] > event["lastTimestamp"]


async def test_alike_ones_are_combined_from_the_tenth_on(time):
    client = FakeClient()
    recorder = EventRecorder(client, "c")
    for number in range(13):
        recorder.event(POD, "Normal", "Pulled", f"message {number}")
    await recorder.close()
    messages = [event["message"] for event in client.events.created]
    assert messages[:9] == [f"message {n}" for n in range(9)]
    assert messages[9:] == ["(combined from similar events): message 9"]
    assert [change["count"] for _, change in client.events.patched] == [2, 3, 4]


def test_the_containers_of_a_pod_share_its_budget_but_not_their_counts(time):
    correlator, recorder = Correlator(), EventRecorder(FakeClient(), "c")

    def correlated(container, reason="Pulled"):
        return correlator.correlate(recorder._event(reference(POD, container), "Normal", reason, "m"))

    assert [correlated(name)[1] for name in ("a", "b")] == ["", ""]
    assert correlated("a")[0]["count"] == 2
    passed = [correlated(f"c{n}", f"R{n}") for n in range(40)]
    assert sum(one is not None for one in passed) == 25 - 3


def test_floods_about_one_object_are_dropped_and_come_back_with_time(time):
    correlator = Correlator()
    recorder = EventRecorder(FakeClient(), "c")

    def passes(number):
        return correlator.correlate(recorder._event(reference(POD), "Normal", f"R{number}", "m")) is not None

    assert sum(passes(n) for n in range(40)) == 25
    time[0] += 300
    assert passes(41)
    assert not passes(42)


async def test_a_slow_write_holds_up_only_events_of_its_object(time):
    client, release = FakeClient(), asyncio.Event()
    create = client.events.create

    async def slow(event):
        if event["reason"] == "First":
            await release.wait()
        await create(event)

    client.events.create = slow
    recorder = EventRecorder(client, "c")
    recorder.event(POD, "Normal", "First", "m")
    recorder.event(POD, "Normal", "Second", "m")
    others = [{**POD, "metadata": {**POD["metadata"], "uid": f"u{n}"}} for n in range(40)]
    for other in others:
        recorder.event(other, "Normal", "Other", "m")
    async with asyncio.timeout(5):
        while len(client.events.created) < 20:
            await asyncio.sleep(0)
    assert {event["reason"] for event in client.events.created} == {"Other"}
    release.set()
    await recorder.close()
    told = [event["reason"] for event in client.events.created if event["involvedObject"]["uid"] == "u"]
    assert told == ["First", "Second"]
    assert len(client.events.created) == 42


async def test_what_waits_is_limited(time, caplog):
    recorder = EventRecorder(FakeClient(), "c")
    for number in range(10_001):
        recorder.event({**POD, "metadata": {"name": f"p{number}", "namespace": "ns"}}, "Normal", "R", "m")
    assert "too many events wait; dropped R: m" in caplog.text
    await recorder.close()
