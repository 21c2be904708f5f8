"""SPDY/3.1 framing: bytes to frames and back. No I/O.

Source: SPDY protocol draft 3.1. A control frame is |1|version 15|type 16|flags 8|length 24|payload; a data frame is
|0|stream 31|flags 8|length 24|payload. Header blocks are compressed with one zlib context per direction.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 0x01
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL = 1, 2, 3, 5
"""Codes of RST_STREAM."""
INITIAL_WINDOW = 64 << 10
SETTINGS_INITIAL_WINDOW_SIZE = 7
MAX_CONTROL = 1 << 20
MAX_HEADERS = 256 << 10
"""Bytes of an uncompressed header block."""

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split()) + _TAIL.encode()
)
"""The specification's dictionary for header compression; both sides must have the same bytes."""


class ProtocolError(ConnectionError):
    """The other side broke the protocol; the connection can't go on."""


class HeaderWriter:
    """Compresses header blocks; keeps the context that later blocks build on."""

    def __init__(self) -> None:
        self._context = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, headers: Mapping[str, str]) -> bytes:
        """A compressed name/value block. Names are sent in lower case, as the protocol wants."""
        block = bytearray(struct.pack(">I", len(headers)))
        for name, value in headers.items():
            for text in (name.lower(), value):
                encoded = text.encode()
                block += struct.pack(">I", len(encoded)) + encoded
        return self._context.compress(bytes(block)) + self._context.flush(zlib.Z_SYNC_FLUSH)


class HeaderReader:
    """Decompresses header blocks."""

    def __init__(self) -> None:
        self._context = zlib.decompressobj(zdict=DICTIONARY)

    def decode(self, compressed: bytes) -> dict[str, str]:
        """The headers of a block, repeated values joined by a NUL. Raises ProtocolError."""
        try:
            block = self._context.decompress(compressed, MAX_HEADERS)
        except zlib.error as error:
            raise ProtocolError(f"SPDY: headers don't decompress: {error}") from error
        if self._context.unconsumed_tail:
            raise ProtocolError("SPDY: headers are too large")
        at, parts = 4, []
        try:
            (count,) = struct.unpack_from(">I", block)
            for _ in range(2 * min(count, len(block))):
                (length,) = struct.unpack_from(">I", block, at)
                text = block[at + 4 : at + 4 + length]
                if len(text) < length:
                    raise ProtocolError("SPDY: a header block is cut short")
                parts.append(text.decode("utf-8", "replace"))
                at += 4 + length
        except struct.error as error:
            raise ProtocolError("SPDY: a header block is cut short") from error
        return dict(zip(parts[::2], parts[1::2], strict=True))


def control(kind: int, payload: bytes, flags: int = 0) -> bytes:
    """A control frame."""
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A data frame."""
    return struct.pack(">II", stream, flags << 24 | len(payload)) + payload


def words(payload: bytes, count: int) -> tuple[int, ...]:
    """The first `count` 32-bit words of a payload. Raises ProtocolError."""
    if len(payload) < 4 * count:
        raise ProtocolError("SPDY: a frame is cut short")
    return struct.unpack_from(f">{count}I", payload)
