"""A write as expressions see it: match conditions of webhooks, and all that policies say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kybern.api.admissionregistration import variables
from kybern.api.cel import words
from kybern.api.cel.budget import CONDITIONS, Budget
from kybern.api.cel.functions.authorization import AUTHORIZER, Asked, resource_check
from kybern.api.cel.program import Bound, ExpressionError, OutOfBudget, Program, compiled
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.admission.metrics import ConditionMetrics
from kybern.apiserver.app import App
from kybern.apiserver.authz.expressions import asking
from kybern.process.clock import monotonic


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
        self.budget = Budget()
        """What expressions may cost; to be renewed for those that have one of their own."""
        self.failures: dict[str, ExpressionError] = {}
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
                raise self.failures[missing] from None
            raise

    async def _evaluate(self, program: Program) -> Any:
        if self._bound is None:
            self._bound = Bound(self.values)
        if "authorizer" not in program.roots:
            return program.evaluate(self._bound, self.budget)
        return await program.evaluate_asking(self._bound, self._ask, self._answers, self.budget)


class Conditions:
    """Evaluates match conditions; `kind` and `step` are what they are of, for metrics."""

    def __init__(self, app: App, kind: str, step: str) -> None:
        self._kind, self._step = kind, step
        found = app.services.get("condition_metrics")
        if not isinstance(found, ConditionMetrics):
            found = app.services["condition_metrics"] = ConditionMetrics(app.telemetry.registry)
        self._metrics = found

    async def hold(
        self,
        name: str,
        conditions: Sequence[str],
        write: Write,
        operation: str,
        known: Mapping[str, str] = variables.CONDITION,
    ) -> bool:
        """Whether all conditions of what has that name do. One that doesn't outweighs others that can't be evaluated.
        Raises ExpressionError, OutOfBudget."""
        began, problems, excluded = monotonic(), list[str](), False
        write.budget = Budget(CONDITIONS)
        try:
            for text in conditions:
                try:
                    excluded = await write.evaluate(compiled(text, known)) is not True
                except OutOfBudget:
                    raise
                except ExpressionError as error:
                    problems.append(f"expression '{text}' resulted in error: {error}")
                if excluded:
                    return False
        finally:
            labels = (name, self._kind, self._step, operation)
            self._metrics.evaluated(labels, monotonic() - began, len(problems), excluded=excluded)
        if problems:
            raise ExpressionError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
        return True
