"""The pytest plugin: a `cluster` fixture. Needs pytest-asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from kybern.testing.cluster import InProcessCluster


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[InProcessCluster]:
    """A cluster of two nodes, made for one test."""
    async with InProcessCluster(nodes=2) as made:
        yield made
