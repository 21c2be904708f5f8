"""Every process of every node and of the machine is killed at once; `up` starts them again."""

from __future__ import annotations

from tests.chaos.cluster import Begin, Chaos
from tests.e2e.conftest import ROOT
from tests.e2e.test_nodes import kybern


def test_everything_is_killed(chaos: Chaos, trial: Begin) -> None:
    with trial("everything is killed (kill -9 of every process) and `up` starts it again") as fault:
        uid = chaos.get("namespace", "kube-system")["metadata"]["uid"]
        fault.begin()
        chaos.kill_everything()
        kybern("up", f"--image-dir={ROOT}/build/images", "--no-sample")
        fault.until("`up` is done", lambda: True)
        fault.until("all is whole", chaos.whole, 90)
        fault.until("controllers and scheduler act", lambda: chaos.control_plane_works("again"), 60)
    assert chaos.get("namespace", "kube-system")["metadata"]["uid"] == uid
