"""Small checks that the parts of pod spec validation share, and what they need to know of the pod around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kybern.api.field import Errors
from kybern.api.types import Object

Rule = Callable[[str], list[str]]
MAX_INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's rules ask about its pod."""

    volumes: Mapping[str, Object]
    """The valid ones, by name."""
    claims: frozenset[str]
    """Names of spec.resourceClaims."""
    grace: int | None
    """terminationGracePeriodSeconds."""
    restart_policy: str
    host_users: bool
    os: str
    """spec.os.name, "" where there is none."""
    is_pod: bool
    """False in a template."""


def follows(rule: Rule, value: str, path: str, errors: Errors) -> None:
    """The value keeps a rule of names.py."""
    for problem in rule(value):
        errors.invalid(path, value, problem)


def required(rule: Rule, value: str | None, path: str, errors: Errors) -> None:
    """`follows`, and the value is not empty."""
    if value:
        follows(rule, value, path, errors)
    else:
        errors.required(path)


def all_set(obj: Object, keys: Iterable[str], path: str, errors: Errors) -> None:
    """None of these keys is absent or empty."""
    for key in keys:
        if not obj.get(key):
            errors.required(f"{path}.{key}")


def supported(value: str | None, words: tuple[str, ...], path: str, errors: Errors) -> None:
    """One of the words; an absent value counts as "", an unknown word."""
    if value not in words:
        errors.unsupported(path, value or "", words)


def known_if_set(value: str | None, words: tuple[str, ...], path: str, errors: Errors) -> None:
    """One of the words, or absent."""
    if value is not None and value not in words:
        errors.unsupported(path, value, words)


def within(value: int | None, low: int, high: int, path: str, errors: Errors) -> None:
    """Between low and high, or absent."""
    if value is not None and not low <= value <= high:
        errors.invalid(path, value, f"must be between {low} and {high}, inclusive")


def no_backsteps(value: str, path: str, errors: Errors) -> None:
    """No element of the path is `..`."""
    if ".." in value and ".." in value.split("/"):
        errors.invalid(path, value, "must not contain '..'")


def descending(value: str, path: str, errors: Errors) -> None:
    """A relative path without backsteps."""
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    no_backsteps(value, path, errors)


def unreserved(value: str, path: str, errors: Errors) -> None:
    """`descending`, and the first name does not start with two dots: those are the volume plugins' own."""
    descending(value, path, errors)
    if value.startswith("..") and not value.startswith("../"):
        errors.invalid(path, value, "must not start with '..'")
