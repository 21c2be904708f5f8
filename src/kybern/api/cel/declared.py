"""How a function of a library is declared: its name, the types of its arguments, its result and what computes it.

Types are written as CEL writes them: `int`, `list<string>`, `map<string, dyn>`, `optional_type<T>`; a single capital
letter is a type parameter. Types of Kubernetes' own are OPAQUE; their values are maps of one key, made with `opaque`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

OPAQUE = {
    "Quantity": "kubernetes.Quantity",
    "URL": "kubernetes.URL",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "Format": "kubernetes.NamedFormat",
    "Semver": "kubernetes.Semver",
    "Authorizer": "kubernetes.authorization.Authorizer",
    "PathCheck": "kubernetes.authorization.PathCheck",
    "GroupCheck": "kubernetes.authorization.GroupCheck",
    "ResourceCheck": "kubernetes.authorization.ResourceCheck",
    "Decision": "kubernetes.authorization.Decision",
}
"""Short name -> the name that errors show."""


@dataclass(frozen=True, slots=True)
class Function:
    """One overload. `member` says that the first parameter stands before the dot."""

    name: str
    parameters: tuple[str, ...]
    result: str
    compute: Callable[..., Any]
    member: bool = False
    extension: str = ""
    """What an expression must be compiled with to have it."""


def function(
    name: str, parameters: Sequence[str], result: str, compute: Callable[..., Any], extension: str = ""
) -> Function:
    """`name(parameters)`; the name may have dots."""
    return Function(name, tuple(parameters), result, compute, extension=extension)


def method(receiver: str, name: str, parameters: Sequence[str], result: str, compute: Callable[..., Any]) -> Function:
    """`receiver.name(parameters)`; `compute` gets the receiver first."""
    return Function(name, (receiver, *parameters), result, compute, member=True)


def opaque(kind: str, value: Any) -> dict[str, Any]:
    """A value of a type in OPAQUE."""
    return {f"@{kind}": value}


def inside(value: dict[str, Any]) -> Any:
    """What an opaque value holds."""
    return next(iter(value.values()))


def kind_of(value: Any) -> str:
    """The short name of an opaque value's type; "" for other values."""
    if isinstance(value, dict) and len(value) == 1:
        key = next(iter(value))
        if isinstance(key, str) and key.startswith("@"):
            return key[1:]
    return ""


def succeeds(parse: Callable[..., object]) -> Callable[..., bool]:
    """Whether parsing goes through."""

    def check(*arguments: Any) -> bool:
        try:
            parse(*arguments)
        except (ValueError, TypeError, ArithmeticError):
            return False
        return True

    return check
