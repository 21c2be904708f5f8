"""resourceVersion parameters, and the errors about them."""

from __future__ import annotations

from kybern.api.errors import BadRequest, Expired, Timeout
from kybern.apiserver.watch_cache import WatchCache

_DIGITS = len(str(2**64))


def parse(text: str, name: str = "resourceVersion") -> int:
    """A resourceVersion; "" is 0. Raises BadRequest."""
    if not text:
        return 0
    digits = (text.lstrip("0") or "0") if text.isascii() and text.isdigit() else ""
    if digits and len(digits) <= _DIGITS and (number := int(digits)) < 2**64:
        return number
    why = "value out of range" if digits else "invalid syntax"
    raise BadRequest(f'{name}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {why}')


def too_large(wanted: int, current: int) -> Timeout:
    """The client has seen a revision that this server has not."""
    text = "Too large resource version"
    causes = [{"reason": "ResourceVersionTooLarge", "message": text}]
    return Timeout(f"Timeout: {text}: {wanted}, current: {current}", details={"causes": causes, "retryAfterSeconds": 1})


async def reached(cache: WatchCache, wanted: int) -> None:
    """Return once the cache is as new as that. Raises Timeout if nothing is."""
    if wanted > cache.revision:
        await cache.fresh()
    if wanted > cache.revision:
        raise too_large(wanted, cache.revision)


def list_expired() -> Expired:
    """An exact revision that has been compacted."""
    return Expired("The resourceVersion for the provided list is too old.")
