"""/pods, /runningpods and /configz: what the kubelet was told, what runs, and how it is configured."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.kubelet.config import Config
from kybern.kubelet.http.served import Served, newest
from kybern.process import features


def pods(kubelet: Served) -> Object:
    """The pods that should be here, with their newest statuses."""
    items = []
    for pod in kubelet.pods.all():
        worker = kubelet.pods.workers.get(pod["metadata"]["uid"])
        items.append(newest(worker) if worker else pod)
    return _list(items)


def running_pods(kubelet: Served) -> Object:
    """The pods the runtime has something running of, with no more than it knows."""
    items = []
    for state in kubelet.host.cache.pods.values():
        if containers := [{"name": c.name, "image": c.image, "resources": {}} for c in state.running]:
            metadata = {"name": state.name, "namespace": state.namespace, "uid": state.uid}
            items.append({"metadata": metadata, "spec": {"containers": containers}, "status": {}})
    return _list(items)


def _list(items: list[Object]) -> Object:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def configuration(config: Config) -> Object:
    """The KubeletConfiguration in force, in upstream's field names."""
    x509 = {"clientCAFile": config.client_ca_file} if config.client_ca_file else {}
    return {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "enableServer": True,
        "staticPodPath": config.manifest_path,
        "staticPodURL": config.manifest_url,
        "fileCheckFrequency": _seconds(config.file_check_period),
        "httpCheckFrequency": _seconds(config.http_check_period),
        "syncFrequency": _seconds(config.sync_period),
        "address": config.address,
        "port": config.port,
        "tlsCertFile": config.tls_cert_file,
        "tlsPrivateKeyFile": config.tls_key_file,
        "authentication": {
            "x509": x509,
            "webhook": {"enabled": config.token_webhook, "cacheTTL": "2m0s"},
            "anonymous": {"enabled": config.anonymous_auth},
        },
        "authorization": {
            "mode": config.authorization_mode,
            "webhook": {"cacheAuthorizedTTL": "5m0s", "cacheUnauthorizedTTL": "30s"},
        },
        "healthzPort": config.healthz_port,
        "healthzBindAddress": config.healthz_address,
        "clusterDomain": config.cluster_domain,
        "clusterDNS": list(config.cluster_dns),
        "nodeStatusUpdateFrequency": _seconds(config.status_period),
        "nodeStatusReportFrequency": _seconds(config.report_period),
        "nodeLeaseDurationSeconds": config.lease_seconds,
        "cgroupRoot": config.cgroup_root,
        "cgroupsPerQOS": config.cgroups_per_qos,
        "cgroupDriver": "cgroupfs",
        "maxPods": config.max_pods,
        "podCIDR": config.pod_cidr,
        "resolvConf": config.resolv_conf,
        "serializeImagePulls": config.serialize_image_pulls,
        "evictionHard": {
            "memory.available": config.eviction_memory,
            "nodefs.available": f"{config.eviction_disk * 100:g}%",
        },
        "containerLogMaxSize": str(config.container_log_max_size),
        "containerLogMaxFiles": config.container_log_max_files,
        "systemReserved": config.system_reserved,
        "kubeReserved": config.kube_reserved,
        "enableDebuggingHandlers": config.enable_debugging,
        "enableSystemLogHandler": False,
        "featureGates": features.changed(),
        "seccompDefault": config.seccomp_default,
        "registerWithTaints": config.node_taints,
        "registerNode": config.register_node,
        "containerRuntimeEndpoint": config.runtime_endpoint,
        "providerID": config.provider_id,
    }


def _seconds(seconds: float) -> str:
    """As upstream prints durations: `20s`, `1m0s`, `5m0s`."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:g}m{rest:g}s" if minutes else f"{rest:g}s"
