"""A signer of service account tokens at a unix socket: it has the keys, we make the claims and check what comes back.

Source: KEP-740 (ExternalServiceAccountTokenSigner); kube-apiserver reference, --service-account-signing-endpoint.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from kybern.api.types import Object
from kybern.apiserver.signing._generated import externaljwt_pb2 as api
from kybern.apiserver.tokens import ALGORITHMS, KeySet, PublicKey, SigningFailed, algorithm_of, jwk
from kybern.process.clock import clock, monotonic
from kybern.process.daemon import OperatorError
from kybern.process.metrics import Tally

SERVICE = "v1.ExternalJWTSigner"
TIMEOUT = 10.0
"""Seconds that a call may take."""
PATIENCE = 60.0
"""Seconds that the signer may take to be there when the server starts."""
RETRY = 10.0
"""Seconds until keys that could not be fetched are asked for again."""
LEAST_LIFE = 600
"""Seconds that tokens must be allowed to live."""
SEEK_SECONDS = 1.0
"""How often unknown keys are looked for, at most."""
_DURATIONS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

log = logging.getLogger(__name__)


class CallFailed(Exception):
    """The signer can't be reached, refuses, or answers what can't be."""


class SignersKeys(KeySet):
    """The keys that the signer has told of last."""

    def __init__(self, signer: ExternalSigner) -> None:
        super().__init__(())
        self._signer = signer
        self._hidden: frozenset[str] = frozenset()

    def replace(self, keys: dict[str, PublicKey], hidden: frozenset[str]) -> None:
        """`hidden`: the ids of those that verify old tokens, and of which others needn't know."""
        self._keys, self._hidden = keys, hidden

    async def seek(self, token: str) -> None:
        kid = _header(token).get("kid")
        if isinstance(kid, str) and kid and kid not in self._keys:
            await self._signer.fetch_soon()

    def knows(self, kid: str) -> bool:
        """Whether tokens may be signed with it."""
        return kid in self._keys and kid not in self._hidden

    def jwks(self) -> Object:
        return {"keys": [jwk(kid, key) for kid, key in self._keys.items() if kid not in self._hidden]}

    def algorithms(self) -> list[str]:
        return sorted({algorithm_of(key) for kid, key in self._keys.items() if kid not in self._hidden})


