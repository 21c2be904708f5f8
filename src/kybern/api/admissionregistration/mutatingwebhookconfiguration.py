"""MutatingWebhookConfiguration, admissionregistration.k8s.io/v1: webhooks that may change what is written.

Source: API reference, MutatingWebhookConfiguration v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from kybern.api.admissionregistration.webhooks import WebhookConfiguration
from kybern.api.field import Errors
from kybern.api.types import Object

_POLICIES = ("IfNeeded", "Never")


class MutatingWebhookConfiguration(WebhookConfiguration):
    kind, plural = "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"
    versioned_updates = True

    def default_hook(self, hook: Object) -> None:
        super().default_hook(hook)
        hook["reinvocationPolicy"] = hook.get("reinvocationPolicy") or "Never"

    def validate_hook(self, hook: Object, before: list[Object], path: str, errors: Errors) -> None:
        super().validate_hook(hook, before, path, errors)
        policy = hook.get("reinvocationPolicy")
        if policy is not None and policy not in _POLICIES:
            errors.unsupported(f"{path}.reinvocationPolicy", policy, _POLICIES)
