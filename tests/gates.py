"""Feature gates for the time of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kybern.process import features


@contextmanager
def switched(**gates: bool) -> Iterator[None]:
    """Switch these (the rest as AllAlpha and AllBeta say, or by default), and all back at the end."""
    before = features.values()
    features.switch(gates)
    try:
        yield
    finally:
        features.switch(before)
