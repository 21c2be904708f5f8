"""One containerd for the tests of the kubelet's command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.integration.kubelet.node import Node


@pytest.fixture(scope="package")
def node() -> Iterator[Node]:
    if os.geteuid() or not all(map(shutil.which, ("containerd", "runc", "ctr", "catatonit", "busybox"))):
        pytest.skip("needs root, containerd, runc, catatonit and busybox")
    made = Node()
    try:
        made.start()
        yield made
    finally:
        made.stop()
