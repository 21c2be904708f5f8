"""Large answers, compressed for clients that take gzip: most of what a list says it says many times. And bodies that
clients compressed, which may be no larger unpacked than others.

Source: KEP-156 of upstream's API server (APIResponseCompression): from 128 KiB on, at the fastest level.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from functools import lru_cache

from isal import isal_zlib

from kybern.api.errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from kybern.apiserver.limits import MAX_BODY
from kybern.apiserver.request import Request, Response, Stream, Upgrade
from kybern.process import features

THRESHOLD = 128 * 1024
"""Bytes; a smaller answer goes as it is."""
_LEVEL = 1
_PIECE = 1 << 20
"""Bytes that are compressed at once: of more, clients unpack the beginning while the rest is still made, and other
requests get their turn."""
_GZIP = 31
"""zlib's window bits that make it gzip."""


def compressed(request: Request, response: Response) -> Response:
    """The answer, or the same compressed where its client wants that and it is worth it."""
    length = _length(response)
    if length <= THRESHOLD or not features.enabled("APIResponseCompression"):
        return response
    if not _takes_gzip(request.headers.get("accept-encoding", "")):
        return response
    if any(name == "content-encoding" for name, _ in response.headers):
        return response
    body = response.body
    response.headers = [pair for pair in response.headers if pair[0] != "content-length"]
    response.headers += [("content-encoding", "gzip"), ("vary", "Accept-Encoding")]
    if isinstance(body, bytes) and len(body) <= _PIECE:
        response.body = _whole(body)
    else:
        response.body = _pieces(_cut(body) if isinstance(body, bytes) else body)
    return response


def unpack(request: Request) -> None:
    """Put a request's body as it was before it was compressed. Raises UnsupportedMediaType, BadRequest,
    RequestTooLarge."""
    coding = request.headers["content-encoding"].strip().lower()
    if coding in ("", "identity") or not request.body:
        return
    if coding != "gzip":
        raise UnsupportedMediaType(f'the body\'s content encoding "{coding}" is not supported; use gzip')
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(request.body, MAX_BODY + 1)
    except zlib.error as error:
        raise BadRequest(f"the body is no gzip: {error}") from None
    if len(body) > MAX_BODY:
        raise RequestTooLarge(f"Request entity too large: limit is {MAX_BODY}")
    if not unpacker.eof:
        raise BadRequest("the body is no gzip: it ends early")
    request.body = body
    del request.headers["content-encoding"]


def _length(response: Response) -> int:
    """The bytes of its body; 0 where that isn't known: what is passed on as it comes isn't held up."""
    if isinstance(response.body, bytes):
        return len(response.body)
    if isinstance(response, (Stream, Upgrade)):
        return 0
    return next((int(value) for name, value in response.headers if name == "content-length"), 0)


@lru_cache(maxsize=64)
def _takes_gzip(accepted: str) -> bool:
    for clause in accepted.split(","):
        coding, _, quality = clause.partition(";")
        if coding.strip().lower() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0")
    return False


def _whole(body: bytes) -> bytes:
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    return bytes(packer.compress(body) + packer.flush())


async def _cut(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
        await asyncio.sleep(0)


async def _pieces(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP)
    async for piece in body:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
