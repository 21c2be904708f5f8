"""Lease, coordination.k8s.io/v1. Source: API reference, Lease v1 coordination.k8s.io."""

from __future__ import annotations

from kybern.api import names
from kybern.api.cells import text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

_STRATEGIES = ("OldestEmulationVersion",)


class Lease(Resource):
    group, kind, plural = "coordination.k8s.io", "Lease", "leases"
    creates_on_update = True
    versioned_updates = True
    has_generation = False
    columns = (Column("Holder", "string", text("spec", "holderIdentity")), AGE)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj.get("spec") or {}
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
        if transitions is not None and transitions < 0:
            errors.invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")
        strategy, preferred = spec.get("strategy"), spec.get("preferredHolder")
        if strategy is not None:
            check_strategy(strategy, "spec.strategy", errors)
        if preferred and not strategy:
            errors.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")


def check_strategy(strategy: str, path: str, errors: Errors) -> None:
    """How a holder is chosen: a known way, or one of a domain (`example.com/fairest`)."""
    if "/" in strategy:
        for problem in names.qualified_name(strategy):
            errors.invalid(path, strategy, problem)
    elif strategy not in _STRATEGIES:
        errors.unsupported(path, strategy, _STRATEGIES)
