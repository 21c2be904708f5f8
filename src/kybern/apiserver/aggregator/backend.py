"""One server behind this one: requests are passed on to it in the name of whom this server knows to ask.

Source: Kubernetes documentation, "Configure the Aggregation Layer".
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.apiserver import proxy
from kybern.apiserver.app import App
from kybern.apiserver.kubelets import trusting
from kybern.apiserver.pools import Pools, Where
from kybern.apiserver.request import JSON, Request, Response, UserInfo
from kybern.apiserver.webhooks.client import as_upstream_trusts, explained
from kybern.apiserver.webhooks.services import Address, ServiceResolver

_TOKEN = "!#$&'*+-.^_`|~"
"""Besides letters and digits, what header names may have; % is for what they may not."""
_PATH = "/:@!$&'()*+,;=~"
SELF = UserInfo("system:kube-aggregator", ("system:masters",))
"""Who asks when it is this server itself."""
MAX_DOCUMENT = 64 << 20
REDIRECTED = b"the backend attempted to redirect this request, which is not permitted"


class Fetched(NamedTuple):
    """A document that a server gave."""

    status: int
    content_type: str
    etag: str
    body: bytes


class Backend:
    """What an APIService says of a server, and the way to it. `identity` are the files of --proxy-client-cert-file and
    --proxy-client-key-file; `redirects`: clients may be sent elsewhere."""

    def __init__(
        self,
        service: Object,
        resolver: ServiceResolver,
        pools: Pools,
        identity: tuple[Path, Path] | None,
        *,
        redirects: bool = False,
    ) -> None:
        spec, self._pools = service["spec"], pools
        self.spec, self._resolver, self._identity, self._redirects = spec, resolver, identity, redirects
        self.name: str = service["metadata"]["name"]
        self.group, self.version = spec.get("group") or "", spec["version"]
        self.place = (spec["service"]["namespace"], spec["service"]["name"], int(spec["service"].get("port") or 443))
        self.available = False
        self.uid = service["metadata"].get("uid", "")
        self._tls: ssl.SSLContext | None = None
        self._anybody: ssl.SSLContext | None = None

    @property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    async def serve(self, app: App, request: Request) -> Response:
        """Pass a request on, and its answer back."""
        if not self.available:
            return _plain(503, b"service unavailable")
        try:
            tls = self._context()
        except (OSError, ssl.SSLError, ValueError) as error:
            return _plain(500, f"unable to load root certificates: {error}".encode())
        try:
            address = await self._resolver.resolve(*self.place)
        except APIError:
            return _plain(503, b"service unavailable")
        query = f"?{request.query}" if request.query else ""
        url = f"{self._base}{quote(request.path, safe=_PATH)}{query}"
        try:
            answer = await proxy.pass_on(self._pools, request, Where(url, tls, address, identity_headers(request.user)))
        except APIError as error:
            return _plain(503, error.message.encode())
        if not self._redirects and 300 <= answer.status < 400 and answer.status != 304:
            if isinstance(answer.body, AsyncGenerator):
                async for _ in answer.body:
                    break
                await answer.body.aclose()
            return _plain(502, REDIRECTED)
        return answer

    @property
    def _base(self) -> str:
        namespace, name, port = self.place
        return f"https://{name}.{namespace}.svc:{port}"

    def _context(self) -> ssl.SSLContext:
        """How to trust it. Raises OSError, ssl.SSLError, ValueError."""
        if self._tls is None:
            bundle = self.spec.get("caBundle")
            self._tls = ssl.create_default_context(cadata=base64.b64decode(bundle).decode("ascii") if bundle else None)
            as_upstream_trusts(self._tls)
            if self.spec.get("insecureSkipTLSVerify"):
                self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
            if self._identity is not None:
                self._tls.load_cert_chain(*self._identity)
        return self._tls

    async def address(self) -> Address:
        """Where it is. Raises APIError."""
        return await self._resolver.resolve(*self.place)

    async def fetch(self, path: str, accept: str = JSON, *, etag: str = "", trusting: bool = False) -> Fetched:
        """A document of its own; none if it is still that of `etag`. `trusting`: whoever answers. Raises APIError,
        OSError, ssl.SSLError, ValueError."""
        address = await self.address()
        headers = [*identity_headers(SELF), ("accept", accept)]
        if etag:
            headers.append(("if-none-match", etag))
        tls = self._unchecked() if trusting else self._context()
        answer = await self._pools.ask("GET", Where(f"{self._base}{path}", tls, address), headers)
        body = await answer.whole(MAX_DOCUMENT)
        return Fetched(answer.status, answer.header("content-type"), answer.header("etag"), body)

    def _unchecked(self) -> ssl.SSLContext:
        if self._anybody is None:
            self._anybody = trusting()
            if self._identity is not None:
                self._anybody.load_cert_chain(*self._identity)
        return self._anybody


def identity_headers(user: UserInfo) -> list[tuple[str, str]]:
    """Who asks, for a server that takes this one's word."""
    headers = [("x-remote-user", user.name)]
    if user.uid:
        headers.append(("x-remote-uid", user.uid))
    headers += [("x-remote-group", group) for group in user.groups]
    for key, values in user.extra.items():
        headers += [(f"x-remote-extra-{quote(key, safe=_TOKEN)}", value) for value in values]
    return [(name, _line(value)) for name, value in headers]


def _line(value: str) -> str:
    """A header's value stays within its line."""
    return value.replace("\r", " ").replace("\n", " ")


def _plain(status: int, text: bytes) -> Response:
    headers = [("x-content-type-options", "nosniff")]
    return Response(status, text + b"\n", "text/plain; charset=utf-8", headers)


def failed(url: str, error: BaseException) -> str:
    """What is said of a request that had no answer."""
    parts = urlsplit(url)
    return f'Get "{url}": {explained(error, (parts.hostname or "", parts.port or 443))}'


