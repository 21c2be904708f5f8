"""`authorizer.group('apps').resource('deployments').namespace('x').check('get').allowed()`.

Authorizers may have to ask a webhook, and evaluation does not wait: a check that has no answer yet is noted as open and
fails, the answer is fetched, and the expression evaluated anew (program.py, Program.evaluate_asking).
Source: "Common Expression Language in Kubernetes", Kubernetes authorizer library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kybern.api import names
from kybern.api.cel.declared import inside, method, opaque


class Check(NamedTuple):
    """A question to the authorizer. `account` is (namespace, name) of a service account, or empty: who asked."""

    verb: str
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    account: tuple[str, ...] = ()


class Answer(NamedTuple):
    """What the authorizer says."""

    allowed: bool
    reason: str = ""
    error: str = ""


@dataclass(slots=True)
class Asked:
    """The checks of an evaluation: those answered, and those it came upon without an answer."""

    answers: dict[Check, Answer] = field(default_factory=dict)
    open: list[Check] = field(default_factory=list)


AUTHORIZER: dict[str, Any] = opaque("Authorizer", {"account": []})
"""The value of variables of type Authorizer."""

_current: list[Asked] = []


@contextmanager
def asking(asked: Asked) -> Iterator[None]:
    """While in it, checks are looked up and noted there. Evaluation is synchronous, so this does not interleave."""
    _current.append(asked)
    try:
        yield
    finally:
        _current.pop()


def resource_check(group: str, resource: str, subresource: str, namespace: str, name: str) -> dict[str, Any]:
    """The value of authorizer.requestResource."""
    said = {"account": [], "group": group, "resource": resource, "subresource": subresource}
    return opaque("ResourceCheck", {**said, "namespace": namespace, "name": name})


def _required(kind: str, made: str) -> Callable[[Any, str], Any]:
    def build(value: Any, text: str) -> Any:
        if not text.strip():
            raise ValueError(f"{kind} must not be empty")
        return opaque(made, {**inside(value), kind: text})

    return build


def _with(key: str, made: str) -> Callable[[Any, str], Any]:
    return lambda value, text: opaque(made, {**inside(value), key: text})


def _service_account(value: Any, namespace: str, name: str) -> Any:
    problems = names.dns_subdomain(name)
    if problems:
        raise ValueError(f"Invalid service account name: {', '.join(problems)}")
    problems = names.dns_label(namespace)
    if problems:
        raise ValueError(f"Invalid service account namespace: {', '.join(problems)}")
    return opaque("Authorizer", {**inside(value), "account": [namespace, name]})


def _check(value: Any, verb: str) -> Any:
    said = dict(inside(value))
    check = Check(verb, **{**said, "account": tuple(said.get("account") or ())})
    asked = _current[-1] if _current else None
    answer = asked.answers.get(check) if asked else None
    if answer is None:
        if asked is not None and check not in asked.open:
            asked.open.append(check)
        raise ValueError("the authorizer has not been asked yet")
    return opaque("Decision", answer._asdict())


def _said(key: str) -> Callable[[Any], Any]:
    return lambda value: inside(value)[key]


FUNCTIONS = (
    method("Authorizer", "path", ["string"], "PathCheck", _required("path", "PathCheck")),
    method("Authorizer", "group", ["string"], "GroupCheck", _with("group", "GroupCheck")),
    method("Authorizer", "serviceAccount", ["string", "string"], "Authorizer", _service_account),
    method("GroupCheck", "resource", ["string"], "ResourceCheck", _required("resource", "ResourceCheck")),
    method("ResourceCheck", "subresource", ["string"], "ResourceCheck", _with("subresource", "ResourceCheck")),
    method("ResourceCheck", "namespace", ["string"], "ResourceCheck", _with("namespace", "ResourceCheck")),
    method("ResourceCheck", "name", ["string"], "ResourceCheck", _with("name", "ResourceCheck")),
    method("ResourceCheck", "fieldSelector", ["string"], "ResourceCheck", _with("field_selector", "ResourceCheck")),
    method("ResourceCheck", "labelSelector", ["string"], "ResourceCheck", _with("label_selector", "ResourceCheck")),
    method("PathCheck", "check", ["string"], "Decision", _check),
    method("ResourceCheck", "check", ["string"], "Decision", _check),
    method("Decision", "allowed", [], "bool", _said("allowed")),
    method("Decision", "reason", [], "string", _said("reason")),
    method("Decision", "errored", [], "bool", lambda value: bool(inside(value)["error"])),
    method("Decision", "error", [], "string", _said("error")),
)
