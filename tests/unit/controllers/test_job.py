"""What a pass over a Job counts, decides, starts and deletes."""

import pytest

from kybern.controllers import job_pods as own
from kybern.controllers import job_sync as sync
from kybern.controllers.job_backoff import Record, wait_of_index
from kybern.controllers.job_sync import Picture
from tests.unit.controllers.objects import NOW, ago, pod, template


def job(*, status=None, going=False, **spec):
    body = template()
    body["spec"]["restartPolicy"] = "Never"
    meta = {"name": "j", "namespace": "default", "uid": "j", "generation": 1}
    if going:
        meta["deletionTimestamp"] = ago(0)
    return {
        "kind": "Job",
        "apiVersion": "batch/v1",
        "metadata": meta,
        "spec": {"parallelism": 2, "completions": 3, "backoffLimit": 6, "template": body, **spec},
        "status": status or {},
    }


def indexed(completions=4, **spec):
    return job(completionMode="Indexed", completions=completions, **{"parallelism": completions, **spec})


def member(name, phase="Running", *, index=None, finalizer=True, failures=None, ended=5, code=None, **given):
    made = pod(name, phase=phase, **{"ready": phase == "Running", **given})
    if finalizer:
        made["metadata"]["finalizers"] = [own.FINALIZER]
    annotations = made["metadata"].setdefault("annotations", {})
    if index is not None:
        annotations[own.INDEX] = str(index)
    if failures is not None:
        annotations[own.FAILURES] = str(failures)
    if phase in ("Succeeded", "Failed"):
        exit_code = code if code is not None else int(phase == "Failed")
        state = {"terminated": {"exitCode": exit_code, "finishedAt": ago(ended)}}
        made["status"]["containerStatuses"][0]["state"] = state
    return made


def plan(owner, *found, record=None):
    return sync.manage(Picture(owner, found), record or Record())


def names(found):
    return sorted(one["metadata"]["name"] for one in found)


GOOD, BAD = "Succeeded", "Failed"


@pytest.mark.parametrize(
    ("spec", "found", "missing"),
    [
        ({}, [], 2),
        ({"parallelism": 5}, [], 3),
        ({"parallelism": 0}, [], 0),
        ({}, [member("a")], 1),
        ({}, [member("a", GOOD), member("b", GOOD)], 1),
        ({}, [member("a", BAD), member("b")], 1),
        ({}, [member("a", going=True)], 2),
        ({"podReplacementPolicy": "Failed"}, [member("a", going=True)], 1),
        ({"completions": None}, [], 2),
        ({"completions": None}, [member("a", GOOD), member("b")], 0),
    ],
)
def test_how_many_pods_are_started(spec, found, missing):
    made = plan(job(**spec), *found)
    assert (made.create, made.delete) == ([None] * missing, [])


def test_surplus_pods_go():
    found = [member("a"), member("b", node="", phase="Pending"), member("c")]
    assert names(plan(job(parallelism=2), *found).delete) == ["b"]
    assert names(plan(job(suspend=True), *found).delete) == ["a", "b", "c"]


def test_each_index_gets_one_pod():
    owner = indexed(5, parallelism=3, status={"completedIndexes": "0", "succeeded": 1})
    assert plan(owner, member("a", index=2)).create == [1, 3]
    found = [member("a", index=1), member("b", index=1, ready=False), member("c"), member("d", index=9)]
    assert names(plan(owner, *found).delete) == ["b", "c", "d"]
    leaving = member("a", index=1, going=True)
    assert plan(indexed(2, podReplacementPolicy="Failed"), leaving).create == [0]


def test_after_failures_it_waits():
    record = Record(2, NOW - 5)
    made = plan(job(), record=record)
    assert (made.create, made.again) == ([], 15)


@pytest.mark.parametrize(
    ("failures", "ago_", "wait"),
    [(0, 0, 0), (1, 0, 10), (1, 4, 6), (1, 30, 0), (3, 0, 40), (9, 0, 600), (999, 0, 600)],
)
def test_backoff(failures, ago_, wait):
    assert Record(failures, NOW - ago_).wait() == wait


