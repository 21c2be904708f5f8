"""How many pods a budget lets go."""

import pytest

from kybern.controllers import disruption
from tests.unit.controllers.objects import ago, pod


def budget(status=None, **spec):
    meta = {"name": "b", "namespace": "default", "generation": 3}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}, "status": status or {}}


@pytest.mark.parametrize(
    ("spec", "expected", "wanted"),
    [
        ({"minAvailable": 2}, 5, 2),
        ({"minAvailable": 7}, 5, 7),
        ({"minAvailable": "50%"}, 5, 3),  # rounded up
        ({"minAvailable": "0%"}, 5, 0),
        ({"maxUnavailable": 1}, 5, 4),
        ({"maxUnavailable": 9}, 5, 0),
        ({"maxUnavailable": "30%"}, 5, 3),  # rounded up: 2 may be missing
        ({"maxUnavailable": 0}, 5, 5),
        ({}, 0, 0),
    ],
)
def test_how_many_must_stay_healthy(spec, expected, wanted):
    assert disruption.desired_healthy(budget(**spec), expected) == wanted


@pytest.mark.parametrize(
    ("spec", "needs"),
    [({"minAvailable": 2}, False), ({"minAvailable": "1%"}, True), ({"maxUnavailable": 1}, True), ({}, False)],
)
def test_what_is_relative_needs_the_size_of_the_owners(spec, needs):
    assert disruption.needs_scale(budget(**spec)) is needs


def test_a_budget_that_says_nothing_allows_nothing():
    chosen = [pod("a"), pod("b")]
    assert disruption.expected_without_scale(budget(), chosen) == 0
    assert disruption.expected_without_scale(budget(minAvailable=1), chosen) == 2
    assert disruption.new_status(budget(), chosen, 0, {})["disruptionsAllowed"] == 0


def test_only_ready_pods_that_stay_are_healthy():
    chosen = [pod("a"), pod("b"), pod("c", ready=False), pod("d", going=True), pod("e")]
    status = disruption.new_status(budget(minAvailable=1), chosen, 5, {"e": ago(5)})
    assert status == {
        "observedGeneration": 3,
        "disruptionsAllowed": 1,
        "currentHealthy": 2,
        "desiredHealthy": 1,
        "expectedPods": 5,
        "disruptedPods": {"e": ago(5)},
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": "True",
                "reason": "SufficientPods",
                "message": "",
                "observedGeneration": 3,
                "lastTransitionTime": ago(0),
            }
        ],
    }


def test_too_few_healthy_pods_allow_no_disruption_not_a_negative_number():
    status = disruption.new_status(budget(minAvailable=3), [pod("a")], 1, {})
    assert status["disruptionsAllowed"] == 0
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "InsufficientPods")


def test_the_condition_keeps_its_time_while_its_status_stays():
    held = {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "lastTransitionTime": ago(99)}
    status = disruption.new_status(budget({"conditions": [held]}, minAvailable=0), [pod("a")], 1, {})
    assert status["conditions"][0]["lastTransitionTime"] == ago(99)


def test_when_nobody_knows_nothing_may_go():
    before = {"disruptionsAllowed": 4, "currentHealthy": 5, "observedGeneration": 2}
    status = disruption.failed_status(budget(before), 'found no controllers for pod "a"')
    assert (status["disruptionsAllowed"], status["currentHealthy"]) == (0, 5)
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "SyncFailed")
    assert condition["message"] == 'found no controllers for pod "a"'


@pytest.mark.parametrize(
    ("fields", "since", "left"),
    [({}, 20, 100.0), ({}, 500, 0.0), ({"going": True}, 20, None), ({"phase": "Failed"}, 20, None), ({}, None, None)],
)
def test_how_long_a_pod_counts_as_about_to_go(fields, since, left):
    made = pod(**fields)
    if since is not None:
        target = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": ago(since)}
        made["status"]["conditions"].append(target)
    assert disruption.seconds_of_target(made) == left
