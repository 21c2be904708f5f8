"""ValidatingAdmissionPolicy: expressions in the API may refuse what is written, warn of it, or have it audited.

Source: Kubernetes documentation, "Validating Admission Policy"; KEP-3488.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from kybern.api.errors import Forbidden
from kybern.apiserver.admission.base import CONNECT, CREATE, DELETE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.expressions import Conditions, Write
from kybern.apiserver.app import App
from kybern.apiserver.policies import evaluating, validating
from kybern.apiserver.policies.inforce import Binding, InForce, Policy
from kybern.apiserver.policies.metrics import PolicyMetrics, error_type
from kybern.apiserver.policies.params import Misconfigured, collect, resource_of
from kybern.apiserver.policies.validating import Decision
from kybern.apiserver.webhooks.views import Target

FAILURE = "validation.policy.admission.k8s.io/validation_failure"
MAX_ANNOTATION = 10 * 1024
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}


@dataclass(slots=True)
class Denial:
    """A decision against a write."""

    policy: Policy
    binding: Binding | None
    decision: Decision

    def error(self, a: Attributes) -> Forbidden:
        """The refusal."""
        bound = f" with binding '{self.binding.name}'" if self.binding else ""
        said = f"ValidatingAdmissionPolicy '{self.policy.name}'{bound} denied request: {self.decision.message}"
        error = a.forbidden(said)
        error.reason = self.decision.reason
        error.code = _CODES.get(self.decision.reason, 422)
        error.details = {**(error.details or {}), "causes": [{"message": said}]}
        return error


class ValidatingAdmissionPolicy(Plugin):
    """Evaluates ValidatingAdmissionPolicies."""

    name = "ValidatingAdmissionPolicy"
    operations = frozenset((CONNECT, CREATE, DELETE, UPDATE))

    def __init__(self, app: App) -> None:
        self._app, self._registry = app, app.registry
        kinds = ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
        self._policies = InForce(app.registry, *kinds, lambda: self.reconsider())
        self._metrics = PolicyMetrics("validating", app)
        self._conditions = Conditions(app, "policy", "validate")

    async def start(self) -> None:
        await self._policies.start()

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        return self._policies.wanted(operation, group, plural)

    async def validate(self, a: Attributes) -> None:
        denials: list[Denial] = []
        writes: dict[Target, Write] = {}
        for policy in self._policies:
            target = await policy.matcher.target(a, lambda: self._policies.equivalents.others(a), self._registry)
            if target is None:
                continue
            try:
                resource_of(policy.said, self._registry)
            except Misconfigured as error:
                self._note(policy, None, f"failed to configure policy: {error}", denials)
                continue
            if target not in writes:
                writes[target] = await evaluating.write_of(self._app, a, target)
            await self._judge(policy, a, writes[target], denials)
        if denials:
            raise denials[0].error(a)

    async def _judge(self, policy: Policy, a: Attributes, write: Write, denials: list[Denial]) -> None:
        """Evaluate a policy for each of its bindings and their parameters."""
        annotations: dict[str, list[str]] = {}
        for binding in policy.bindings:
            if await binding.matcher.target(a, lambda: self._policies.equivalents.others(a), self._registry) is None:
                continue
            try:
                params = await collect(policy.said, binding.said, a.namespace, self._registry)
            except Misconfigured as error:
                self._note(policy, binding, f"failed to configure binding: {error}", denials)
                continue
            for one in params:
                verdict = await validating.validate(policy, write, one, self._conditions, a.operation)
                for index, decision in enumerate(verdict.decisions):
                    self._act(policy, binding, index, decision, a, denials)
                for decision in verdict.failed:
                    denials.append(Denial(policy, binding, decision))
                    self._count(policy, binding, decision, "deny")
                for key, value in verdict.annotations:
                    known = annotations.setdefault(key, [])
                    value = value.encode()[:MAX_ANNOTATION].decode(errors="ignore")
                    if value not in known:
                        known.append(value)
        for key, values in annotations.items():
            a.annotate(f"{policy.name}/{key}", ", ".join(values))

    def _note(self, policy: Policy, binding: Binding | None, message: str, denials: list[Denial]) -> None:
        """What is misconfigured refuses all, unless failures are ignored."""
        if not policy.ignores_failure:
            denials.append(Denial(policy, binding, Decision(False, message, error=message)))

    def _act(
        self, policy: Policy, binding: Binding, index: int, decision: Decision, a: Attributes, denials: list[Denial]
    ) -> None:
        """Do what the binding wants done about a decision."""
        if decision.allowed:
            if decision.error:
                self._count(policy, binding, decision, "allow")
            return
        for action in binding.actions:
            if action == "Deny":
                denials.append(Denial(policy, binding, decision))
            elif action == "Audit":
                a.annotate(FAILURE, _failure(policy, binding, index, decision))
            else:
                said = f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
                a.warnings.append(f"{said}: {decision.message}")
            self._count(policy, binding, decision, action.lower())

    def _count(self, policy: Policy, binding: Binding, decision: Decision, action: str) -> None:
        self._metrics.checked(decision.seconds, policy.name, binding.name, error_type(decision.message), action)


def _failure(policy: Policy, binding: Binding, index: int, decision: Decision) -> str:
    said = {
        "message": decision.message,
        "policy": policy.name,
        "binding": binding.name,
        "expressionIndex": index,
        "validationActions": list(binding.actions),
    }
    return orjson.dumps([said]).decode()
