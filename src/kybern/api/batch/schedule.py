"""Schedules in cron's form: five fields, `@daily` and kin, `@every 1h30m`; and the times they name.

Which texts are schedules, and what is said of those that aren't, is upstream's (the Go library robfig/cron); the times
are counted by croniter. Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]*\.?[0-9]+|[0-9]+\.)(h|ms|us|µs|ns|m|s)")
_YEARS = 5
"""A schedule that names no time in so many years never does (31 February)."""


class ScheduleError(ValueError):
    """A text that is no schedule, or no time zone; the message says why."""


class _Field(NamedTuple):
    low: int
    high: int
    names: dict[str, int]


_FIELDS = (
    _Field(0, 59, {}),
    _Field(0, 23, {}),
    _Field(1, 31, {}),
    _Field(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field(0, 6, {name: number for number, name in enumerate(_DAYS)}),
)


class Schedule:
    """A parsed schedule; fields are counted in `zone`."""

    def __init__(self, expression: str, every: float, zone: tzinfo) -> None:
        self._expression = expression
        self._every = every
        self._zone = zone

    def next(self, after: float) -> float | None:
        """The first time after that (epoch seconds); None if there is none."""
        if self._every:
            return float(int(after) + self._every)
        # Only the controller counts times; servers that check texts go without.
        from croniter import CroniterBadDateError, croniter

        start = datetime.fromtimestamp(after, self._zone)
        times = croniter(self._expression, start, ret_type=datetime, max_years_between_matches=_YEARS)
        try:
            found: datetime = times.get_next()
            while not croniter.match(self._expression, found.replace(tzinfo=None)):
                # A time that the clock skips in spring is not made up for.
                found = times.get_next()
        except CroniterBadDateError:
            return None
        return found.timestamp()


@lru_cache(maxsize=1024)
def parse(text: str, zone: str = "") -> Schedule:
    """The schedule in a time zone (UTC without one); one that the text names itself wins. Raises ScheduleError."""
    where: tzinfo = time_zone(zone) if zone else UTC
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, _, text = text.partition(" ")
        name = name.partition("=")[2]
        try:
            where = time_zone(name)
        except ScheduleError as error:
            raise ScheduleError(f"provided bad location {name}: {error}") from None
        text = text.strip()
    if text.startswith(_EVERY):
        return Schedule("", _every(text), where)
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise ScheduleError(f"unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    if not text:
        raise ScheduleError("empty spec string")
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    parsed = (_field(words, field) for words, field in zip(fields, _FIELDS, strict=True))
    return Schedule(" ".join(parsed), 0.0, where)


def time_zone(name: str) -> tzinfo:
    """A zone of the IANA database. Raises ScheduleError."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(f"unknown time zone {name}") from None


def _every(text: str) -> float:
    """Whole seconds, at least one."""
    rest = text.removeprefix(_EVERY)
    parts = _PART.findall(rest)
    if not parts or "".join(map("".join, parts)) != rest:
        raise ScheduleError(f'failed to parse duration {text}: time: invalid duration "{rest}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return max(1.0, timedelta(seconds=seconds) // timedelta(seconds=1))


def _field(text: str, field: _Field) -> str:
    """A field in croniter's form. One that allows everything is `*`, which matters for days of month and week."""
    ranges = [_range(part, field) for part in text.split(",") if part]
    return "*" if "*" in ranges or not ranges else ",".join(ranges)


def _range(text: str, field: _Field) -> str:
    body, *steps = text.split("/")
    low, *highs = body.split("-")
    star = low in ("*", "?")
    if star:
        first, last = field.low, field.high
    else:
        first = last = _number(low, field)
        if len(highs) == 1:
            last = _number(highs[0], field)
        elif highs:
            raise ScheduleError(f"too many hyphens: {text}")
    step = 1
    if steps:
        if len(steps) > 1:
            raise ScheduleError(f"too many slashes: {text}")
        step = _integer(steps[0])
        last = last if highs else field.high
    if first < field.low:
        raise ScheduleError(f"beginning of range ({first}) below minimum ({field.low}): {text}")
    if last > field.high:
        raise ScheduleError(f"end of range ({last}) above maximum ({field.high}): {text}")
    if first > last:
        raise ScheduleError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if not step:
        raise ScheduleError(f"step of range should be a positive number: {text}")
    if star and step == 1:
        return "*"
    return f"{first}-{last}/{step}" if last > first else str(first)


def _number(text: str, field: _Field) -> int:
    found = field.names.get(text.lower())
    return _integer(text) if found is None else found


def _integer(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        said = f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(said) from None
    if number < 0:
        raise ScheduleError(f"negative number ({number}) not allowed: {text}")
    return number
