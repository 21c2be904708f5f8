"""Values encrypted under keys that a KMS v2 plugin guards: a gRPC service on a unix socket.

The plugin encrypts one random seed for this process, and again when its key changes. Each value is sealed with AES-GCM
under a key of its own, derived from the seed, and carries the encrypted seed along. To open a value of another process
the plugin is asked once for its seed.
Source: KEP-3299; Kubernetes documentation, "Using a KMS provider for data encryption".
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from google.protobuf.message import DecodeError

from kybern.process.clock import clock as wall
from kybern.process.clock import format_time, monotonic, new_uid
from kybern.store._generated import kms_pb2 as kms
from kybern.store.base import Untransformable
from kybern.store.encryption import GCM_NONCE, TOO_SHORT, AesGcm, Cipher, KeyAway, Undecipherable

VERSIONS = ("v2", "v2beta1")
HEALTHY_SECONDS = 60.0
UNHEALTHY_SECONDS = 10.0
"""Between two questions how the plugin is."""
SEED_SECONDS = HEALTHY_SECONDS + 120.0
"""How long after the plugin was last well its seed may be used to write."""
FAILED_SECONDS = 3.0
"""How long a seed that the plugin refused to decrypt isn't asked for again."""
SEED_BYTES = 32
MAX_SEEDS = 1000
MAX_SOURCE = MAX_KEY_ID = 1024
MAX_ANNOTATIONS = 32 * 1024

log = logging.getLogger(__name__)


class DerivedAesGcm:
    """AES-GCM under a key derived from a seed by HKDF-SHA256 and 32 random bytes, which come first."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed

    def seal(self, value: bytes, context: bytes) -> bytes:
        info = os.urandom(SEED_BYTES)
        return info + self._derived(info).seal(value, context)

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(value) < SEED_BYTES + GCM_NONCE:
            raise Undecipherable(TOO_SHORT)
        return self._derived(value[:SEED_BYTES]).open(value[SEED_BYTES:], context)

    def _derived(self, info: bytes) -> AesGcm:
        return AesGcm(HKDFExpand(SHA256(), SEED_BYTES, info).derive(self._seed))


class PluginError(Exception):
    """The plugin can't be reached, or refuses."""


