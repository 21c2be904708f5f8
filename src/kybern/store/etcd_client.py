"""Calls to a cluster of etcd, v3 gRPC: one connection per endpoint, one endpoint in use until it fails.

What may be sent twice is tried on the next endpoint until its time is over. A write is sent once more only if it
certainly never left this process; else whether it happened is unknown, and the caller hears so.

Source: etcd's v3 API reference (services KV, Watch, Lease, Cluster, Maintenance; error texts of rpctypes).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio

from kybern.process.clock import monotonic
from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import StoreUnavailable

TIMEOUT = 10.0
"""Seconds a call may take in all."""
ATTEMPT = 4.0
"""Seconds that one endpoint gets for a call that may be repeated elsewhere."""
PAUSE = 0.1
"""Seconds between rounds over the endpoints."""

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # also how long connecting may take
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # which the above is nothing without
    ("grpc.http2.max_pings_without_data", 0),  # a watch may hear nothing for long
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # else closed stores share their connections and backoff with new ones
]
_WITH_LEADER = (("hasleader", "true"),)
"""Metadata: a member that has lost the others says so instead of keeping us waiting."""
_ADVICE = {
    "database space exceeded": "`kybern etcd compact`, then `kybern etcd defrag` and `kybern etcd alarm disarm`, "
    "or start etcd with a larger --quota-backend-bytes",
    "corrupt cluster": "see `kybern etcd alarm list` and replace the member with `kybern etcd member replace`",
    "permission denied": "etcd's own access control is on; give the client certificate's user a root role",
    "user name is empty": "etcd's own access control is on; give a client certificate that names a user",
}


_TLS = {
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not of the CA given, or not for this name",
    "WRONG_VERSION_NUMBER": "it speaks plain http there",
    "TSI_DATA_CORRUPTED": "it refuses the client certificate given, or wants one",
    "handshake failed": "the handshake failed",
}


@dataclass(slots=True, frozen=True)
class Tls:
    """Files for https endpoints: CAs to trust (the system's where none), and the client's certificate and key."""

    authority: str = ""
    certificate: str = ""
    key: str = ""

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises StoreUnavailable where a file can't be read, or a certificate comes without its key."""
        if bool(self.certificate) is not bool(self.key):
            raise StoreUnavailable("etcd's client certificate and key go together; give both or neither")
        try:
            read = [Path(path).read_bytes() if path else None for path in (self.authority, self.key, self.certificate)]
            # gRPC would take anything, and say at each call that something is wrong.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if self.authority:
                context.load_verify_locations(self.authority)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            files = ", ".join(filter(None, (self.authority, self.certificate, self.key)))
            raise StoreUnavailable(f"of {files} one is no PEM file, or the key is another's: {error.reason}") from error
        except OSError as error:
            raise StoreUnavailable(f"can't read {error.filename}: {error.strerror}") from error
        return grpc.ssl_channel_credentials(*read)


class EtcdFailure(StoreUnavailable):
    """A call that failed. `code` is the gRPC status' name, `details` etcd's own text."""

    def __init__(self, endpoint: str, code: str, details: str) -> None:
        self.code, self.details = code, " ".join(details.split())
        text = self.details.removeprefix("etcdserver: ") or code
        advice = next((advice for what, advice in _ADVICE.items() if what in text), "")
        super().__init__(f"etcd at {endpoint}: {text}" + (f"; {advice}" if advice else ""))

    @property
    def passing(self) -> bool:
        """Whether another endpoint, or the same one later, may do better."""
        return self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")

    @property
    def refused(self) -> bool:
        """Whether the endpoint's certificate or ours is not what the other wants, which waiting won't mend."""
        return "TLS:" in self.details

    @property
    def unsent(self) -> bool:
        """Whether the call was certainly not carried out."""
        return self.code == "UNAVAILABLE" and (
            "failed to connect" in self.details or self.details.startswith("etcdserver: no leader")
        )


@dataclass(slots=True, frozen=True)
class Method:
    """A unary call: its path and its answer."""

    path: str
    answer: Any


def _method(service: str, name: str, answer: Any) -> Method:
    return Method(f"/etcdserverpb.{service}/{name}", answer)


RANGE = _method("KV", "Range", etcd.RangeResponse)
TXN = _method("KV", "Txn", etcd.TxnResponse)
COMPACT = _method("KV", "Compact", etcd.CompactionResponse)
LEASE_GRANT = _method("Lease", "LeaseGrant", etcd.LeaseGrantResponse)
LEASE_LEFT = _method("Lease", "LeaseTimeToLive", etcd.LeaseTimeToLiveResponse)
MEMBER_LIST = _method("Cluster", "MemberList", etcd.MemberListResponse)
MEMBER_ADD = _method("Cluster", "MemberAdd", etcd.MemberAddResponse)
MEMBER_REMOVE = _method("Cluster", "MemberRemove", etcd.MemberRemoveResponse)
MEMBER_PROMOTE = _method("Cluster", "MemberPromote", etcd.MemberRemoveResponse)
"""Its request and answer have the fields of those of MEMBER_REMOVE."""
ALARM = _method("Maintenance", "Alarm", etcd.AlarmResponse)
STATUS = _method("Maintenance", "Status", etcd.StatusResponse)
DEFRAGMENT = _method("Maintenance", "Defragment", etcd.DefragmentResponse)
SNAPSHOT = _method("Maintenance", "Snapshot", etcd.SnapshotResponse)
WATCH = _method("Watch", "Watch", etcd.WatchResponse)


class EtcdClient:
    """Calls to the endpoints, `http://host:port` or `https://host:port`. Methods raise EtcdFailure."""

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: Tls | None = None,
        *,
        timeout: float = TIMEOUT,
        connecting: float = TIMEOUT,
    ) -> None:
        """`timeout` is for calls that don't say, `connecting` for finding anyone who listens. Raises StoreUnavailable
        for endpoints that are none, and files that can't be read."""
        if not endpoints:
            raise StoreUnavailable("no endpoint of etcd is given; name one, like https://127.0.0.1:2379")
        self._channels = [_channel(endpoint, tls or Tls()) for endpoint in endpoints]
        self.endpoints = [endpoint.rstrip("/") for endpoint in endpoints]
        self._calls: dict[tuple[int, str], Any] = {}
        self._at = 0
        self._timeout, self._connecting = timeout, connecting
        self._closed = False

    @property
    def endpoint(self) -> str:
        """The one in use."""
        return self.endpoints[self._at]

    async def close(self) -> None:
        """Hang up; calls under way fail."""
        self._closed = True
        await asyncio.gather(*(channel.close(None) for channel in self._channels))

    async def call(
        self, method: Method, request: Any, *, repeatable: bool = True, timeout: float = 0, endpoint: str = ""
    ) -> Any:
        """The answer, of any endpoint or of the one named. `repeatable`: sending the request twice does no harm."""
        begin, attempts = monotonic(), 0
        end = begin + (timeout or self._timeout)
        while True:
            at, left = self.endpoints.index(endpoint) if endpoint else self._at, end - monotonic()
            try:
                return await self._once(at, method, request, min(left, ATTEMPT) if repeatable else left)
            except EtcdFailure as failure:
                attempts += 1
                if failure.passing:
                    self._move_on(at)
                again = failure.unsent or (repeatable and failure.passing)
                hopeless = failure.refused and attempts >= len(self.endpoints)
                latest = min(end, begin + self._connecting) if failure.unsent else end
                if not again or hopeless or monotonic() + PAUSE >= latest:
                    raise
            if endpoint or attempts % len(self.endpoints) == 0:
                await asyncio.sleep(PAUSE)

    async def watch(self, request: etcd.WatchCreateRequest) -> AsyncGenerator[etcd.WatchResponse, None]:
        """What one watch on the endpoint in use is told, the confirmation first. Ends only by EtcdFailure."""
        at = self._at
        stream = self._stub(at, WATCH, "stream_stream")(metadata=_WITH_LEADER)
        try:
            await stream.write(etcd.WatchRequest(create_request=request))
            async for response in stream:
                yield response
            raise EtcdFailure(self.endpoints[at], "UNAVAILABLE", "the watch was ended")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            self._move_on(at)
            raise self._failure(at, error) from None
        finally:
            stream.cancel()

    async def snapshot(self) -> AsyncGenerator[etcd.SnapshotResponse, None]:
        """The pieces of the database file of the endpoint in use."""
        at = self._at
        stream = self._stub(at, SNAPSHOT, "unary_stream")(etcd.SnapshotRequest())
        try:
            async for response in stream:
                yield response
        except grpc.aio.AioRpcError as error:
            raise self._failure(at, error) from None
        finally:
            stream.cancel()

    async def _once(self, at: int, method: Method, request: Any, timeout: float) -> Any:
        call = self._stub(at, method, "unary_unary")
        try:
            return await call(request, timeout=max(timeout, 0.001), metadata=_WITH_LEADER)
        except grpc.aio.AioRpcError as error:
            raise self._failure(at, error) from None
        except asyncio.CancelledError:
            if self._closed:  # by hanging up, not by our caller
                raise EtcdFailure(self.endpoints[at], "CANCELLED", "the store was closed") from None
            raise

    def _stub(self, at: int, method: Method, shape: str) -> Any:
        if self._closed:
            raise EtcdFailure(self.endpoints[at], "CANCELLED", "the store is closed")
        stub = self._calls.get((at, method.path))
        if stub is None:
            make = getattr(self._channels[at], shape)
            stub = make(
                method.path,
                request_serializer=_serialize,
                response_deserializer=method.answer.FromString,
            )
            self._calls[at, method.path] = stub
        return stub

    def _failure(self, at: int, error: Exception) -> EtcdFailure:
        endpoint = self.endpoints[at]
        if isinstance(error, grpc.aio.AioRpcError):
            return EtcdFailure(endpoint, error.code().name, _plain(error.details() or ""))
        return EtcdFailure(endpoint, "UNAVAILABLE", "the connection was lost")

    def _move_on(self, at: int) -> None:
        """Use the endpoint after `at`, unless someone else has moved on already."""
        if self._at == at:
            self._at = (at + 1) % len(self.endpoints)


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _plain(details: str) -> str:
    """gRPC's text without what only its authors need."""
    for sign, meaning in _TLS.items():
        if sign in details:
            return f"failed to connect: TLS: {meaning}"
    _, found, reason = details.partition("last error: ")
    return f"failed to connect: {reason.rpartition('to remote host: ')[2]}" if found else details


def _channel(endpoint: str, tls: Tls) -> grpc.aio.Channel:
    parts = urlsplit(endpoint)
    with contextlib.suppress(ValueError):
        if parts.scheme in ("http", "https") and parts.hostname and parts.port and parts.path in ("", "/"):
            if parts.scheme == "http":
                return grpc.aio.insecure_channel(parts.netloc, options=_OPTIONS)
            return grpc.aio.secure_channel(parts.netloc, tls.credentials(), options=_OPTIONS)
    raise StoreUnavailable(f"{endpoint!r} is no endpoint of etcd; write it like https://127.0.0.1:2379")
