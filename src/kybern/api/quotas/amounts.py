"""Arithmetic of resource lists: quantities by resource name. Nothing here changes what it is given."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from kybern.api import quantity
from kybern.api.core.pod_resources import sum_of

Amounts = Mapping[str, str]


def plus(first: Amounts, second: Amounts) -> dict[str, str]:
    """Every resource of either, added up."""
    return sum_of((first, second))


def above(new: Amounts, old: Amounts) -> dict[str, str]:
    """By how much `new` exceeds `old`; nothing is below zero."""
    more: dict[str, str] = {}
    for name in new.keys() | old.keys():
        negative = old.get(name, "0")
        turned = negative[1:] if negative.startswith("-") else f"-{negative}"
        difference = quantity.add(new.get(name, "0"), turned)
        more[name] = difference if quantity.parse(difference) > 0 else "0"
    return more


def only(amounts: Amounts, names: Collection[str]) -> dict[str, str]:
    """Those of these names."""
    return {name: value for name, value in amounts.items() if name in names}


def without_zeros(amounts: Amounts) -> dict[str, str]:
    """Those that aren't zero."""
    return {name: value for name, value in amounts.items() if quantity.parse(value)}


def equal(first: Amounts, second: Amounts) -> bool:
    """Whether both name the same resources in the same amounts, however they are written."""
    return first.keys() == second.keys() and all(
        value == second[name] or not quantity.compare(value, second[name]) for name, value in first.items()
    )


def shown(amounts: Amounts) -> str:
    """`cpu=1,memory=2Gi`, sorted."""
    return ",".join(f"{name}={quantity.canonical(amounts[name])}" for name in sorted(amounts))
