"""Service account tokens that another process signs, over a socket with real gRPC."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp

from kybern.apiserver.gates import GateOptions
from kybern.apiserver.signing._generated import externaljwt_pb2 as api
from kybern.apiserver.signing.external import SERVICE, ExternalSigner
from kybern.process.daemon import OperatorError
from tests.integration.apiserver.inprocess import Api, serving

TOKENS = "/apis/authentication.k8s.io/v1/tokenreviews"


class Signer:
    """Has keys by their ids, and signs with the latest."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.hidden: set[str] = set()
        self.longest, self.hint, self.header, self.fetches = 86400, 3600, dict[str, Any](), 0
        self.add("first")

    def add(self, kid: str) -> None:
        self.kid = kid
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    async def metadata(self, request: Any, context: Any) -> Any:
        return api.MetadataResponse(max_token_expiration_seconds=self.longest)

    async def fetch(self, request: Any, context: Any) -> Any:
        self.fetches += 1
        form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        public = {kid: key.public_key().public_bytes(*form) for kid, key in self.keys.items()}
        keys = [
            api.Key(key_id=kid, key=key, exclude_from_oidc_discovery=kid in self.hidden) for kid, key in public.items()
        ]
        return api.FetchKeysResponse(
            keys=keys, data_timestamp=Timestamp(seconds=1_700_000_000), refresh_hint_seconds=self.hint
        )

    async def sign(self, request: Any, context: Any) -> Any:
        claims = json.loads(base64.urlsafe_b64decode(request.claims + "=="))
        token = jwt.encode(claims, self.keys[self.kid], algorithm="ES256", headers={"kid": self.kid, **self.header})
        header = token.split(".")[0]
        algorithm: Any = jwt.get_algorithm_by_name("ES256")
        signature = algorithm.sign(f"{header}.{request.claims}".encode(), self.keys[self.kid])
        return api.SignJWTResponse(header=header, signature=base64.urlsafe_b64encode(signature).rstrip(b"=").decode())

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[str]:
        kinds = {
            "Metadata": (self.metadata, api.MetadataRequest, api.MetadataResponse),
            "FetchKeys": (self.fetch, api.FetchKeysRequest, api.FetchKeysResponse),
            "Sign": (self.sign, api.SignJWTRequest, api.SignJWTResponse),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                call, request_deserializer=asked.FromString, response_serializer=given.SerializeToString
            )
            for name, (call, asked, given) in kinds.items()
        }
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield str(path)
        finally:
            await server.stop(None)


@asynccontextmanager
async def signed(tmp_path: Path) -> AsyncIterator[tuple[Api, Signer, str]]:
    """A server whose tokens are signed, and the path of an account's tokens."""
    signer = Signer()
    async with signer.listening(tmp_path / "signer.sock") as endpoint:
        options = GateOptions(service_account_signing_endpoint=endpoint, service_account_issuers=("https://here",))
        async with serving(options) as made:
            path = f"/api/v1/namespaces/{await made.ns()}/serviceaccounts"
            await made.ok("POST", path, {"metadata": {"name": "robot"}})
            yield made, signer, f"{path}/robot/token"


async def review(server: Api, token: str) -> Any:
    return (await server.ok("POST", TOKENS, {"spec": {"token": token}}))["status"]


async def test_tokens_are_signed_elsewhere_and_verified_here(tmp_path: Path) -> None:
    async with signed(tmp_path) as (server, _, path):
        token = (await server.ok("POST", path, {"spec": {"expirationSeconds": 3600}}))["status"]["token"]
        assert jwt.get_unverified_header(token)["kid"] == "first"
        status = await review(server, token)
        assert status["authenticated"] and status["user"]["username"].endswith(":robot")
        page = server.app.telemetry.page().decode()
        assert 'apiserver_externaljwt_sign_request_total{code="OK"} 1' in page
        assert "apiserver_externaljwt_fetch_keys_data_timestamp 1.7e+09" in page


async def test_tokens_live_as_long_as_the_signer_says(tmp_path: Path) -> None:
    async with signed(tmp_path) as (server, _, path):
        answer = await server.respond("POST", path, {"spec": {"expirationSeconds": 1_000_000}})
        assert any("shortened to 86400 seconds" in text for name, text in answer.headers if name == "warning")


async def test_new_keys_are_found_when_they_are_met(tmp_path: Path) -> None:
    async with signed(tmp_path) as (server, signer, path):
        signer.add("second")
        signer.hidden.add("first")
        # Signed by a key that isn't known yet: not to be given out.
        said = await server.why(500, "POST", path, {"spec": {}})
        assert said.startswith("Internal error occurred: failed to generate token: the signer signed with a key")
        claims = {"iss": "https://here", "sub": "x"}
        stranger = jwt.encode(claims, signer.keys["second"], algorithm="ES256", headers={"kid": "second"})
        assert not (await review(server, stranger)).get("authenticated")
        assert signer.fetches == 2
        token = (await server.ok("POST", path, {"spec": {}}))["status"]["token"]
        assert (await review(server, token))["authenticated"]
        shown = json.loads(await server.ok("GET", "/openid/v1/jwks"))
        assert [key["kid"] for key in shown["keys"]] == ["second"]


@pytest.mark.parametrize("header", [{"kid": ""}, {"kid": "other"}, {"typ": "no"}, {"more": "x"}])
async def test_what_a_signer_may_not_answer(tmp_path: Path, header: dict[str, Any]) -> None:
    async with signed(tmp_path) as (server, signer, path):
        signer.header = header
        assert "failed to generate token: the signer" in await server.why(500, "POST", path, {"spec": {}})


async def test_a_signer_that_is_wrong_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kybern.apiserver.signing.external.PATIENCE", 0.0)
    signer = Signer()
    signer.longest = 60
    async with signer.listening(tmp_path / "signer.sock") as endpoint:
        with pytest.raises(OperatorError, match="live for 60 seconds, which must be at least 600"):
            await started(endpoint)
        signer.longest, signer.hint = 3600, 0
        with pytest.raises(OperatorError, match="good for 0 seconds"):
            await started(endpoint)
    with pytest.raises(OperatorError, match="rpc error: code = Unavailable"):
        await started(str(tmp_path / "none.sock"))


async def started(endpoint: str) -> None:
    made = ExternalSigner(endpoint)
    try:
        await made.start()
    finally:
        await made.close()
