"""The judge of the fault tests: it must find what a broken cluster would show, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from tests.chaos import history as judge
from tests.chaos.history import COUNTER, Event, History, Read, Stretch, Write, complaints, longest_pause
from tests.chaos.leaders import Hold, Spell, holds, overlaps, spells, two_leaders


def write(verb: Any, name: str, value: str, version: int, at: float = 0.0, acknowledged: bool = True) -> Write:
    return Write(verb, name, value, version, "a", at, at + 0.1, acknowledged)


def event(version: int, name: str = "x", value: str = "1", type: str = "MODIFIED") -> Event:
    return Event(type, name, value, version)


def sound() -> History:
    """Two objects, one deleted again, seen alike by two watchers; the second listed anew in between."""
    writes = [
        write("create", "x", "1", 2, 1),
        write("create", "y", "1", 3, 2),
        write("update", "x", "2", 5, 3),
        write("delete", "y", "", 0, 4),
    ]
    told = [event(2), event(3, "y"), event(5, "x", "2"), event(6, "y", "1", "DELETED")]
    stretches = [Stretch("a", 1, told), Stretch("b", 1, told[:1]), Stretch("b", 3, told[2:], listed={"x": 2, "y": 3})]
    reads = [Read("x", "b", 2, 2), Read("x", "b", 2, 5), Read("y", "b", 0, 0)]
    return History(writes, reads, stretches, {"a": {"x": (5, "2")}, "b": {"x": (5, "2")}})


def test_nothing_is_said_of_a_sound_history() -> None:
    assert complaints(sound()) == []


def test_a_write_that_is_gone_is_found() -> None:
    seen = sound()
    seen.finals = {"a": {}}
    assert complaints(seen) == ["a: x is None, but the writes that were acknowledged leave '2'"]
    seen.finals = {"a": {"x": (2, "1")}}
    assert "a: x is '1'" in complaints(seen)[0]


def test_a_deleted_object_that_is_back_is_found() -> None:
    seen = sound()
    seen.finals["a"]["y"] = seen.finals["b"]["y"] = (3, "1")
    assert [line.partition(",")[0] for line in complaints(seen)] == ["a: y is '1'", "b: y is '1'"]


def test_a_write_of_unknown_outcome_may_be_there_or_not() -> None:
    seen = sound()
    seen.writes.append(write("update", "x", "3", 0, 5, acknowledged=False))
    assert complaints(seen) == []
    seen.finals = {"a": {"x": (9, "3")}}
    assert complaints(seen) == []
    seen.writes.append(write("update", "x", "4", 10, 6))
    assert "a: x is '3'" in next(iter(judge.lost_writes(seen)))


def test_lost_updates_are_found() -> None:
    counted = [write("update", COUNTER, str(n), n + 10) for n in (1, 2, 2)]
    seen = History(writes=counted, finals={"a": {COUNTER: (12, "2")}})
    assert list(judge.lost_counts(seen)) == ["two updates of counter to 2 were acknowledged: one is lost"]
    seen = History(writes=counted[:2], finals={"a": {COUNTER: (11, "1")}})
    assert list(judge.lost_counts(seen)) == ["a: counter is 1 after 2 to 2 updates"]
    seen.writes = [counted[0], write("update", COUNTER, "2", 0, acknowledged=False)]
    assert list(judge.lost_counts(seen)) == []


def faults(*stretches: Stretch) -> list[str]:
    return list(judge.watch_faults(list(stretches)))


def test_an_event_told_twice_or_late_is_found() -> None:
    assert faults(Stretch("a", 1, [event(2), event(2)])) == ["a: event MODIFIED x at 2 came after version 2"]
    assert faults(Stretch("a", 1, [event(3), event(2)])) == ["a: event MODIFIED x at 2 came after version 3"]
    assert faults(Stretch("a", 4, [event(4)])) == ["a: event MODIFIED x at 4 came after version 4"]


def test_a_gap_is_found() -> None:
    whole, holed = [event(2), event(3), event(4)], [event(2), event(4)]
    assert faults(Stretch("a", 1, whole), Stretch("b", 1, holed)) == ["b: the change of x at 3 never came"]
    assert faults(Stretch("a", 1, whole), Stretch("b", 1, [event(2)], end=3)) == ["b: the change of x at 3 never came"]
    assert faults(Stretch("a", 1, whole), Stretch("b", 3, [event(4)])) == []


def test_an_acknowledged_write_that_nobody_was_told_of_is_found() -> None:
    unheard = [write("create", "x", "1", 3), write("delete", "y", "", 0)]
    found = judge.watch_faults([Stretch("a", 1, [event(4)])], unheard)
    assert list(found) == ["a: the change of x at 3 never came", "no watcher heard that y was deleted"]


def test_watchers_that_disagree_are_found() -> None:
    said = faults(Stretch("a", 1, [event(2)]), Stretch("b", 1, [event(2, value="9")]))
    assert said == ["b: event MODIFIED x at 2 is ('x', '1') elsewhere"]


def test_a_stretch_goes_as_far_as_its_events_and_bookmarks() -> None:
    stretch = Stretch("a", 1)
    stretch.add(event(3))
    stretch.add(event(7, type="BOOKMARK"))
    assert (stretch.end, stretch.events) == (7, [event(3)])


def test_a_list_anew_that_is_not_of_its_version_is_found() -> None:
    def said(start: int, listed: dict[str, int]) -> list[str]:
        seen = sound()
        seen.stretches[-1] = Stretch("b", start, listed=listed)
        return complaints(seen)

    assert said(5, {"x": 5, "y": 3}) == []
    assert said(5, {"y": 3}) == ["b: a list at 5 lacks x"]
    assert said(5, {"x": 2, "y": 3}) == ["b: a list at 5 has x at 2, not 5"]
    assert said(6, {"x": 5}) == []
    assert said(6, {"x": 5, "y": 3}) == ["b: a list at 6 has y, deleted at 6"]


def test_stale_reads_are_found() -> None:
    seen = [Read("x", "b", 5, 4), Read("x", "b", 5, 0), Read("y", "b", 0, 3), Read("x", "b", 5, 6)]
    assert list(judge.stale_reads(seen)) == [
        "b: x was read at 4, after 5 was written",
        "b: x was read at no version, after 5 was written",
        "b: y was still there after its deletion",
    ]


def test_servers_that_differ_at_the_end_are_found() -> None:
    assert list(judge.differences({"a": {"x": (1, "1")}, "b": {"x": (1, "1"), "z": (2, "2")}})) == [
        "z is None at a and (2, '2') at b"
    ]


def test_the_longest_pause_of_writers() -> None:
    writes = [write("update", "x", str(n), n, at) for n, at in enumerate((0.9, 1.9, 6.9, 7.9))]
    assert round(longest_pause(writes, since=1.5), 3) == 5
    assert longest_pause(writes, since=1.5, server="b") == 0
    assert longest_pause([], since=1.5) == 0


def lease(version: int, holder: str, renewed: int, acquired: int, duration: int = 15) -> Event:
    stamps = {"renewTime": f"2026-01-01T00:00:{renewed:02}.000000Z", "acquireTime": f"2026-01-01T00:00:{acquired:02}Z"}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": duration, **stamps}
    return Event("MODIFIED", "s", json.dumps(spec), version)


def test_a_lease_taken_too_early_is_found() -> None:
    early = holds([lease(3, "b", 20, 20), lease(2, "a", 10, 5), lease(2, "a", 10, 5)])
    assert [hold.holder for hold in early] == ["a", "b"]
    assert list(two_leaders(early)) == ["b took s 5.00 s before that of a ran out"]
    assert not list(two_leaders(holds([lease(2, "a", 10, 5), lease(3, "b", 25, 25)])))
    given_back = [lease(2, "a", 10, 5), lease(3, "", 11, 5, 1), lease(4, "b", 12, 12)]
    assert not list(two_leaders(holds(given_back)))
    assert isinstance(early[0], Hold)


def test_leaders_that_overlap_by_their_logs_are_found() -> None:
    def log(*lines: str) -> str:
        return "\n".join(f"I0101 00:00:{line}" for line in lines)

    where = "   1234 leaderelection.py:75]"
    leads, ends = f"{where} leading kube-system/s as", f"{where} no longer leading kube-system/s as"
    first = spells("n1", log(f"01.000 {leads} x", f"09.000 {ends} x", "09.5     1 other.py:1] leading nothing"), 2026)
    second = spells("n2", log(f"07.000 {leads} y"), 2026)
    assert [(spell.lease, spell.node, spell.ended is None) for spell in first + second] == [
        ("s", "n1", False),
        ("s", "n2", True),
    ]
    assert list(overlaps(first + second)) == ["n1 and n2 both led s for 2.00 s"]
    assert not list(overlaps([*second, Spell("s", "n3", second[0].began + 1, None)]))
