"""How large each ReplicaSet becomes."""

import pytest

from kybern.controllers import deployment_rolling as rolling
from kybern.controllers.deployment import DeploymentController
from tests.unit.controllers.objects import deployment, replica_set


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),  # up for the surge, down for what may be missing
        (1, "25%", "25%", (1, 0)),
        (10, 0, 0, (0, 1)),  # both 0 would never move
        (3, "10%", "10%", (1, 0)),
        (3, 0, "10%", (0, 1)),
        (4, 2, 1, (2, 1)),
        (2, 0, 5, (0, 2)),  # no more can be missing than there are
        (7, "100%", "100%", (7, 7)),
        (10, "29%", "29%", (3, 2)),
        (0, "25%", "25%", (0, 0)),
    ],
)
def test_percentages_are_rounded_to_the_safe_side(replicas, surge, unavailable, expected):
    made = deployment(replicas, surge=surge, unavailable=unavailable)
    assert (rolling.max_surge(made), rolling.max_unavailable(made)) == expected


def test_only_rolling_updates_surge():
    made = deployment(10, strategy={"type": "Recreate"})
    assert (rolling.max_surge(made), rolling.max_unavailable(made)) == (0, 0)
    new = replica_set("new", 0)
    assert rolling.size_of_new(made, [replica_set("old", 10), new], new) == 10


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (10, 0, {"new": 3}),  # as many as the surge leaves room for
        (13, 0, {}),
        (5, 5, {"new": 8}),
        (0, 2, {"new": 10}),  # never above the size
        (0, 12, {"new": 10}),
        (0, 10, {}),
    ],
)
def test_the_new_one_grows_into_the_room_there_is(old, new, expected):
    latest = replica_set("new", new)
    assert rolling.grow_new(deployment(10), [replica_set("old", old), latest], latest) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # (replicas, available) of each: the newer are not touched while the older suffice.
        ([(10, 10)], (3, 0), {"old0": 8}),
        ([(8, 8)], (5, 5), {"old0": 3}),
        ([(8, 8)], (5, 0), {}),  # what is new isn't up yet
        ([(10, 0)], (3, 0), {"old0": 8}),  # unhealthy ones go although nothing is available
        ([(4, 4), (4, 0)], (5, 0), {}),
        ([(6, 6), (4, 0)], (3, 3), {"old0": 5, "old1": 0}),  # unhealthy first, then as many as may be missing
        ([(2, 2), (6, 6)], (5, 5), {"old0": 0, "old1": 3}),
        ([(0, 0)], (10, 10), {}),
    ],
)
def test_the_old_ones_shrink_as_far_as_availability_allows(old, new, expected):
    olds = [replica_set(f"old{i}", size, available=up, age=100 - i) for i, (size, up) in enumerate(old)]
    latest = replica_set("new", new[0], available=new[1], age=1)
    assert rolling.shrink_old(deployment(10), [latest, *olds], olds, latest) == expected


def sized(name, replicas, most, **kw):
    return replica_set(name, replicas, annotations={rolling.MAXIMUM: str(most), rolling.DESIRED: "10"}, **kw)


@pytest.mark.parametrize(
    ("size", "surge", "sets", "expected"),
    [
        # The example of the documentation: 10 with surge 3, from 8 and 5 to 15 (+3).
        (15, 3, [("old", 8, 13), ("new", 5, 13)], {"old": 11, "new": 7}),
        (5, 0, [("a", 6, 10), ("b", 4, 10)], {"a": 3, "b": 2}),
        (0, "25%", [("a", 6, 13), ("b", 4, 13)], {"a": 0, "b": 0}),
        (12, 0, [("a", 5, 10), ("b", 5, 10)], {"a": 6, "b": 6}),
        (11, 0, [("a", 5, 10), ("b", 5, 10)], {"a": 5, "b": 6}),  # the newer gets what can't be split
        (9, 0, [("a", 5, 10), ("b", 5, 10)], {"a": 4, "b": 5}),  # and the older loses it
        (10, 0, [("a", 5, 10), ("b", 5, 10)], {}),
    ],
)
def test_a_change_of_size_is_spread_in_proportion(size, surge, sets, expected):
    active = [sized(name, replicas, most, age=100 - i) for i, (name, replicas, most) in enumerate(sets)]
    assert rolling.proportional(deployment(size, surge=surge), active) == expected


def test_leftovers_go_to_the_largest():
    active = [sized("a", 3, 9), sized("b", 3, 9, age=90), sized("c", 3, 9, age=80)]
    sizes = rolling.proportional(deployment(10, surge=0), active)
    assert (sizes["c"], sum(sizes.values())) == (4, 10)


def test_without_a_note_of_the_size_before_the_status_tells():
    active = [replica_set("a", 6), replica_set("b", 4, age=50)]
    grown = deployment(20, surge=0, status={"replicas": 10})
    assert rolling.proportional(grown, active) == {"a": 12, "b": 8}
    unknown = deployment(20, surge=0)
    assert rolling.proportional(unknown, active) == {"a": 16, "b": 4}


def scale(made, sets, new=None):
    return DeploymentController._sizes(None, made, sets, new)


def test_a_single_active_set_gets_the_whole_size():
    sets = [replica_set("old", 0, age=100), replica_set("new", 4, age=10)]
    assert scale(deployment(7), sets, sets[1]) == {"new": 7}


def test_with_none_active_the_newest_does():
    old, older = replica_set("old", 0, age=10), replica_set("older", 0, age=100)
    older["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "9"}
    assert scale(deployment(7), [old, older]) == {"old": 7}
    assert scale(deployment(7), [old, older], older) == {"older": 7}
    assert scale(deployment(7), []) == {}


def test_once_the_new_one_is_saturated_the_others_go():
    new = replica_set("new", 10, annotations={rolling.DESIRED: "10"})
    sets = [replica_set("old", 3, age=200), new]
    assert rolling.is_saturated(deployment(10), new)
    assert scale(deployment(10), sets, new) == {"old": 0}
    starting = replica_set("new", 10, available=9, annotations={rolling.DESIRED: "10"})
    assert not rolling.is_saturated(deployment(10), starting)
    assert not rolling.is_saturated(deployment(10), None)


@pytest.mark.parametrize(
    ("replicas", "noted", "expected"), [(5, "10", True), (10, "10", False), (5, "", False), (5, "x", False)]
)
def test_a_change_of_size_shows_by_what_the_sets_were_told(replicas, noted, expected):
    one = replica_set("a", 3, annotations={rolling.DESIRED: noted} if noted else {})
    assert DeploymentController._is_scaling(deployment(replicas), [one]) is expected
    assert not DeploymentController._is_scaling(deployment(replicas), [replica_set("b", 0)])
