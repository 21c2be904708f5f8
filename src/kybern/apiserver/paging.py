"""Consistent listing in pages: list options, continue tokens, and the snapshot they read.

Source: API concepts, "Retrieving large results sets in chunks" and "Resource versions"; KEP-365.
"""

from __future__ import annotations

import base64
import posixpath
import re
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
    if token:
        revision, start = _decode_token(token)
        if text not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
    else:
        revision, start = _revision(text), ""
        if text == "0":
            # Anything there is will do, and clients that say so expect it whole.
            limit = 0
        return Options(limit, revision, match == "Exact" or (not match and limit > 0 and revision > 0))
    return Options(limit, max(revision, 0), revision > 0, start)


def _revision(text: str) -> int:
    try:
        return revisions.parse(text)
    except BadRequest as error:
        raise BadRequest(f"invalid resource version: {error.message}") from None


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
    """(revision, key below the prefix to go on from). Raises BadRequest."""
    if (bad := re.search("[^A-Za-z0-9_-]", token)) or len(token) % 4 == 1:
        raise _invalid_token(f": illegal base64 data at input byte {bad.start() if bad else len(token)}")
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, start = found.get("v", ""), found.get("rv", 0), found.get("start", "")
        if (type(version), type(revision), type(start)) != (str, int, str) or abs(revision) >> 63:
            raise ValueError("json: a field is of the wrong type")
    except (ValueError, AttributeError) as error:
        raise _invalid_token(f": {error}") from None
    if version != _TOKEN_VERSION:
        raise _invalid_token(f": server does not recognize this encoded version {version}")
    if revision == 0:
        raise _invalid_token(f": incorrect encoded start resourceVersion (version {_TOKEN_VERSION})")
    if not start:
        raise _invalid_token(f": encoded start key empty (version {_TOKEN_VERSION})")
    # Keys below the prefix only: no way leads up from there.
    path = start if start.startswith("/") else f"/{start}"
    if posixpath.normpath(path) != path:
        raise _invalid_token(f": {start}")
    return revision, path[1:]


def _invalid_token(why: str) -> BadRequest:
    return BadRequest(f"invalid continue token: continue key is not valid{why}")


async def page(store: Store, cache: WatchCache, selection: Selection, namespace: str, asked: Options) -> Page:
    """The part of the list that is asked for. Raises Expired, Timeout (from the future), Untransformable."""
    start = f"{cache.prefix}{asked.start}" if asked.start else ""
    if cache.unreadable:
        await cache.check_readable(cache.resource.prefix(namespace))
    await revisions.reached(cache, asked.revision)
    current = cache.revision
    if not asked.exact or asked.revision >= cache.last:
        # Nothing of this resource has changed since, so the cache is the snapshot.
        revision = asked.revision if asked.exact else current
        items, lists = cache.select(namespace, start), cache.lists
    else:
        revision = asked.revision
        items, lists = await _past(store, cache, namespace, start, revision), cache.stored_lists
    found = selection.filter(items)
    if not asked.limit or len(found) <= asked.limit:
        lists.add(len(items), len(found))
        return Page(found, revision, "", None)
    shown = found[: asked.limit]
    lists.add(len(items), len(shown))
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
