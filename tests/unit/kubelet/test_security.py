"""The seccomp profile of a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.api.types import Object
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.security import container_context
from kybern.testing.builders import container
from tests.unit.kubelet.making import made

DEFAULT, NONE, LOCAL = (
    cri.SecurityProfile.RuntimeDefault, cri.SecurityProfile.Unconfined, cri.SecurityProfile.Localhost
)  # fmt: skip


@pytest.mark.parametrize(
    ("said", "seccomp_default", "expected"),
    [
        (None, False, NONE),
        (None, True, DEFAULT),
        ({"type": "Unconfined"}, True, NONE),
        ({"type": "RuntimeDefault"}, False, DEFAULT),
        ({"type": "Localhost", "localhostProfile": "a.json"}, True, LOCAL),
    ],
)
def test_a_container_that_says_nothing_gets_the_nodes_default(
    said: Object | None, seccomp_default: bool, expected: int
) -> None:
    app = container("app", securityContext={"seccompProfile": said} if said else {})
    found = container_context(made(app), app, None, Path("/seccomp"), seccomp_default=seccomp_default).seccomp
    assert found.profile_type == expected
    assert found.localhost_ref == ("/seccomp/a.json" if expected == LOCAL else "")