def test_failures_count_since_the_last_success():
    failed = [member("a", BAD, ended=30), member("b", BAD, ended=10)]
    assert Record().after([], failed) == Record(2, NOW - 10)
    assert Record(2, NOW - 60).after([], failed[:1]) == Record(3, NOW - 30)
    assert Record(5, NOW).after([member("c", GOOD, ended=20)], failed) == Record(1, NOW - 10)
    assert Record(5, NOW).after([member("c", GOOD, ended=1)], failed) == Record()


def verdict(owner, *found):
    made = sync.verdict(Picture(owner, found))
    return made and (made["type"], made["reason"], made["message"])


def failure(reason, message):
    return "FailureTarget", reason, message


LIMIT = failure("BackoffLimitExceeded", "Job has reached the specified backoff limit")


def test_too_many_failures():
    bad = [member("a", BAD), member("b", BAD)]
    assert verdict(job(backoffLimit=2), *bad) is None
    assert verdict(job(backoffLimit=1), *bad) == LIMIT
    assert verdict(job(backoffLimit=2, status={"failed": 1}), *bad) == LIMIT
    # Those without a finalizer are counted already.
    assert verdict(job(backoffLimit=1, status={"failed": 1}), member("a", BAD, finalizer=False)) is None
    # A pod that is deleted counts as failed, unless only failed ones are replaced.
    assert verdict(job(backoffLimit=0), member("a", going=True)) == LIMIT
    assert verdict(job(backoffLimit=0, podReplacementPolicy="Failed"), member("a", going=True)) is None


def test_restarts_count_too():
    owner = job(backoffLimit=3)
    owner["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    assert verdict(owner, member("a", restarts=2)) is None
    assert verdict(owner, member("a", restarts=2), member("b", restarts=1)) == LIMIT


def test_the_deadline():
    owner = job(activeDeadlineSeconds=60, status={"startTime": ago(50)})
    assert verdict(owner) is None
    assert sync.seconds_to_deadline(Picture(owner, [])) == 10
    owner["status"]["startTime"] = ago(60)
    assert verdict(owner) == failure("DeadlineExceeded", "Job was active longer than specified deadline")
    owner["spec"]["suspend"] = True
    assert verdict(owner) is None


def rules(*listed):
    return {"podFailurePolicy": {"rules": list(listed)}}


def codes(action, operator, *values, **fields):
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values), **fields}}


def disrupted(name, index=None):
    made = member(name, BAD, index=index)
    made["status"]["conditions"].append({"type": "DisruptionTarget", "status": "True"})
    return made


def test_the_failure_policy():
    ends = rules(codes("FailJob", "In", 42))
    assert verdict(job(**ends), member("a", BAD, code=1)) is None
    said = "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0"
    assert verdict(job(**ends), _named(member("a", BAD, code=42))) == failure("PodFailurePolicy", said)
    pattern = {"type": "DisruptionTarget", "status": "True"}
    on_condition = rules(codes("Count", "In", 9), {"action": "FailJob", "onPodConditions": [pattern]})
    said = "Pod default/a has condition DisruptionTarget matching FailJob rule at index 1"
    assert verdict(job(**on_condition), disrupted("a")) == failure("PodFailurePolicy", said)
    spared = rules({"action": "Ignore", "onPodConditions": [pattern]})
    assert verdict(job(backoffLimit=0, **spared), disrupted("a")) is None
    assert verdict(job(backoffLimit=0, **spared), member("a", BAD)) == LIMIT


def _named(made):
    made["status"]["containerStatuses"][0]["name"] = "c"
    return made


@pytest.mark.parametrize(
    ("rule", "code", "action"),
    [
        (codes("Ignore", "In", 1, 2), 2, "Ignore"),
        (codes("Ignore", "In", 1, 2), 3, ""),
        (codes("Ignore", "NotIn", 1, 2), 3, "Ignore"),
        (codes("Ignore", "NotIn", 1), 0, ""),
        (codes("Ignore", "In", 1, containerName="other"), 1, ""),
    ],
)
def test_exit_codes(rule, code, action):
    assert own.match_policy(job(**rules(rule)), _named(member("a", BAD, code=code))).action == action


