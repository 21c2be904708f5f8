"""--authorization-mode=ABAC: a file with a policy a line.

Source: Kubernetes documentation, "Using ABAC Authorization".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import orjson

from kybern.api.types import Object
from kybern.apiserver.app import Decision
from kybern.apiserver.authz.base import Rules
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.process.daemon import OperatorError

VERSION, KIND = "abac.authorization.kubernetes.io/v1beta1", "Policy"
_READS = frozenset(("get", "list", "watch"))


@dataclass(slots=True, frozen=True)
class Policy:
    """One line."""

    user: str
    group: str
    readonly: bool
    api_group: str
    namespace: str
    resource: str
    path: str

    def allows(self, user: UserInfo, info: RequestInfo) -> bool:
        """Whether it lets the request through."""
        return self.is_for(user) and (not self.readonly or info.verb in _READS) and self._covers(info)

    def is_for(self, user: UserInfo) -> bool:
        """Whether it speaks of the user."""
        if not self.user and not self.group:
            return False
        everybody = self.user == "*" and not self.group
        if everybody or (self.group == "*" and not self.user):
            return True
        if self.user not in ("", "*", user.name):
            return False
        return self.group in ("", "*") or self.group in user.groups

    def _covers(self, info: RequestInfo) -> bool:
        if not info.is_resource:
            path = self.path
            return path in ("*", info.path) or (path.endswith("*") and info.path.startswith(path.rstrip("*")))
        return all(
            allowed in ("*", asked)
            for allowed, asked in (
                (self.namespace, info.namespace),
                (self.resource, info.resource),
                (self.api_group, info.group),
            )
        )


class ABAC:
    """The policies of a file, read once."""

    label = ("ABAC", "abac")

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise OperatorError(f"--authorization-policy-file {path}: {error.strerror}") from error
        self._policies = [
            _policy(f"--authorization-policy-file {path}, line {number}", line)
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.lstrip().startswith(b"#")
        ]

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        if any(policy.allows(user, info) for policy in self._policies):
            return Decision(True)
        return Decision(None, "No policy matched.")

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        resources: list[Object] = []
        paths: list[Object] = []
        for policy in self._policies:
            if not policy.is_for(user):
                continue
            verbs = sorted(_READS) if policy.readonly else ["*"]
            if policy.resource and policy.namespace in ("*", namespace):
                resources.append({"verbs": verbs, "apiGroups": [policy.api_group], "resources": [policy.resource]})
            if policy.path:
                paths.append({"verbs": verbs, "nonResourceURLs": [policy.path]})
        return Rules(resources, paths)


def _policy(where: str, line: bytes) -> Policy:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise OperatorError(f"{where}: {error}") from error
    spec = found.get("spec") if isinstance(found, dict) else None
    if not isinstance(spec, dict) or (found.get("apiVersion"), found.get("kind")) != (VERSION, KIND):
        raise OperatorError(f"{where}: it must be a {KIND} of {VERSION} with a spec")
    names = ("user", "group", "readonly", "apiGroup", "namespace", "resource", "nonResourcePath")
    for name in spec:
        if name not in names:
            raise OperatorError(f'{where}: unknown field "spec.{name}"')
    return Policy(
        spec.get("user") or "",
        spec.get("group") or "",
        bool(spec.get("readonly")),
        spec.get("apiGroup") or "",
        spec.get("namespace") or "",
        spec.get("resource") or "",
        spec.get("nonResourcePath") or "",
    )
