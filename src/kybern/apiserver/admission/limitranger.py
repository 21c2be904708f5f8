"""LimitRanger: a namespace's LimitRanges give containers their default amounts and hold pods and claims to bounds.

Source: Kubernetes documentation, "Limit Ranges"; API reference, LimitRange v1 core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kybern.api import quantity
from kybern.api.core import pod_resources
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.known import Known
from kybern.apiserver.app import App

ANNOTATION = "kubernetes.io/limit-ranger"
_CLAIMS = ("", "persistentvolumeclaims")

Amounts = Mapping[str, quantity.Quantity]


class LimitRanger(Plugin):
    """Looks at pods when they are created or resized, and at claims."""

    name = "LimitRanger"
    handles = frozenset({("", "pods"), _CLAIMS})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._registry = app.registry
        self._ranges = app.registry.lister("", "limitranges")
        self._known = Known(self._ranges, lambda: self.reconsider())

    async def start(self) -> None:
        resource = self._registry.scheme.resource("", "limitranges")
        assert resource is not None
        await self._registry.started(resource)

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        """Where no LimitRange is, nothing is to do."""
        return bool(self._known) and super().concerned(operation, group, plural)

    async def admit(self, a: Attributes) -> None:
        if a.resource.plural != "pods" or a.object is None or not _concerned(a):
            return
        for found in self._of(a.namespace):
            _fill_in(a.object, found)

    async def validate(self, a: Attributes) -> None:
        if a.object is None or not _concerned(a):
            return
        check = _pod if a.resource.plural == "pods" else _claim
        for found in self._of(a.namespace):
            problems = [text for limit in found["spec"].get("limits") or () for text in check(a.object, limit)]
            if problems:
                said = list(dict.fromkeys(problems))
                raise a.forbidden(said[0] if len(said) == 1 else f"[{', '.join(said)}]")

    def _of(self, namespace: str) -> list[Object]:
        return self._ranges.list(namespace)


def _concerned(a: Attributes) -> bool:
    """Containers can't change but by a resize, so other updates of pods have nothing to check."""
    if a.operation == UPDATE and a.old is not None and a.old["metadata"].get("deletionTimestamp"):
        return False
    if a.resource.plural == "pods":
        return a.subresource == ("resize" if a.operation == UPDATE else "")
    return not a.subresource


def _fill_in(pod: Object, limit_range: Object) -> None:
    limits: dict[str, quantity.Quantity] = {}
    requests: dict[str, quantity.Quantity] = {}
    for limit in limit_range["spec"].get("limits") or ():
        if limit.get("type") == "Container":
            limits |= limit.get("default") or {}
            requests |= limit.get("defaultRequest") or {}
    if not (limits or requests):
        return
    notes = []
    for kind, field in (("container", "containers"), ("init container", "initContainers")):
        for container in pod["spec"].get(field) or ():
            # Limits are filled in first but told last.
            set_limits = _missing(container, "limits", limits)
            set_requests = _missing(container, "requests", requests)
            for names, word in ((set_requests, "request"), (set_limits, "limit")):
                if names:
                    notes.append(f"{', '.join(names)} {word} for {kind} {container.get('name', '')}")
    if notes:
        annotations = dict(pod["metadata"].get("annotations") or {})
        annotations[ANNOTATION] = f"LimitRanger plugin set: {'; '.join(notes)}"
        pod["metadata"]["annotations"] = annotations


def _missing(container: Object, kind: str, defaults: Amounts) -> list[str]:
    """Set what the container lacks; the names of it."""
    resources = container.get("resources") or {}
    given = resources.get(kind) or {}
    names = sorted(name for name in defaults if name not in given)
    if names:
        filled = {**given, **{name: defaults[name] for name in names}}
        container["resources"] = {**resources, kind: filled}
    return names


def _pod(pod: Object, limit: Object) -> Iterator[str]:
    kind = limit.get("type") or ""
    if kind == "Container":
        spec = pod["spec"]
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            resources = container.get("resources") or {}
            yield from _bounds(kind, limit, resources.get("requests") or {}, resources.get("limits") or {})
    elif kind == "Pod":
        requests = pod_resources.requests(pod, overhead=False, status=False)
        limits = pod_resources.limits(pod, overhead=False, status=False)
        yield from _bounds(kind, limit, requests, limits)


def _bounds(kind: str, limit: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    rules: tuple[tuple[str, Callable[[str, str, quantity.Quantity, Amounts, Amounts], str]], ...] = (
        ("min", _minimum), ("max", _maximum), ("maxLimitRequestRatio", _ratio),
    )  # fmt: skip
    for bound, rule in rules:
        for name, enforced in sorted((limit.get(bound) or {}).items()):
            if problem := rule(kind, name, enforced, requests, limits):
                yield problem


def _minimum(kind: str, name: str, enforced: quantity.Quantity, requests: Amounts, limits: Amounts) -> str:
    said = f"minimum {name} usage per {kind} is {quantity.canonical(enforced)}"
    if name not in requests:
        return f"{said}.  No request is specified"
    if quantity.compare(requests[name], enforced) < 0:
        return f"{said}, but request is {quantity.canonical(requests[name])}"
    if name in limits and quantity.compare(limits[name], enforced) < 0:
        return f"{said}, but limit is {quantity.canonical(limits[name])}"
    return ""


def _maximum(kind: str, name: str, enforced: quantity.Quantity, requests: Amounts, limits: Amounts) -> str:
    said = f"maximum {name} usage per {kind} is {quantity.canonical(enforced)}"
    if name not in limits:
        return f"{said}.  No limit is specified"
    if quantity.compare(limits[name], enforced) > 0:
        return f"{said}, but limit is {quantity.canonical(limits[name])}"
    if name in requests and quantity.compare(requests[name], enforced) > 0:
        return f"{said}, but request is {quantity.canonical(requests[name])}"
    return ""


def _ratio(kind: str, name: str, enforced: quantity.Quantity, requests: Amounts, limits: Amounts) -> str:
    said = f"{name} max limit to request ratio per {kind} is {quantity.canonical(enforced)}"
    request, limit = quantity.parse(requests.get(name, 0)), quantity.parse(limits.get(name, 0))
    if not request:
        return f"{said}, but no request is specified or request is 0"
    if not limit:
        return f"{said}, but no limit is specified or limit is 0"
    if limit > request * quantity.parse(enforced):
        return f"{said}, but provided ratio is {float(limit) / float(request):.6f}"
    return ""


def _claim(claim: Object, limit: Object) -> Iterator[str]:
    """Claims ask for storage; they have no limits that count."""
    kind = limit.get("type") or ""
    if kind != "PersistentVolumeClaim":
        return
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    for name, enforced in sorted((limit.get("min") or {}).items()):
        if problem := _minimum(kind, name, enforced, requests, {}):
            yield problem
    for name, enforced in sorted((limit.get("max") or {}).items()):
        said = f"maximum {name} usage per {kind} is {quantity.canonical(enforced)}"
        if name not in requests:
            yield f"{said}.  No request is specified"
        elif quantity.compare(requests[name], enforced) > 0:
            yield f"{said}, but request is {quantity.canonical(requests[name])}"
