"""The flags of `kybern apiserver` about what stands before everything else and what users may do, and those of
upstream's that can say only one thing here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kybern.api.core import capabilities
from kybern.apiserver.edge import Edge
from kybern.process.daemon import OperatorError

Add = Callable[..., Any]

_ONLY = {
    "profiling": (("false",), "there is no /debug/pprof; sample the process from outside instead"),
    "contention-profiling": (("false",), "there is no /debug/pprof; sample the process from outside instead"),
    "enable-logs-handler": (("false",), "logs go to standard error"),
    "goaway-chance": (("0",), "clients are served over HTTP/1.1, which has no GOAWAY"),
    "disable-http2-serving": (("true",), "clients are served over HTTP/1.1 anyway"),
    "enable-garbage-collector": (("true",), "dependents are always collected"),
    "watch-cache": (("true",), "reads and watches are always served from memory"),
    "storage-backend": (("etcd3",), "see --etcd-servers"),
    "storage-media-type": (("application/json",), "objects are stored as JSON"),
}
"""Flag -> its possible values, and why."""


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def add_flags(add: Add, boolean: Callable[[str], bool]) -> None:
    """All of them."""
    add("--cors-allowed-origins", type=_list, default=[], metavar="REGEXPS",
        help="origins whose pages may ask this server, like ^https://example.com(:|$)")  # fmt: skip
    add("--strict-transport-security-directives", type=_list, default=[], metavar="DIRECTIVES",
        help="what to tell browsers of HTTPS: max-age=SECONDS, includeSubDomains, preload")  # fmt: skip
    add("--shutdown-send-retry-after", type=boolean, default=False, nargs="?", const=True,
        help="at the end, after --shutdown-delay-duration, have clients come back while requests end")  # fmt: skip
    add("--egress-selector-config-file", type=Path, default=None, metavar="FILE",
        help="EgressSelectorConfiguration that says by which proxies nodes and webhooks are reached")  # fmt: skip
    add("--permit-port-sharing", type=boolean, default=False, nargs="?", const=True,
        help="let others listen on the same port")  # fmt: skip
    add("--endpoint-reconciler-type", choices=("lease", "none"), default="lease",
        help="who keeps the endpoints of the Service kubernetes: this server (lease), or others")  # fmt: skip
    add("--allow-privileged", type=boolean, default=True, nargs="?", const=True,
        help="let containers be privileged")  # fmt: skip
    for flag, (values, why) in _ONLY.items():
        add(f"--{flag}", nargs="?", const="true", default=values[0], metavar="VALUE", help=f"{values[0]}: {why}")


def check(args: argparse.Namespace) -> None:
    """Raises OperatorError for what can't be."""
    edge(args)
    for flag, (values, why) in _ONLY.items():
        if (given := str(getattr(args, flag.replace("-", "_")))) not in values:
            raise OperatorError(f"--{flag}={given} can't be: {why}; leave it away or write {values[0]}")


def edge(args: argparse.Namespace) -> Edge | None:
    """What is to stand before everything else. Raises OperatorError."""
    if not (args.cors_allowed_origins or args.strict_transport_security_directives or args.shutdown_send_retry_after):
        return None
    return Edge(args.cors_allowed_origins, args.strict_transport_security_directives)


def apply(args: argparse.Namespace) -> None:
    """What users may do from now on, in this process."""
    capabilities.allow_privileged = args.allow_privileged
