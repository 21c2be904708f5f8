"""PodSecurity: pods are held against their namespace's standards; what makes pods is warned of and audited only.

Source: Kubernetes documentation, "Pod Security Admission"; KEP-2579.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from kybern.api.cells import at
from kybern.api.errors import InternalError, Invalid, NotFound
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.admission import config as plugins
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.namespaces import Namespaces
from kybern.apiserver.admission.podsecurity import config, policy
from kybern.apiserver.admission.podsecurity.checks import violations
from kybern.apiserver.admission.podsecurity.metrics import PodSecurityMetrics
from kybern.apiserver.admission.podsecurity.policy import PREFIX, PRIVILEGED, Policy, Standard
from kybern.apiserver.admission.podsecurity.violation import Violation, containers_of
from kybern.apiserver.app import App
from kybern.apiserver.codec import decode
from kybern.process.clock import monotonic

MAX_PODS = 3000
"""The most pods of a namespace that are looked at when its labels change."""
MAX_SECONDS = 1.0
"""The longest that takes."""
_AT_ONCE = 50
_TEMPLATE = ("spec", "template")
_KINDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (),
    ("", "replicationcontrollers"): _TEMPLATE,
    ("", "podtemplates"): ("template",),
    ("apps", "replicasets"): _TEMPLATE,
    ("apps", "deployments"): _TEMPLATE,
    ("apps", "statefulsets"): _TEMPLATE,
    ("apps", "daemonsets"): _TEMPLATE,
    ("batch", "jobs"): _TEMPLATE,
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
"""Where a kind keeps a pod's metadata and spec."""
_NOT_PODS = frozenset(("exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"))
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


