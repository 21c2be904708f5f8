"""The page that a run of all faults writes."""

from __future__ import annotations

from tests.chaos.figures import Fault, document
from tests.fuzz.page import Row, kept, replaced, section


def test_every_fault_has_its_recoveries_and_pauses_as_rows() -> None:
    killed = Fault("killed", [("it is back", 1.26), ("all is whole", 2)], (0.5, 0.25), writes=1000, events=20)
    text = document([killed, Fault("cut off", [], (3, 0), writes=1, events=0)], writers=4)
    rows = [line for line in text.splitlines() if line.endswith((".0 |", ".2 |", ".3 |", ".5 |"))]
    assert rows == [
        "| killed | it is back | 1.3 |",
        "|  | all is whole | 2.0 |",
        "|  | longest wait of a writer at the balancer | 0.5 |",
        "|  | of all writers | 0.2 |",
        "| cut off | longest wait of a writer at the balancer | 3.0 |",
        "|  | of all writers | 0.0 |",
    ]
    assert "1,001 acknowledged writes and 20 events" in text
    assert "4 writers" in text


def test_each_run_leaves_the_others_section_alone() -> None:
    fuzzing = section([Row("patches", 1000, 30.0, 0)])
    page = replaced("# Reliability\n\ntext\n\n## Last\n\nwords\n", fuzzing)
    assert page == f"# Reliability\n\ntext\n\n## Last\n\nwords\n\n{fuzzing}"
    again = replaced(page, section([Row("patches", 2000, 30.0, 0)]))
    assert "| patches | 2,000 | 30 | 0 |" in again and "1,000" not in again
    assert kept(page, "# Reliability\n\nnew\n") == f"# Reliability\n\nnew\n\n{fuzzing}"
    assert kept("# Reliability\n", "# Reliability\n\nnew\n") == "# Reliability\n\nnew\n"
