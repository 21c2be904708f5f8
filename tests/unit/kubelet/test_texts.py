"""What is read of files and put into variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.kubelet.downward import field
from kybern.kubelet.environment import expand
from kybern.kubelet.paths import Paths
from kybern.kubelet.runtime import state
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.termination import MAX_MESSAGE, message
from kybern.kubelet.volumes.atomic import File
from kybern.kubelet.volumes.base import VolumeError
from kybern.kubelet.volumes.configmap import pick
from tests.unit.kubelet.making import made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("configmap references non-existent config key", "configmap references non-existent config key: b"),
        ("references non-existent secret key", "references non-existent secret key: b"),
    ],
)
def test_a_key_that_is_missing_is_named_unless_it_is_optional(text: str, said: str) -> None:
    source = {"items": [{"key": "a", "path": "x", "mode": 0o400}, {"key": "b", "path": "y"}]}
    with pytest.raises(VolumeError) as refused:
        pick(text, {"a": b"1"}, source, 0o644)
    assert str(refused.value) == said
    assert pick(text, {"a": b"1"}, {**source, "optional": True}, 0o644) == {"x": File(b"1", 0o400)}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "a-b"),
        ("$$(A) $$$(A)", "$(A) $a"),
        ("$(C) $A $", "$(C) $A $"),
        ("$(A", "$(A"),
        ("$(A$(B)", "$(A$(B)"),
        ("$(A(B)$(B)", "$(A(B)b"),
        ("$(A))", "a)"),
    ],
)
def test_references_are_expanded(text: str, expanded: str) -> None:
    assert expand(text, {"A": "a", "B": "b"}) == expanded


def test_of_a_long_message_the_end_counts(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path / "pods", tmp_path / "containers")
    file = paths.termination_message("u1", "app", 0)
    file.parent.mkdir(parents=True)
    file.write_text("x" * 100 + "y" * MAX_MESSAGE)
    ended = cri.ContainerStatus(
        state=cri.CONTAINER_EXITED, labels={state.POD_UID: "u1", state.CONTAINER_NAME: "app"}, exit_code=1
    )
    assert message(paths, ended) == "y" * MAX_MESSAGE


def test_logs_tell_how_often_a_forgotten_container_was_started(tmp_path: Path) -> None:
    paths, pod = Paths(tmp_path, tmp_path / "pods", tmp_path / "containers"), made()
    assert paths.next_attempt(pod, "app") == 0
    paths.log(pod, "app", 9).parent.mkdir(parents=True)
    for name in ("9.log", "10.log", "11.log.20260101-000000.gz", "other.log"):
        (paths.log(pod, "app", 0).parent / name).touch()
    assert paths.next_attempt(pod, "app") == 12


def test_annotations_are_quoted_as_go_quotes() -> None:
    pod = made()
    pod["metadata"]["annotations"] = {"a": 'x\\"\r\n\t\x01\x7f\u2028é😀\U000e0001'}
    quoted = r'"x\\\"\r\n\t\x01\x7f\u2028é😀\U000e0001"'
    assert field(pod, "metadata.annotations") == f"a={quoted}"
