"""What a validating policy says of a write with one object of parameters: decisions and audit annotations.

Source: API reference, ValidatingAdmissionPolicy v1 admissionregistration.k8s.io; KEP-3488.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kybern.api.cel.program import ExpressionError, Program, compiled
from kybern.api.types import Object
from kybern.apiserver.admission.expressions import Write
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


async def validate(policy: Policy, write: Write, params: Object | None) -> Verdict:
    """Evaluate the policy."""
    try:
        if not await evaluating.is_met(policy, write, params):
            return Verdict()
    except ExpressionError as error:
        return Verdict([_failure(policy, str(error))])
    validations = policy.spec.get("validations") or ()
    annotations = policy.spec.get("auditAnnotations") or ()
    texts = [one["expression"] for one in validations]
    texts += [one["messageExpression"] for one in validations if one.get("messageExpression")]
    texts += [one["valueExpression"] for one in annotations]
    await evaluating.bind_variables(policy, write, _programs(policy, texts))
    verdict = Verdict([await _decide(policy, write, one) for one in validations])
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
    began = monotonic()
    try:
        passed = await evaluating.value(compiled(said["expression"], policy.known), write)
    except ExpressionError as error:
        return _failure(policy, str(error), monotonic() - began)
    if passed is True:
        return Decision(True, seconds=monotonic() - began)
    message = await _message(policy, write, said)
    return Decision(False, message, said.get("reason") or "Invalid", seconds=monotonic() - began)


async def _message(policy: Policy, write: Write, said: Object) -> str:
    source = said.get("messageExpression")
    if source:
        try:
            made = await write.evaluate(compiled(source, policy.known))
        except ExpressionError:
            made = ""
        text = made.strip() if isinstance(made, str) else ""
        if text and "\n" not in text and len(text.encode()) <= MAX_MESSAGE:
            return text
    return (said.get("message") or "").strip() or f"failed expression: {said['expression'].strip()}"


async def _annotate(policy: Policy, write: Write, said: Object, verdict: Verdict) -> None:
    began, source = monotonic(), said["valueExpression"]
    try:
        value = await evaluating.value(compiled(source, policy.known), write)
        if value is not None and not isinstance(value, str):
            raise ExpressionError(
                f"valueExpression '{source}' resulted in unsupported return type: {type(value).__name__}. Return type "
                "must be either string or null."
            )
    except ExpressionError as error:
        if not policy.ignores_failure:
            verdict.failed.append(_failure(policy, str(error), monotonic() - began))
        return
    if value and value.strip():
        verdict.annotations.append((said["key"], value.strip()))
