"""PriorityLevelConfiguration, flowcontrol.apiserver.k8s.io/v1: a share of the server's concurrency, and its queues.

Source: API reference, PriorityLevelConfiguration v1 flowcontrol.apiserver.k8s.io; KEP-1040.
"""

from __future__ import annotations

import math
from typing import Any

from kybern.api import meta
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.flowcontrol import bootstrap
from kybern.api.flowcontrol.flowschema import conditions
from kybern.api.resource import AGE, METADATA, Column, Resource
from kybern.api.types import Object

MAX_QUEUES = 10_000_000
MAX_ENTROPY_BITS = 60
"""So many bits of a flow's hash are there to deal hands by."""
DEFAULT_SHARES = 30
DEFAULT_QUEUING = {"queues": 64, "handSize": 8, "queueLengthLimit": 50}


def _cell(*path: str) -> Any:
    def cell(obj: Object) -> str:
        value = at(obj, "spec", "limited", *path)
        return "<none>" if value is None else str(value)

    return cell


class PriorityLevelConfiguration(Resource):
    group, kind, plural = bootstrap.GROUP, "PriorityLevelConfiguration", "prioritylevelconfigurations"
    namespaced = False
    has_status = True
    status_keeps = METADATA
    columns = (
        Column("Type", "string", lambda o: str(at(o, "spec", "type") or "")),
        Column("NominalConcurrencyShares", "string", _cell("nominalConcurrencyShares")),
        Column("Queues", "string", _cell("limitResponse", "queuing", "queues")),
        Column("HandSize", "string", _cell("limitResponse", "queuing", "handSize")),
        Column("QueueLengthLimit", "string", _cell("limitResponse", "queuing", "queueLengthLimit")),
        AGE,
    )

    def default(self, obj: Object) -> None:
        spec = obj.get("spec")
        if not isinstance(spec, dict):
            return
        if spec.get("type") == "Exempt":
            exempt = spec.setdefault("exempt", {})
            _set(exempt, nominalConcurrencyShares=0, lendablePercent=0)
        limited = spec.get("limited")
        if limited is not None:
            _set(limited, nominalConcurrencyShares=DEFAULT_SHARES, lendablePercent=0)
            queuing = at(limited, "limitResponse", "queuing")
            for field, value in DEFAULT_QUEUING.items():
                if queuing is not None and not queuing.get(field):
                    queuing[field] = value

    def validate(self, obj: Object, errors: Errors) -> None:
        name, spec = obj["metadata"].get("name") or "", obj.get("spec") or {}
        type_, limited, exempt = spec.get("type") or "", spec.get("limited"), spec.get("exempt")
        if (name == bootstrap.EXEMPT) is not (type_ == "Exempt"):
            errors.invalid("spec.type", type_, "type must be 'Exempt' if and only if name is 'exempt'")
        if type_ == "Exempt":
            if limited is not None:
                errors.forbidden("spec.limited", "must be nil if the type is not Limited")
            if exempt is not None:
                _shares(exempt, "spec.exempt", errors)
        elif type_ == "Limited":
            if exempt is not None:
                errors.forbidden("spec.exempt", "must be nil if the type is Limited")
            if limited is None:
                errors.required("spec.limited", "must not be empty when type is Limited")
            else:
                _limited(limited, errors)
        else:
            errors.unsupported("spec.type", type_, ("Exempt", "Limited"))
        _mandatory(name, spec, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        conditions(obj, errors)


_MANDATORY = {obj["metadata"]["name"]: obj["spec"] for obj in bootstrap.priority_levels()}


def _mandatory(name: str, spec: Object, errors: Errors) -> None:
    if name == bootstrap.EXEMPT:
        if not meta.same({**spec, "exempt": None}, {"type": "Exempt"}):
            errors.invalid("spec", spec, "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")
    elif name == bootstrap.CATCH_ALL and not meta.same(spec, _MANDATORY[name]):
        errors.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")


def _set(obj: Object, **values: int) -> None:
    for field, value in values.items():
        if obj.get(field) is None:
            obj[field] = value


def _shares(part: Object, path: str, errors: Errors) -> None:
    shares, lendable = part.get("nominalConcurrencyShares") or 0, part.get("lendablePercent") or 0
    if shares < 0:
        errors.invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if not 0 <= lendable <= 100:
        errors.invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive")


def _limited(limited: Object, errors: Errors) -> None:
    path = "spec.limited"
    _shares(limited, path, errors)
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        errors.invalid(f"{path}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer")
    response, path = limited.get("limitResponse") or {}, f"{path}.limitResponse"
    type_, queuing = response.get("type") or "", response.get("queuing")
    if type_ == "Reject":
        if queuing is not None:
            errors.forbidden(f"{path}.queuing", "must be nil if limited.limitResponse.type is not Limited")
    elif type_ == "Queue":
        if queuing is None:
            errors.required(f"{path}.queuing", "must not be empty if limited.limitResponse.type is Limited")
        else:
            _queuing(queuing, f"{path}.queuing", errors)
    else:
        errors.unsupported(f"{path}.type", type_, ("Queue", "Reject"))


def _queuing(queuing: Object, path: str, errors: Errors) -> None:
    queues, hand, length = (queuing.get(field) or 0 for field in DEFAULT_QUEUING)
    if length <= 0:
        errors.invalid(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        errors.invalid(f"{path}.queues", queues, "must be positive")
    elif queues > MAX_QUEUES:
        errors.invalid(f"{path}.queues", queues, f"must not be greater than {MAX_QUEUES}")
    if hand <= 0:
        errors.invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        errors.invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif entropy_bits(queues, hand) > MAX_ENTROPY_BITS:
        wanted = f"required entropy bits of deckSize {queues} and handSize {hand}"
        errors.invalid(f"{path}.handSize", hand, f"{wanted} should not be greater than {MAX_ENTROPY_BITS}")


def entropy_bits(deck: int, hand: int) -> int:
    """How many bits of hash it takes to deal a hand out of a deck."""
    return math.ceil(sum(math.log2(deck - dealt) for dealt in range(min(hand, 64))))
