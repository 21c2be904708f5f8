"""resourceVersion parameters, and the errors about them."""

from __future__ import annotations

from kybern.api.errors import BadRequest, Expired, Timeout
from kybern.apiserver.watch_cache import WatchCache


def parse(text: str, name: str = "resourceVersion") -> int:
    """A resourceVersion; "" is 0. Raises BadRequest."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise BadRequest(f'{name}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def too_large(wanted: int, current: int) -> Timeout:
    """The client has seen a revision that this server has not."""
    text = "Too large resource version"
    causes = [{"reason": "ResourceVersionTooLarge", "message": text}]
    return Timeout(f"{text}: {wanted}, current: {current}", details={"causes": causes, "retryAfterSeconds": 1})


def at_least(cache: WatchCache, text: str) -> None:
    """Raises Timeout if the cache isn't as new as the resourceVersion `text`, BadRequest if that is none."""
    wanted = parse(text)
    if wanted > cache.revision:
        raise too_large(wanted, cache.revision)


def list_expired() -> Expired:
    """An exact revision that has been compacted."""
    return Expired("The resourceVersion for the provided list is too old.")
