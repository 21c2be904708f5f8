"""Warning headers (RFC 7234), within limits: beyond so many characters all are cut short, and the rest left out.

Source: Kubernetes documentation, "Dynamic Admission Control", "Webhook response"; the numbers are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_ALL, MAX_ONE = 4096, 256
"""Characters of all texts together, and of one where they have more."""


def headers(texts: Iterable[str]) -> list[tuple[str, str]]:
    """The headers of texts, each once."""
    said = [text for text in dict.fromkeys(texts) if text]
    if sum(map(len, said)) > MAX_ALL:
        said = _cut(said)
    return [("warning", _value(text)) for text in said]


def _cut(texts: list[str]) -> list[str]:
    found, length = [], 0
    for text in texts:
        if length >= MAX_ALL:
            break
        found.append(text[:MAX_ONE])
        length += len(found[-1])
    return found


def _value(text: str) -> str:
    quoted = "".join(c if c.isprintable() else " " for c in text).replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'
