"""ValidatingAdmissionWebhook: webhooks outside may refuse what is written. All are asked at once.

Source: Kubernetes documentation, "Dynamic Admission Control".
"""

from __future__ import annotations

import asyncio

from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.webhooks.calling import Calling, Failed, WebhookPlugin

FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingAdmissionWebhook(WebhookPlugin):
    """Asks the webhooks of ValidatingWebhookConfigurations."""

    name = "ValidatingAdmissionWebhook"
    configurations, step, mutating = "validatingwebhookconfigurations", "validating", False

    async def validate(self, a: Attributes) -> None:
        calls = [call for webhook in self.configured if (call := await self.calling(webhook, a)) is not None]
        if len(calls) == 1:
            await self._let_refuse(calls[0], a)
        elif calls:
            said = await asyncio.gather(*(self._let_refuse(call, a) for call in calls), return_exceptions=True)
            for refusal in said:
                if refusal is not None:
                    raise refusal

    async def _let_refuse(self, call: Calling, a: Attributes) -> None:
        webhook = call.webhook
        try:
            await self.ask(call, a)
        except Failed as failed:
            if not webhook.ignores_failure:
                raise failed.error() from failed
            self.failed_open(failed, webhook, a, f"{FAILED_OPEN}round_0_index_{webhook.index}")
