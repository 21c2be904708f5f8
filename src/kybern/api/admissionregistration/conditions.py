"""matchConditions: CEL expressions that all must hold for a webhook to be called, or a policy to apply.

Source: API reference, MatchCondition v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from kybern.api import names
from kybern.api.admissionregistration import variables
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.field import Errors
from kybern.api.types import Object

MAX = 64


def validate(
    conditions: Sequence[Object], path: str, errors: Errors, known: Mapping[str, str] = variables.CONDITION
) -> None:
    """Their names and expressions, which may use the variables `known`, name -> type."""
    if len(conditions) > MAX:
        errors.too_many(path, len(conditions), MAX)
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where = f"{path}[{index}]"
        text, name = (condition.get("expression") or "").strip(), condition.get("name") or ""
        if not text:
            errors.required(f"{where}.expression")
        elif problem := uncompilable(text, known, ("bool",)):
            errors.invalid(f"{where}.expression", text, problem)
        if not name:
            errors.required(f"{where}.name")
            continue
        for problem in names.qualified_name(name):
            errors.invalid(f"{where}.name", name, problem)
        if name in seen:
            errors.duplicate(f"{where}.name", name)
        seen.add(name)


def uncompilable(text: str, known: Mapping[str, str], expects: Collection[str]) -> str:
    """Why an expression over the variables `known` can't be compiled, or is of none of the types; "" if it can."""
    messages, types = variables.checked()
    try:
        compiled(text, {**known, **{name: kind for name, kind in types.items() if name in known}}, messages, expects)
    except ExpressionError as error:
        return str(error)
    return ""
