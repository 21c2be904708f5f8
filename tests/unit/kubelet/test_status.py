"""The status that follows from spec and runtime."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from kybern.api.types import Object
from kybern.kubelet.container_status import Probed, Waiting
from kybern.kubelet.runtime.state import PodState
from kybern.kubelet.status import Facts, build
from kybern.process.clock import format_time
from kybern.testing.builders import container
from tests.unit.kubelet.making import NOW, exited, made, running, sidecar, state

APP, LOG, INIT = container("app"), container("log"), container("init")


def status(pod: Object, seen: PodState, previous: Object | None = None, **facts: Any) -> Object:
    given = {"host_ips": ("192.0.2.7",), "network_ready": True, **facts}
    return build(pod, seen, Facts(NOW, previous or {}, **given))


def condition(found: Object, type_: str) -> Object:
    return next(c for c in found["conditions"] if c["type"] == type_)


def test_a_pod_that_begins_is_pending_and_says_what_it_waits_for() -> None:
    found = status(made(), state(sandbox=None), network_ready=False)
    assert found["phase"] == "Pending"
    assert found["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition(found, "PodReadyToStartContainers")["status"] == "False"
    ready = condition(found, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [app]"
    assert "podIP" not in found
    assert found["startTime"] == format_time(NOW)


def test_a_running_pod_is_ready_with_its_addresses() -> None:
    found = status(made(), state(running(APP)))
    assert found["phase"] == "Running"
    assert found["podIPs"] == [{"ip": "10.244.0.9"}]
    assert found["hostIP"] == "192.0.2.7"
    assert condition(found, "Ready")["status"] == condition(found, "ContainersReady")["status"] == "True"
    one = found["containerStatuses"][0]
    assert one["ready"] and one["started"] and one["containerID"] == "containerd://app-0"


def test_a_pod_on_the_hosts_network_has_the_nodes_address() -> None:
    assert status(made(hostNetwork=True), state(running(APP)))["podIP"] == "192.0.2.7"


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", (0, 0), "Running"),
        ("Always", (1, 0), "Running"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (1, 0), "Running"),
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
    ],
)
def test_the_phase_of_ended_containers(policy: str, codes: tuple[int, int], phase: str) -> None:
    seen = state(exited(APP, codes[0]), exited(LOG, codes[1]))
    assert status(made(APP, LOG, policy=policy), seen)["phase"] == phase


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (137, "Failed")])
def test_a_stopped_pod_is_over_whatever_its_policy(code: int, phase: str) -> None:
    found = status(made(), state(exited(APP, code)), stopped=True)
    assert found["phase"] == phase
    assert condition(found, "Ready")["reason"] == ("PodCompleted" if phase == "Succeeded" else "PodFailed")


def test_a_pod_that_is_over_stays_over() -> None:
    before = {"phase": "Failed", "reason": "Evicted", "message": "too much"}
    found = status(made(), state(running(APP)), before)
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "Evicted", "too much")


def test_what_the_kubelet_ended_says_why() -> None:
    found = status(made(), state(exited(APP)), ended=("Failed", "DeadlineExceeded", "too long"))
    assert (found["phase"], found["reason"], found["message"]) == ("Failed", "DeadlineExceeded", "too long")


def test_a_crashing_container_shows_its_last_end_while_it_waits() -> None:
    waiting = {"app": Waiting("CrashLoopBackOff", "back-off 10s restarting failed container")}
    found = status(made(), state(exited(APP, 3, count=2, reason="Error")), waiting=waiting)
    one = found["containerStatuses"][0]
    assert one["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert one["lastState"]["terminated"]["exitCode"] == 3
    assert one["restartCount"] == 2
    assert found["phase"] == "Running"


def test_a_restarted_container_keeps_the_end_of_the_attempt_before() -> None:
    one = status(made(), state(running(APP, 1), exited(APP, 5)))["containerStatuses"][0]
    assert "running" in one["state"]
    assert one["lastState"]["terminated"]["exitCode"] == 5


def test_a_container_that_vanished_is_reported_lost() -> None:
    before = {"containerStatuses": [{"name": "app", "state": {"running": {"startedAt": format_time(NOW - 9)}}}]}
    one = status(made(), state(sandbox=None), before, stopped=True)["containerStatuses"][0]
    assert one["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert one["state"]["terminated"]["exitCode"] == 137


def test_a_container_that_vanished_under_a_pod_that_goes_on_counts_as_restarted() -> None:
    before = {"containerStatuses": [{"name": "app", "state": {"running": {"startedAt": format_time(NOW - 9)}}}]}
    one = status(made(), state(sandbox=None), before)["containerStatuses"][0]
    assert one["restartCount"] == 1
    said = "The container could not be located when the pod was deleted.  The container used to be Running"
    assert one["lastState"]["terminated"]["message"] == said
    again = status(made(), state(sandbox=None), {"containerStatuses": [one]})["containerStatuses"][0]
    assert (again["restartCount"], again["lastState"]) == (1, one["lastState"])


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_pod_stopped_before_anything_of_it_ran_has_failed(policy: str) -> None:
    waiting = {"app": Waiting("ImagePullBackOff")}
    before = status(made(policy=policy), state(), waiting=waiting)
    assert before["phase"] == "Pending"
    after = status(made(policy=policy), state(), before, stopped=True)
    assert after["phase"] == "Failed"
    assert condition(after, "Ready")["reason"] == "PodFailed"
    end = after["containerStatuses"][0]["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (137, "ContainerStatusUnknown")
    assert end["message"] == "The container could not be located when the pod was terminated"


def test_what_init_containers_held_back_is_not_lost_when_the_pod_is_stopped() -> None:
    pod = made(APP, inits=[INIT, container("second"), container("third")])
    before = status(pod, state(exited(INIT)))
    after = status(pod, state(exited(INIT)), before, stopped=True)
    assert after["phase"] == "Failed"
    assert [list(one["state"]) for one in after["initContainerStatuses"]] == [["terminated"], ["waiting"], ["waiting"]]
    assert "waiting" in after["containerStatuses"][0]["state"]


def test_a_stopped_static_pod_keeps_its_phase() -> None:
    pod = made()
    pod["metadata"]["annotations"]["kubernetes.io/config.source"] = "file"
    assert status(pod, state(), stopped=True)["phase"] == "Pending"


def test_the_termination_messages_of_a_pod_share_a_limit() -> None:
    specs = [container(f"c{i}") for i in range(6)]
    found = status(made(*specs), state(*(exited(spec, message="ä" * 2000) for spec in specs)))
    messages = [one["state"]["terminated"]["message"] for one in found["containerStatuses"]]
    assert [len(message.encode()) for message in messages] == [2048] * 6


def test_an_unready_container_makes_the_pod_unready() -> None:
    found = status(made(APP, LOG), state(running(APP), running(LOG)), probes={"log-0": Probed(ready=False)})
    assert condition(found, "Ready")["message"] == "containers with unready status: [log]"
    assert [one["ready"] for one in found["containerStatuses"]] == [True, False]


def test_init_containers_hold_the_pod_back() -> None:
    pod = made(APP, inits=[INIT])
    during = status(pod, state(running(INIT)))
    assert during["phase"] == "Pending"
    assert condition(during, "Initialized")["message"] == "containers with incomplete status: [init]"
    assert during["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
    after = status(pod, state(exited(INIT), running(APP)))
    assert after["phase"] == "Running"
    assert condition(after, "Initialized")["status"] == "True"
    assert after["initContainerStatuses"][0]["ready"]


def test_a_failed_init_container_fails_a_pod_that_is_never_restarted() -> None:
    seen = state(exited(INIT, 1))
    assert status(made(APP, inits=[INIT], policy="Never"), seen)["phase"] == "Failed"
    assert status(made(APP, inits=[INIT]), seen)["phase"] == "Pending"


def test_a_sidecar_must_be_ready_for_the_pod_to_be() -> None:
    pod = made(APP, inits=[sidecar()])
    seen = state(running(sidecar()), running(APP))
    assert condition(status(pod, seen), "Ready")["status"] == "True"
    unready = status(pod, seen, probes={"side-0": Probed(ready=False)})
    assert condition(unready, "Ready")["message"] == "containers with unready status: [side]"


def test_a_readiness_gate_must_be_true_as_well() -> None:
    pod = made(readinessGates=[{"conditionType": "example.com/ready"}])
    missing = condition(status(pod, state(running(APP))), "Ready")
    assert missing["reason"] == "ReadinessGatesNotReady"
    assert 'readiness gate "example.com/ready" does not exist' in missing["message"]
    theirs = {"type": "example.com/ready", "status": "True", "lastTransitionTime": format_time(NOW)}
    found = status(pod, state(running(APP)), {"conditions": [theirs]})
    assert condition(found, "Ready")["status"] == "True"
    assert theirs in found["conditions"], "conditions of others are kept"


def test_a_transition_time_changes_with_the_status_only() -> None:
    earlier = format_time(NOW - 500)
    first = status(made(), state(running(APP)))
    for one in first["conditions"]:
        one["lastTransitionTime"] = earlier
    same = status(made(), state(running(APP)), first)
    assert {one["lastTransitionTime"] for one in same["conditions"]} == {earlier}
    changed = status(made(), state(running(APP)), first, probes={"app-0": Probed(ready=False)})
    assert condition(changed, "Ready")["lastTransitionTime"] == format_time(NOW)
    assert condition(changed, "Initialized")["lastTransitionTime"] == earlier


def test_the_termination_message_is_part_of_the_status() -> None:
    ended = dataclasses.replace(exited(APP, 1), message="out of disk")
    one = status(made(policy="Never"), state(ended))["containerStatuses"][0]
    assert one["state"]["terminated"]["message"] == "out of disk"
    assert one["state"]["terminated"]["reason"] == "Error"


def test_an_ephemeral_container_has_a_status_of_its_own_and_counts_for_nothing_else() -> None:
    debug = container("debug")
    found = status(made(ephemeralContainers=[debug]), state(running(APP), exited(debug, 1)))
    assert found["phase"] == "Running" and condition(found, "Ready")["status"] == "True"
    (one,) = found["ephemeralContainerStatuses"]
    assert one["state"]["terminated"]["exitCode"] == 1 and not one["ready"] and "started" not in one
    coming = status(made(ephemeralContainers=[debug]), state(running(APP)))
    assert "waiting" in coming["ephemeralContainerStatuses"][0]["state"]
