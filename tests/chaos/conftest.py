"""One cluster of five nodes for all faults; each fault is a trial with clients that keep a history."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kybern.client.kubeconfig import load
from kybern.process.clock import clock, name_suffix
from tests.chaos import history, leaders
from tests.chaos.cluster import ELECTED, SERVERS, Begin, Chaos, Trial
from tests.chaos.figures import DOCUMENT, Fault, document
from tests.chaos.recording import BALANCER, Recorder
from tests.e2e.conftest import ROOT, eventually
from tests.e2e.test_nodes import CONTROL_PLANES, NODES_DIR, kybern
from tests.fuzz.page import kept

HERE = Path(__file__).parent
AFTERWARDS = 3.0
"""Seconds for which clients go on when all is well again."""
_faults: list[Fault] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(400))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run of everything that went well is written down."""
    everything = [Path(arg).resolve() for arg in session.config.args] == [HERE] and not session.config.option.keyword
    if os.environ.get("KYBERN_WRITE_FIGURES") and everything and exitstatus == 0:
        DOCUMENT.write_text(kept(DOCUMENT.read_text(), document(_faults, len(SERVERS))))


@pytest.fixture(scope="session")
def chaos() -> Iterator[Chaos]:
    if os.geteuid():
        pytest.fail("these tests need root")
    if NODES_DIR.exists():
        kybern("down")  # what a killed run left
    try:
        up = kybern("up", f"--image-dir={ROOT}/build/images", "--nodes=5", "--control-planes=3", "--no-sample")
        yield Chaos({}, up.stdout)
    finally:
        kybern("down", check=False)


@pytest.fixture
def trial(chaos: Chaos) -> Begin:

    @contextmanager
    def run(title: str) -> Iterator[Trial]:
        eventually(chaos.whole, 90)
        print(f"\n{title}")
        fault = Fault(title)
        recorder = Recorder(load(chaos.kubeconfig), SERVERS, f"trial-{name_suffix()}")
        recorder.start()
        made = Trial(chaos, recorder, fault)
        spells_before = _spells(chaos)
        try:
            yield made
            time.sleep(AFTERWARDS)
        finally:
            recorder.finish()
        _close(made, spells_before)
        _faults.append(fault)

    return run


def _close(trial: Trial, spells_before: list[leaders.Spell]) -> None:
    """Judge, and write down what was seen."""
    recorder, fault = trial.recorder, trial.fault
    fault.pauses = (recorder.pause(trial.first, BALANCER), recorder.pause(trial.first))
    fault.writes = sum(write.acknowledged for write in recorder.history.writes)
    watched = [*recorder.history.stretches, *recorder.leases, *recorder.pods]
    fault.events = sum(len(stretch.events) for stretch in watched)
    print(f"    longest wait of a writer: {fault.pauses[0]:.1f} s at the balancer, {fault.pauses[1]:.1f} s of all")
    print(f"    {fault.writes} writes, {fault.events} events, {len(watched) - 3 * len(SERVERS)} watches listed anew")
    for text, count in sorted(recorder.failures.items(), key=lambda item: -item[1])[:6]:
        print(f"    {count} x {text}")
    spells = [one for one in _spells(trial.chaos) if one not in spells_before and one.node not in trial.excused]
    held = leaders.holds(event for stretch in recorder.leases for event in stretch.events)
    said = [
        *history.complaints(recorder.history),
        *history.watch_faults(recorder.leases),
        *history.watch_faults(recorder.pods),
        *leaders.two_leaders(held),
        *leaders.overlaps(spells),
        *sorted(recorder.wrong),
    ]
    assert not said, f"{len(said)} complaints:\n" + "\n".join(said[:20])


def _spells(chaos: Chaos) -> list[leaders.Spell]:
    year = clock.now().year
    return [
        spell
        for node in CONTROL_PLANES
        for component in ELECTED
        for spell in leaders.spells(node, chaos.logs_of(node, component), year)
    ]
