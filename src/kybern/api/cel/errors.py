"""What goes wrong with expressions."""

from __future__ import annotations

from kybern.api.cel import words


class ExpressionError(Exception):
    """An expression that can't be compiled or whose evaluation failed; the message says why."""

    @property
    def over_limit(self) -> bool:
        """Whether the expression cost more than one may."""
        return str(self) == words.OUT_OF_BUDGET


class OutOfBudget(ExpressionError):
    """Expressions cost more than they may together."""

    def __init__(self) -> None:
        super().__init__("validation failed due to running out of cost budget, no further validation rules will be run")
