"""The flags of `kybern apiserver`, by upstream's names, and what they mean together."""

from __future__ import annotations

import argparse
import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kybern.apiserver import flags_audit, flags_auth, flags_edge, flags_tls
from kybern.process import features
from kybern.process.daemon import OperatorError
from kybern.process.flags import port
from kybern.store.flags import add_etcd_flags, check_etcd_flags

Add = Callable[..., Any]


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in _list(text)]
    return [(key.strip(), value.strip()) for key, _, value in parts]


def boolean(text: str) -> bool:
    """`true` or `false`, as Go's flags take them."""
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All of them."""
    add = parser.add_argument
    add("--data-dir", type=Path, default=Path("/var/lib/kybern"), metavar="DIR",
        help="where store.db is without etcd, and the certificate and keys made where none are given")  # fmt: skip
    add("--secure-port", type=port, default=6443, metavar="PORT", help="port to serve HTTPS on")
    add("--bind-address", default="0.0.0.0", metavar="ADDRESS", help="address to listen on")
    add("--advertise-address", default="", metavar="ADDRESS", help="address under which the cluster finds this server")
    add_etcd_flags(parser)
    add("--etcd-compaction-interval", default="5m0s", metavar="DURATION",
        help="how often history in etcd is forgotten; 0 leaves that to others")  # fmt: skip
    flags_audit.add_flags(add)
    _add_encryption_flags(add)
    _add_identity_flags(add)
    flags_auth.add_flags(add)
    _add_policy_flags(add)
    _add_kubelet_flags(add)
    _add_aggregator_flags(add)
    _add_limit_flags(add)
    flags_edge.add_flags(add, boolean)
    add("--runtime-config", type=_pairs, action="extend", default=[], metavar="KEY=BOOL,...",
        help="versions to serve or not, by api/all, api/ga, api/beta, api/alpha, group/version, "
        "group/version/resource (default: the stable ones)")  # fmt: skip
    features.add_flag(parser)
    add("--tracing-config-file", type=Path, default=None, metavar="FILE",
        help="TracingConfiguration that says where spans are sent, and of how many requests")  # fmt: skip
    add("--event-ttl", default="1h0m0s", metavar="DURATION", help="how long events are kept")
    add(
        "--shutdown-grace", type=float, default=5.0, metavar="SECONDS", help="how long running requests may take to end"
    )


def _add_limit_flags(add: Add) -> None:
    add("--enable-priority-and-fairness", type=boolean, default=True, nargs="?", const=True,
        help="share the server by flow schemas and priority levels, not by the two plain limits")  # fmt: skip
    add("--max-requests-inflight", type=int, default=400, metavar="N",
        help="reads served at a time (0 for no limit); with the next one, what priority levels share")  # fmt: skip
    add("--max-mutating-requests-inflight", type=int, default=200, metavar="N",
        help="writes served at a time; 0 for no limit")  # fmt: skip
    add("--request-timeout", default="1m0s", metavar="DURATION", help="how long a request may take that isn't a watch")
    add("--min-request-timeout", type=int, default=1800, metavar="SECONDS",
        help="a watch that names no time ends after this long, or up to twice as long")  # fmt: skip
    add("--livez-grace-period", default="0s", metavar="DURATION",
        help="how long /livez takes for granted that what is still to be done at start will be done")  # fmt: skip
    add("--shutdown-delay-duration", default="0s", metavar="DURATION",
        help="how long to go on serving, while /readyz says that it is over")  # fmt: skip


def _add_encryption_flags(add: Add) -> None:
    add("--encryption-provider-config", type=Path, default=None, metavar="FILE",
        help="EncryptionConfiguration that says what is stored encrypted, and by which keys")  # fmt: skip
    add("--encryption-provider-config-automatic-reload", type=boolean, default=False, nargs="?", const=True,
        help="follow changes of that file without a restart")  # fmt: skip


def _add_identity_flags(add: Add) -> None:
    path = {"type": Path, "default": None, "metavar": "FILE"}
    flags_tls.add_flags(add)
    add("--client-ca-file", **path, help="CA of client certificates")
    add("--token-auth-file", **path, help="CSV file of static tokens: token,user,uid,groups")
    add("--enable-bootstrap-token-auth", type=boolean, default=False, nargs="?", const=True,
        help="let nodes join with the bootstrap tokens that are Secrets in kube-system")  # fmt: skip
    add(
        "--anonymous-auth",
        type=boolean,
        default=None,
        nargs="?",
        const=True,
        help="let requests without credentials in as system:anonymous",
    )
    add("--service-account-key-file", type=Path, action="append", default=[], metavar="FILE",
        help="key that verifies service account tokens; repeatable")  # fmt: skip
    add("--service-account-signing-key-file", **path, help="key that signs service account tokens; self-made if absent")
    add("--service-account-signing-endpoint", default="", metavar="SOCKET",
        help="socket of a signer of service account tokens (KEP-740), in place of key files")  # fmt: skip
    add("--service-account-issuer", action="append", default=[], metavar="URL",
        help="issuer of service account tokens; the first is put into them, all are accepted")  # fmt: skip
    add("--service-account-max-token-expiration", default="0s", metavar="DURATION", help="longest life of a token")
    add("--service-account-extend-token-expiration", type=boolean, default=True, nargs="?", const=True,
        help="let the tokens of pods live for a year, with a warning after an hour")  # fmt: skip
    add("--service-account-jwks-uri", default="", metavar="URL", help="where others find the keys that verify tokens")
    add("--api-audiences", type=_list, default=[], metavar="NAMES", help="audiences of tokens for this server")


def _add_policy_flags(add: Add) -> None:
    add("--enable-admission-plugins", type=_list, default=[], metavar="NAMES", help="admission plugins to turn on")
    add("--disable-admission-plugins", type=_list, default=[], metavar="NAMES", help="admission plugins to turn off")
    add("--admission-control-config-file", type=Path, default=None, metavar="FILE",
        help="AdmissionConfiguration with the configurations of admission plugins")  # fmt: skip
    for word, what in (("not-ready", "is not ready"), ("unreachable", "does not answer")):
        add(f"--default-{word}-toleration-seconds", type=int, default=300, metavar="SECONDS",
            help=f"how long a pod that doesn't say stays on a node that {what}")  # fmt: skip
    add("--service-cluster-ip-range", default="10.96.0.0/12", metavar="CIDR", help="addresses of services")
    add("--service-node-port-range", default="30000-32767", metavar="A-B", help="ports of NodePort services")


def _add_aggregator_flags(add: Add) -> None:
    path = {"type": Path, "default": None, "metavar": "FILE"}
    add("--proxy-client-cert-file", **path, help="certificate shown to servers behind this one")
    add("--proxy-client-key-file", **path, help="its key")
    add("--aggregator-reject-forwarding-redirect", type=boolean, default=True, nargs="?", const=True,
        help="don't let servers behind this one send clients elsewhere")  # fmt: skip
    add("--enable-aggregator-routing", type=boolean, default=False, nargs="?", const=True,
        help="reach servers behind this one and webhooks at endpoints, not at cluster addresses")  # fmt: skip


def _add_kubelet_flags(add: Add) -> None:
    add("--kubelet-client-certificate", default="", metavar="FILE", help="certificate shown to kubelets")
    add("--kubelet-client-key", default="", metavar="FILE", help="its key")
    add("--kubelet-certificate-authority", default="", metavar="FILE", help="CA of kubelets' serving certificates")
    add(
        "--kubelet-preferred-address-types",
        type=_list,
        default=[],
        metavar="TYPES",
        help="node address types to try, in order",
    )


def advertised(args: argparse.Namespace) -> str:
    """--advertise-address, else the address of the default route, else loopback."""
    if args.advertise_address:
        return str(args.advertise_address)
    if args.bind_address not in ("0.0.0.0", "::", ""):
        return str(args.bind_address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: connecting a datagram socket only looks the route up.
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def check(args: argparse.Namespace) -> None:
    """Raises OperatorError for values that can't be, and where flags don't go together."""
    _check_address("--advertise-address", args.advertise_address)
    _check_ranges("--service-cluster-ip-range", args.service_cluster_ip_range)
    seconds("--event-ttl", args.event_ttl)
    seconds("--service-account-max-token-expiration", args.service_account_max_token_expiration)
    if args.service_account_signing_endpoint:
        given = (args.service_account_signing_key_file, args.service_account_key_file)
        if any(given):
            raise OperatorError(
                "--service-account-signing-endpoint goes with neither --service-account-signing-key-file nor "
                "--service-account-key-file; the signer has the keys"
            )
        if seconds("", args.service_account_max_token_expiration):
            raise OperatorError(
                "--service-account-max-token-expiration can't be set with --service-account-signing-endpoint; the "
                "signer says how long tokens may live"
            )
    if "" in args.service_account_issuer:
        raise OperatorError("--service-account-issuer is empty; write an URL like https://kubernetes.default.svc")
    check_etcd_flags(args)
    _check_limits(args)
    seconds("--etcd-compaction-interval", args.etcd_compaction_interval)
    if bool(args.proxy_client_cert_file) is not bool(args.proxy_client_key_file):
        raise OperatorError("--proxy-client-cert-file and --proxy-client-key-file go together; give both or neither")
    flags_tls.check(args)
    flags_audit.check(args)
    flags_edge.check(args)
    if args.encryption_provider_config_automatic_reload and not args.encryption_provider_config:
        raise OperatorError(
            "--encryption-provider-config-automatic-reload must be set with --encryption-provider-config"
        )


def _check_limits(args: argparse.Namespace) -> None:
    for flag in ("max_requests_inflight", "max_mutating_requests_inflight"):
        if getattr(args, flag) < 0:
            raise OperatorError(f"--{flag.replace('_', '-')} can not be negative value")
    if args.min_request_timeout < 0:
        raise OperatorError("--min-request-timeout can not be negative value")
    seconds("--shutdown-delay-duration", args.shutdown_delay_duration)
    seconds("--livez-grace-period", args.livez_grace_period)
    if seconds("--request-timeout", args.request_timeout) <= 0:
        raise OperatorError("--request-timeout can not be negative value or zero; write it like 1m0s")
    both = args.max_requests_inflight + args.max_mutating_requests_inflight
    if args.enable_priority_and_fairness and not both:
        raise OperatorError(
            "--max-requests-inflight and --max-mutating-requests-inflight can not both be zero when "
            "--enable-priority-and-fairness is set"
        )


def _check_address(flag: str, text: str) -> None:
    try:
        ipaddress.ip_address(text or "0.0.0.0")
    except ValueError as error:
        raise OperatorError(f"{flag}: {error}; write it like 192.0.2.1") from error


def _check_ranges(flag: str, text: str) -> None:
    for part in text.split(","):
        try:
            if "/" not in part:
                raise ValueError(f"{part!r} has no /prefix")
            ipaddress.ip_network(part.strip())
        except ValueError as error:
            raise OperatorError(f"{flag}: {error}; write it like 10.96.0.0/12") from error


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds(flag: str, text: str) -> float:
    """A Go duration such as `1h0m0s`. Raises OperatorError."""
    parts = re.findall(r"([0-9.]+)(ms|h|m|s)", text)
    if text != "0" and "".join(number + unit for number, unit in parts) != text:
        raise OperatorError(f'{flag}: "{text}" is no duration; write it like 1h30m or 45s')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
