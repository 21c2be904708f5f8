"""Which flow schema a request matches: the rules of FlowSchema objects, ready for use."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kybern.api.cells import at
from kybern.api.flowcontrol.bootstrap import BY_NAMESPACE, BY_USER
from kybern.api.types import Object
from kybern.apiserver.request import RequestInfo, UserInfo

_ACCOUNT = "system:serviceaccount:"
Test = Callable[[UserInfo], bool]


class Schema:
    """One FlowSchema."""

    def __init__(self, obj: Object) -> None:
        metadata, spec = obj["metadata"], obj.get("spec") or {}
        self.name: str = metadata["name"]
        self.uid: str = metadata.get("uid") or ""
        self.level: str = at(spec, "priorityLevelConfiguration", "name") or ""
        self.precedence: int = spec.get("matchingPrecedence") or 0
        self._method = at(spec, "distinguisherMethod", "type")
        self._rules = [_Rule(rule) for rule in spec.get("rules") or ()]

    def matches(self, user: UserInfo, info: RequestInfo) -> bool:
        """Whether the request is one of its."""
        return any(rule.matches(user, info) for rule in self._rules)

    def distinguisher(self, user: UserInfo, info: RequestInfo) -> str:
        """Which of its flows the request belongs to."""
        if self._method == BY_USER:
            return user.name
        return info.namespace if self._method == BY_NAMESPACE else ""


class _Rule:
    def __init__(self, rule: Object) -> None:
        self._subjects = [_subject(subject) for subject in rule.get("subjects") or ()]
        self._resources = [
            (
                _set(each.get("verbs")),
                _set(each.get("apiGroups")),
                _set(each.get("resources")),
                _set(each.get("namespaces")),
                bool(each.get("clusterScope")),
            )
            for each in rule.get("resourceRules") or ()
        ]
        self._paths = [
            (_set(each.get("verbs")), tuple(each.get("nonResourceURLs") or ()))
            for each in rule.get("nonResourceRules") or ()
        ]

    def matches(self, user: UserInfo, info: RequestInfo) -> bool:
        if not any(subject(user) for subject in self._subjects):
            return False
        if not info.is_resource:
            return any(_in(info.verb, verbs) and _is_at(info.path, urls) for verbs, urls in self._paths)
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        return any(
            _in(info.verb, verbs)
            and _in(info.group, groups)
            and _in(resource, resources)
            and (_in(info.namespace, namespaces) if info.namespace else cluster)
            for verbs, groups, resources, namespaces, cluster in self._resources
        )


def _set(values: Iterable[str] | None) -> frozenset[str]:
    return frozenset(values or ())


def _in(value: str, wanted: frozenset[str]) -> bool:
    return value in wanted or "*" in wanted


def _is_at(path: str, urls: tuple[str, ...]) -> bool:
    return any(url in ("*", path) or (url.endswith("/*") and path.startswith(url[:-1])) for url in urls)


def _subject(subject: Object) -> Test:
    kind = subject.get("kind")
    if kind == "User":
        name = at(subject, "user", "name")
        return lambda user: name in ("*", user.name)
    if kind == "Group":
        group = at(subject, "group", "name")
        return lambda user: group == "*" or group in user.groups
    namespace, name = (at(subject, "serviceAccount", field) for field in ("namespace", "name"))
    if name == "*":
        return lambda user: user.name.startswith(f"{_ACCOUNT}{namespace}:")
    return lambda user: user.name == f"{_ACCOUNT}{namespace}:{name}"
