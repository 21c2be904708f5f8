"""Upstream's defaults for pods and pod templates (API reference: Pod v1, "defaults to ..." of each field)."""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api import quantity
from kybern.api.types import Object

_DEFAULT_MODE = 420
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_MODE_SOURCES = ("secret", "configMap", "downwardAPI", "projected")


def default_pod_spec(spec: Object) -> None:
    """Fill in what every pod spec gets, stand-alone or in a template."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    # serviceAccount is the deprecated alias; upstream's conversion keeps the two alike.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in every_container(spec):
        _default_container(container)
    _round_up(spec.get("resources"))
    _round_up({"overhead": spec.get("overhead")})


def default_pod(pod: Object) -> None:
    """`default_pod_spec`, and what only pods get, not templates: requests from limits, host ports, service links."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            if "resources" in container:
                _requests_from_limits(container["resources"])
            if spec.get("hostNetwork"):
                for port in container.get("ports") or ():
                    if not port.get("hostPort"):
                        port["hostPort"] = port.get("containerPort", 0)
    if spec.get("resources"):
        _requests_from_limits(spec["resources"])
    spec.setdefault("enableServiceLinks", True)


def default_pod_template(template: Object) -> None:
    """A PodTemplateSpec: upstream keeps an (empty) metadata and spec there."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {}))


def every_container(spec: Object) -> Iterator[Object]:
    """All containers: ordinary, init and ephemeral ones."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _default_container(container: Object) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if not container.get("imagePullPolicy"):
        latest = _tag_is_latest(container.get("image") or "")
        container["imagePullPolicy"] = "Always" if latest else "IfNotPresent"
    container.setdefault("resources", {})
    _round_up(container["resources"])
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            reference.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_handler(hook)


def _default_probe(probe: Object) -> None:
    for field, value in _PROBE.items():
        if not probe.get(field):
            probe[field] = value
    _default_handler(probe)


def _default_handler(handler: Object) -> None:
    request = handler.get("httpGet")
    if request is not None:
        request["path"] = request.get("path") or "/"
        request["scheme"] = request.get("scheme") or "HTTP"
    if handler.get("grpc") is not None:
        handler["grpc"].setdefault("service", "")


def _tag_is_latest(image: str) -> bool:
    if "@" in image:
        return False
    name, _, tag = image.rpartition(":")
    # A colon before the last slash belongs to a registry's port, not to a tag.
    return not name or "/" in tag or tag in ("", "latest")


def _requests_from_limits(resources: Object) -> None:
    limits = resources.get("limits")
    if limits:
        requests = resources.setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _round_up(resources: Object | None) -> None:
    """Quantities finer than a thousandth are rounded up to one."""
    for amounts in (resources or {}).values():
        if isinstance(amounts, dict):
            for name, value in amounts.items():
                if isinstance(value, str) and value[-1:] in "nu":
                    amounts[name] = quantity.from_milli(quantity.milli(value))


def _default_volume(volume: Object) -> None:
    if len(volume) < 2:
        volume["emptyDir"] = {}
    for kind in _MODE_SOURCES:
        source = volume.get(kind)
        if source is not None:
            source.setdefault("defaultMode", _DEFAULT_MODE)
            _default_items(source)
            for projection in source.get("sources") or ():
                _default_projection(projection)
    host_path = volume.get("hostPath")
    if host_path is not None:
        host_path.setdefault("type", "")
    default_legacy_volume(volume)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    image = volume.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = "Always" if _tag_is_latest(image.get("reference") or "") else "IfNotPresent"


def _default_projection(projection: Object) -> None:
    token = projection.get("serviceAccountToken")
    if token is not None:
        token.setdefault("expirationSeconds", 3600)
    if projection.get("downwardAPI") is not None:
        _default_items(projection["downwardAPI"])


def _default_items(source: Object) -> None:
    for item in source.get("items") or ():
        if item.get("fieldRef") is not None:
            item["fieldRef"].setdefault("apiVersion", "v1")


_LEGACY: dict[str, Object] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "azureDisk": {"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}


def default_legacy_volume(volume: Object) -> None:
    """Defaults of the sources that pods' volumes and PersistentVolumes share."""
    for kind, defaults in _LEGACY.items():
        source = volume.get(kind)
        if source is not None:
            for name, value in defaults.items():
                source.setdefault(name, value)
