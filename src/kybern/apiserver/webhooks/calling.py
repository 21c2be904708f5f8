"""What both webhook plugins do: choose the webhooks a write is theirs of, ask one, and say what came of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar, NamedTuple

from kybern.api.cel.program import ExpressionError
from kybern.api.errors import APIError, BadRequest, InternalError
from kybern.api.types import Object
from kybern.apiserver.admission import config, expressions, matching
from kybern.apiserver.admission.base import CONNECT, CREATE, DELETE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.metrics import WebhookMetrics
from kybern.apiserver.app import App
from kybern.apiserver.egress import ways_of
from kybern.apiserver.webhooks import review, views
from kybern.apiserver.webhooks.client import CallFailed, Hooks
from kybern.apiserver.webhooks.configured import Configured, Webhook
from kybern.apiserver.webhooks.credentials import Credentials
from kybern.apiserver.webhooks.services import ServiceResolver
from kybern.apiserver.webhooks.views import Target
from kybern.process.clock import monotonic, new_uid
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

_GROUP = "admissionregistration.k8s.io"
WITHOUT_EFFECTS = ("None", "NoneOnDryRun")


class Calling(NamedTuple):
    """What is to be posted: which webhook is told of the write, as what."""

    webhook: Webhook
    target: Target
    uid: str
    request: Object


class Failed(Exception):
    """A webhook could not be asked, or answered nonsense: whether that matters is up to its failure policy."""

    def __init__(self, webhook: Webhook, why: str, code: int) -> None:
        super().__init__(f'failed calling webhook "{webhook.name}": {why}')
        self.code = code

    def error(self) -> InternalError:
        """The answer where it matters."""
        return InternalError(f"Internal error occurred: {self}", details={"causes": [{"message": str(self)}]})


class WebhookPlugin(Plugin):
    """The base of both plugins."""

    configurations: ClassVar[str]
    """The plural of the kind that configures it."""
    step: ClassVar[str]
    """Its name among metrics."""
    mutating: ClassVar[bool]
    operations = frozenset((CONNECT, CREATE, DELETE, UPDATE))

    def __init__(self, app: App) -> None:
        self._app, self._registry = app, app.registry
        lister = app.registry.lister(_GROUP, self.configurations)
        self.configured = Configured(lister, app.registry.scheme, lambda: self.reconsider())
        self._hooks = Hooks(resolver_of(app), _credentials(app, self.name), ways_of(app))
        self.metrics = _metrics(app)
        self._conditions = expressions.Conditions(app, "webhook", self.step)

    async def start(self) -> None:
        resource = self._registry.scheme.resource(_GROUP, self.configurations)
        assert resource is not None
        await self._registry.started(resource)

    def close(self) -> None:
        self._hooks.close()

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        return self.configured.wanted(operation, group, plural)

    async def calling(self, webhook: Webhook, a: Attributes) -> Calling | None:
        """The call to be made; None if the webhook isn't told of this write. Raises NotFound (its namespace isn't
        there), Forbidden (a condition can't be evaluated)."""
        if not matching.wants_labels(webhook.objects, a):
            return None
        target = webhook.target(a, lambda: self.configured.equivalents(a))
        if target is None or not await matching.wants_namespace(webhook.namespaces, a, self._registry):
            return None
        obj, old = await views.shown(a, a.object, target), await views.shown(a, a.old, target)
        uid = new_uid()
        asked = review.request(a, uid, views.kind_of(a, target), target.named, obj, old)
        if webhook.conditions and not await self._holds(webhook, a, asked):
            return None
        return Calling(webhook, target, uid, asked)

    async def _holds(self, webhook: Webhook, a: Attributes, asked: Object) -> bool:
        """Whether all conditions do. One that doesn't outweighs others that can't be evaluated. Raises Forbidden."""
        write = expressions.Write(self._app, a, asked)
        try:
            return await self._conditions.hold(webhook.name, webhook.conditions, write, a.operation)
        except ExpressionError as error:
            if webhook.ignores_failure:
                return False
            raise a.forbidden(str(error)) from None

    async def ask(self, call: Calling, a: Attributes) -> review.Verdict:
        """Have it decide, count that, and pass on its annotations and warnings. Raises Failed; APIError where it
        refuses, and for what is wrong whatever its failure policy."""
        webhook, began = call.webhook, monotonic()
        code, why = 200, ""
        try:
            verdict = await self._post(call, a)
            if not verdict.allowed:
                raise review.denied(webhook.name, verdict.result)
            return verdict
        except Failed as failed:
            code, why = failed.code, "" if webhook.ignores_failure else "calling_webhook_error"
            raise
        except BadRequest:
            code, why = 0, "apiserver_internal_error"
            raise
        except APIError as refusal:
            code, why = refusal.code, "no_error"
            raise
        finally:
            seconds = monotonic() - began
            if a.request is not None:
                a.request.elsewhere += seconds
            self.metrics.called(webhook.name, self.step, a.operation, code, seconds, rejected=bool(why))
            if why:
                self.metrics.refused(webhook.name, self.step, a.operation, why, code)

    async def _post(self, call: Calling, a: Attributes) -> review.Verdict:
        webhook = call.webhook
        if a.dry_run and webhook.said.get("sideEffects") not in WITHOUT_EFFECTS:
            raise BadRequest(f'admission webhook "{webhook.name}" does not support dry run')
        known = [one for one in webhook.said["admissionReviewVersions"] if one in review.VERSIONS]
        if not known:
            why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise Failed(webhook, f"could not create admission objects: {why}", 400)
        try:
            hook = self._hooks.hook(webhook.said["clientConfig"])
        except CallFailed as failed:
            raise Failed(webhook, f"could not get REST client: {failed}", failed.code) from failed
        try:
            answer = await hook.post(review.review(known[0], call.request), timeout=webhook.seconds)
        except CallFailed as failed:
            raise Failed(webhook, f"failed to call webhook: {failed}", failed.code) from failed
        try:
            verdict = review.verdict(known[0], call.uid, answer, mutating=self.mutating)
        except review.InvalidReview as invalid:
            raise Failed(webhook, f"received invalid webhook response: {invalid}", 503) from invalid
        for key, value in verdict.annotations.items():
            a.annotate(f"{webhook.name}/{key}", value)
        a.warnings += [text for text in verdict.warnings if text]
        return verdict

    def failed_open(self, failed: Failed, webhook: Webhook, a: Attributes, annotation: str) -> None:
        """Note that a webhook failed and nobody minds."""
        log.warning("failed calling webhook, failing open %s: %s", webhook.name, failed)
        self.metrics.failed_open(webhook.name, self.step)
        a.annotate(annotation, webhook.name)


def resolver_of(app: App) -> ServiceResolver:
    """How the server finds Services."""
    found = app.services.get("resolver")
    return found if isinstance(found, ServiceResolver) else ServiceResolver(app.registry)


def _credentials(app: App, plugin: str) -> Credentials | None:
    """Who the plugin calls webhooks as, by its configuration. Raises OperatorError."""
    versions = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1")
    file = (config.of(app, plugin, "WebhookAdmissionConfiguration", versions) or {}).get("kubeConfigFile")
    if not file:
        return None
    if not Path(file).is_absolute():
        raise OperatorError(f'the configuration of {plugin}: kubeConfigFile: "{file}" must be an absolute file path')
    return Credentials(Path(file))


def _metrics(app: App) -> WebhookMetrics:
    """One for both plugins."""
    found = app.services.get("webhook_metrics")
    if not isinstance(found, WebhookMetrics):
        found = app.services["webhook_metrics"] = WebhookMetrics(app.telemetry.registry)
    return found
