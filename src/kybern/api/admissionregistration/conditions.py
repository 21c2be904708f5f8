"""matchConditions: CEL expressions that all must hold for a webhook to be called, or a policy to apply.

Source: API reference, MatchCondition v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kybern.api import expressions, names
from kybern.api.field import Errors
from kybern.api.types import Object

MAX = 64
VARIABLES = frozenset(("authorizer", "object", "oldObject", "request"))
"""What a webhook's conditions may use."""


def validate(conditions: Sequence[Object], path: str, errors: Errors, known: Iterable[str] = VARIABLES) -> None:
    """Their names and expressions."""
    if len(conditions) > MAX:
        errors.too_many(path, len(conditions), MAX)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where = f"{path}[{index}]"
        text, name = (condition.get("expression") or "").strip(), condition.get("name") or ""
        if not text:
            errors.required(f"{where}.expression")
        elif problem := uncompilable(text, known):
            errors.invalid(f"{where}.expression", text, problem)
        if not name:
            errors.required(f"{where}.name")
            continue
        for problem in names.qualified_name(name):
            errors.invalid(f"{where}.name", name, problem)
        if name in seen:
            errors.duplicate(f"{where}.name", name)
        seen.add(name)


def uncompilable(text: str, known: Iterable[str] = VARIABLES) -> str:
    """Why an expression can't be compiled; "" if it can."""
    try:
        used = expressions.compiled(text).variables
    except expressions.ExpressionError as error:
        return f"compilation failed: {error}"
    unknown = sorted(used - set(known))
    if unknown:
        return f"compilation failed: undeclared reference to '{unknown[0]}' (in container '')"
    return ""
