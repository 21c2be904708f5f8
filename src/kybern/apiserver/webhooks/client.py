"""Calls of webhooks: one JSON document is posted, another comes back. Connections are kept, redirects not followed.

    hook = hooks.hook(client_config)                # {"url": ...} or {"service": {...}}, "caBundle"
    answer = await hook.post(review, timeout=10)    # raises CallFailed

Source: API reference, WebhookClientConfig v1; Kubernetes documentation, "Dynamic Admission Control".
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

import orjson

from kybern.api.durations import go_duration
from kybern.api.errors import APIError, from_status
from kybern.api.types import Object
from kybern.apiserver.egress import Ways
from kybern.apiserver.webhooks.credentials import NOBODY, Credentials, Identity
from kybern.apiserver.webhooks.services import ServiceResolver
from kybern.client.http import Incomplete, Pool
from kybern.process import tracing
from kybern.process.dialing import Dial, straight

MAX_ANSWER = 64 << 20
"""Bytes of the largest answer that is read."""
MAX_HOOKS = 200
"""How many servers' connections are kept."""
DEFAULT_PORT = 443
_HEADERS = {"Accept": "application/json, */*", "Content-Type": "application/json", "User-Agent": "kube-apiserver"}


class CallFailed(Exception):
    """There was no usable answer; the message says why, in upstream's words. `code` is the HTTP code for that."""

    def __init__(self, message: str, code: int = 503) -> None:
        super().__init__(message)
        self.code = code


class Hook:
    """One server's path. `dial` gives host and port to connect to, where the URL's are not that."""

    def __init__(
        self,
        url: str,
        tls: ssl.SSLContext | None,
        *,
        bearer: Callable[[], str] = NOBODY.bearer,
        dial: Callable[[], Awaitable[tuple[str, int]]] | None = None,
        server_name: str = "",
        through: Dial = straight,
    ) -> None:
        parts = urlsplit(url)
        self._base, self._path = f"{parts.scheme}://{parts.netloc}", parts.path
        self._pool = Pool(self._base, tls, dial=dial, server_name=server_name, through=through, repeats=True)
        self._bearer = bearer

    async def post(self, document: Object, *, timeout: float, tell: bool = True) -> Object:
        """Post a document. `tell`: the server hears of the timeout, in seconds. Raises CallFailed."""
        target = f"{self._path}?timeout={go_duration(timeout)}" if tell else self._path or "/"
        headers = dict(_HEADERS)
        tracing.inject(headers)
        if token := self._bearer():
            headers["Authorization"] = f"Bearer {token}"
        content = b""
        try:
            async with (
                asyncio.timeout(timeout),
                self._pool.request("POST", target, headers, orjson.dumps(document)) as answer,
            ):
                async for part in answer.parts():
                    content += part
                    if len(content) > MAX_ANSWER:
                        raise CallFailed("the answer is too large", 500)
        except (OSError, TimeoutError, APIError) as error:
            raise CallFailed(f'Post "{self._base}{target}": {explained(error, self._pool.dialled)}') from error
        return _document(answer.status, content)

    def close(self) -> None:
        """Close what is open."""
        self._pool.close()


