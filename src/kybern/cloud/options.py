"""What the operator may set, under upstream's flag names and with its defaults. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from kybern.cloud.provider import Provider


@dataclass(slots=True)
class Options:
    """The cloud controller manager's configuration, with the cloud itself."""

    cloud: Provider
    cluster_name: str = "kubernetes"
    cluster_cidrs: tuple[str, ...] = ()
    allocate_node_cidrs: bool = False
    configure_cloud_routes: bool = True
    node_monitor_period: float = 5.0
    node_status_update_frequency: float = 300.0
    route_reconciliation_period: float = 10.0
    workers: dict[str, int] = field(default_factory=dict)
    """Controller name -> --concurrent-*-syncs."""
