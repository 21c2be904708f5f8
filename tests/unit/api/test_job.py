from __future__ import annotations

import copy
from typing import Any

import pytest

from kybern.api.batch import indexes
from kybern.api.batch.indexes import IndexSet
from kybern.api.batch.job import Job
from kybern.api.field import Errors
from kybern.api.resource import Preparation
from kybern.api.types import Object
from kybern.testing import builders

KIND = Job()


def job(pod_spec: Object | None = None, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    template = builders.template(labels or {}, **{"restartPolicy": "Never", **(pod_spec or {})})
    made: Object = {
        "metadata": {"name": "j", "namespace": "default", "uid": "u"},
        "spec": {"template": template, **spec},
    }
    KIND.default(made)
    KIND.prepare_create(made, Preparation())
    return made


def indexed(**spec: Any) -> Object:
    return job(**{"completionMode": "Indexed", "completions": 5, **spec})


def complaints(obj: Object, old: Object | None = None) -> list[str]:
    errors = Errors()
    if old is None:
        KIND.validate(obj, errors)
    else:
        KIND.validate_changed(obj, old, errors)
    return [str(error) for error in errors]


def test_defaults() -> None:
    spec = job()["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
    assert (spec["completionMode"], spec["suspend"], spec["podReplacementPolicy"]) == (
        "NonIndexed", False, "TerminatingOrFailed",
    )  # fmt: skip
    assert "completions" not in job(parallelism=3)["spec"]
    assert indexed(backoffLimitPerIndex=1)["spec"]["backoffLimit"] == 2**31 - 1
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    spec = job(podFailurePolicy={"rules": [rule]})["spec"]
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_pods_are_told_apart_by_generated_labels() -> None:
    made = job(labels={"a": "b"})
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels == {
        "a": "b",
        "job-name": "j",
        "controller-uid": "u",
        "batch.kubernetes.io/job-name": "j",
        "batch.kubernetes.io/controller-uid": "u",
    }
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert made["metadata"]["labels"] == {"a": "b"}
    assert job()["metadata"]["labels"]["job-name"] == "j"
    wrong = job(labels={"job-name": "other"})
    assert complaints(wrong) == ["spec.template.metadata.labels[job-name]: Invalid value: \"other\": must be 'j'"]
    manual = job(manualSelector=True, selector={"matchLabels": {"a": "b"}}, labels={"a": "b"})
    assert manual["spec"]["selector"] == {"matchLabels": {"a": "b"}}
    assert complaints(manual) == []


def failing(**rule: Any) -> Object:
    return job(podFailurePolicy={"rules": [rule]})


def succeeding(**rule: Any) -> Object:
    return indexed(successPolicy={"rules": [rule]})


RULE, DONE = "spec.podFailurePolicy.rules[0]", "spec.successPolicy.rules[0]"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (job(), []),
        (indexed(backoffLimitPerIndex=1, maxFailedIndexes=3), []),
        (failing(action="FailJob", onExitCodes={"operator": "In", "values": [1, 42], "containerName": "app"}), []),
        (succeeding(succeededIndexes="0,2-4", succeededCount=2), []),
        (
            job({"restartPolicy": "Always"}),
            ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
        ),
        (
            job(completionMode="Indexed", parallelism=2),
            ["spec.completions: Required value: when completion mode is Indexed"],
        ),
        (
            job(backoffLimitPerIndex=1),
            ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        ),
        (
            indexed(maxFailedIndexes=6),
            [
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions",
            ],
        ),
        (
            job(managedBy="nobody"),
            ['spec.managedBy: Invalid value: "nobody": must be a domain-prefixed path (such as "acme.io/foo")'],
        ),
        (
            failing(action="FailIndex", onExitCodes={"operator": "NotIn", "values": [2, 1, 1]}),
            [
                f'{RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
                f"{RULE}.onExitCodes.values[2]: Duplicate value: 1",
                f"{RULE}.onExitCodes.values: Invalid value: [2,1,1]: must be ordered",
            ],
        ),
        (
            failing(action="Count"),
            [f"{RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"],
        ),
        (
            failing(action="Ignore", onExitCodes={"operator": "In", "values": [0], "containerName": "x"}),
            [
                f'{RULE}.onExitCodes.containerName: Invalid value: "x": '
                "must be one of the container or initContainer names in the pod template",
                f"{RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator",
            ],
        ),
        (
            succeeding(succeededIndexes="0-9"),
            [f'{DONE}.succeededIndexes: Invalid value: "0-9": error parsing succeededIndexes: too large index: "9"'],
        ),
        (
            succeeding(succeededIndexes="1,3", succeededCount=3),
            [
                f"{DONE}.succeededCount: Invalid value: 3: must be less than or equal to 2 "
                "(the number of indexes in the specified succeededIndexes field)"
            ],
        ),
        (
            job(podReplacementPolicy="Never"),
            [
                'spec.podReplacementPolicy: Unsupported value: "Never": '
                'supported values: "Failed", "TerminatingOrFailed"'
            ],
        ),
    ],
)  # fmt: skip
def test_rules(made: Object, said: list[str]) -> None:
    assert complaints(made) == said