class ExternalSigner:
    """`start` it; then `keys` are its keys, and `sign` makes tokens. `endpoint` is a socket's path, `@name` an abstract
    one."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        target = f"unix-abstract:{endpoint[1:]}" if endpoint.startswith("@") else f"unix:{endpoint}"
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        options += [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000)]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self.keys = SignersKeys(self)
        self.metrics = SignerMetrics()
        self._following: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[float] | None = None
        self._sought = -SEEK_SECONDS

    async def start(self) -> int:
        """Wait for it, fetch its keys and follow them; gives how many seconds tokens may live. Raises
        OperatorError."""
        until = monotonic() + PATIENCE
        while True:
            try:
                longest = int((await self._call("Metadata", api.MetadataRequest(), api.MetadataResponse))
                              .max_token_expiration_seconds)  # fmt: skip
                wait = await self._fetch()
                break
            except CallFailed as error:
                if monotonic() > until:
                    raise OperatorError(f"--service-account-signing-endpoint {self._endpoint}: {error}") from error
                log.info("waiting for the signer at %s: %s", self._endpoint, error)
                await asyncio.sleep(1.0)
        if longest < LEAST_LIFE:
            said = f"it lets tokens live for {longest} seconds, which must be at least {LEAST_LIFE}"
            raise OperatorError(f"--service-account-signing-endpoint {self._endpoint}: {said}")
        self._following = asyncio.create_task(self._follow(wait), name="signer's keys")
        return longest

    async def close(self) -> None:
        """Ask no more, and hang up."""
        for task in (self._following, self._fetching):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._channel.close(None)

    async def sign(self, claims: Object) -> str:
        payload = base64.urlsafe_b64encode(orjson.dumps(claims)).rstrip(b"=").decode()
        try:
            answer = await self._call("Sign", api.SignJWTRequest(claims=payload), api.SignJWTResponse)
            self._check(answer)
        except CallFailed as error:
            raise SigningFailed(str(error)) from error
        return f"{answer.header}.{payload}.{answer.signature}"

    def _check(self, answer: Any) -> None:
        header = _header(f"{answer.header}.")
        if header.keys() != {"alg", "kid", "typ"} or header["typ"] != "JWT" or header["alg"] not in ALGORITHMS:
            raise CallFailed("the signer's header has not just alg, kid and typ, of a JWT and of a known algorithm")
        if not header["kid"] or not answer.signature:
            raise CallFailed("the signer's answer names no key, or has no signature")
        if not self.keys.knows(str(header["kid"])):
            raise CallFailed(f"the signer signed with a key that is not for others to know (kid: {header['kid']})")

    async def fetch_soon(self) -> None:
        """Fetch the keys anew, unless that was done a moment ago; whoever asks meanwhile waits for the same."""
        if self._fetching is None or self._fetching.done():
            if monotonic() - self._sought < SEEK_SECONDS:
                return
            self._sought = monotonic()
            self._fetching = asyncio.ensure_future(self._fetch())
        try:
            await asyncio.shield(self._fetching)
        except CallFailed as error:
            log.warning("the signer's keys: %s", error)

    async def _follow(self, wait: float) -> None:
        while True:
            await asyncio.sleep(wait)
            try:
                wait = await self._fetch()
            except CallFailed as error:
                log.warning("the signer's keys: %s", error)
                wait = RETRY

    async def _fetch(self) -> float:
        """Take its keys over; gives after how many seconds to do so again."""
        answer = await self._call("FetchKeys", api.FetchKeysRequest(), api.FetchKeysResponse)
        if answer.refresh_hint_seconds <= 0:
            raise CallFailed(f"the signer's keys are good for {answer.refresh_hint_seconds} seconds")
        keys = {key.key_id: _public(key) for key in answer.keys}
        if not keys or "" in keys:
            raise CallFailed("the signer told of no keys, or of one without an id")
        self.metrics.fetched_at, self.metrics.data_at = clock.time(), answer.data_timestamp.ToSeconds()
        self.keys.replace(keys, frozenset(key.key_id for key in answer.keys if key.exclude_from_oidc_discovery))
        return float(answer.refresh_hint_seconds)

    async def _call(self, name: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        began, code = monotonic(), "OK"
        try:
            return await call(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            code = error.code().name.title().replace("_", "")
            raise CallFailed(f"rpc error: code = {code} desc = {error.details()}") from None
        finally:
            self.metrics.called(name, code, monotonic() - began)


def _public(key: Any) -> PublicKey:
    try:
        loaded = serialization.load_der_public_key(key.key)
    except ValueError as error:
        raise CallFailed(f"the signer's key {key.key_id} can't be read: {error}") from error
    if not isinstance(loaded, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise CallFailed(f"the signer's key {key.key_id} is neither an RSA nor an ECDSA key")
    return loaded


def _header(token: str) -> Object:
    """The header of a token, without trust; empty where there is none."""
    part = token.partition(".")[0]
    try:
        found = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, UnicodeEncodeError):
        return {}
    return found if isinstance(found, dict) else {}


class SignerMetrics(Collector):
    """What the signer was asked, under upstream's names."""

    def __init__(self) -> None:
        self.fetched: Counter[str] = Counter()
        self.signed: Counter[str] = Counter()
        self.times: dict[tuple[str, str], Tally] = {}
        self.fetched_at = self.data_at = 0.0

    def called(self, method: str, code: str, seconds: float) -> None:
        """Count a call."""
        self.times.setdefault((method, code), Tally(_DURATIONS)).observe(seconds)
        if method == "Sign":
            self.signed[code] += 1
        elif method == "FetchKeys":
            self.fetched[code] += 1

    def collect(self) -> Iterator[Metric]:
        prefix = "apiserver_externaljwt"
        for name, counts in (("fetch_keys_request", self.fetched), ("sign_request", self.signed)):
            counter = CounterMetricFamily(f"{prefix}_{name}", "Calls of the signer.", labels=["code"])
            for code, number in counts.items():
                counter.add_metric([code], number)
            yield counter
        for name, when in (("success", self.fetched_at), ("data", self.data_at)):
            yield GaugeMetricFamily(f"{prefix}_fetch_keys_{name}_timestamp", "Of its keys.", when)
        family = HistogramMetricFamily(f"{prefix}_request_duration_seconds", "Of calls.", labels=["method", "code"])
        for (method, code), tally in self.times.items():
            family.add_metric([method, code], tally.buckets(), tally.total)
        yield family
