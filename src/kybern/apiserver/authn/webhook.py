"""--authentication-token-webhook-config-file: another server is asked whose a token is.

Source: Kubernetes documentation, "Webhook Token Authentication"; API reference, TokenReview v1.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.authn.base import BadToken, Known, authenticated
from kybern.apiserver.webhooks.client import CallFailed
from kybern.apiserver.webhooks.reviews import Reviewer
from kybern.process.clock import monotonic
from kybern.process.dialing import Dial, straight

FLAG = "--authentication-token-webhook-config-file"


@dataclass(slots=True, frozen=True)
class TokenWebhookOptions:
    """--authentication-token-webhook-*; the time to live in seconds."""

    kubeconfig: Path
    version: str = "v1beta1"
    cache_ttl: float = 120.0


class WebhookTokens:
    """Asks one webhook. Raises OperatorError for a kubeconfig that is no good."""

    def __init__(
        self, options: TokenWebhookOptions, audiences: Collection[str], through: Dial = straight
    ) -> None:
        self._audiences = tuple(audiences)
        version = f"authentication.k8s.io/{options.version}"
        self._reviewer = Reviewer(FLAG, options.kubeconfig, version, "TokenReview", through=through)

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        wanted = tuple(audiences or self._audiences)
        spec: Object = {"token": token}
        if wanted:
            spec["audiences"] = list(wanted)
        began = monotonic()
        try:
            status = await self._reviewer.ask(spec)
        except CallFailed as error:
            self._note(began, str(error.code))
            raise BadToken(str(error)) from error
        self._note(began, "200")
        if not status.get("authenticated"):
            if status.get("error"):
                raise BadToken(str(status["error"]))
            return None
        user = status.get("user") or {}
        extra = {key: tuple(values or ()) for key, values in (user.get("extra") or {}).items()}
        good = tuple(one for one in wanted if one in (status.get("audiences") or self._audiences))
        if wanted and not good:
            return None
        name, groups, uid = user.get("username") or "", user.get("groups") or (), user.get("uid") or ""
        return Known(authenticated(name, groups, uid, extra), good)

    def close(self) -> None:
        """Close what is open."""
        self._reviewer.close()

    def _note(self, began: float, code: str) -> None:
        auth_metrics.delegated_tokens[code] += 1
        auth_metrics.delegated_token_time.observe(monotonic() - began, code)
