"""A KubeletConfiguration file (kubelet.config.k8s.io/v1beta1) as settings.

Source: API reference, "Kubelet Configuration (v1beta1)".
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from kybern.api import quantity
from kybern.kubelet import settings
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "address": ("address", str),
    "authentication.anonymous.enabled": ("anonymous_auth", settings.boolean),
    "authentication.webhook.enabled": ("token_webhook", settings.boolean),
    "authentication.x509.clientCAFile": ("client_ca_file", str),
    "authorization.mode": ("authorization_mode", str),
    "cgroupDriver": ("cgroup_driver", str),
    "cgroupRoot": ("cgroup_root", str),
    "cgroupsPerQOS": ("cgroups_per_qos", settings.boolean),
    "clusterDNS": ("cluster_dns", settings.words),
    "clusterDomain": ("cluster_domain", str),
    "containerLogMaxFiles": ("container_log_max_files", int),
    "containerLogMaxSize": ("container_log_max_size", quantity.whole),
    "containerRuntimeEndpoint": ("runtime_endpoint", str),
    "enableDebuggingHandlers": ("enable_debugging", settings.boolean),
    "failSwapOn": ("fail_swap_on", settings.boolean),
    "featureGates": ("feature_gates", settings.switches),
    "fileCheckFrequency": ("file_check_period", settings.seconds),
    "healthzBindAddress": ("healthz_address", str),
    "healthzPort": ("healthz_port", int),
    "httpCheckFrequency": ("http_check_period", settings.seconds),
    "kubeReserved": ("kube_reserved", settings.quantities),
    "maxPods": ("max_pods", int),
    "nodeLeaseDurationSeconds": ("lease_seconds", int),
    "nodeStatusReportFrequency": ("report_period", settings.seconds),
    "nodeStatusUpdateFrequency": ("status_period", settings.seconds),
    "podCIDR": ("pod_cidr", str),
    "podLogsDir": ("pod_log_dir", str),
    "port": ("port", int),
    "providerID": ("provider_id", str),
    "readOnlyPort": ("read_only_port", int),
    "registerNode": ("register_node", settings.boolean),
    "registerWithTaints": ("node_taints", settings.taints),
    "resolvConf": ("resolv_conf", str),
    "rotateCertificates": ("rotate_certificates", settings.boolean),
    "seccompDefault": ("seccomp_default", settings.boolean),
    "serializeImagePulls": ("serialize_image_pulls", settings.boolean),
    "serverTLSBootstrap": ("rotate_server_certificates", settings.boolean),
    "staticPodPath": ("manifest_path", str),
    "staticPodURL": ("manifest_url", str),
    "syncFrequency": ("sync_period", settings.seconds),
    "systemReserved": ("system_reserved", settings.quantities),
    "tlsCertFile": ("tls_cert_file", str),
    "tlsPrivateKeyFile": ("tls_key_file", str),
}
"""Path in the file -> (setting, parser)."""

INERT = {
    "authentication.webhook.cacheTTL", "authorization.webhook.cacheAuthorizedTTL",
    "authorization.webhook.cacheUnauthorizedTTL", "cpuManagerReconcilePeriod", "crashLoopBackOff",
    "evictionPressureTransitionPeriod", "imageMaximumGCAge", "imageMinimumGCAge", "logging", "memorySwap",
    "runtimeRequestTimeout", "shutdownGracePeriod", "shutdownGracePeriodCriticalPods",
    "streamingConnectionIdleTimeout", "volumeStatsAggPeriod", "imageGCHighThresholdPercent",
    "imageGCLowThresholdPercent", "contentType", "kubeAPIQPS", "kubeAPIBurst", "eventRecordQPS", "eventBurst",
}  # fmt: skip
"""Upstream's fields that files commonly have and that change nothing here. A set one is warned of."""

DEFAULTS: dict[str, Any] = {"anonymous_auth": False, "token_webhook": True, "authorization_mode": "Webhook"}
"""Where a file's defaults differ from the flags'."""


def read(path: str) -> dict[str, Any]:
    """The settings of a file. Raises OperatorError naming the file and the field that is wrong."""
    try:
        document = yaml.load(Path(path).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OperatorError(f"can't read --config {path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or document.pop("kind", "") != "KubeletConfiguration":
        raise OperatorError(f"{path} is not a KubeletConfiguration")
    version = document.pop("apiVersion", "")
    if version != "kubelet.config.k8s.io/v1beta1":
        raise OperatorError(f"{path}: apiVersion {version!r} is not kubelet.config.k8s.io/v1beta1")
    found = dict(DEFAULTS)
    for field, value in _flat(document).items():
        try:
            if field == "evictionHard":
                found |= settings.eviction(value)
            elif field in FIELDS:
                name, parse = FIELDS[field]
                found[name] = parse(value)
            elif field in INERT or field.split(".")[0] in INERT:
                log.warning("%s: %s has no effect", path, field)
            else:
                raise OperatorError(f"{path}: unknown or unsupported field {field}")
        except (ValueError, TypeError) as error:
            raise OperatorError(f"{path}: {field}: {error}") from error
    return found


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections by dotted path; what is one value stays one. Unset fields are left out."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and path.split(".")[0] in ("authentication", "authorization"):
            found |= _flat(value, f"{path}.")
        elif value not in (None, {}, []):
            found[path] = value
    return found
