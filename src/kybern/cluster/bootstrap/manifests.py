"""Static pods of a control plane: settings in, manifests out. The kubelet runs what lies in its manifest directory.

Names, labels and probes are kubeadm's; the programs are kybern's own, and etcd, all in one image.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from kybern.api.types import Object
from kybern.cluster import audit_policy, front_proxy, images
from kybern.cluster.layout import Layout, Settings, write_private

CLIENT_PORT, PEER_PORT, ETCD_METRICS_PORT = 2379, 2380, 2381
CONTROLLERS_PORT, SCHEDULER_PORT, CLOUD_PORT = 10257, 10259, 10258
ETCD_URLS = "kubeadm.kubernetes.io/etcd.advertise-client-urls"
_SERVER_ADDRESS = "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint"
# As the supervisor sets them: most of a process is one thread, and memory counts.
ENVIRONMENT = [
    {"name": name, "value": value}
    for name, value in (("MALLOC_ARENA_MAX", "2"), ("PYTHONUNBUFFERED", "1"), ("OPENBLAS_NUM_THREADS", "1"))
]


def write(layout: Layout, manifests: Sequence[Object]) -> None:
    """A file each, for the kubelet to find."""
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        write_private(layout.manifests / f"{name}.yaml", yaml.safe_dump(manifest, sort_keys=False).encode())


def make_data_directory(layout: Layout) -> None:
    """Etcd's, for nobody else to read."""
    (layout.root / "etcd").mkdir(mode=0o700, exist_ok=True)


def control_plane(layout: Layout, settings: Settings, signing_duration: str) -> list[Object]:
    """API server, controller manager and scheduler."""
    return [
        apiserver(layout, settings),
        controller_manager(layout, settings, signing_duration),
        scheduler(layout, settings),
    ]


def etcd(layout: Layout, settings: Settings, joining: Sequence[str] = ()) -> Object:
    """The member of etcd. `joining`: the flags with which it joins others; without, it founds a cluster."""
    pki, ip, data = layout.pki / "etcd", settings.node_ip, layout.root / "etcd"
    client, peer = f"https://{ip}:{CLIENT_PORT}", f"https://{ip}:{PEER_PORT}"
    founding = (
        f"--name={settings.node_name}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={settings.node_name}={peer}",
    )
    flags = [
        *(joining or founding),
        f"--data-dir={data}",
        f"--listen-client-urls=https://127.0.0.1:{CLIENT_PORT},{client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--listen-metrics-urls=http://127.0.0.1:{ETCD_METRICS_PORT}",
        f"--trusted-ca-file={pki}/ca.crt",
        f"--cert-file={pki}/server.crt",
        f"--key-file={pki}/server.key",
        "--client-cert-auth=true",
        f"--peer-trusted-ca-file={pki}/ca.crt",
        f"--peer-cert-file={pki}/peer.crt",
        f"--peer-key-file={pki}/peer.key",
        "--peer-client-cert-auth=true",
        "--snapshot-count=10000",
        "--logger=zap",
        "--log-level=warn",
    ]
    # Reads of this one member only: without the others it is alive all the same.
    health = _http("/health?exclude=NOSPACE&serializable=true", ETCD_METRICS_PORT, scheme="HTTP")
    made = _pod(
        "etcd",
        ["etcd", *flags],
        {"etcd-certs": pki},
        {"cpu": "100m", "memory": "100Mi"},
        {"livenessProbe": _probe(health, 8, 10), "startupProbe": _startup(health)},
    )
    made["metadata"]["annotations"] = {ETCD_URLS: client}
    _add_path(made, "etcd-data", data, "Directory", writable=True)
    return made


