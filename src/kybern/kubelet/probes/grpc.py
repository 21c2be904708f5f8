"""grpc: succeeds if the standard health service says SERVING."""

from __future__ import annotations

import grpc
import grpc.aio

from kybern.api.types import Object
from kybern.kubelet.probes.base import Target

_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1 is the service's name."""
    name = service.encode()
    return b"\x0a" + bytes([len(name)]) + name if name else b""


class GRPCProbe:
    field = "grpc"

    async def probe(self, target: Target, action: Object, timeout: float) -> tuple[bool, str]:
        address = f"{target.ip}:{action['port']}"
        service = (action.get("service") or "")[:127]
        async with grpc.aio.insecure_channel(address) as channel:
            try:
                check = channel.unary_unary(_CHECK, request_serializer=None, response_deserializer=None)
                answer = await check(_request(service), timeout=timeout)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                    return False, f'timeout: failed to connect service "{address}" within {timeout:g}s'
                return False, f"error: health rpc failed: {error.details()}"
        if answer.startswith(_SERVING):
            return True, "service healthy"
        return False, f"service unhealthy (responded with {_name(answer)!r})"


def _name(answer: bytes) -> str:
    code = answer[1] if len(answer) > 1 else 0
    return {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}.get(code, str(code))


PROBE = GRPCProbe()
