"""What to say of a pod spec that is accepted but does not do, or will not do for long, what it seems to.

Source: the warnings upstream gives to who creates a pod or changes a pod template.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern.api import addresses, names, quantity
from kybern.api.cells import at
from kybern.api.core.node_labels import DEPRECATED, term_warnings
from kybern.api.resource import Preparation
from kybern.api.types import Object

_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod":
        'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}  # fmt: skip
_SECCOMP_POD, _SECCOMP = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"
_VOLUMES = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_SHOWN = {"storageos": "storageOS"}
_PROJECTED = {"configMap": "configMap", "secret": "secrets", "downwardAPI": "downwardAPI"}
_BYTES = ("memory", "ephemeral-storage")
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution",
)  # fmt: skip
_TEMPLATE = ("spec", "template")
_NO_SELECTOR = "a null labelSelector results in matching no pod"


def of_pod(obj: Object) -> list[str]:
    """Of a new pod."""
    found = _of(obj["metadata"], obj["spec"], "")
    if problems := names.dns_label(obj["metadata"].get("name") or ""):
        said = "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        found.insert(0, f"metadata.name: {said}: [{' '.join(problems)}]")
    return found


def of_template(template: Object, path: str) -> list[str]:
    """Of a pod template at `path`."""
    return _of(template.get("metadata") or {}, template.get("spec") or {}, f"{path}.")


def tell(prep: Preparation, obj: Object, old: Object | None = None, *, path: tuple[str, ...] = _TEMPLATE) -> None:
    """Tell who writes `obj` what is to say of its pod template; of an update (`old`) only where the spec changed."""
    if prep.subresource == "status" or (old is not None and obj.get(path[0]) == old.get(path[0])):
        return
    prep.warnings += of_template(at(obj, *path) or {}, ".".join(path))


def claim_warnings(spec: Object, path: str) -> Iterator[str]:
    """Of a claim's spec at `path`."""
    requests = (spec.get("resources") or {}).get("requests") or {}
    yield from _fraction(requests, "storage", f"{path}.resources.requests")


def _of(metadata: Object, spec: Object, path: str) -> list[str]:
    annotations, here = metadata.get("annotations") or {}, f"{path}spec"
    found = [f"{here}.nodeSelector[{k}]: {DEPRECATED[k]}" for k in spec.get("nodeSelector") or () if k in DEPRECATED]
    affinity = spec.get("affinity")
    if affinity:
        found += _node_affinity(affinity.get("nodeAffinity") or {}, f"{here}.affinity.nodeAffinity")
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        key, where = spread.get("topologyKey") or "", f"{here}.topologySpreadConstraints[{index}]"
        if key in DEPRECATED:
            found.append(f"{where}.topologyKey: {key} is {DEPRECATED[key]}")
        if spread.get("labelSelector") is None:
            found.append(f"{where}.labelSelector: {_NO_SELECTOR}")
    if annotations:
        found += [f"{path}metadata.annotations[{k}]: {v}" for k, v in _ANNOTATIONS.items() if k in annotations]
    if spec.get("volumes"):
        found += _volumes(spec["volumes"], f"{here}.volumes")
    if spec.get("hostAliases") or spec.get("imagePullSecrets") or spec.get("dnsConfig"):
        found += _lists(spec, here)
    if spec.get("overhead"):
        for name in _BYTES:
            found += _fraction(spec["overhead"], name, f"{here}.overhead")
    security = spec.get("securityContext") or {}
    if _SECCOMP_POD in annotations and not security.get("seccompProfile"):
        found.append(_seccomp(path, _SECCOMP_POD))
    ports: dict[tuple[Any, Any], list[tuple[str, Object]]] = {}
    clashes: list[str] = []
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            where = f"{here}.{key}[{index}]"
            if annotations:
                found += _profiles(container, annotations, security, path)
            found += _container(container, where)
            if container.get("ports"):
                clashes += _ports(container["ports"], where, ports)
    found += clashes
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        said = "must be >= 0; negative values are invalid and will be treated as 1"
        found.append(f"{here}.terminationGracePeriodSeconds: {said}")
    if affinity:
        found += _pod_affinity(affinity, f"{here}.affinity")
    return found


