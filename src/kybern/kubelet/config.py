"""What a kubelet was told: flags and a KubeletConfiguration file, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet.paths import Paths

VERSION = "v1.36.0"
"""The version of Kubernetes whose kubelet this one behaves as."""


@dataclass(slots=True)
class Config:
    """Times in seconds."""

    node_name: str
    hostname: str
    paths: Paths
    runtime_endpoint: str = "unix:///run/containerd/containerd.sock"
    kubeconfig: str = ""
    """Empty: no API server, only manifests."""
    bootstrap_kubeconfig: str = ""
    """With what to ask for the certificate in `kubeconfig`, where that can't be used yet."""
    rotate_certificates: bool = False
    rotate_server_certificates: bool = False
    """Whether to listen with a certificate of the cluster's; none is made here then."""
    manifest_path: str = ""
    manifest_url: str = ""
    manifest_url_headers: dict[str, str] = field(default_factory=dict)
    file_check_period: float = 20
    http_check_period: float = 20
    node_ips: tuple[str, ...] = ()
    node_ips_given: bool = False
    """Whether the operator said them; else they are what the machine's routes say."""
    external_cloud: bool = False
    """Whether a cloud controller manager initialises the node and knows its addresses."""
    node_labels: dict[str, str] = field(default_factory=dict)
    node_taints: list[Object] = field(default_factory=list)
    provider_id: str = ""
    register_node: bool = True
    pod_cidr: str = ""
    """Only for a kubelet without an API server: else the node's spec.podCIDR counts."""
    cni_conf_dir: Path | None = None
    """Where to write the CNI configuration; None leaves that to another network provider."""
    cni_mtu: int = 0
    """Bytes in a packet of a pod; 0 leaves that to the kernel. Only with `cni_conf_dir`."""
    non_masquerade_cidrs: tuple[str, ...] = ("10.0.0.0/8",)
    """Where pods are known by their own addresses; only with `cni_conf_dir`."""
    max_pods: int = 110
    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"
    address: str = "0.0.0.0"
    port: int = 10250
    healthz_address: str = "127.0.0.1"
    healthz_port: int = 10248
    cert_dir: Path = Path("/var/lib/kubelet/pki")
    tls_cert_file: str = ""
    tls_key_file: str = ""
    client_ca_file: str = ""
    anonymous_auth: bool = True
    token_webhook: bool = False
    authorization_mode: str = "AlwaysAllow"
    status_period: float = 10
    report_period: float = 300
    lease_seconds: int = 40
    sync_period: float = 60
    cgroup_root: str = ""
    cgroups_per_qos: bool = True
    container_log_max_size: int = 10 << 20
    container_log_max_files: int = 5
    system_reserved: dict[str, str] = field(default_factory=dict)
    kube_reserved: dict[str, str] = field(default_factory=dict)
    eviction_memory: str = "100Mi"
    eviction_disk: float = 0.10
    seccomp_default: bool = False
    serialize_image_pulls: bool = True
    enable_debugging: bool = True
    """Whether logs, exec, attach and port-forward are served."""
    flags: dict[str, str] = field(default_factory=dict)
    """As they were given, for /flagz."""

    @property
    def seccomp_root(self) -> Path:
        return self.paths.root / "seccomp"
