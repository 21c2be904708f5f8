"""Durations as kubectl prints them: `45s`, `5m10s`, `3h`, `2d4h`, `1y20d`."""

from __future__ import annotations

from kybern.process.clock import clock, parse_time


def human(seconds: float) -> str:
    """Two units at most, coarser as the duration grows."""
    s = int(seconds)
    if s < -1:
        return "<invalid>"
    s = max(s, 0)
    minutes, hours, days = s // 60, s // 3600, s // 86400
    if s < 120:
        return f"{s}s"
    if minutes < 10:
        return _two(minutes, "m", s % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def go_duration(seconds: float) -> str:
    """As Go writes it, to the microsecond: `501.2ms`, `1.25s`, `1m0.5s`, `2h0m0s`."""
    whole = round(seconds * 1_000_000)
    if whole < 1_000_000:
        return f"{whole / 1000:.3f}".rstrip("0").rstrip(".") + "ms"
    minutes, micros = divmod(whole, 60_000_000)
    text = f"{micros / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"
    if minutes >= 60:
        return f"{minutes // 60}h{minutes % 60}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _two(big: int, unit: str, small: int, small_unit: str) -> str:
    return f"{big}{unit}{small}{small_unit}" if small else f"{big}{unit}"


def since(stamp: str | None) -> str:
    """The time since an RFC 3339 stamp; `<unknown>` without one."""
    return human(clock.time() - parse_time(stamp)) if stamp else "<unknown>"
