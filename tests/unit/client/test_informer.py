import asyncio

import pytest

from kybern.api.errors import Expired, Forbidden
from kybern.client import informer as informer_module
from kybern.client.informer import InformerFactory
from kybern.client.rest import Client
from kybern.client.transport import InProcessTransport
from tests.unit.client.fakes import FakeAPI, event


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr(informer_module, "_FIRST_BACKOFF", 0.0)
    return FakeAPI()


@pytest.fixture
async def factory(api):
    factory = InformerFactory(Client(InProcessTransport(api)))
    yield factory
    await factory.stop()


def things(factory, seen, **kw):
    informer = factory.informer("v1", "things", namespaced=False, **kw)
    informer.on_change(lambda old, new: seen.append((_name(old), _name(new))))
    return informer


def _name(obj):
    return obj and obj["metadata"]["name"]


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


def watches(api):
    return [query["resourceVersion"] for _, _, query in api.requests if "watch" in query]


async def test_lists_then_watches_from_the_lists_version(api, factory):
    api.put("a")
    api.scripts = [[event("ADDED", "b", 7), event("DELETED", "a", 8), "hang"]]
    seen = []
    informer = things(factory, seen)
    factory.start()
    await factory.synced()
    await until(lambda: len(seen) == 3)
    assert seen == [(None, "a"), (None, "b"), ("a", None)]
    assert watches(api) == ["2"]
    assert [_name(o) for o in informer.list()] == ["b"]
    assert informer.get("b")["metadata"]["resourceVersion"] == "7"


async def test_resumes_from_the_last_version_seen_without_listing_again(api, factory):
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "40"}}}
    api.scripts = [[event("ADDED", "a", 7)], [bookmark], ["hang"]]
    things(factory, [])
    factory.start()
    await until(lambda: len(watches(api)) == 3)
    assert watches(api) == ["1", "7", "40"]
    assert sum("watch" not in query for _, _, query in api.requests) == 1


async def test_lists_anew_when_the_version_is_gone_and_tells_only_differences(api, factory):
    api.put("kept")
    api.put("gone")
    expired = {"type": "ERROR", "object": Expired("too old resource version").status()}
    api.scripts = [[expired], ["hang"]]
    seen = []
    informer = things(factory, seen)
    listed = []

    def change_before_second_list(method, path):
        listed.append(path)
        if len(listed) == 3:
            del api.objects["gone"]
            api.put("new")

    api.before = change_before_second_list
    factory.start()
    await until(lambda: ("gone", None) in seen and (None, "new") in seen)
    assert seen == [(None, "kept"), (None, "gone"), ("gone", None), (None, "new")]
    assert sorted(informer.store) == ["kept", "new"]


async def test_outlives_a_server_that_fails(api, factory):
    failures = iter([Expired("x"), ConnectionError("y")])

    def fail(method, path):
        if error := next(failures, None):
            raise error

    api.before = fail
    api.put("a")
    informer = things(factory, [])
    factory.start()
    async with asyncio.timeout(5):
        await factory.synced()
    assert informer.get("a")


async def test_a_failing_handler_does_not_stop_others(api, factory):
    api.put("a")
    seen = []
    informer = factory.informer("v1", "things", namespaced=False)
    informer.on_change(lambda old, new: 1 / 0)
    things(factory, seen)
    factory.start()
    await factory.synced()
    assert seen == [(None, "a")]
    assert informer.has_synced


async def test_handlers_added_late_hear_of_what_is_there(api, factory):
    api.put("a")
    informer = factory.informer("v1", "things", namespaced=False)
    factory.start()
    await factory.synced()
    seen = []
    informer.on_change(lambda old, new: seen.append((old, _name(new))))
    assert seen == [(None, "a")]


async def test_indexes_follow_changes(api, factory):
    api.put("a", node="n1")
    api.scripts = [[event("MODIFIED", "a", 9, node="n2"), event("ADDED", "b", 10, node="n2"), "hang"]]
    informer = factory.informer("v1", "things", namespaced=False)
    informer.add_index("node", lambda o: [o["node"]])
    factory.start()
    await until(lambda: len(informer.store) == 2)
    assert [_name(o) for o in informer.by_index("node", "n2")] == ["a", "b"]
    assert informer.by_index("node", "n1") == []
    informer.add_index("version", lambda o: [o["metadata"]["resourceVersion"]])
    assert [_name(o) for o in informer.by_index("version", "10")] == ["b"]


async def test_shares_one_informer_per_question_and_drops_managed_fields(api, factory):
    obj = api.put("a")
    obj["metadata"]["managedFields"] = [{"manager": "x"}]
    informer = factory.informer("v1", "things", namespaced=False)
    assert factory.informer("v1", "things", namespaced=False) is informer
    assert factory.informer("v1", "things", namespaced=False, label_selector="x=y") is not informer
    factory.start()
    await factory.synced()
    assert "managedFields" not in informer.get("a")["metadata"]
    assert informer.get("a")["kind"] == "Thing"


async def test_the_same_failure_again_is_no_news(api, factory, caplog):
    caplog.set_level("WARNING")
    refusals = iter(["no", "no", "no", "not now", "not now"])

    def refuse(method, path):
        if message := next(refusals, ""):
            raise Forbidden(message)

    api.before = refuse
    things(factory, [])
    factory.start()
    await factory.synced()
    assert [record.message for record in caplog.records] == [
        "things: list and watch failed: no",
        "things: list and watch failed: not now",
    ]
