"""What expressions may cost together: an object's rules, a policy's expressions, a webhook's conditions.

Counting costs time, and hardly any expression comes near its limit. So an expression counts only where the most that it
could cost, given how large its values are, is too much; until then that is taken for its cost. When such costs use the
budget up, what has been evaluated is evaluated once more and counted.
Source: Kubernetes, apis/cel/config.go; KEP-2876, "Resource constraints".
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kybern.api.cel.errors import ExpressionError, OutOfBudget
from kybern.api.cel.meter import PER_CALL, Meter
from kybern.api.cel.pieces import TooManyRounds

if TYPE_CHECKING:
    from kybern.api.cel.program import Bound, Program

RULES, CONDITIONS = 10_000_000, 2_500_000
"""Of an object's rules or a policy's expressions, and of match conditions."""
WITHOUT = 2**63
"""Where only single expressions have a limit."""


class Budget:
    """What is left of a number of units."""

    def __init__(self, total: int = RULES) -> None:
        self._left, self._most, self._last = total, 0, 0
        self._owed: list[tuple[Program, Bound]] = []

    def evaluate(self, program: Program, values: Bound) -> Any:
        """The value of an expression. Raises ExpressionError; OutOfBudget."""
        most = program.most(values)
        if most <= PER_CALL and self._most + most > self._left:
            self._settle()
        if most > PER_CALL or most > self._left - self._most or program.asks or program.is_slow(values):
            return self._counted(program, values)
        self._owed.append((program, values))
        self._most += most
        try:
            return program.run(values)
        except TooManyRounds:
            self._owed.pop()
            self._most -= most
        return self._counted(program, values)

    def _settle(self) -> None:
        """Count what has been evaluated."""
        owed, self._owed, self._most = self._owed, [], 0
        for program, values in owed:
            meter = Meter()
            with suppress(ExpressionError):
                program.run_metered(values, meter)
            self._left -= meter.cost

    def _counted(self, program: Program, values: Bound) -> Any:
        meter = Meter()
        try:
            return program.run_metered(values, meter)
        finally:
            if self._most + meter.cost > self._left:
                self._settle()
            self._last = meter.cost if meter.cost <= self._left else 0
            self._left -= self._last
            if not self._last and meter.cost:
                raise OutOfBudget

    def give_back(self) -> None:
        """Take the last evaluation as not made; of one that asks an authorizer."""
        self._left, self._last = self._left + self._last, 0
