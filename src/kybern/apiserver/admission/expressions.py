"""A write as expressions see it: match conditions of webhooks, and all that policies say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kybern.api.admissionregistration import variables
from kybern.api.cel import words
from kybern.api.cel.functions.authorization import AUTHORIZER, Asked, resource_check
from kybern.api.cel.program import Bound, ExpressionError, Program, compiled
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.app import App
from kybern.apiserver.authz.expressions import asking


class Write:
    """Evaluates expressions about one write. `asked` is its AdmissionRequest, with the objects."""

    def __init__(self, app: App, a: Attributes, asked: Object) -> None:
        own = (a.resource.group, a.resource.plural, a.subresource, a.namespace, a.name)
        self.values: dict[str, Any] = {
            "object": asked["object"],
            "oldObject": asked["oldObject"],
            "request": {key: value for key, value in asked.items() if key not in ("object", "oldObject")},
            "authorizer": AUTHORIZER,
            "authorizer.requestResource": resource_check(*own),
        }
        self._ask, self._answers = asking(app, a.user), Asked()
        self._bound: Bound | None = None
        self.failures: dict[str, str] = {}
        """Names that have no value, and why."""

    def bind(self, more: Mapping[str, Any]) -> None:
        """Give more names values."""
        self.values |= more
        self._bound = None

    def forget(self) -> None:
        """Take the values of a policy's variables away."""
        self.failures.clear()
        for name in [name for name in self.values if name.startswith("variables.")]:
            del self.values[name]
        self._bound = None

    async def evaluate(self, program: Program) -> Any:
        """Its value. Raises ExpressionError."""
        try:
            return await self._evaluate(program)
        except ExpressionError as error:
            missing = str(error).removeprefix(words.NO_ATTRIBUTE)
            if missing in self.failures:
                raise ExpressionError(self.failures[missing]) from None
            raise

    async def _evaluate(self, program: Program) -> Any:
        if self._bound is None:
            self._bound = Bound(self.values)
        if "authorizer" not in program.roots:
            return program.evaluate(self._bound)
        return await program.evaluate_asking(self._bound, self._ask, self._answers)


async def unmet(conditions: Sequence[str], write: Write, known: Mapping[str, str] = variables.CONDITION) -> bool:
    """Whether a condition doesn't hold. Raises ExpressionError where some can't be evaluated and the others hold."""
    problems = []
    for text in conditions:
        try:
            if await write.evaluate(compiled(text, known)) is not True:
                return True
        except ExpressionError as error:
            problems.append(f"expression '{text}' resulted in error: {error}")
    if problems:
        raise ExpressionError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return False