def test_indexes_fail_by_themselves():
    owner = indexed(3, backoffLimitPerIndex=1)
    seen = Picture(owner, [member("a", BAD, index=0, failures=1), member("b", BAD, index=1, failures=0)])
    assert str(seen.failed_indexes) == "0"
    assert names(seen.delayed.values()) == ["b"]
    assert sync.verdict(seen) is None
    ended = member("c", GOOD, index=2), member("d", BAD, index=1, failures=1), member("a", BAD, index=0, failures=1)
    assert verdict(owner, *ended) == failure("FailedIndexes", "Job has failed indexes")
    owner["spec"]["maxFailedIndexes"] = 0
    said = "Job has exceeded the specified maximal number of failed indexes"
    assert verdict(owner, member("a", BAD, index=0, failures=1)) == failure("MaxFailedIndexesExceeded", said)


def test_an_index_may_be_given_up_at_once():
    owner = indexed(2, backoffLimitPerIndex=5, **rules(codes("FailIndex", "In", 42)))
    assert str(Picture(owner, [member("a", BAD, index=1, failures=0, code=42)]).failed_indexes) == "1"


def test_an_index_waits_after_its_own_failures():
    owner = indexed(3, backoffLimitPerIndex=9)
    failed = member("a", BAD, index=1, failures=1, ended=5)
    made = plan(owner, failed)
    assert (made.create, made.again) == ([0, 2], 15)
    assert wait_of_index(None) == 0
    assert plan(owner, member("a", BAD, index=1, failures=1, ended=30)).create == [0, 1, 2]


def test_the_next_pod_of_an_index_takes_over_its_count():
    owner = indexed(3, backoffLimitPerIndex=9, **rules(codes("Ignore", "In", 9)))
    made = own.new_pod(owner, 1, member("a", BAD, index=1, failures=2, code=1))
    assert made["metadata"]["annotations"] == {own.INDEX: "1", own.FAILURES: "3"}
    made = own.new_pod(owner, 1, _named(member("a", BAD, index=1, failures=2, code=9)))
    assert made["metadata"]["annotations"] == {own.INDEX: "1", own.FAILURES: "2", own.IGNORED_FAILURES: "1"}