def apiserver(layout: Layout, settings: Settings) -> Object:
    pki, domain = layout.pki, settings.cluster_domain
    flags = [
        f"--advertise-address={settings.node_ip}",
        f"--secure-port={settings.secure_port}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--etcd-servers=https://127.0.0.1:{CLIENT_PORT}",
        f"--etcd-cafile={pki}/etcd/ca.crt",
        f"--etcd-certfile={pki}/apiserver-etcd-client.crt",
        f"--etcd-keyfile={pki}/apiserver-etcd-client.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{domain}",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-cluster-ip-range={settings.service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth=true",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        *front_proxy.flags(pki),
        *audit_policy.flags(layout),
    ]
    host, port = settings.node_ip, settings.secure_port
    live, ready = _http("/livez", port, host), _http("/readyz", port, host)
    probes = {
        "livenessProbe": _probe(live, 8, 10),
        "readinessProbe": _probe(ready, 3, 1),
        "startupProbe": _startup(live),
    }
    made = _pod("kube-apiserver", _kybern("apiserver", *flags), {"k8s-certs": pki}, {"cpu": "250m"}, probes)
    _add_path(made, "audit-policy", audit_policy.path(layout), "File")
    _add_path(made, "audit-log", layout.logs, "DirectoryOrCreate", writable=True)
    made["metadata"]["annotations"] = {_SERVER_ADDRESS: f"{host}:{port}"}
    return made


def controller_manager(layout: Layout, settings: Settings, signing_duration: str) -> Object:
    """`signing_duration`: how long certificates are good for that it signs, as Go writes durations."""
    pki = layout.pki
    flags = [
        *_component(layout, "controller-manager"),
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={settings.cluster_cidr}",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        f"--cluster-signing-duration={signing_duration}",
        "--controllers=*,bootstrapsigner,tokencleaner",
    ]
    return _local(layout, "controller-manager", flags, CONTROLLERS_PORT, "200m")


def scheduler(layout: Layout, settings: Settings) -> Object:
    return _local(layout, "scheduler", _component(layout, "scheduler"), SCHEDULER_PORT, "100m")


def cloud_controller_manager(layout: Layout, settings: Settings, provider: str, config: str) -> Object:
    """`config` is the provider's file, which the operator wrote; it may be empty."""
    flags = [
        *_component(layout, "cloud-controller-manager"),
        f"--cloud-provider={provider}",
        f"--cluster-cidr={settings.cluster_cidr}",
        *([f"--cloud-config={config}"] if config else []),
    ]
    made = _local(layout, "cloud-controller-manager", flags, CLOUD_PORT, "100m", prefix="")
    if config:
        _add_path(made, "cloud-config", Path(config), "File")
    made["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    return made


def _component(layout: Layout, user: str) -> list[str]:
    """What those have in common that use the API and of which one acts."""
    served = [f"--tls-cert-file={layout.pki}/{user}.crt", f"--tls-private-key-file={layout.pki}/{user}.key"]
    return [f"--kubeconfig={layout.kubeconfig(user)}", "--leader-elect=true", "--bind-address=127.0.0.1", *served]


def _local(layout: Layout, user: str, flags: list[str], port: int, cpu: str, prefix: str = "kube-") -> Object:
    """One that answers for its health on the node's own 127.0.0.1."""
    health = _http("/healthz", port)
    probes = {"livenessProbe": _probe(health, 8, 10), "startupProbe": _startup(health)}
    made = _pod(f"{prefix}{user}", _kybern(user, *flags), {"k8s-certs": layout.pki}, {"cpu": cpu}, probes)
    _add_path(made, "kubeconfig", layout.kubeconfig(user), "File")
    return made


# Parts


def _kybern(command: str, *flags: str) -> list[str]:
    return ["python3", "-m", "kybern", command, *flags]


def _http(path: str, port: int, host: str = "127.0.0.1", scheme: str = "HTTPS") -> Object:
    return {"httpGet": {"host": host, "path": path, "port": port, "scheme": scheme}}


def _probe(action: Object, failures: int, period: int) -> Object:
    return {**action, "failureThreshold": failures, "periodSeconds": period, "timeoutSeconds": 15}


def _startup(action: Object) -> Object:
    """Four minutes, looked at each second, so that what is up soon is known to be."""
    return _probe(action, 240, 1)


def _pod(
    name: str, command: list[str], paths: dict[str, Path], requests: dict[str, str], probes: dict[str, Any]
) -> Object:
    container = {
        "name": name,
        "image": images.KYBERN,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": ENVIRONMENT,
        "resources": {"requests": requests},
        "volumeMounts": [],
        **probes,
    }
    labels = {"component": name, "tier": "control-plane"}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels},
        "spec": {
            "hostNetwork": True,
            "priority": 2000001000,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [],
        },
    }
    for volume, path in paths.items():
        _add_path(made, volume, path, "Directory")
    return made


def _add_path(pod: Object, name: str, path: Path, kind: str, *, writable: bool = False) -> None:
    """Mount a path of the node where it is there, for reading unless it is `writable`."""
    pod["spec"]["volumes"].append({"name": name, "hostPath": {"path": str(path), "type": kind}})
    _mounts(pod).append({"name": name, "mountPath": str(path), **({} if writable else {"readOnly": True})})


def _mounts(pod: Object) -> list[Object]:
    found: list[Object] = pod["spec"]["containers"][0]["volumeMounts"]
    return found
