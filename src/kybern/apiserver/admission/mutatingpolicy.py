"""MutatingAdmissionPolicy: expressions in the API may change what is written, policy by policy.

Where one changes something, all that change objects are asked once more; of the policies those that were evaluated
before and have reinvocationPolicy IfNeeded.
Source: Kubernetes documentation, "Mutating Admission Policy"; KEP-3962.
"""

from __future__ import annotations

import orjson

from kybern.api.cel.program import ExpressionError
from kybern.api.errors import APIError, Forbidden
from kybern.api.types import Object
from kybern.apiserver.admission.base import CONNECT, CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.expressions import Conditions, Write
from kybern.apiserver.admission.mutatingwebhook import Rounds
from kybern.apiserver.app import App
from kybern.apiserver.policies import evaluating
from kybern.apiserver.policies.inforce import Binding, InForce, Policy
from kybern.apiserver.policies.metrics import NO_ERROR, PolicyMetrics, error_type
from kybern.apiserver.policies.mutating import MutationFailed, mutated
from kybern.apiserver.policies.params import Misconfigured, collect, resource_of
from kybern.apiserver.webhooks import views
from kybern.apiserver.webhooks.views import Target
from kybern.process.clock import monotonic


class MutatingAdmissionPolicy(Plugin):
    """Evaluates MutatingAdmissionPolicies."""

    name = "MutatingAdmissionPolicy"
    operations = frozenset((CONNECT, CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._app, self._registry = app, app.registry
        kinds = ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
        self._policies = InForce(app.registry, *kinds, lambda: self.reconsider())
        self._metrics = PolicyMetrics("mutating", app)
        self._conditions = Conditions(app, "policy", "mutate")

    async def start(self) -> None:
        await self._policies.start()

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        return operation in self.operations and self._policies.wanted(operation, group, plural)

    async def admit(self, a: Attributes) -> None:
        rounds = a.notes.setdefault(self.name, Rounds())
        if a.round and rounds.asked and orjson.dumps(a.object) != rounds.left:
            rounds.changed()
        problems: list[str] = []
        for policy in self._policies:
            target = await policy.matcher.target(a, lambda: self._policies.equivalents.others(a), self._registry)
            if target is None:
                continue
            try:
                resource_of(policy.said, self._registry)
            except Misconfigured as error:
                _note(policy, None, f"failed to configure policy: {error}", problems)
                continue
            for binding in policy.bindings:
                await self._bound(policy, binding, target, a, rounds, problems)
        if rounds.asked:
            rounds.left = orjson.dumps(a.object)
        if problems:
            raise _refusal(a, problems)

    async def _bound(
        self, policy: Policy, binding: Binding, target: Target, a: Attributes, rounds: Rounds, problems: list[str]
    ) -> None:
        """Evaluate a policy for a binding and each of its parameters."""
        if await binding.matcher.target(a, lambda: self._policies.equivalents.others(a), self._registry) is None:
            return
        try:
            params = await collect(policy.said, binding.said, a.namespace, self._registry)
        except Misconfigured as error:
            _note(policy, binding, f"failed to configure binding: {error}", problems)
            return
        for one in params:
            key = f"{policy.name}/{binding.name}/{_named(one)}"
            if a.round and key not in rounds.again:
                continue
            write = await evaluating.write_of(self._app, a, target)
            try:
                if not await evaluating.is_met(policy, write, one, self._conditions, a.operation):
                    continue
            except ExpressionError as error:
                _note(policy, binding, str(error), problems)
                continue
            await self._mutate(policy, binding, target, write, a, rounds, problems)
            if policy.spec.get("reinvocationPolicy") == "IfNeeded":
                rounds.asked.add(key)

    async def _mutate(
        self,
        policy: Policy,
        binding: Binding,
        target: Target,
        write: Write,
        a: Attributes,
        rounds: Rounds,
        problems: list[str],
    ) -> None:
        if a.object is None or write.values["object"] is None:
            return
        before = a.object
        for said in policy.spec["mutations"]:
            began, error = monotonic(), ""
            try:
                made = await mutated(policy, write, said, a, target)
                if made != write.values["object"]:
                    a.object = await views.taken(a, a.object, made, target)
                    write.bind({"object": await views.shown(a, a.object, target)})
            except MutationFailed as failed:
                error = str(failed)
            except APIError as failed:
                error = failed.message
            kind = error_type(error) if error else NO_ERROR
            self._metrics.checked(monotonic() - began, policy.name, binding.name, kind)
            if error:
                _note(policy, binding, error, problems)
        if a.object != before:
            rounds.changed()
            a.reinvoke = True


def _named(params: Object | None) -> str:
    return f"{params['metadata'].get('namespace', '')}/{params['metadata']['name']}" if params else ""


def _note(policy: Policy, binding: Binding | None, message: str, problems: list[str]) -> None:
    """What goes wrong refuses the write, unless failures are ignored."""
    if policy.ignores_failure:
        return
    bound = f" with binding '{binding.name}'" if binding else ""
    problems.append(f"policy '{policy.name}'{bound} denied request: {message}")


def _refusal(a: Attributes, problems: list[str]) -> Forbidden:
    error = a.forbidden("")
    error.message = problems[0]
    error.reason = "Invalid"
    error.details = {**(error.details or {}), "causes": [{"message": problem} for problem in problems]}
    return error
