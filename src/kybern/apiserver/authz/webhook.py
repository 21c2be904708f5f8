"""Webhook authorization: another server answers SubjectAccessReviews; its answers are kept for a while.

Source: Kubernetes documentation, "Webhook Mode"; API reference, AuthorizationConfiguration v1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from kybern.api.cel.program import ExpressionError, Program
from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.app import Decision
from kybern.apiserver.authz.attributes import spec_of
from kybern.apiserver.authz.base import NO_OPINION, Rules
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.apiserver.webhooks.client import CallFailed
from kybern.apiserver.webhooks.reviews import SECONDS, Reviewer
from kybern.process.clock import monotonic
from kybern.process.dialing import Dial, straight

_GROUP = "authorization.k8s.io"
_MAX_CACHED = 8192
_MAX_KEY = 10_000
"""Bytes of the largest question whose answer is kept."""


@dataclass(slots=True, frozen=True)
class WebhookOptions:
    """One webhook. Times are in seconds; a time to live of 0 keeps no answer."""

    name: str
    kubeconfig: Path
    version: str = "v1"
    """Of the reviews that are sent."""
    timeout: float = SECONDS
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    deny_on_error: bool = False
    match_conditions: tuple[Program, ...] = ()
    """CEL over `request`, the review's spec in v1; all must be true for the webhook to be asked."""


class WebhookAuthorizer:
    """Asks one webhook. Raises OperatorError for a kubeconfig that is no good; `flag` is what named it."""

    def __init__(self, flag: str, options: WebhookOptions, through: Dial = straight) -> None:
        self.label = ("Webhook", options.name)
        self._options = options
        self._reviewer = Reviewer(
            flag, options.kubeconfig, f"{_GROUP}/{options.version}", "SubjectAccessReview", options.timeout,
            through=through,
        )  # fmt: skip
        self._kept: dict[bytes, tuple[float, Decision]] = {}

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        spec = spec_of(user, info)
        refusal = self._unmatched(spec)
        if refusal is not None:
            return refusal
        key = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
        kept = self._kept.get(key)
        if kept is not None and monotonic() < kept[0]:
            return kept[1]
        began = monotonic()
        try:
            decision = _decision(await self._reviewer.ask(self._spoken(spec)))
        except CallFailed as error:
            return self._failed(began, str(error))
        self._note(began, "success")
        options = self._options
        life = options.authorized_ttl if decision.allowed else options.unauthorized_ttl
        if life > 0 and len(key) <= _MAX_KEY:
            if len(self._kept) >= _MAX_CACHED:
                self._kept.clear()
            self._kept[key] = (monotonic() + life, decision)
        return decision

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules([], [], True, "webhook authorizer does not support user rule resolution")

    def close(self) -> None:
        """Close what is open."""
        self._reviewer.close()

    def _unmatched(self, spec: Object) -> Decision | None:
        """The decision about what the conditions keep away from the webhook; None if it is to be asked."""
        if not self._options.match_conditions:
            return None
        began, wrong = monotonic(), list[str]()
        for condition in self._options.match_conditions:
            try:
                if condition.evaluate({"request": spec}) is not True:
                    auth_metrics.match_condition_time.observe(monotonic() - began, *self.label)
                    auth_metrics.match_condition_exclusions[self.label] += 1
                    return NO_OPINION
            except ExpressionError as error:
                wrong.append(str(error))
        auth_metrics.match_condition_time.observe(monotonic() - began, *self.label)
        if not wrong:
            return None
        auth_metrics.match_condition_errors[self.label] += 1
        return self._on_error(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")

    def _spoken(self, spec: Object) -> Object:
        if self._options.version == "v1" or "groups" not in spec:
            return spec
        # v1beta1 has another name for it.
        return {("group" if name == "groups" else name): value for name, value in spec.items()}

    def _failed(self, began: float, why: str) -> Decision:
        self._note(began, "timeout" if "deadline exceeded" in why else "error")
        if not self._options.deny_on_error:
            auth_metrics.webhook_fail_open[(self._options.name, "error")] += 1
        return self._on_error(why)

    def _on_error(self, why: str) -> Decision:
        return Decision(False if self._options.deny_on_error else None, "", why)

    def _note(self, began: float, result: str) -> None:
        name = self._options.name
        auth_metrics.webhook_authorizations[(name, result)] += 1
        auth_metrics.webhook_authorization_time.observe(monotonic() - began, name, result)


def _decision(status: Object) -> Decision:
    """What a review's status says. Raises CallFailed where it contradicts itself."""
    allowed, denied, reason = bool(status.get("allowed")), bool(status.get("denied")), str(status.get("reason") or "")
    if allowed and denied:
        raise CallFailed("webhook subject access review returned both allow and deny response", 500)
    return Decision(True if allowed else False if denied else None, reason)
