"""Large answers are compressed in pieces that make one whole."""

from __future__ import annotations

import gzip

from kybern.apiserver import compression
from kybern.apiserver.request import Request, Response


async def test_what_is_large_is_sent_in_pieces() -> None:
    body = b"".join(b"%d," % number for number in range(400_000))
    assert len(body) > 2 * compression._PIECE
    asked = Request("GET", "/", "", {"accept-encoding": "gzip"}, b"")
    response = compression.compressed(asked, Response(200, body, "application/json", []))
    assert not isinstance(response.body, bytes)
    pieces = [piece async for piece in response.body]
    assert len(pieces) > 1
    assert gzip.decompress(b"".join(pieces)) == body
