"""An OpenID provider over TLS: it says who it is, publishes its keys, and signs what a test likes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kybern.process.clock import clock
from tests.unit.apiserver_gates.authority import Authority


class Issuer:
    """`url` is its name, `address` where it is: the same unless it is given another name."""

    def __init__(self, directory: Path, name: str = "issuer", url: str = "") -> None:
        self.url, self.address = url, ""
        self._authority = Authority(directory, name)
        self.ca = self._authority.path.read_text()
        self.keys: dict[str, Any] = {"rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048)}
        self.asked: list[str] = []
        self.claims_of_groups = ""
        """What the endpoint of distributed claims gives."""
        self._runner: web.AppRunner | None = None

    async def start(self) -> Issuer:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._authority.server_context())
        await site.start()
        self.address = f"https://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
        self.url = self.url or self.address
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path.endswith("openid-configuration"):
            return web.json_response({"issuer": self.url, "jwks_uri": f"{self.address}/keys"})
        if request.path == "/keys":
            return web.json_response({"keys": [self._jwk(kid, key) for kid, key in self.keys.items()]})
        if request.path == "/groups" and request.headers.get("Authorization") == "Bearer access":
            return web.Response(text=self.claims_of_groups)
        return web.Response(status=404)

    @staticmethod
    def _jwk(kid: str, key: Any) -> Any:
        algorithm: Any = jwt.algorithms.ECAlgorithm if kid.startswith("ec") else jwt.algorithms.RSAAlgorithm
        return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}

    def add_key(self, kid: str) -> None:
        """Rotate: a P-256 key more."""
        self.keys[kid] = ec.generate_private_key(ec.SECP256R1())

    def token(self, kid: str = "rsa", algorithm: str = "", key: Any = None, **claims: Any) -> str:
        """Signed; good for an hour, for the audience `kubernetes`, unless told otherwise."""
        now = int(clock.time())
        said = {"iss": self.url, "aud": "kubernetes", "sub": "alice", "exp": now + 3600, "iat": now, **claims}
        chosen = algorithm or ("ES256" if kid.startswith("ec") else "RS256")
        return jwt.encode(said, key or self.keys[kid], algorithm=chosen, headers={"kid": kid})