class PodSecurity(Plugin):
    """See the module."""

    name = "PodSecurity"
    handles = frozenset({*_KINDS, ("", "namespaces")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._configuration = config.parse(plugins.of(app, self.name, config.KIND, config.VERSIONS))
        self._registry = app.registry
        self._namespaces = Namespaces(app)
        self._metrics = PodSecurityMetrics()
        app.telemetry.registry.register(self._metrics)

    async def validate(self, a: Attributes) -> None:
        if a.object is None:
            return
        if a.resource.plural == "namespaces":
            if not a.subresource:
                await self._namespace(a, a.object)
            return
        is_pod = a.resource.plural == "pods"
        if a.subresource in _NOT_PODS if is_pod else a.subresource:
            return
        if exempt := self._exempt(a):
            self._metrics.exempted(a)
            a.annotate(f"{PREFIX}exempt", exempt)
            return
        labels = await self._labels(a, fatal=is_pod)
        found, errors = self._configuration.defaults, Errors()
        if labels:
            found = policy.of(labels, found, errors)
        if not errors and found.lets_all_through:
            if is_pod:
                a.annotate(f"{PREFIX}enforce-policy", str(found.enforce))
                self._metrics.evaluated(a, found.enforce, "enforce", allowed=True)
            return
        if not errors and not is_pod and found.audit.level == found.warn.level == PRIVILEGED:
            return
        template = at(a.object, *_KINDS[a.resource.group, a.resource.plural])
        if template is None or (is_pod and a.operation == UPDATE and not _matters(a.object, a.old or {})):
            return
        self._judge(a, found, errors, template.get("metadata") or {}, template.get("spec") or {}, enforce=is_pod)

    def _exempt(self, a: Attributes) -> str:
        """By what a request is exempt."""
        if a.namespace in self._configuration.namespaces:
            return "namespace"
        return "user" if a.user.name in self._configuration.users else ""

    async def _labels(self, a: Attributes, *, fatal: bool) -> Object:
        """The namespace's labels. Raises InternalError where nobody knows them and it is `fatal`."""
        try:
            namespace = await self._namespaces.get(a.namespace)
        except NotFound as error:
            self._metrics.failed(a, fatal=True)
            said = f"failed to lookup namespace {a.namespace}"
            if fatal:
                raise InternalError(f"Internal error occurred: {said}") from error
            a.annotate(f"{PREFIX}error", f"{said}: {error}")
            return {}
        return namespace["metadata"].get("labels") or {}

    # Pods, and what makes pods.

    def _judge(
        self, a: Attributes, found: Policy, errors: Errors, metadata: Object, spec: Object, *, enforce: bool
    ) -> None:
        if spec.get("runtimeClassName") in self._configuration.runtime_classes:
            self._metrics.exempted(a)
            a.annotate(f"{PREFIX}exempt", "runtimeClass")
            return
        if errors:
            a.annotate(f"{PREFIX}error", f"Failed to parse policy: {_aggregate(errors)}")
            self._metrics.failed(a, fatal=False)
        known: dict[Standard, str] = {}

        def wrong(standard: Standard) -> str:
            if standard not in known:
                known[standard] = ", ".join(map(str, violations(standard, metadata, spec)))
            return known[standard]

        refused = ""
        if enforce:
            a.annotate(f"{PREFIX}enforce-policy", str(found.enforce))
            refused = wrong(found.enforce)
            self._metrics.evaluated(a, found.enforce, "enforce", allowed=not refused)
        if text := wrong(found.audit):
            a.annotate(f"{PREFIX}audit-violations", f'would violate PodSecurity "{found.audit}": {text}')
            self._metrics.evaluated(a, found.audit, "audit", allowed=False)
        if refused:
            raise a.forbidden(f'violates PodSecurity "{found.enforce}": {refused}')
        if text := wrong(found.warn):
            a.warnings.append(f'would violate PodSecurity "{found.warn}": {text}')
            self._metrics.evaluated(a, found.warn, "warn", allowed=False)

    # Namespaces.

    async def _namespace(self, a: Attributes, namespace: Object) -> None:
        """Labels must be right when they are new. Where more is enforced than before, pods that won't do are warned
        of."""
        errors, old_errors = Errors(), Errors()
        new = policy.of(namespace["metadata"].get("labels"), self._configuration.defaults, errors)
        old = policy.of(at(a.old, "metadata", "labels"), self._configuration.defaults, old_errors)
        if errors and (a.operation == CREATE or list(map(str, errors)) != list(map(str, old_errors))):
            raise Invalid.of(a.resource.kind, a.resource.group, a.name, errors)
        if a.operation != UPDATE or new.enforce == old.enforce or new.enforce.level == PRIVILEGED:
            return
        if new.enforce.looser(old.enforce):
            return
        if a.name in self._configuration.namespaces:
            a.annotate(f"{PREFIX}exempt", "namespace")
            return
        a.warnings += await self._pods_that_wont_do(a.name, new.enforce)

    async def _pods_that_wont_do(self, namespace: str, standard: Standard) -> list[str]:
        resource = self._registry.scheme.resource("", "pods")
        assert resource is not None
        cache = await self._registry.ready(resource)
        pods = self._prioritised(decode(item.value, item.revision) for item in cache.select(namespace))
        deadline = monotonic() + MAX_SECONDS
        names: dict[str, list[str]] = {}
        looked_at = 0
        for pod in pods[:MAX_PODS]:
            looked_at += 1
            if found := violations(standard, pod["metadata"], pod["spec"]):
                names.setdefault(_reasons(found), []).append(pod["metadata"]["name"])
            if monotonic() > deadline:
                break
            if not looked_at % _AT_ONCE:
                await asyncio.sleep(0)
        warnings = []
        if looked_at < len(pods):
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {looked_at} of {len(pods)} existing pods"
            )
        if names:
            said = f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{standard}"'
            warnings.append(said)
        return warnings + sorted(f"{_counted(those)}: {reasons}" for reasons, those in names.items())

    def _prioritised(self, pods: Iterable[Object]) -> list[Object]:
        """One pod of each controller first, as they are alike; without those that are exempt."""
        first, alike, seen = [], [], set()
        for pod in pods:
            if pod["spec"].get("runtimeClassName") in self._configuration.runtime_classes:
                continue
            owners = pod["metadata"].get("ownerReferences") or ()
            controller = next((owner["uid"] for owner in owners if owner.get("controller")), None)
            if controller is not None and controller in seen:
                alike.append(pod)
                continue
            seen.add(controller)
            first.append(pod)
        return first + alike


def _reasons(found: list[Violation]) -> str:
    return ", ".join(one.reason for one in found)


def _counted(names: list[str]) -> str:
    others = len(names) - 1
    more = f" (and {others} other pod{'s' * (others > 1)})" if others else ""
    return f"{min(names)}{more}"


def _aggregate(errors: Errors) -> str:
    texts = list(dict.fromkeys(map(str, errors)))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _matters(pod: Object, old: Object) -> bool:
    """Whether an update changes what standards look at: images, seccomp annotations, ephemeral containers."""
    spec, before = pod["spec"], old.get("spec") or {}
    if _annotation(pod, _SECCOMP_POD) != _annotation(old, _SECCOMP_POD):
        return True
    if any(len(spec.get(field) or ()) != len(before.get(field) or ()) for field in ("containers", "initContainers")):
        return True
    images = {container["name"]: container.get("image") for container in containers_of(before)}
    for container in containers_of(spec):
        name = container["name"]
        key = f"{_SECCOMP_CONTAINER}{name}"
        if name not in images or images[name] != container.get("image"):
            return True
        if _annotation(pod, key) != _annotation(old, key):
            return True
    return False


def _annotation(pod: Object, key: str) -> str:
    return str((at(pod, "metadata", "annotations") or {}).get(key) or "")
