"""Priority levels: seats, queues and turns; and which requests belong to which flow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.api.flowcontrol import bootstrap
from kybern.apiserver import info
from kybern.apiserver.flowcontrol import level as levels
from kybern.apiserver.flowcontrol import limits
from kybern.apiserver.flowcontrol.level import CANCELLED, Flow, Level, Ticket, deal
from kybern.apiserver.flowcontrol.retry import RetryAfter
from kybern.apiserver.flowcontrol.schema import Schema
from kybern.apiserver.flowcontrol.work import ONE, Work
from kybern.apiserver.request import Request, UserInfo


def request(line: str = "GET /api/v1/namespaces/a/pods/p") -> Request:
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    made = Request(method, path, query)
    made.info = info.parse(made)
    return made


def schema(name: str = "s", **spec: Any) -> Schema:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    rules = [{"subjects": [{"kind": "Group", "group": {"name": "*"}}], "resourceRules": [everything]}]
    made = {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 1000, "rules": rules, **spec}
    return Schema({"metadata": {"name": name}, "spec": made})


def level(limit: int, queues: int = 8, length: int = 50, hand: int = 1) -> Level:
    """A level of so many seats."""
    made = Level("l")
    queuing = {"queues": queues, "handSize": hand, "queueLengthLimit": length}
    response = {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"}
    spec = {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": response}}
    made.configure({"metadata": {"name": "l"}, "spec": spec})
    made.resize(limit)
    return made


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(levels, "monotonic", made)
    return made


def running(ticket: Ticket | None) -> bool:
    assert ticket is not None
    return ticket.future is None or (ticket.future.done() and ticket.future.result())


async def test_a_free_seat_is_taken_at_once_and_a_taken_one_is_waited_for(time: Clock) -> None:
    made = level(2)
    flow = Flow(schema(), made, "", (0,))
    first, second, third = (made.enter(flow, ONE, request()) for _ in range(3))
    assert (running(first), running(second), running(third)) == (True, True, False)
    assert first is not None
    time.now += 1
    first.leave()
    assert running(third)
    assert (made.executing, made.waiting, made.seats_in_use) == (2, 0, 2)


async def test_a_wide_request_waits_for_all_its_seats_and_runs_alone_where_there_are_fewer(time: Clock) -> None:
    made = level(4)
    flow = Flow(schema(), made, "", (0,))
    one = made.enter(flow, ONE, request())
    wide, narrow = made.enter(flow, Work(4), request()), made.enter(flow, ONE, request())
    assert not running(wide) and not running(narrow)
    assert one is not None
    one.leave()
    assert running(wide) and not running(narrow)
    giant = level(2)
    assert running(giant.enter(Flow(schema(), giant, "", (0,)), Work(9), request()))


async def test_seats_are_kept_while_watchers_are_told(time: Clock) -> None:
    made = level(4)
    ticket = made.enter(Flow(schema(), made, "", (0,)), Work(1, 3, 0.01), request())
    assert ticket is not None and made.seats_in_use == 3
    ticket.leave()
    assert (made.executing, made.seats_in_use) == (0, 3)
    await asyncio.sleep(0.03)
    assert made.seats_in_use == 0


async def test_a_flow_that_asks_for_much_does_not_starve_the_others(time: Clock) -> None:
    made = level(1)
    greedy, modest = (Flow(schema(), made, name, (queue,)) for name, queue in (("greedy", 0), ("modest", 1)))
    now = made.enter(greedy, ONE, request())
    crowd = [made.enter(greedy, ONE, request()) for _ in range(20)]
    late = [made.enter(modest, ONE, request()) for _ in range(3)]
    served = []
    for _ in range(6):
        time.now += 1
        assert now is not None
        now.leave()
        now = next(t for t in [*crowd, *late] if t is not None and running(t) and t not in served)
        served.append(now)
    names = [ticket.flow.distinguisher for ticket in served if ticket]
    assert names.count("modest") == 3, names


async def test_a_queue_that_is_full_refuses_and_a_level_without_queues_refuses_at_once() -> None:
    made = level(1, length=1)
    flow = Flow(schema(), made, "", (0,))
    assert [made.enter(flow, ONE, request()) is not None for _ in range(3)] == [True, True, False]
    assert flow.counts.rejected == {"queue-full": 1}
    strict = level(1, queues=0)
    flow = Flow(schema(), strict, "", ())
    assert [strict.enter(flow, ONE, request()) is not None for _ in range(2)] == [True, False]
    assert flow.counts.rejected == {"concurrency-limit": 1}


async def test_who_gives_up_leaves_the_queue_to_the_others() -> None:
    made = level(1)
    flow = Flow(schema(), made, "", (0,))
    one, two, three = (made.enter(flow, ONE, request()) for _ in range(3))
    assert one and two and three and two.future
    made.give_up(two, CANCELLED)
    assert two.future.result() is False and made.waiting == 1
    one.leave()
    assert running(three)
    three.leave()
    assert made.idle and made.seats_in_use == made.seats_waiting == 0


async def test_queues_that_are_too_many_go_when_they_are_empty() -> None:
    made = level(1, queues=8)
    flow = Flow(schema(), made, "", (7,))
    ticket, waiting = made.enter(flow, ONE, request()), made.enter(flow, ONE, request())
    fewer = {"queues": 2, "handSize": 1, "queueLengthLimit": 5}
    spec = {"limited": {"limitResponse": {"type": "Queue", "queuing": fewer}}}
    made.configure({"metadata": {"name": "l"}, "spec": spec})
    assert len(made.queues) == 8 and ticket and waiting
    ticket.leave()
    assert running(waiting)
    waiting.leave()
    assert len(made.queues) == 2


def test_a_hand_has_different_cards_and_depends_on_the_hash_alone() -> None:
    hands = [deal(number * 0x9E3779B97F4A7C15 % 2**64, 64, 6) for number in range(500)]
    assert all(len(set(hand)) == 6 and 0 <= min(hand) <= max(hand) < 64 for hand in hands)
    assert len({tuple(sorted(hand)) for hand in hands}) > 490
    assert deal(0, 4, 4) == (0, 1, 2, 3)
    assert deal(3 + 4 * 2 + 4 * 3 * 1, 4, 3) == (3, 2, 1)


@pytest.mark.parametrize(
    ("who", "line", "wanted"),
    [
        (UserInfo("root", ("system:masters",)), "GET /api/v1/pods", "exempt"),
        (UserInfo("anyone", ("system:authenticated",)), "GET /readyz", "probes"),
        (UserInfo("anyone", ("system:authenticated",)), "GET /readyz/ping", "global-default"),
        (UserInfo("system:node:n", ("system:nodes",)), "PATCH /api/v1/nodes/n/status", "system-node-high"),
        (UserInfo("system:node:n", ("system:nodes",)), "GET /api/v1/pods", "system-nodes"),
        (
            UserInfo("system:kube-scheduler"),
            "PUT /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x",
            "system-leader-election",
        ),
        (UserInfo("system:kube-scheduler"), "GET /api/v1/nodes", "kube-scheduler"),
        (
            UserInfo("system:serviceaccount:kube-system:endpoint-controller"),
            "PUT /api/v1/namespaces/a/endpoints/e",
            "endpoint-controller",
        ),
        (UserInfo("system:serviceaccount:kube-system:x"), "GET /api/v1/pods", "kube-system-service-accounts"),
        (UserInfo("system:serviceaccount:a:x", ("system:serviceaccounts",)), "GET /api/v1/pods", "service-accounts"),
        (UserInfo("nobody"), "GET /api/v1/pods", None),
    ],
)
def test_the_objects_of_every_cluster_sort_requests_as_they_should(who: UserInfo, line: str, wanted: str) -> None:
    schemas = sorted(map(Schema, bootstrap.flow_schemas()), key=lambda each: (each.precedence, each.name))
    asked = request(line).info
    assert next((each.name for each in schemas if each.matches(who, asked)), None) == wanted


def test_cluster_scope_and_namespaces_are_different_things() -> None:
    rule = {"verbs": ["*"], "apiGroups": [""], "resources": ["*"], "namespaces": ["a"]}
    rules = [{"subjects": [{"kind": "User", "user": {"name": "u"}}], "resourceRules": [rule]}]
    made = schema(rules=rules, distinguisherMethod={"type": "ByNamespace"})
    user = UserInfo("u")
    inside, outside, everywhere = (request(f"GET /api/v1/{where}pods").info for where in
                                   ("namespaces/a/", "namespaces/b/", ""))  # fmt: skip
    assert [made.matches(user, asked) for asked in (inside, outside, everywhere)] == [True, False, False]
    assert made.distinguisher(user, inside) == "a"


def test_seats_are_shared_by_shares_and_borrowed_by_demand() -> None:
    made = [Level(name) for name in ("a", "b")]
    for each, shares, lendable in zip(made, (30, 10), (50, 0), strict=True):
        limited = {"nominalConcurrencyShares": shares, "lendablePercent": lendable}
        each.configure({"metadata": {"name": each.name}, "spec": {"type": "Limited", "limited": limited}})
    limits.share(made, 100)
    assert [(each.nominal, each.lower, each.upper) for each in made] == [(75, 37, 100), (25, 25, 100)]
    made[1].demand.spent = {(60, 0, 60, 0): 10.0}
    limits.borrow(made)
    assert made[1].limit > 55 and made[0].limit >= made[0].lower
    assert made[0].limit + made[1].limit == 100


def test_allocation_keeps_every_bound_and_gives_all() -> None:
    wishes = [limits.Wish(10, 5, 20), limits.Wish(30, 10, 30), limits.Wish(1, 0, 100)]
    for total in (15, 20, 40, 41, 60, 149):
        given, _ = limits.allocate(total, wishes, [0, 0, 0])
        assert sum(given) == pytest.approx(total)
        assert all(wish.lower <= seats <= wish.upper for seats, wish in zip(given, wishes, strict=True))


def test_who_is_refused_often_is_told_to_come_back_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made, time = RetryAfter(), Clock()
    monkeypatch.setattr("kybern.apiserver.flowcontrol.retry.monotonic", time)
    assert made.seconds("l") == 1
    for _ in range(12):
        for _ in range(40):
            made.dropped("l")
        time.now += 1
    assert made.seconds("l") == 8
    for _ in range(200):
        time.now += 40
        made.dropped("l")
    assert made.seconds("l") == 1
