"""The file of --audit-policy-file: which requests are written down, and how much of them.

Source: API reference, Policy (audit.k8s.io/v1); Kubernetes documentation, "Auditing". Messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.process.daemon import OperatorError

VERSION, KIND = "audit.k8s.io/v1", "Policy"
NONE, METADATA, REQUEST, REQUEST_RESPONSE = range(4)
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
RECEIVED, STARTED, COMPLETE, PANIC = "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"
STAGES = (RECEIVED, STARTED, COMPLETE, PANIC)

_RULE = (
    "level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages",
    "omitManagedFields",
)  # fmt: skip


class Verdict(NamedTuple):
    """What is written of a request: an index of LEVELS, the stages left out, and whether managedFields are."""

    level: int = NONE
    omit_stages: frozenset[str] = frozenset()
    omit_managed_fields: bool = False


class Resources(NamedTuple):
    """Resources of one group, or of all (`*`); no names are all names, no resources all resources."""

    group: str
    resources: tuple[str, ...]
    names: frozenset[str]

    def match(self, info: RequestInfo) -> bool:
        """Whether the request is for one of them."""
        if self.group not in ("*", info.group):
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        return any(_covers(resource, info) for resource in self.resources)


def _covers(pattern: str, info: RequestInfo) -> bool:
    whole = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    if pattern in ("*", whole):
        return True
    left, slash, right = pattern.partition("/")
    if not slash:
        return False
    return (left == "*" and bool(info.subresource) and right == info.subresource) or (
        right == "*" and left == info.resource
    )


@dataclass(slots=True, frozen=True)
class Rule:
    """A rule; what is empty matches everything."""

    verdict: Verdict
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: tuple[Resources, ...] = ()
    urls: tuple[str, ...] = ()

    def match(self, user: UserInfo | None, info: RequestInfo) -> bool:
        """Whether it is about the request. There is no user where authentication failed."""
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not info.is_resource or (self.namespaces and info.namespace not in self.namespaces):
                return False
            return not self.resources or any(resources.match(info) for resources in self.resources)
        if self.urls:
            return not info.is_resource and any(_is_at(info.path, url) for url in self.urls)
        return True


def _is_at(path: str, url: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1].rstrip("*")))


class Policy:
    """The rules in order: the first that matches decides; without one nothing is written."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    def evaluate(self, user: UserInfo | None, info: RequestInfo) -> Verdict:
        """What is written of a request."""
        for rule in self.rules:
            if rule.match(user, info):
                return rule.verdict
        return Verdict()


def load(path: Path) -> Policy:
    """Raises OperatorError."""
    import yaml

    try:
        return parse(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        raise OperatorError(f'failed to read file path "{path}": {error.strerror}; see --audit-policy-file') from error
    except yaml.YAMLError as error:
        raise OperatorError(f"--audit-policy-file {path}: no YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise OperatorError(f"--audit-policy-file {path}: {error}") from error


def parse(document: Any) -> Policy:
    """Of the decoded file. Raises ValueError, which names all that is wrong."""
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (VERSION, KIND):
        raise ValueError(f"it must be of kind {KIND} in {VERSION}")
    errors = Errors()
    _known(errors, "", document, ("apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"))
    rules = document.get("rules") or []
    if not isinstance(rules, list) or not rules:
        raise ValueError("loaded illegal policy with 0 rules")
    stages = _stages(errors, "omitStages", document.get("omitStages") or [])
    managed = bool(document.get("omitManagedFields"))
    made = [_rule(errors, f"rules[{number}]", rule, stages, managed) for number, rule in enumerate(rules)]
    if errors:
        raise ValueError("; ".join(map(str, errors)))
    return Policy(made)


def _rule(errors: Errors, path: str, rule: Any, stages: frozenset[str], managed: bool) -> Rule:
    if not isinstance(rule, dict):
        errors.invalid(path, type(rule).__name__, "must be a map")
        return Rule(Verdict())
    _known(errors, f"{path}.", rule, _RULE)
    lists = {name: _strings(errors, f"{path}.{name}", rule.get(name)) for name in _RULE if name not in _OTHER}
    level = rule.get("level")
    if not level:
        errors.required(f"{path}.level")
    elif level not in LEVELS:
        errors.unsupported(f"{path}.level", level, LEVELS)
    for number, url in enumerate(lists["nonResourceURLs"]):
        if url != "*" and not url.startswith("/"):
            errors.invalid(
                f"{path}.nonResourceURLs[{number}]", url, "non-resource URL rules must begin with a '/' character"
            )
        if "*" in url[:-1]:
            errors.invalid(
                f"{path}.nonResourceURLs[{number}]",
                url,
                "non-resource URL wildcards '*' must be the final character of the rule",
            )
    if lists["nonResourceURLs"] and (rule.get("resources") or lists["namespaces"]):
        errors.invalid(
            f"{path}.nonResourceURLs",
            lists["nonResourceURLs"],
            "rules cannot apply to both regular resources and non-resource URLs",
        )
    omitted = stages | _stages(errors, f"{path}.omitStages", lists["omitStages"])
    own = rule.get("omitManagedFields")
    verdict = Verdict(
        LEVELS.index(level) if level in LEVELS else NONE, frozenset(omitted), managed if own is None else bool(own)
    )
    return Rule(
        verdict,
        frozenset(lists["users"]),
        frozenset(lists["userGroups"]),
        frozenset(lists["verbs"]),
        frozenset(lists["namespaces"]),
        _resources(errors, f"{path}.resources", rule.get("resources") or []),
        tuple(lists["nonResourceURLs"]),
    )


_OTHER = ("level", "resources", "omitManagedFields")


def _resources(errors: Errors, path: str, entries: Any) -> tuple[Resources, ...]:
    found = []
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        here = f"{path}[{number}]"
        _known(errors, f"{here}.", entry, ("group", "resources", "resourceNames"))
        given: Object = entry if isinstance(entry, dict) else {}
        resources = _strings(errors, f"{here}.resources", given.get("resources"))
        names = _strings(errors, f"{here}.resourceNames", given.get("resourceNames"))
        group = str(given.get("group") or "")
        if "/" in group or group != group.lower():
            errors.invalid(f"{path}.group", group, "must be the name of a group, without a version")
        if names and not resources:
            errors.invalid(f"{path}.resourceNames", names, "using resourceNames requires at least one resource")
        found.append(Resources(group, tuple(resources), frozenset(names)))
    return tuple(found)


def _stages(errors: Errors, path: str, stages: Sequence[Any]) -> frozenset[str]:
    for number, stage in enumerate(stages):
        if stage not in STAGES:
            errors.invalid(f"{path}[{number}]", str(stage), f"allowed stages are {','.join(STAGES)}")
    return frozenset(map(str, stages))


def _strings(errors: Errors, path: str, value: Any) -> list[str]:
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        errors.invalid(path, str(value), "must be a list of strings")
        return []
    return value or []


def _known(errors: Errors, path: str, found: Any, names: Sequence[str]) -> None:
    if not isinstance(found, dict):
        errors.invalid(path.rstrip("."), type(found).__name__, "must be a map")
        return
    for name in found:
        if name not in names:
            errors.invalid(f"{path}{name}", name, "unknown field")
