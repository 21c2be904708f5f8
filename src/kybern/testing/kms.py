"""A KMS v2 plugin on a unix socket, whose keys a test makes and takes away."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kybern.store._generated import kms_pb2 as kms
from kybern.store.encryption import AesGcm, Undecipherable


class KmsPlugin:
    """Encrypts with the key whose id is `key_id`; decrypts with any of `keys`. `healthz` is what it says of itself;
    `decrypted` counts what it was asked to decrypt."""

    def __init__(self, socket: Path, key_id: str = "one") -> None:
        self.endpoint = f"unix://{socket}"
        self.key_id = key_id
        self.keys = {key_id}
        self.healthz = "ok"
        self.decrypted = 0
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        handlers = {
            "Status": _handler(self._status, kms.StatusRequest),
            "Encrypt": _handler(self._encrypt, kms.EncryptRequest),
            "Decrypt": _handler(self._decrypt, kms.DecryptRequest),
        }
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers),)
        )
        self._server.add_insecure_port(self.endpoint)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    def rotate(self, key_id: str) -> None:
        """Encrypt with another key from now on; the earlier ones stay."""
        self.key_id = key_id
        self.keys.add(key_id)

    async def _status(self, request: Any, context: Any) -> Any:
        return kms.StatusResponse(version="v2", healthz=self.healthz, key_id=self.key_id)

    async def _encrypt(self, request: Any, context: Any) -> Any:
        sealed = _cipher(self.key_id).seal(request.plaintext, b"")
        return kms.EncryptResponse(ciphertext=sealed, key_id=self.key_id, annotations={"by.kms.test": b"plugin"})

    async def _decrypt(self, request: Any, context: Any) -> Any:
        self.decrypted += 1
        if request.key_id not in self.keys or request.annotations["by.kms.test"] != b"plugin":
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no key {request.key_id}")
        try:
            return kms.DecryptResponse(plaintext=_cipher(request.key_id).open(request.ciphertext, b"")[0])
        except Undecipherable as problem:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))


def _handler(behaviour: Any, request: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        request_deserializer=request.FromString,
        response_serializer=lambda answer: answer.SerializeToString(),
    )


def _cipher(key_id: str) -> AesGcm:
    return AesGcm(hashlib.sha256(key_id.encode()).digest())
