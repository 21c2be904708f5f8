"""Members of etcd that are lost, damaged and cut off."""

from __future__ import annotations

from tests.chaos.cluster import Begin, Chaos
from tests.e2e.conftest import eventually
from tests.e2e.test_nodes import CONTROL_PLANES, NODES_DIR, kybern


def other_leader(chaos: Chaos, than: str) -> str:
    found = chaos.etcd_leader()
    return found if found != than else ""


def test_a_member_is_killed(chaos: Chaos, trial: Begin) -> None:
    with trial("an etcd member is killed (kill -9)") as fault:
        victim = next(name for name in CONTROL_PLANES if name != chaos.etcd_leader())
        fault.begin()
        chaos.kill(victim, "etcd")
        fault.until("it is a member again", lambda: len(chaos.etcd()) == 3)


def test_the_leading_member_is_killed(chaos: Chaos, trial: Begin) -> None:
    with trial("etcd's leader is killed (kill -9)") as fault:
        victim = chaos.etcd_leader()
        fault.begin()
        chaos.kill(victim, "etcd")
        fault.until("etcd has a leader", chaos.etcd_leader)
        fault.writes_go_on()
        fault.until("all members are back", lambda: len(chaos.etcd()) == 3)


def test_a_members_data_is_damaged(chaos: Chaos, trial: Begin) -> None:
    with trial("an etcd member's data is damaged") as fault:
        victim = next(name for name in CONTROL_PLANES if name != chaos.etcd_leader())
        fault.begin()
        for path in (NODES_DIR / "nodes" / victim / "etcd").rglob("*.wal"):
            with path.open("r+b") as file:
                file.write(b"\xff" * 4096)
        chaos.kill(victim, "etcd")
        said = fault.until(
            "`kybern node ls` says so", lambda: next((s for s in chaos.node("ls").splitlines() if "etcd" in s), "")
        )
        assert victim in said and "etcd.log" in said and "reset-etcd" in said
        fault.writes_go_on()
        refused = kybern("node", "reset-etcd", "node-4", check=False)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        fault.begin()
        chaos.node("reset-etcd", victim)
        fault.until("`kybern node reset-etcd` made it anew from the others", lambda: len(chaos.etcd()) == 3)
        eventually(lambda: chaos.server_ready(victim))
        assert "etcd" not in chaos.node("ls")


def test_the_leading_member_is_cut_off(chaos: Chaos, trial: Begin) -> None:
    with trial("the node of etcd's leader is cut off from the network") as fault:
        victim = chaos.etcd_leader()
        fault.begin()
        chaos.node("partition", victim)
        fault.until("another member leads", lambda: other_leader(chaos, victim))
        fault.writes_go_on()
        fault.until("controllers and scheduler act", lambda: chaos.control_plane_works("cut-off"), 90)
        fault.begin()
        chaos.node("heal", victim)
        fault.until("all is whole after it is plugged in again", chaos.whole, 90)
