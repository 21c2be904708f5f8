"""RBAC policy rules, compiled: does a rule allow a request, and does a set of rules cover another?

Source: API reference, ClusterRole v1 rbac.authorization.k8s.io (PolicyRule).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kybern.api.types import Object
from kybern.apiserver.request import RequestInfo

_NONE: frozenset[str] = frozenset()


class Rule:
    """A PolicyRule with its lists as sets. `source` is the rule as it was given."""

    __slots__ = ("groups", "names", "resources", "source", "url_prefixes", "urls", "verbs")

    def __init__(self, source: Object) -> None:
        self.source = source
        self.verbs = frozenset(source.get("verbs") or ())
        self.groups = frozenset(source.get("apiGroups") or ())
        self.resources = frozenset(source.get("resources") or ())
        self.names = frozenset(source.get("resourceNames") or ())
        urls = source.get("nonResourceURLs") or ()
        self.urls = frozenset(urls)
        self.url_prefixes = tuple(url[:-1] for url in urls if url.endswith("*"))

    def allows(self, info: RequestInfo) -> bool:
        """Whether the rule lets the request through."""
        if info.verb not in self.verbs and "*" not in self.verbs:
            return False
        if not info.is_resource:
            return info.path in self.urls or (bool(self.url_prefixes) and info.path.startswith(self.url_prefixes))
        if info.group not in self.groups and "*" not in self.groups:
            return False
        if self.names and info.name not in self.names:
            return False
        return self._has_resource(info.resource, info.subresource)

    def _has_resource(self, resource: str, subresource: str) -> bool:
        if "*" in self.resources:
            return True
        if not subresource:
            return resource in self.resources
        return f"{resource}/{subresource}" in self.resources or f"*/{subresource}" in self.resources

    def covers(self, piece: Rule) -> bool:
        """Whether this rule grants all of `piece`, which has one verb and one resource or one URL."""
        if not (piece.verbs <= self.verbs or "*" in self.verbs):
            return False
        if piece.urls:
            url = next(iter(piece.urls))
            return url in self.urls or url.rstrip("*").startswith(self.url_prefixes) if self.urls else False
        if not (piece.groups <= self.groups or "*" in self.groups):
            return False
        if self.names and not (piece.names and piece.names <= self.names):
            return False
        resource, _, subresource = next(iter(piece.resources), "").partition("/")
        return self._has_resource(resource, subresource)


def compiled(rules: Iterable[Object] | None) -> tuple[Rule, ...]:
    """Rules of a Role or ClusterRole."""
    return tuple(Rule(rule) for rule in rules or ())


def pieces(rule: Rule) -> Iterable[Rule]:
    """Break a rule into those with one verb, one group, one resource and at most one name, or one URL."""
    for verb in sorted(rule.verbs):
        for url in sorted(rule.urls):
            yield Rule({"verbs": [verb], "nonResourceURLs": [url]})
        for group in sorted(rule.groups):
            for resource in sorted(rule.resources):
                for name in sorted(rule.names) or (None,):
                    piece: Object = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                    if name is not None:
                        piece["resourceNames"] = [name]
                    yield Rule(piece)


def uncovered(owned: Sequence[Rule], wanted: Sequence[Rule]) -> list[Object]:
    """What of `wanted` no rule of `owned` grants, as rules, joined again where only the verb differs."""
    missing: dict[tuple[str, ...], Object] = {}
    for rule in wanted:
        for piece in pieces(rule):
            if any(mine.covers(piece) for mine in owned):
                continue
            source = piece.source
            key = tuple(str(source.get(k)) for k in ("apiGroups", "resources", "resourceNames", "nonResourceURLs"))
            kept = missing.setdefault(key, {**source, "verbs": []})
            kept["verbs"] += [verb for verb in source["verbs"] if verb not in kept["verbs"]]
    return list(missing.values())


def shown(rule: Object) -> str:
    """A rule as upstream prints it in an escalation error: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`."""
    parts = []
    for key, label in (
        ("nonResourceURLs", "NonResourceURLs"),
        ("apiGroups", "APIGroups"),
        ("resources", "Resources"),
        ("resourceNames", "ResourceNames"),
        ("verbs", "Verbs"),
    ):
        if rule.get(key):
            values = " ".join(f'"{value}"' for value in rule[key])
            parts.append(f"{label}:[{values}]")
    return "{" + ", ".join(parts) + "}"
