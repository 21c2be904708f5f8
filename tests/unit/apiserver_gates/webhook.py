"""A server that answers reviews, over TLS, and the kubeconfig that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.unit.apiserver_gates.authority import Authority


class ReviewServer:
    """Answers with `status(spec)`, or with `code` where that isn't 200. `asked` are the reviews that came."""

    def __init__(self, directory: Path, status: Callable[[Any], Any], path: str = "/review") -> None:
        self.asked: list[Any] = []
        self.tokens: list[str] = []
        self.status, self.code, self.path = status, 200, path
        self._authority = Authority(directory, "webhook")
        self.kubeconfig = directory / "webhook.yaml"
        self._runner: web.AppRunner | None = None

    async def start(self) -> ReviewServer:
        app = web.Application()
        app.router.add_post(self.path, self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._authority.server_context())
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        cluster = {"server": f"https://127.0.0.1:{port}{self.path}", "certificate-authority": "webhook.crt"}
        document = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "who-i-am"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))
        return self

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review)
        self.tokens.append(request.headers.get("Authorization", ""))
        if self.code != 200:
            return web.Response(status=self.code)
        return web.json_response({**review, "status": self.status(review["spec"])})
