"""Webhook token authentication against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver.authn.base import BadToken
from kybern.apiserver.authn.tokencache import TokenCache
from kybern.apiserver.authn.webhook import TokenWebhookOptions, WebhookTokens
from tests.unit.apiserver_gates.webhook import ReviewServer

USER = {"username": "bob", "uid": "7", "groups": ["dev"], "extra": {"team": ["red"]}}


def status(spec: Any) -> Any:
    if spec["token"] == "good":
        return {"authenticated": True, "user": USER}
    return {"authenticated": False, "error": "expired" if spec["token"] == "old" else ""}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ReviewServer]:
    made = await ReviewServer(tmp_path, status).start()
    yield made
    await made.stop()


def webhook(server: ReviewServer, version: str = "v1") -> WebhookTokens:
    return WebhookTokens(TokenWebhookOptions(server.kubeconfig, version), ["api"])


async def test_whose_a_token_is(server: ReviewServer) -> None:
    tokens = webhook(server)
    known = await tokens.user("good")
    assert known is not None
    user = known.user
    assert (user.name, user.uid, user.groups) == ("bob", "7", ("dev", "system:authenticated"))
    assert (user.extra, known.audiences) == ({"team": ("red",)}, ("api",))
    assert await tokens.user("bad") is None
    with pytest.raises(BadToken) as refused:
        await tokens.user("old")
    assert refused.value.why == "expired"
    assert server.asked[0] == {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
        "spec": {"token": "good", "audiences": ["api"]},
    }  # fmt: skip
    await webhook(server, "v1beta1").user("good")
    assert server.asked[-1]["apiVersion"] == "authentication.k8s.io/v1beta1"


async def test_audiences(server: ReviewServer) -> None:
    tokens = webhook(server)
    assert await tokens.user("good", ["other"]) is None
    server.status = lambda spec: {"authenticated": True, "user": USER, "audiences": ["other"]}
    known = await tokens.user("good", ["other", "more"])
    assert known is not None and known.audiences == ("other",)
    assert await tokens.user("good") is None


async def test_answers_are_kept_and_asked_for_once(server: ReviewServer) -> None:
    tokens = TokenCache(webhook(server), 60, 60)
    await asyncio.gather(*(tokens.user(token) for token in ["good", "bad"] * 5))
    await tokens.user("good")
    await tokens.user("bad")
    assert sorted(one["spec"]["token"] for one in server.asked) == ["bad", "good"]
    # What failed is asked anew.
    for _ in range(2):
        with pytest.raises(BadToken):
            await tokens.user("old")
    assert len(server.asked) == 4


async def test_a_server_that_is_away_refuses(server: ReviewServer) -> None:
    tokens = webhook(server)
    await server.stop()
    with pytest.raises(BadToken, match="Unauthorized") as refused:
        await tokens.user("good")
    assert "connection refused" in refused.value.why
    await server.start()