def test_pods_of_an_index():
    owner = indexed(3)
    made = own.new_pod(owner, 2, None)
    assert made["metadata"]["generateName"] == "j-2-"
    assert made["metadata"]["labels"] == {"app": "web", own.INDEX: "2"}
    assert made["metadata"]["finalizers"] == [own.FINALIZER]
    assert made["spec"]["hostname"] == "j-2"
    assert made["spec"]["containers"][0]["env"] == [
        {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{own.INDEX}']"}}}
    ]
    owner["metadata"]["name"] = "x" * 60
    assert own.new_pod(owner, 12, None)["metadata"]["generateName"] == "x" * 54 + "-12-"
    plain = own.new_pod(job(), None, None)
    assert plain["metadata"]["generateName"] == "j-"
    assert "annotations" not in plain["metadata"]


@pytest.mark.parametrize(
    ("rule", "done", "met"),
    [
        ({"succeededCount": 2}, [0], False),
        ({"succeededCount": 2}, [0, 3], True),
        ({"succeededIndexes": "0,2"}, [0, 1], False),
        ({"succeededIndexes": "0,2"}, [0, 1, 2], True),
        ({"succeededIndexes": "0-2", "succeededCount": 1}, [3], False),
        ({"succeededIndexes": "0-2", "succeededCount": 1}, [1], True),
    ],
)
def test_the_success_policy(rule, done, met):
    owner = indexed(successPolicy={"rules": [{"succeededCount": 4}, rule]})
    found = [member(str(index), GOOD, index=index) for index in done]
    expected = ("SuccessCriteriaMet", "SuccessPolicy", "Matched rules at index 1")
    assert verdict(owner, *found) == (expected if met else None)


def test_what_was_decided_stays():
    met = sync.condition("SuccessCriteriaMet", "SuccessPolicy", "m")
    owner = job(backoffLimit=0, status={"conditions": [met]})
    assert verdict(owner, member("a", BAD))[0] == "SuccessCriteriaMet"


def tallied(owner, *found, finished=None, released=()):
    picture = Picture(owner, found, released)
    made = sync.tally(picture, finished)
    return picture, names(made.release)


def test_finished_pods_are_noted_then_counted():
    found = [member("a", GOOD), member("b", BAD), member("c")]
    picture, released = tallied(job(status={"succeeded": 1, "failed": 1}), *found)
    assert released == ["a", "b"]
    assert picture.status["uncountedTerminatedPods"] == {"succeeded": ["uid-a"], "failed": ["uid-b"]}
    sync.settle(picture, ["uid-b", "uid-c"])
    assert (picture.status["succeeded"], picture.status["failed"]) == (2, 1)
    assert picture.status["uncountedTerminatedPods"] == {"failed": ["uid-b"]}
    again = Picture(job(status=picture.status), found, ["uid-a"])
    assert (again.succeeded, again.failed, again.new_failed) == (2, 2, [])


def test_indexes_are_counted_by_themselves():
    owner = indexed(status={"completedIndexes": "0", "succeeded": 1})
    found = [member("z", GOOD, index=0), member("a", GOOD, index=1), member("b", GOOD, index=2), member("c", index=3)]
    picture, released = tallied(owner, *found)
    assert released == ["a", "b", "z"]
    assert (picture.status["completedIndexes"], picture.status["succeeded"]) == ("0-2", 3)
    assert picture.status["uncountedTerminatedPods"] == {}


def test_in_the_end_all_pods_are_let_go():
    found = [member("a", GOOD), member("b")]
    ends = sync.condition("FailureTarget", "DeadlineExceeded", "m")
    picture, released = tallied(job(), *found, finished=ends)
    assert released == ["a", "b"]
    assert picture.uncounted == {"succeeded": ["uid-a"], "failed": ["uid-b"]}
    picture, released = tallied(job(), *found, finished=sync.condition("SuccessCriteriaMet", "r", "m"))
    assert (released, picture.uncounted["failed"]) == (["a", "b"], [])
    picture, released = tallied(job(going=True), *found)
    assert (released, picture.uncounted["failed"]) == (["a", "b"], [])


def test_a_failed_pod_stays_until_its_index_has_another():
    owner = indexed(2, backoffLimitPerIndex=3)
    failed = member("a", BAD, index=0, failures=0)
    assert tallied(owner, failed)[1] == []
    assert tallied(owner, failed, member("b", index=0, failures=1))[1] == ["a"]


def test_ends():
    picture = Picture(job(), [])
    final = sync.finish(picture, sync.condition("SuccessCriteriaMet", "CompletionsReached", "m"))
    assert (final["type"], final["reason"]) == ("Complete", "CompletionsReached")
    assert picture.status["completionTime"] == ago(0)
    picture = Picture(job(), [])
    assert sync.finish(picture, sync.condition("FailureTarget", "x", "m"))["type"] == "Failed"
    assert "completionTime" not in picture.status


def test_completeness():
    done = [member(name, GOOD) for name in "abc"]
    assert sync.is_complete(Picture(job(), done), 0)
    assert not sync.is_complete(Picture(job(), done), 1)
    assert not sync.is_complete(Picture(job(), done[:2]), 0)
    assert sync.is_complete(Picture(job(completions=None), done[:1]), 0)
    assert sync.is_complete(Picture(job(completions=0), []), 0)


def test_suspending_and_resuming():
    picture = Picture(job(), [])
    assert sync.note_suspension(picture) == ""
    assert "conditions" not in picture.status
    stopped = Picture(job(suspend=True, status={"startTime": ago(99)}), [])
    assert sync.note_suspension(stopped) == "Suspended"
    assert sync.note_suspension(stopped) == ""
    resumed = Picture(job(status=stopped.status), [])
    assert sync.note_suspension(resumed) == "Resumed"
    assert resumed.status["startTime"] == ago(0)
    assert resumed.status["conditions"][0]["status"] == "False"


def test_when_a_pod_finished():
    assert own.finish_time(member("a", BAD, ended=7)) == NOW - 7
    lost = member("a", going=True, ready=False, ready_for=30)
    assert own.finish_time(lost) == NOW - 30
    lost["status"]["conditions"] = []
    lost["metadata"]["deletionGracePeriodSeconds"] = 10
    assert own.finish_time(lost) == NOW - 10
