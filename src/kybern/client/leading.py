"""What the managers have in common as processes: a health port, and work done only while leading."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable

from kybern.client.leaderelection import LeaderElector, LeadershipLost
from kybern.client.rest import Client
from kybern.process.daemon import OperatorError, run_until_signalled
from kybern.process.flags import boolean, duration, server_tls
from kybern.process.flags import port as port_number
from kybern.process.health import Check, serve_health


def add_flags(parser: argparse.ArgumentParser, *, component: str, port: int) -> None:
    """`component` is the lease's name; `port` where health is told by default."""
    add = parser.add_argument
    add("--bind-address", default="127.0.0.1", help="where /healthz, /readyz and /metrics answer")
    add("--secure-port", type=port_number, default=port, help="their port; 0 for none")
    add("--tls-cert-file", metavar="FILE", help="serve them over TLS (default, but on loopback: its own)")
    add("--tls-private-key-file", metavar="FILE")
    switch(parser, "--leader-elect", True, "work only while holding the lease")
    add("--leader-elect-lease-duration", type=duration, default=15.0)
    add("--leader-elect-renew-deadline", type=duration, default=10.0)
    add("--leader-elect-retry-period", type=duration, default=2.0)
    add("--leader-elect-resource-name", default=component)
    add("--leader-elect-resource-namespace", default="kube-system")


def switch(parser: argparse.ArgumentParser, name: str, default: bool, text: str) -> None:
    """A flag that is true when given without a value, as in Go."""
    parser.add_argument(name, type=boolean, nargs="?", const=True, default=default, metavar="BOOL", help=text)


async def run(args: argparse.Namespace, client: Client, work: Callable[[], Awaitable[None]], check: Check) -> None:
    """Do `work` until a signal, while leading if asked to; `check` says what it still waits for. Raises
    OperatorError."""
    health = None
    if args.secure_port:
        tls = server_tls(args.tls_cert_file, args.tls_private_key_file, args.bind_address)
        # A replica that waits for the lease is well, and ready to take over.
        checks = {} if args.leader_elect else {"informers": check}
        health = await serve_health(args.bind_address, args.secure_port, checks, tls)
    try:
        await run_until_signalled(_lead(args, client, work))
    except LeadershipLost as error:
        raise OperatorError(f"{error}: another replica leads, or the API server was out of reach") from error
    finally:
        if health:
            await health.close()


async def _lead(args: argparse.Namespace, client: Client, work: Callable[[], Awaitable[None]]) -> None:
    if not args.leader_elect:
        await work()
        return
    elector = LeaderElector(
        client,
        args.leader_elect_resource_name,
        namespace=args.leader_elect_resource_namespace,
        lease_duration=args.leader_elect_lease_duration,
        renew_deadline=args.leader_elect_renew_deadline,
        retry_period=args.leader_elect_retry_period,
    )
    await elector.run(work)
