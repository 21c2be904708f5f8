"""The front proxy: one whose certificate the --requestheader-client-ca-file vouches for says in headers who asks.

Source: Kubernetes documentation, "Authenticating Proxy".
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from kybern.api.errors import Unauthorized
from kybern.apiserver.authn.authorities import Authorities
from kybern.apiserver.authn.base import authenticated
from kybern.apiserver.authn.x509 import Certificates
from kybern.apiserver.request import Request, UserInfo


@dataclass(slots=True)
class FrontProxyOptions:
    """--requestheader-*."""

    client_ca_file: Path | None = None
    allowed_names: Sequence[str] = ()
    """Common names; empty for any."""
    username_headers: Sequence[str] = ()
    uid_headers: Sequence[str] = ()
    group_headers: Sequence[str] = ()
    extra_headers_prefix: Sequence[str] = ()


class FrontProxy:
    """Takes the word of proxies."""

    def __init__(self, options: FrontProxyOptions, authorities: Authorities) -> None:
        self._authorities = authorities
        # Requests have their headers in lower case.
        self._users, self._uids, self._groups, self._prefixes = (
            [name.lower() for name in names]
            for names in (
                options.username_headers, options.uid_headers, options.group_headers, options.extra_headers_prefix,
            )
        )  # fmt: skip
        self._names: Collection[str] = frozenset(options.allowed_names)
        self._certificates = Certificates()

    async def authenticate(self, request: Request) -> UserInfo | None:
        if request.peer_certificate is None or not self._authorities.vouch_for(request.peer_chain):
            return None
        certificate = self._certificates.read(request.peer_certificate)
        if not certificate.usable():
            raise Unauthorized
        if self._names and certificate.common_name not in self._names:
            raise Unauthorized
        return self._named(request)

    def _named(self, request: Request) -> UserInfo | None:
        name = _first(request, self._users)
        if not name:
            return None
        uid = _first(request, self._uids)
        groups = [group for header in self._groups for group in request.values(header)]
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in self._prefixes:
            for header in request.headers:
                if header.startswith(prefix):
                    key = unquote(header[len(prefix) :])
                    extra[key] = (*extra.get(key, ()), *request.values(header))
        self._clear(request)
        return authenticated(name, groups, uid, extra)

    def _clear(self, request: Request) -> None:
        """What was said in headers is not to be said again to those whom the request is passed on to."""
        said = {*self._users, *self._uids, *self._groups}
        prefixes = tuple(self._prefixes)
        for header in [one for one in request.headers if one in said or (prefixes and one.startswith(prefixes))]:
            del request.headers[header]


def _first(request: Request, headers: Sequence[str]) -> str:
    return next((value for header in headers if (value := request.headers.get(header, ""))), "")
