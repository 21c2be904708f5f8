"""MutatingAdmissionWebhook: webhooks outside may change what is written, one after the other.

Where one changes something, all that change objects are asked once more; of the webhooks those that were asked before
and have reinvocationPolicy IfNeeded, if the object isn't any more what they left.
Source: Kubernetes documentation, "Dynamic Admission Control"; KEP-492.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from kybern.api import patch
from kybern.api.errors import APIError, InternalError
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.audit_policy import REQUEST
from kybern.apiserver.webhooks import views
from kybern.apiserver.webhooks.calling import Calling, Failed, WebhookPlugin
from kybern.apiserver.webhooks.configured import Webhook

MUTATION, PATCH = "mutation.webhook.admission.k8s.io/", "patch.webhook.admission.k8s.io/"


@dataclass(slots=True)
class Rounds:
    """Which webhooks may be asked again in the second round, by uid."""

    asked: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    left: bytes = b""
    """The object as they left it."""

    def changed(self) -> None:
        """The object isn't what those asked so far have seen."""
        self.again |= self.asked
        self.asked.clear()


class MutatingAdmissionWebhook(WebhookPlugin):
    """Asks the webhooks of MutatingWebhookConfigurations."""

    name = "MutatingAdmissionWebhook"
    configurations, step, mutating = "mutatingwebhookconfigurations", "admit", True

    async def admit(self, a: Attributes) -> None:
        rounds = a.notes.setdefault(self.name, Rounds())
        if a.round and rounds.asked and orjson.dumps(a.object) != rounds.left:
            rounds.changed()
        for webhook in self.configured:
            if a.round and webhook.uid not in rounds.again:
                continue
            call = await self.calling(webhook, a)
            if call is not None:
                await self._let_change(call, a, rounds)
        if rounds.asked:
            rounds.left = orjson.dumps(a.object)

    async def _let_change(self, call: Calling, a: Attributes, rounds: Rounds) -> None:
        webhook, changed = call.webhook, False
        place = f"round_{a.round}_index_{webhook.index}"
        try:
            verdict = await self.ask(call, a)
            if verdict.patch:
                changed = await self._change(call, a, verdict.patch)
                said = {**_who(webhook), "patch": verdict.patch, "patchType": "JSONPatch"}
                a.annotate(f"{PATCH}{place}", orjson.dumps(said).decode(), REQUEST)
        except Failed as failed:
            if not webhook.ignores_failure:
                raise failed.error() from failed
            self.failed_open(failed, webhook, a, f"failed-open.{MUTATION}{place}")
        finally:
            a.annotate(f"{MUTATION}{place}", orjson.dumps({**_who(webhook), "mutated": changed}).decode())
        if changed:
            rounds.changed()
            a.reinvoke = True
        if webhook.said.get("reinvocationPolicy") == "IfNeeded":
            rounds.asked.add(webhook.uid)

    async def _change(self, call: Calling, a: Attributes, operations: list[Any]) -> bool:
        """Apply the patch to what the webhook saw; whether that made a difference. Raises InternalError."""
        before, seen = a.object, call.request["object"]
        if before is None or seen is None:
            raise _internal(
                f'admission webhook "{call.webhook.name}" attempted to modify the object, which is not supported for '
                "this operation"
            )
        try:
            after = patch.json_patch(seen, operations)
            if after == seen:
                return False
            a.object = await views.taken(a, before, after, call.target)
        except APIError as error:
            raise _internal(f'the patch of admission webhook "{call.webhook.name}": {error.message}') from error
        return bool(a.object != before)


def _who(webhook: Webhook) -> Object:
    return {"configuration": webhook.configuration, "webhook": webhook.name}


def _internal(what: str) -> InternalError:
    return InternalError(f"Internal error occurred: {what}", details={"causes": [{"message": what}]})
