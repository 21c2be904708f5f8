"""ValidatingWebhookConfiguration, admissionregistration.k8s.io/v1: webhooks that may refuse writes.

Source: API reference, ValidatingWebhookConfiguration v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from kybern.api.admissionregistration.webhooks import WebhookConfiguration


class ValidatingWebhookConfiguration(WebhookConfiguration):
    kind, plural = "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"
    versioned_updates = True
