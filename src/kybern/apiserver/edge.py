"""What stands before everything else, where the operator asks for it: leave for pages of other origins (CORS), word
that only HTTPS is spoken here (HSTS), and a request to come back where the server is about to end.

Source: kube-apiserver reference, --cors-allowed-origins, --strict-transport-security-directives and
--shutdown-send-retry-after; Fetch standard; RFC 6797.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from kybern.apiserver.request import Request, Response
from kybern.process.daemon import OperatorError

_FOR_OTHER_ORIGINS = [
    ("access-control-allow-methods", "POST, GET, OPTIONS, PUT, DELETE, PATCH"),
    ("access-control-allow-headers",
     "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Requested-With, If-Modified-Since"),
    ("access-control-expose-headers", "Date"),
    ("access-control-allow-credentials", "true"),
]  # fmt: skip
_TURNED_AWAY = b"The apiserver is shutting down, please try again later.\n"
_NEVER_TURNED_AWAY = ("/readyz", "/livez", "/healthz", "/metrics")
_DIRECTIVES = re.compile(r"max-age=[0-9]+|includeSubDomains|preload")


class Edge:
    """`origins`: regular expressions; `directives`: of Strict-Transport-Security. Raises OperatorError."""

    def __init__(self, origins: Sequence[str] = (), directives: Sequence[str] = ()) -> None:
        self._origins = [_origin(text) for text in origins]
        for text in directives:
            if not _DIRECTIVES.fullmatch(text):
                raise OperatorError(
                    f'--strict-transport-security-directives: "{text}" is none of max-age=SECONDS, includeSubDomains '
                    "and preload"
                )
        self._secure = [("strict-transport-security", "; ".join(directives))] if directives else []
        self.ending = False
        """Whether to turn away what comes, and to close its connections."""

    def early(self, request: Request) -> Response | None:
        """The answer of a request that goes no further."""
        if self.ending and not request.path.startswith(_NEVER_TURNED_AWAY):
            headers = [("retry-after", "5"), ("x-content-type-options", "nosniff")]
            return Response(429, _TURNED_AWAY, "text/plain; charset=utf-8", headers)
        if self._origins and request.method == "OPTIONS" and self._allowed(request):
            return Response(204, b"", "", self.headers(request))
        return None

    def headers(self, request: Request) -> list[tuple[str, str]]:
        """What to add to an answer."""
        if not self._origins or not self._allowed(request):
            return self._secure
        return [*self._secure, ("access-control-allow-origin", request.headers["origin"]), *_FOR_OTHER_ORIGINS]

    def _allowed(self, request: Request) -> bool:
        origin = request.headers.get("origin", "")
        return bool(origin) and any(allowed.search(origin) for allowed in self._origins)


def _origin(text: str) -> re.Pattern[str]:
    if not (text.startswith("^") or "//" in text) or not (text.endswith("$") or ":" in text.partition("//")[2]):
        raise OperatorError(
            f'--cors-allowed-origins: "{text}" does not pin to start/end of host in the origin header; write it like '
            "^https://example.com(:|$)"
        )
    try:
        return re.compile(text)
    except re.error as error:
        raise OperatorError(f'--cors-allowed-origins: "{text}" is no regular expression: {error}') from error