class Plugin:
    """Calls to a plugin at `unix:///path` (`unix:///@name` for an abstract socket); each may take `timeout` seconds.
    Methods raise PluginError."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        path = urlsplit(endpoint).path
        target = f"unix-abstract:{path[2:]}" if path.startswith("/@") else f"unix:{path}"
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        options += [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000)]
        self._channel = grpc.aio.insecure_channel(target, options=options)
        self._timeout = timeout

    async def status(self) -> kms.StatusResponse:
        answer: kms.StatusResponse = await self._call("Status", kms.StatusRequest(), kms.StatusResponse)
        return answer

    async def encrypt(self, value: bytes) -> kms.EncryptResponse:
        request = kms.EncryptRequest(plaintext=value, uid=new_uid())
        answer: kms.EncryptResponse = await self._call("Encrypt", request, kms.EncryptResponse)
        return answer

    async def decrypt(self, value: bytes, key_id: str, annotations: Mapping[str, bytes]) -> bytes:
        request = kms.DecryptRequest(ciphertext=value, uid=new_uid(), key_id=key_id, annotations=annotations)
        return bytes((await self._call("Decrypt", request, kms.DecryptResponse)).plaintext)

    async def close(self) -> None:
        """Hang up."""
        await self._channel.close(None)

    async def _call(self, name: str, request: Any, answer: Any) -> Any:
        call = self._channel.unary_unary(
            f"/v2.KeyManagementService/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return await call(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            code = error.code().name.title().replace("_", "")
            raise PluginError(f"rpc error: code = {code} desc = {error.details()}") from None


@dataclass(slots=True)
class Seed:
    """What is written with: the cipher, and what a value says of its key. Good until `expires`, epoch seconds."""

    cipher: Cipher
    head: kms.EncryptedObject
    expires: float


class KmsCipher:
    """The provider `name`, asked through `plugin`. `start` it; `problem` says what is wrong with it."""

    def __init__(self, name: str, plugin: Plugin) -> None:
        self.name = name
        self.prefix = f"k8s:enc:kms:v2:{name}:".encode()
        self.problem = "it has not answered yet"
        self._plugin = plugin
        self._seed: Seed | None = None
        self._opened: dict[bytes, Cipher] = {}
        self._failed: dict[bytes, tuple[float, str]] = {}
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask the plugin, and keep asking. What it says is in `problem`."""
        await self.refresh()
        self._following = asyncio.ensure_future(self._follow())

    async def close(self) -> None:
        """Ask no more, and hang up."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._plugin.close()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(UNHEALTHY_SECONDS if self.problem else HEALTHY_SECONDS)
            await self.refresh()

    async def refresh(self) -> None:
        """Ask the plugin how it is, and for a new seed where its key changed."""
        try:
            key_id = _healthy(self.name, await self._plugin.status())
            if self._seed is None or self._seed.head.key_id != key_id:
                self._seed = await self._new_seed()
            self._seed.expires = wall.time() + SEED_SECONDS
            problem = ""
        except (PluginError, Undecipherable) as error:
            problem = str(error)
        if problem and problem != self.problem:
            log.warning("KMS provider %s: %s", self.name, problem)
        self.problem = problem

    async def _new_seed(self) -> Seed:
        seed = os.urandom(SEED_BYTES)
        answer = await self._plugin.encrypt(seed)
        head = kms.EncryptedObject(
            key_id=answer.key_id,
            source=answer.ciphertext,
            annotations=dict(answer.annotations),
            source_type=kms.EncryptedObject.SEED,
        )
        _check(head)
        cipher = DerivedAesGcm(seed)
        self._remember(_digest(head), cipher)
        log.info("KMS provider %s: writing with key %s", self.name, head.key_id)
        return Seed(cipher, head, 0.0)

    def seal(self, value: bytes, context: bytes) -> bytes:
        seed = self._seed
        if seed is None:
            raise Untransformable("got unexpected nil transformer")
        if wall.time() > seed.expires:
            key = hashlib.sha256(seed.head.key_id.encode()).hexdigest()
            raise Untransformable(
                f'encryptedDEKSource with keyID hash "sha256:{key}" expired at {format_time(seed.expires)} '
                f"(current time is {wall.stamp()})"
            )
        made = kms.EncryptedObject()
        made.CopyFrom(seed.head)
        made.data = seed.cipher.seal(value, context)
        return bytes(made.SerializeToString())

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        try:
            found = kms.EncryptedObject.FromString(value)
        except DecodeError as error:
            raise Undecipherable(f"proto: {error}") from None
        if not found.data:
            raise Undecipherable("encrypted data is empty")
        _check(found)
        if self._seed is None:
            raise Undecipherable("got unexpected nil transformer")
        digest = _digest(found)
        cipher = self._opened.get(digest)
        if cipher is None:
            until, problem = self._failed.get(digest, (0.0, ""))
            if monotonic() < until:
                raise Undecipherable(problem)
            raise KeyAway(lambda: self._fetch(digest, found))
        head = self._seed.head
        plain, outdated = cipher.open(found.data, context)
        return plain, outdated or (found.key_id, found.source_type) != (head.key_id, head.source_type)

    async def _fetch(self, digest: bytes, found: kms.EncryptedObject) -> None:
        """Have the plugin decrypt the seed (or, of values of old, the key) of a value."""
        try:
            key = await self._plugin.decrypt(found.source, found.key_id, dict(found.annotations))
            if not key:
                raise PluginError("the plugin gave an empty key")
            self._remember(digest, DerivedAesGcm(key) if found.source_type else AesGcm(key))
            self._failed.pop(digest, None)
        except (PluginError, ValueError) as error:
            if len(self._failed) >= MAX_SEEDS:
                self._failed.clear()
            self._failed[digest] = (monotonic() + FAILED_SECONDS, f"failed to decrypt DEK, error: {error}")

    def _remember(self, digest: bytes, cipher: Cipher) -> None:
        if len(self._opened) >= MAX_SEEDS:
            del self._opened[next(iter(self._opened))]
        self._opened[digest] = cipher


def _healthy(name: str, status: kms.StatusResponse) -> str:
    """The plugin's key id. Raises PluginError where it isn't well."""
    problems = []
    if status.healthz != "ok":
        problems.append(f"got unexpected healthz status: {status.healthz}")
    if status.version not in VERSIONS:
        problems.append(f"expected KMSv2 API version {VERSIONS[0]}, got {status.version}")
    if not status.key_id:
        problems.append("expected KMSv2 KeyID to be set, got ")
    if problems:
        text = f"[{', '.join(problems)}]" if len(problems) > 1 else problems[0]
        raise PluginError(f"kmsv2 Provider {name} is not healthy, error: {text}")
    return str(status.key_id)


def _check(found: kms.EncryptedObject) -> None:
    """Raises Undecipherable for what no plugin should give."""
    if found.source_type not in (kms.EncryptedObject.KEY, kms.EncryptedObject.SEED):
        raise Undecipherable(f"unknown encryptedDEKSourceType: {found.source_type}")
    for what, size, limit in (
        ("encrypted DEK source", len(found.source), MAX_SOURCE),
        ("key id", len(found.key_id.encode()), MAX_KEY_ID),
    ):
        if not 0 < size <= limit:
            says = f"is {size} bytes, which exceeds the max size of {limit}" if size else "is empty"
            raise Undecipherable(f"failed to validate {what}: {what} {says}")
    size = sum(len(name) + len(value) for name, value in found.annotations.items())
    if size > MAX_ANNOTATIONS:
        raise Undecipherable(
            f"failed to validate annotations: total size of annotations is {size}, which exceeds the max size of "
            f"{MAX_ANNOTATIONS}"
        )


def _digest(found: kms.EncryptedObject) -> bytes:
    """What tells one encrypted seed from another."""
    head = kms.EncryptedObject()
    head.CopyFrom(found)
    head.ClearField("data")
    return hashlib.sha256(head.SerializeToString(deterministic=True)).digest()