def _node_affinity(affinity: Object, path: str) -> Iterator[str]:
    for index, term in enumerate((affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()):
        yield from term_warnings(term, f"{path}.{_REQUIRED}.nodeSelectorTerms[{index}]")
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        yield from term_warnings(weighted.get("preference") or {}, f"{path}.{_PREFERRED}[{index}].preference")


def _pod_affinity(affinity: Object, path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for index, term in enumerate(terms.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{kind}.{_REQUIRED}[{index}].labelSelector: {_NO_SELECTOR}"
        for index, weighted in enumerate(terms.get(_PREFERRED) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{kind}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NO_SELECTOR}"


def _volumes(volumes: list[Object], path: str) -> Iterator[str]:
    tokens = set[str]()
    for index, volume in enumerate(volumes):
        for source in volume.keys() & _VOLUMES.keys():
            yield f"{path}[{index}].{_SHOWN.get(source, source)}: {_VOLUMES[source]}"
        claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if claim:
            yield from claim_warnings(claim.get("spec") or {}, f"{path}[{index}].ephemeral.volumeClaimTemplate.spec")
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                tokens.add(source["serviceAccountToken"].get("path") or "")
    for index, volume in enumerate(volumes) if tokens else ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _same_paths(source, tokens, f"{path}[{index}].projected.sources")


def _same_paths(source: Object, tokens: set[str], path: str) -> Iterator[str]:
    said = "has duplicated path with ServiceAccountToken"
    for key, shown in _PROJECTED.items():
        for index, item in enumerate((source.get(key) or {}).get("items") or ()):
            if item.get("path") in tokens:
                yield f'{path}.{shown}[{index}]: {said} "{item["path"]}"'
    bundle = (source.get("clusterTrustBundle") or {}).get("path")
    if bundle in tokens:
        yield f'{path}.ClusterTrustBundle: {said} "{bundle}"'


def _lists(spec: Object, path: str) -> Iterator[str]:
    seen = set[str]()
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        ip, where = alias.get("ip") or "", f"{path}.hostAliases[{index}].ip"
        if ip in seen:
            yield f'{where}: duplicate ip "{ip}"'
        seen.add(ip)
        yield from addresses.ip_warnings(ip, where)
    known = [secret.get("name") or "" for secret in spec.get("imagePullSecrets") or ()]
    for index, name in enumerate(known):
        if name in known[:index]:
            yield f'{path}.imagePullSecrets[{index}].name: duplicate name "{name}"'
    for index, name in enumerate(known):
        if not name:
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'
    for index, ip in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from addresses.ip_warnings(ip, f"{path}.dnsConfig.nameservers[{index}]")


def _seccomp(path: str, key: str) -> str:
    return f'{path}metadata.annotations[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead'


def _profiles(container: Object, annotations: Object, pod: Object, path: str) -> Iterator[str]:
    """Annotations that fields have taken the place of."""
    own, name = container.get("securityContext") or {}, container.get("name") or ""
    if _SECCOMP + name in annotations and not own.get("seccompProfile"):
        yield _seccomp(path, _SECCOMP + name)
    if _APP_ARMOR + name in annotations and not (pod.get("appArmorProfile") or own.get("appArmorProfile")):
        key = _APP_ARMOR + name
        yield f'{path}metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _container(container: Object, path: str) -> Iterator[str]:
    resources = container.get("resources")
    if resources:
        for name in _BYTES:
            for kind in ("limits", "requests"):
                yield from _fraction(resources.get(kind) or {}, name, f"{path}.resources.{kind}")
    env = container.get("env")
    if not env or len(env) < 2:
        return
    seen = set[str]()
    for index, item in enumerate(env):
        name, value = item.get("name") or "", item.get("value") or ""
        reference = f"$({name})"
        # To build on the value before is what one may want; anything else hides it.
        if name in seen and (item.get("valueFrom") is not None or value == reference or reference not in value):
            yield f'{path}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        seen.add(name)


def _fraction(amounts: Object, name: str, path: str) -> Iterator[str]:
    value = amounts.get(name)
    if value is not None and quantity.milli(value) % 1000:
        shown = quantity.canonical(value)
        yield f'{path}[{name}]: fractional byte value "{shown}" is invalid, must be an integer'


def _ports(ports: list[Object], path: str, known: dict[tuple[Any, Any], list[tuple[str, Object]]]) -> Iterator[str]:
    """`known` has the ports of the containers before."""
    for index, port in enumerate(ports):
        here, ip, number = f"{path}.ports[{index}]", port.get("hostIP") or "", port.get("hostPort") or 0
        if ip and not number:
            shown = f"Name:{port.get('name') or ''} HostPort:0 ContainerPort:{port.get('containerPort')}"
            yield f"{here}: hostIP set without hostPort: {{{shown} Protocol:{port.get('protocol')} HostIP:{ip}}}"
        others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
        for where, other in others:
            its_ip, its_number = other.get("hostIP") or "", other.get("hostPort") or 0
            if (ip, number) == (its_ip, its_number):
                yield f"{here}: duplicate port definition with {where}"
            elif not number or not its_number:
                yield f"{here}: overlapping port definition with {where}"
            elif number == its_number and bool(ip) is not bool(its_ip):
                yield f"{here}: dangerously ambiguous port definition with {where}"
        others.append((here, port))