def changed(old: Object, **spec: Any) -> Object:
    new = copy.deepcopy(old)
    new["spec"] |= spec
    return new


def test_little_may_change() -> None:
    old = job(parallelism=2, completions=4)
    assert complaints(changed(old, parallelism=1, backoffLimit=1, suspend=True, ttlSecondsAfterFinished=3), old) == []
    assert complaints(changed(old, completions=5), old) == ["spec.completions: Invalid value: 5: field is immutable"]
    array = indexed(parallelism=5)
    assert complaints(changed(array, completions=3, parallelism=3), array) == []
    assert complaints(changed(array, completions=3), array) == [
        "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism"
    ]


def test_while_suspended_pods_may_be_sent_elsewhere_and_given_more() -> None:
    old = job(suspend=True)
    new = copy.deepcopy(old)
    spec = new["spec"]["template"]["spec"]
    spec["nodeSelector"] = {"disk": "ssd"}
    spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}  # fmt: skip
    spec["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    new["spec"]["template"]["metadata"]["annotations"] = {"queue": "a"}
    assert complaints(new, old) == []
    started = {**old, "status": {"startTime": "2026-01-01T00:00:00Z", "active": 1}}
    assert complaints(new, started)[0].endswith(": field is immutable")
    stopped = {"startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]}
    assert complaints(new, {**old, "status": stopped}) == []
    assert complaints(new, changed(old, suspend=False))[0].endswith(": field is immutable")
    spec["containers"][0]["image"] = "other"
    assert complaints(new, old)[0].endswith(": field is immutable")


def status_complaints(new: Object, old: Object | None = None, **spec: Any) -> list[str]:
    base = job(**spec)
    errors = Errors()
    KIND.validate_status({**base, "status": new}, {**base, "status": old or {}}, errors)
    return [str(error).removeprefix("status.") for error in errors]


def conditions(*types: str) -> list[Object]:
    return [{"type": type, "status": "True"} for type in types]


STARTED, DONE_AT = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
COMPLETE = {
    "conditions": conditions("SuccessCriteriaMet", "Complete"), "startTime": STARTED, "completionTime": DONE_AT,
    "succeeded": 1,
}  # fmt: skip


def test_a_status_that_ends_well() -> None:
    assert status_complaints(COMPLETE) == []
    assert status_complaints({**COMPLETE, "active": 1, "terminating": 1}) == [
        "active: Invalid value: 1: active>0 is invalid for finished job",
        "terminating: Invalid value: 1: terminating>0 is invalid for finished job",
    ]
    assert status_complaints({"conditions": conditions("Complete"), "startTime": STARTED}) == [
        "conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        "completionTime: Required value: completionTime is required for Complete jobs",
    ]
    early = {**COMPLETE, "startTime": DONE_AT, "completionTime": STARTED}
    assert status_complaints(early) == [
        f'completionTime: Invalid value: "{STARTED}": completionTime cannot be set before startTime'
    ]


def test_what_is_over_stays_over() -> None:
    failed = {"conditions": conditions("FailureTarget", "Failed"), "startTime": STARTED, "failed": 2}
    assert status_complaints(failed) == []
    assert status_complaints({"startTime": STARTED, "failed": 1}, failed) == [
        "conditions: Invalid value: cannot disable the terminal Failed=True condition",
        "conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
        "failed: Invalid value: 1: cannot decrease the failed counter",
    ]
    # What was wrong before doesn't stop other changes.
    wrong = {"conditions": conditions("Failed"), "startTime": STARTED}
    assert status_complaints({**wrong, "failed": 1}, wrong) == []


def test_indexes_in_a_status() -> None:
    spec: Object = {"completionMode": "Indexed", "completions": 5, "backoffLimitPerIndex": 1}
    assert status_complaints({"completedIndexes": "0,2-4", "failedIndexes": "1"}, **spec) == []
    assert status_complaints({"completedIndexes": "0,2-4", "failedIndexes": "1,3"}, **spec) == [
        'failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 3'
    ]
    assert status_complaints({"completedIndexes": "3,1"}, **spec) == [
        'completedIndexes: Invalid value: "3,1": error parsing completedIndexes: '
        "non-increasing order, previous: 3, current: 1"
    ]
    assert status_complaints({"completedIndexes": "0"}) == [
        'completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode'
    ]


def test_start_times_change_on_resuming_only() -> None:
    later = "2026-01-02T00:00:00Z"
    assert status_complaints({"startTime": later}, {"startTime": STARTED}) == [
        "startTime: Required value: startTime cannot be removed for unsuspended job"
    ]
    stopped = {"startTime": STARTED, "conditions": conditions("Suspended")}
    assert status_complaints({"startTime": later}, stopped) == []


@pytest.mark.parametrize(
    ("given", "text"), [([], ""), ([3], "3"), ([2, 1], "1,2"), ([0, 1, 2, 5, 7, 8], "0-2,5,7,8"), ([9, 9], "9")]
)
def test_index_sets_in_text(given: list[int], text: str) -> None:
    found = IndexSet.of(given)
    assert (str(found), len(found)) == (text, len(set(given)))
    assert str(IndexSet.parse(text, 10)) == text


def test_index_sets() -> None:
    found = IndexSet.parse("0-2,5,7-9", 9)
    assert str(found) == "0-2,5,7,8"
    assert [index for index in range(10) if index in found] == [0, 1, 2, 5, 7, 8]
    assert str(found | IndexSet.of([3, 4])) == "0-5,7,8"
    assert found.without(2, 9) == [3, 4]
    assert found.without(9, 12) == [3, 4, 6, 9, 10, 11]
    assert found.common(IndexSet.of([1, 2, 3, 8])) == 3
    assert IndexSet.parse("x,1-2-3,4", 9).without(9, 5) == [0, 1, 2, 3]
    assert indexes.check("1-x", 9)[1] == 'cannot convert string to integer for index: "x"'


@pytest.mark.parametrize(
    ("spec", "status", "cells"),
    [
        ({}, {}, ("Running", "0/1", "")),
        ({"parallelism": 3}, {"succeeded": 1}, ("Running", "1/1 of 3", "")),
        ({}, COMPLETE, ("Complete", "1/1", "60s")),
        ({}, {"conditions": conditions("Suspended")}, ("Suspended", "0/1", "")),
    ],
)
def test_columns(spec: Object, status: Object, cells: tuple[str, ...]) -> None:
    made = {**job(**spec), "status": status}
    assert tuple(column.cell(made) for column in KIND.columns[:3]) == cells


def test_warnings() -> None:
    prep = Preparation()
    made = job()
    made["metadata"]["name"] = "a.b"
    KIND.prepare_create(made, prep)
    assert prep.warnings[0].startswith("metadata.name: this is used in Pod names and hostnames")
