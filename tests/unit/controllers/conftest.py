import pytest

from kybern.process.clock import clock
from tests.unit.controllers.objects import NOW


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """The time, as a list of one number that tests may change."""
    time = [NOW]
    monkeypatch.setattr(clock, "now_fn", lambda: time[0])
    return time
