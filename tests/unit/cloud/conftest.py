"""The setting of each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kybern.cloud import service
from tests.unit.cloud.fake import Setting, setting


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setting]:
    """Failures are tried again soon."""
    monkeypatch.setattr(service, "_FIRST_RETRY", 0.01)
    async with setting() as made:
        yield made
