"""What a validating policy says of a write with one object of parameters: decisions and audit annotations.

Source: API reference, ValidatingAdmissionPolicy v1 admissionregistration.k8s.io; KEP-3488.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kybern.api.cel.budget import Budget
from kybern.api.cel.program import ExpressionError, OutOfBudget, Program, compiled
from kybern.api.types import Object
from kybern.apiserver.admission.expressions import Conditions, Write
from kybern.apiserver.policies import evaluating
from kybern.apiserver.policies.inforce import Policy
from kybern.process.clock import monotonic

MAX_MESSAGE = 5 * 1024
"""Bytes of the longest message that a messageExpression may make."""


@dataclass(slots=True)
class Decision:
    """One validation's outcome. `error` is why it could not be evaluated."""

    allowed: bool
    message: str = ""
    reason: str = "Invalid"
    error: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Verdict:
    """All decisions, by the place of their validations, and what goes into the audit event."""

    decisions: list[Decision] = field(default_factory=list)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    failed: list[Decision] = field(default_factory=list)
    """Of annotations that could not be made."""


async def validate(
    policy: Policy, write: Write, params: Object | None, conditions: Conditions, operation: str
) -> Verdict:
    """Evaluate the policy."""
    try:
        if not await evaluating.is_met(policy, write, params, conditions, operation):
            return Verdict()
        return await _verdict(policy, write)
    except ExpressionError as error:
        return Verdict([_failure(policy, str(error))])


async def _verdict(policy: Policy, write: Write) -> Verdict:
    """Raises OutOfBudget."""
    validations = policy.spec.get("validations") or ()
    annotations = policy.spec.get("auditAnnotations") or ()
    texts = [one["expression"] for one in validations]
    texts += [one["messageExpression"] for one in validations if one.get("messageExpression")]
    texts += [one["valueExpression"] for one in annotations]
    write.budget = Budget()
    await evaluating.bind_variables(policy, write, _programs(policy, texts))
    decisions = [await _decide(policy, write, one) for one in validations]
    for said, decision in zip(validations, decisions, strict=True):
        if not decision.allowed and not decision.error:
            await _explain(policy, write, said, decision)
    verdict = Verdict(decisions)
    write.budget = Budget()
    for one in annotations:
        await _annotate(policy, write, one, verdict)
    return verdict


def _programs(policy: Policy, texts: list[str]) -> list[Program]:
    """Those that can be compiled."""
    found = []
    for text in texts:
        try:
            found.append(compiled(text, policy.known))
        except ExpressionError:
            continue
    return found


def _failure(policy: Policy, error: str, seconds: float = 0.0) -> Decision:
    return Decision(policy.ignores_failure, error, error=error, seconds=seconds)


async def _decide(policy: Policy, write: Write, said: Object) -> Decision:
    """Whether a validation allows the write. Raises OutOfBudget."""
    began = monotonic()
    try:
        program = compiled(said["expression"], policy.known)
    except ExpressionError as error:
        return _failure(policy, f"compilation error: {error}", monotonic() - began)
    try:
        passed = await evaluating.value(program, write)
    except OutOfBudget:
        raise
    except ExpressionError as error:
        return _failure(policy, str(error), monotonic() - began)
    return Decision(passed is True, reason=said.get("reason") or "Invalid", seconds=monotonic() - began)


async def _explain(policy: Policy, write: Write, said: Object, decision: Decision) -> None:
    """Give a refusal its message. The expressions of messages have what is left of the validations' budget."""
    source, text = said.get("messageExpression"), ""
    if source:
        try:
            made = await write.evaluate(compiled(source, policy.known))
        except OutOfBudget as error:
            decision.message = decision.error = f"failed messageExpression: {error}"
            decision.allowed = policy.ignores_failure
            return
        except ExpressionError:
            made = ""
        text = made.strip() if isinstance(made, str) else ""
    if not text or "\n" in text or len(text.encode()) > MAX_MESSAGE:
        text = (said.get("message") or "").strip()
    decision.message = text or f"failed expression: {said['expression'].strip()}"


async def _annotate(policy: Policy, write: Write, said: Object, verdict: Verdict) -> None:
    """Make an annotation. Raises OutOfBudget."""
    began, source = monotonic(), said["valueExpression"]
    try:
        value = await evaluating.value(compiled(source, policy.known), write)
        if value is not None and not isinstance(value, str):
            raise ExpressionError(
                f"valueExpression '{source}' resulted in unsupported return type: {type(value).__name__}. Return type "
                "must be either string or null."
            )
    except OutOfBudget:
        raise
    except ExpressionError as error:
        if not policy.ignores_failure:
            verdict.failed.append(_failure(policy, str(error), monotonic() - began))
        return
    if value and value.strip():
        verdict.annotations.append((said["key"], value.strip()))
