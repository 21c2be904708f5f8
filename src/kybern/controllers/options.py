"""What the operator may set, under upstream's flag names and with its defaults. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Options:
    """The controller manager's configuration."""

    cluster_cidr: str = ""
    allocate_node_cidrs: bool = False
    node_cidr_mask_size: int = 24
    node_cidr_mask_size_ipv6: int = 64
    root_ca: str = ""
    """PEM text of --root-ca-file; empty publishes nothing."""
    service_account_key: str = ""
    """PEM text of --service-account-private-key-file; empty makes no legacy tokens."""
    legacy_token_clean_up_period: float = 365 * 86400.0
    """--legacy-service-account-token-clean-up-period."""
    cluster_signing: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Signer -> files of its CA's certificate and key (--cluster-signing-cert-file and kin)."""
    cluster_signing_duration: float = 365 * 86400.0
    node_monitor_period: float = 5.0
    node_monitor_grace_period: float = 50.0
    node_startup_grace_period: float = 60.0
    node_eviction_rate: float = 0.1
    secondary_node_eviction_rate: float = 0.01
    unhealthy_zone_threshold: float = 0.55
    large_cluster_size_threshold: int = 50
    terminated_pod_gc_threshold: int = 12500
    max_endpoints_per_slice: int = 100
    resource_quota_sync_period: float = 300.0
    workers: dict[str, int] = field(default_factory=dict)
    """Controller name -> --concurrent-*-syncs."""
