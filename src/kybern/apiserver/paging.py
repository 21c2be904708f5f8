"""Consistent listing in pages: list options, continue tokens, and the snapshot they read.

Source: API concepts, "Retrieving large results sets in chunks" and "Resource versions"; KEP-365.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import orjson

from kybern.api.errors import BadRequest, Expired, Invalid
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver import revisions
from kybern.apiserver.request import Request
from kybern.apiserver.selection import Selection
from kybern.apiserver.watch_cache import Item, WatchCache
from kybern.store.base import Compacted, FutureRevision, Store, Unreadable, Untransformable

_TOKEN_VERSION = "meta.k8s.io/v1"
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


class Options(NamedTuple):
    """What of a list is wanted. `revision` is exact where `exact`, else at least; `start` is where to go on."""

    limit: int = 0
    revision: int = 0
    exact: bool = False
    start: str = ""


class Page(NamedTuple):
    items: list[Item]
    revision: int
    next: str
    """The continue token, or empty at the end."""
    remaining: int | None
    """How many items follow, where that is known without selecting."""


def options(request: Request) -> Options:
    """The request's list options. Raises Invalid, BadRequest."""
    if not request.query:
        return Options()
    text, match = request.arg("resourceVersion"), request.arg("resourceVersionMatch")
    token = request.arg("continue")
    errors = Errors()
    if match:
        if not text:
            errors.forbidden(
                "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
            )
        if token:
            errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
        if match not in ("Exact", "NotOlderThan"):
            errors.unsupported("resourceVersionMatch", match, ("Exact", "NotOlderThan", ""))
        if match == "Exact" and text == "0":
            errors.forbidden(
                "resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            )
    if request.arg("sendInitialEvents"):
        errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if errors:
        raise Invalid.of("ListOptions", "meta.k8s.io", "", errors)
    limit = _limit(request.arg("limit"))
    revision = revisions.parse(text)
    if not token:
        return Options(limit, revision, match == "Exact" or (not match and limit > 0 and revision > 0))
    if revision:
        raise BadRequest("specifying resource version is not allowed when using continue")
    revision, start = _decode_token(token)
    return Options(limit, max(revision, 0), revision > 0, start)


def _limit(text: str) -> int:
    if not text:
        return 0
    try:
        return max(int(text), 0)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _encode_token(revision: int, start: str) -> str:
    return (
        base64.urlsafe_b64encode(orjson.dumps({"v": _TOKEN_VERSION, "rv": revision, "start": start}))
        .decode()
        .rstrip("=")
    )


def _decode_token(token: str) -> tuple[int, str]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if found["v"] != _TOKEN_VERSION:
            raise BadRequest(
                f'continue key is not valid: server does not recognize this encoded version "{found["v"]}"'
            )
        revision, start = int(found["rv"]), found["start"]
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise BadRequest(f"continue key is not valid: {token}") from None
    if not isinstance(start, str) or not start or start.startswith("/") or ".." in start:
        raise BadRequest(f"continue key is not valid: {token}")
    return revision, start


async def page(store: Store, cache: WatchCache, selection: Selection, namespace: str, asked: Options) -> Page:
    """The part of the list that is asked for. Raises Expired, Timeout (from the future), Untransformable."""
    start = f"{cache.prefix}{asked.start}" if asked.start else ""
    if cache.unreadable:
        await cache.check_readable(cache.resource.prefix(namespace))
    current = cache.revision
    if asked.revision > current:
        raise revisions.too_large(asked.revision, current)
    if not asked.exact or asked.revision >= cache.last:
        # Nothing of this resource has changed since, so the cache is the snapshot.
        revision = asked.revision if asked.exact else current
        items = cache.select(namespace, start)
    else:
        revision = asked.revision
        items = await _past(store, cache, namespace, start, revision)
    found = selection.filter(items)
    if not asked.limit or len(found) <= asked.limit:
        return Page(found, revision, "", None)
    shown = found[: asked.limit]
    token = _encode_token(revision, shown[-1].key[len(cache.prefix) :] + "\0")
    return Page(shown, revision, token, len(found) - asked.limit if selection.everything else None)


async def _past(store: Store, cache: WatchCache, namespace: str, start: str, revision: int) -> list[Item]:
    try:
        listed = await store.list(cache.resource.prefix(namespace), start=start, revision=revision)
    except Compacted:
        if not start:
            raise revisions.list_expired() from None
        raise _Continuable(_encode_token(-1, start[len(cache.prefix) :])) from None
    except FutureRevision as error:
        raise revisions.too_large(revision, error.current) from None
    for entry in listed.entries:
        if isinstance(entry.value, Unreadable):
            raise Untransformable(f'unable to transform key "{entry.key}": {entry.value.problem}')
    return [Item(entry.key, entry.value, entry.mod_revision) for entry in listed.entries]


class _Continuable(Expired):
    """An expired continue token; the Status carries one that goes on inconsistently."""

    def __init__(self, token: str) -> None:
        super().__init__(_TOO_OLD)
        self.token = token

    def status(self) -> Object:
        return {**super().status(), "metadata": {"continue": self.token}}
