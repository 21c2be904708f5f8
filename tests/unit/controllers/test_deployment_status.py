"""A Deployment's numbers and conditions."""

import pytest

from kybern.controllers import conditions
from kybern.controllers import deployment_status as progress
from tests.unit.controllers.objects import NOW, ago, deployment, replica_set

DEADLINE = 600


def progressing(reason, *, status="True", updated=100, transition=200):
    return {"type": "Progressing", "status": status, "reason": reason, "message": "m",
            "lastUpdateTime": ago(updated), "lastTransitionTime": ago(transition)}  # fmt: skip


def rolled(made, sets, new, condition=None):
    if condition:
        made["status"]["conditions"] = [condition]
    status = progress.rollout(made, sets, new)
    return conditions.find(status, "Progressing")


def limited(replicas=10, **kw):
    return deployment(replicas, progressDeadlineSeconds=DEADLINE, **kw)


def test_the_numbers_are_sums():
    new, old = replica_set("new", 3, available=1), replica_set("old", 8, available=7, terminatingReplicas=2)
    assert progress.calculate(deployment(10), [new, old], new) | {"conditions": 0} == {
        "observedGeneration": 1,
        "replicas": 11,
        "updatedReplicas": 3,
        "readyReplicas": 8,
        "availableReplicas": 8,
        "unavailableReplicas": 3,
        "terminatingReplicas": 2,
        "conditions": 0,
    }


def test_terminating_pods_are_told_only_when_all_sets_tell():
    new = replica_set("new", 1)
    new["status"].pop("terminatingReplicas")
    assert "terminatingReplicas" not in progress.calculate(deployment(1), [new, replica_set("old", 1)], new)


def test_the_collision_count_is_kept():
    assert progress.calculate(deployment(status={"collisionCount": 2}), [], None)["collisionCount"] == 2


@pytest.mark.parametrize(("up", "status"), [(8, "True"), (7, "False"), (10, "True")])
def test_available_allows_for_what_may_be_missing(up, status):
    new = replica_set("new", 10, available=up)
    found = conditions.find(progress.calculate(deployment(10), [new], new), "Available")
    reason = "MinimumReplicasAvailable" if status == "True" else "MinimumReplicasUnavailable"
    assert (found["status"], found["reason"]) == (status, reason)
    says = "has" if status == "True" else "does not have"
    assert found["message"] == f"Deployment {says} minimum availability."


def test_an_unchanged_condition_keeps_its_times():
    new = replica_set("new", 10)
    held = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "lastTransitionTime": ago(77)}
    status = progress.calculate(deployment(10, status={"conditions": [held]}), [new], new)
    assert status["conditions"] == [held]


def test_complete():
    new = replica_set("new", 10)
    found = rolled(limited(), [new], new, progressing("ReplicaSetUpdated"))
    assert (found["status"], found["reason"]) == ("True", "NewReplicaSetAvailable")
    assert found["message"] == 'ReplicaSet "new" has successfully progressed.'
    assert (found["lastTransitionTime"], found["lastUpdateTime"]) == (ago(200), ago(0))


def test_it_is_not_complete_before_it_is_observed():
    new = replica_set("new", 10)
    made = limited()
    assert progress.is_complete(made, progress.calculate(made, [new], new))
    made["metadata"]["generation"] = 2
    assert not progress.is_complete(made, {**progress.calculate(limited(), [new], new)})


@pytest.mark.parametrize(
    "before",
    [
        {"replicas": 13, "updatedReplicas": 2, "readyReplicas": 10, "availableReplicas": 10},  # more are new
        {"replicas": 12, "updatedReplicas": 3, "readyReplicas": 10, "availableReplicas": 10, "more_old": 1},
        {"replicas": 13, "updatedReplicas": 3, "readyReplicas": 9, "availableReplicas": 10},
        {"replicas": 13, "updatedReplicas": 3, "readyReplicas": 10, "availableReplicas": 9},
    ],
)
def test_whatever_moves_forward_is_progress(before):
    before = dict(before)
    old = replica_set("old", 10 - 2 * before.pop("more_old", 0))
    new = replica_set("new", 3, available=10 - old["status"]["availableReplicas"])
    held = progressing("ReplicaSetUpdated", updated=500)
    found = rolled(limited(status=before), [new, old], new, held)
    assert (found["reason"], found["message"]) == ("ReplicaSetUpdated", 'ReplicaSet "new" is progressing.')
    assert (found["lastTransitionTime"], found["lastUpdateTime"]) == (ago(200), ago(0))


