"""How long a Job waits before it starts another pod after failures: 10 s, twice as long each time, 10 min at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kybern.api.types import Object
from kybern.controllers.job_pods import all_failures, finish_time
from kybern.process.clock import clock

FIRST, LONGEST = 10.0, 600.0


@dataclass(frozen=True, slots=True)
class Record:
    """Failures in a row."""

    failures: int = 0
    last: float = 0.0
    """When the last one was (epoch seconds)."""

    def after(self, succeeded: Sequence[Object], failed: Sequence[Object]) -> Record:
        """With pods that finished since. Only failures after the last success count."""
        times = sorted(map(finish_time, failed))
        if succeeded:
            best = max(map(finish_time, succeeded))
            later = [time for time in times if time > best]
            return Record(len(later), later[-1] if later else 0.0)
        return Record(self.failures + len(times), max(self.last, times[-1])) if times else self

    def wait(self) -> float:
        """Seconds until another pod may be started."""
        if not self.failures:
            return 0.0
        # More doublings than this come to the longest wait anyway.
        delay = min(FIRST * float(2 ** min(self.failures - 1, 16)), LONGEST)
        return max(0.0, self.last + delay - clock.time())


def wait_of_index(failed: Object | None) -> float:
    """Seconds until another pod of an index may be started; `failed` is its last one."""
    return Record(all_failures(failed) + 1, finish_time(failed)).wait() if failed is not None else 0.0
