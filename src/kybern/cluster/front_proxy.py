"""How API servers tell those behind them who asks, and believe others who say so: kubeadm's names of files and people.

Source: Kubernetes documentation, "Configure the Aggregation Layer".
"""

from __future__ import annotations

from pathlib import Path

CA, CLIENT = "front-proxy-ca", "front-proxy-client"
"""The stems of the files below pki; the second is also the client's name."""


def flags(pki: Path) -> list[str]:
    """The API server's."""
    return [
        f"--proxy-client-cert-file={pki}/{CLIENT}.crt",
        f"--proxy-client-key-file={pki}/{CLIENT}.key",
        f"--requestheader-client-ca-file={pki}/{CA}.crt",
        f"--requestheader-allowed-names={CLIENT}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]