def stuck(condition, **kw):
    new, old = replica_set("new", 3, available=0), replica_set("old", 8)
    before = {"replicas": 11, "updatedReplicas": 3, "readyReplicas": 8, "availableReplicas": 8}
    return rolled(limited(status=before, **kw), [new, old], new, condition)


@pytest.mark.parametrize(("updated", "out"), [(DEADLINE - 1, False), (DEADLINE, False), (DEADLINE + 1, True)])
def test_without_progress_the_deadline_passes(updated, out):
    found = stuck(progressing("ReplicaSetUpdated", updated=updated))
    if out:
        assert (found["status"], found["reason"]) == ("False", "ProgressDeadlineExceeded")
        assert found["message"] == 'ReplicaSet "new" has timed out progressing.'
        assert found["lastTransitionTime"] == ago(0)
    else:
        assert found["reason"] == "ReplicaSetUpdated"


def test_a_deadline_that_passed_stays_passed_until_something_moves():
    held = progressing("ProgressDeadlineExceeded", status="False", updated=5)
    assert stuck(held) == held
    new, old = replica_set("new", 3, available=1), replica_set("old", 8)
    before = {"replicas": 11, "updatedReplicas": 3, "readyReplicas": 8, "availableReplicas": 8}
    found = rolled(limited(status=before), [new, old], new, held)
    assert (found["status"], found["reason"], found["lastTransitionTime"]) == ("True", "ReplicaSetUpdated", ago(0))


def test_after_a_rollout_nothing_is_late():
    held = progressing("NewReplicaSetAvailable", updated=10_000)
    assert stuck(held) == held


def test_a_finished_rollout_stays_finished_whatever_becomes_of_its_pods():
    new = replica_set("new", 10, available=2)
    held = progressing("NewReplicaSetAvailable", updated=10_000)
    assert rolled(limited(status={"replicas": 10, "updatedReplicas": 10}), [new], new, held) == held


def test_without_a_condition_there_is_nothing_to_measure_from():
    assert stuck(None) is None


@pytest.mark.parametrize("deadline", [None, 2**31 - 1])
def test_without_a_deadline_progress_is_not_reported(deadline):
    made, new = deployment(progressDeadlineSeconds=deadline), replica_set("new", 10)
    assert rolled(made, [new], new, progressing("ReplicaSetUpdated")) is None
    assert progress.seconds_to_deadline(made, {}) is None


def test_when_to_look_again():
    def seconds(condition, status=None):
        made = limited(status={"conditions": [condition]})
        return progress.seconds_to_deadline(made, status or {})

    assert seconds(progressing("ReplicaSetUpdated", updated=100)) == DEADLINE - 100 + 1
    assert seconds(progressing("ReplicaSetUpdated", updated=DEADLINE + 50)) == 1.0
    assert seconds(progressing("ProgressDeadlineExceeded", status="False")) is None
    whole = {"updatedReplicas": 10, "replicas": 10, "availableReplicas": 10, "observedGeneration": 1}
    assert seconds(progressing("ReplicaSetUpdated"), whole) is None
    assert progress.seconds_to_deadline(limited(), {}) is None


def failing(name, reason):
    failure = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": "quota",
               "lastTransitionTime": ago(30)}  # fmt: skip
    return replica_set(name, 1, conditions=[failure])


def test_failures_of_the_new_set_are_shown_before_others():
    new, old = failing("new", "FailedCreate"), failing("old", "FailedDelete")
    found = conditions.find(progress.rollout(limited(), [old, new], new), "ReplicaFailure")
    assert (found["reason"], found["message"]) == ("FailedCreate", "quota")
    assert found["lastTransitionTime"] == found["lastUpdateTime"] == ago(30)
    healthy = replica_set("new", 1)
    status = progress.rollout(limited(), [old, healthy], healthy)
    assert conditions.find(status, "ReplicaFailure")["reason"] == "FailedDelete"
    after = progress.rollout(limited(status=status), [healthy], healthy)
    assert conditions.find(after, "ReplicaFailure") is None


def test_put_keeps_what_says_the_same():
    status = {}
    conditions.put(status, conditions.make("A", "True", "R", "one"))
    first = conditions.find(status, "A")
    conditions.put(status, conditions.make("A", "True", "R", "two"))
    assert conditions.find(status, "A") is first


def test_put_changes_the_transition_time_with_the_status_only(now):
    status = {}
    conditions.put(status, conditions.make("A", "True", "R", "one"))
    now[0] = NOW + 60
    conditions.put(status, conditions.make("A", "True", "Other", "two"))
    assert conditions.find(status, "A")["lastTransitionTime"] == ago(0)
    conditions.put(status, conditions.make("A", "False", "Other", "two"))
    assert conditions.find(status, "A")["lastTransitionTime"] == ago(-60)
