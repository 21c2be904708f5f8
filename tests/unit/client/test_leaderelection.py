import asyncio

import pytest

from kybern.api.errors import ServiceUnavailable
from kybern.client import leaderelection
from kybern.client.leaderelection import LeaderElector, LeadershipLost
from kybern.client.rest import Client
from kybern.client.transport import InProcessTransport, Unreachable
from tests.unit.client.fakes import FakeAPI


def elector(api, identity, **kw):
    defaults = {"lease_duration": 1, "renew_deadline": 0.1, "retry_period": 0.01}
    return LeaderElector(Client(InProcessTransport(api)), "l", identity, **{**defaults, **kw})


async def test_one_leads_and_the_next_takes_over_when_it_lets_go():
    api = FakeAPI()
    leading, release = [], asyncio.Event()

    async def lead(name):
        leading.append(name)
        await release.wait()

    first = asyncio.ensure_future(elector(api, "a").run(lambda: lead("a")))
    await asyncio.sleep(0.05)
    second = asyncio.ensure_future(elector(api, "b").run(lambda: lead("b")))
    await asyncio.sleep(0.05)
    assert leading == ["a"]
    assert api.objects["l"]["spec"]["holderIdentity"] == "a"
    release.set()
    await asyncio.wait_for(first, 2)
    await asyncio.wait_for(second, 5)
    assert leading == ["a", "b"]
    assert api.objects["l"]["spec"]["leaseTransitions"] == 1


async def test_an_abandoned_lease_is_taken_once_it_ran_out():
    api = FakeAPI()
    api.put("l", spec={"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "t", "leaseTransitions": 3})
    led = asyncio.Event()

    async def lead():
        led.set()

    task = asyncio.ensure_future(elector(api, "b", retry_period=0.05).run(lead))
    await asyncio.sleep(0.2)
    assert not led.is_set()
    await asyncio.wait_for(task, 5)
    assert led.is_set()
    assert api.objects["l"]["spec"]["leaseTransitions"] == 4


async def test_who_cannot_renew_stops_leading():
    api = FakeAPI()
    stopped = asyncio.Event()

    async def lead():
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    task = asyncio.ensure_future(elector(api, "a").run(lead))
    await asyncio.sleep(0.05)

    def down(method, path):
        raise ServiceUnavailable("down")

    api.before = down
    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(task, 5)
    assert stopped.is_set()


@pytest.mark.parametrize("method", ["create", "delete"])
async def test_who_was_held_still_writes_nothing_on_an_old_lease(method, monkeypatch):
    """Before any task had the time to notice: that is what a process does first when it goes on."""
    api, stepped, now = FakeAPI(), 0.0, leaderelection.monotonic
    monkeypatch.setattr(leaderelection, "monotonic", lambda: now() + stepped)
    client = Client(InProcessTransport(api))
    things = client.resource("v1", "things")
    refused = asyncio.Event()

    async def lead():
        nonlocal stepped
        await things.create({"metadata": {"name": "x"}})
        stepped = 11
        count = len(api.requests)
        with pytest.raises(Unreachable, match="not renewed in time"):
            await (things.create({"metadata": {"name": "y"}}) if method == "create" else things.delete("x"))
        await things.get("x")
        assert [request[0] for request in api.requests[count:]] == ["GET"]
        refused.set()

    await LeaderElector(client, "l", "a").run(lead)
    assert refused.is_set()


async def test_who_led_writes_nothing_more():
    client = Client(InProcessTransport(FakeAPI()))
    elector = LeaderElector(client, "l", "a")

    async def lead():
        pass

    await elector.run(lead)
    with pytest.raises(Unreachable):
        await client.resource("v1", "things").create({"metadata": {"name": "y"}})
