"""A control plane's member of etcd: Debian's etcd, reachable only with certificates of etcd's own CA.

Source: etcd's "Configuration options" and "Transport security model".
"""

from __future__ import annotations

import shutil
from pathlib import Path

from kybern.cluster.layout import Layout, Settings
from kybern.process.daemon import OperatorError

CLIENT_PORT, PEER_PORT = 2379, 2380


def command(layout: Layout, settings: Settings) -> tuple[str, ...]:
    """The member's command line. Members are named after their addresses. Raises OperatorError."""
    etcd = shutil.which("etcd")
    if not etcd:
        raise OperatorError("etcd is not installed; run `apt-get install etcd-server` (or `make install`)")
    pki, ip = layout.pki / "etcd", settings.node_ip
    client, peer = f"https://{ip}:{CLIENT_PORT}", f"https://{ip}:{PEER_PORT}"
    members = ",".join(f"{name(member)}=https://{member}:{PEER_PORT}" for member in settings.etcd)
    return (
        etcd,
        f"--name={name(ip)}",
        f"--data-dir={layout.root}/etcd",
        f"--listen-client-urls={client},https://127.0.0.1:{CLIENT_PORT}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster={members}",
        f"--initial-cluster-state={'existing' if joins(layout).exists() else 'new'}",
        "--initial-cluster-token=kybern",
        f"--trusted-ca-file={pki}/ca.crt",
        f"--cert-file={pki}/server.crt",
        f"--key-file={pki}/server.key",
        "--client-cert-auth=true",
        f"--peer-trusted-ca-file={pki}/ca.crt",
        f"--peer-cert-file={pki}/server.crt",
        f"--peer-key-file={pki}/server.key",
        "--peer-client-cert-auth=true",
        "--logger=zap",
        "--log-level=warn",
    )


def client_flags(layout: Layout, settings: Settings) -> list[str]:
    """How an API server reaches etcd; nothing where it keeps its own store. The member beside it comes first."""
    if not settings.etcd:
        return []
    pki = layout.pki / "etcd"
    ordered = sorted(settings.etcd, key=lambda ip: (ip != settings.node_ip, ip))
    return [
        f"--etcd-servers={','.join(f'https://{ip}:{CLIENT_PORT}' for ip in ordered)}",
        f"--etcd-cafile={pki}/ca.crt",
        f"--etcd-certfile={pki}/client.crt",
        f"--etcd-keyfile={pki}/client.key",
    ]


def joins(layout: Layout) -> Path:
    """There if the member was made anew: without data it joins the others, and founds no cluster of its own."""
    return layout.root / "etcd.joins"


def name(ip: str) -> str:
    """The member's name."""
    return f"member-{ip.replace('.', '-')}"