class Hooks:
    """The hooks in use, by their configuration."""

    def __init__(
        self, resolver: ServiceResolver, credentials: Credentials | None = None, ways: Ways | None = None
    ) -> None:
        self._resolver, self._credentials, self._ways = resolver, credentials, ways or Ways()
        self._hooks: OrderedDict[bytes, Hook] = OrderedDict()

    def hook(self, config: Object) -> Hook:
        """The hook of a clientConfig. Raises CallFailed where it can't be made."""
        key = orjson.dumps(config, option=orjson.OPT_SORT_KEYS)
        found = self._hooks.get(key)
        if found is None:
            found = self._hooks[key] = self._made(config)
            if len(self._hooks) > MAX_HOOKS:
                self._hooks.popitem(last=False)[1].close()
        else:
            self._hooks.move_to_end(key)
        return found

    def _made(self, config: Object) -> Hook:
        service = config.get("service")
        if service is None:
            url = config["url"]
            parts = urlsplit(url)
            who = self._identity(f"{parts.hostname}:{parts.port or DEFAULT_PORT}")
            tls = trusting(config.get("caBundle"), who)
            return Hook(url, tls, bearer=who.bearer, through=self._ways.controlplane)
        name, port = f"{service['name']}.{service['namespace']}.svc", int(service.get("port") or DEFAULT_PORT)
        who = self._identity(f"{name}:{port}")
        dial = partial(self._resolver.resolve, service["namespace"], service["name"], port)
        url = f"https://{name}:{port}/{(service.get('path') or '').lstrip('/')}"
        tls, way = trusting(config.get("caBundle"), who), self._ways.cluster
        return Hook(url, tls, dial=dial, server_name=name, bearer=who.bearer, through=way)

    def _identity(self, host: str) -> Identity:
        return self._credentials.identity(host) if self._credentials is not None else NOBODY

    def close(self) -> None:
        """Close all connections."""
        for hook in self._hooks.values():
            hook.close()


def trusting(bundle: str | None, who: Identity = NOBODY) -> ssl.SSLContext:
    """TLS that trusts a base64 bundle, or else what the system trusts, and shows the identity. Raises CallFailed."""
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode("ascii") if bundle else None)
        who.load_into(context)
    except (ssl.SSLError, OSError, UnicodeDecodeError, binascii.Error) as error:
        raise CallFailed(f"unable to load root certificates: {error}", 500) from error
    as_upstream_trusts(context)
    return context


def as_upstream_trusts(context: ssl.SSLContext) -> None:
    """Trust what is in the bundle as Go does: a server's own certificate too, and CAs without the extensions that newer
    Pythons insist on."""
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def _document(status: int, content: bytes) -> Object:
    """The JSON object of an answer. Raises CallFailed."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        found = error
    if isinstance(found, dict) and found.get("kind") == "Status" and found.get("status") != "Success":
        said = from_status(found, status)
        raise CallFailed(said.message, said.code)
    if not 200 <= status < 300:
        raise CallFailed(_refusal(status, content.decode(errors="replace").strip()), status)
    if isinstance(found, Exception):
        raise CallFailed(f"couldn't get version/kind; json parse error: {found}", 500) from found
    if not isinstance(found, dict):
        raise CallFailed("couldn't get version/kind; json parse error: the answer is no JSON object", 500)
    return found


_REFUSALS = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def _refusal(status: int, text: str) -> str:
    if status == 403:
        return text or "unknown"
    if status in _REFUSALS:
        return _REFUSALS[status]
    if status >= 500:
        return f'an error on the server ("{text or "unknown"}") has prevented the request from succeeding'
    return f"the server responded with the status code {status} but did not return more information"


def explained(error: BaseException, address: tuple[str, int | str] = ("", "")) -> str:
    """Why there is no answer from an address, in upstream's words."""
    host, port = address
    if isinstance(error, APIError):
        return error.message
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: x509: {_distrusted(error)}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "tls: first record does not look like a TLS handshake"
        return f"remote error: tls: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: no such host"
    if isinstance(error, Incomplete):
        return "EOF" if error.nothing else "unexpected EOF"
    if isinstance(error, OSError):
        # Where a name has several addresses that all fail alike, asyncio puts the errors into one without a number.
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        why = "connection refused" if "Errno 111" in why else why
        return f"dial tcp {f'[{host}]' if ':' in host else host}:{port}: connect: {why}" if host else why
    return str(error)


def _distrusted(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message or str(error)
    if "mismatch" in said:
        return said[:1].lower() + said[1:].rstrip(".")
    if "expired" in said or "not yet valid" in said:
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"
