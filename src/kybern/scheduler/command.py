"""`kybern scheduler`: flags, leader election, health, and the parts put together."""

from __future__ import annotations

import argparse
import asyncio
import logging

from kybern.client import kubeconfig
from kybern.client.events import EventRecorder
from kybern.client.informer import InformerFactory
from kybern.client.leaderelection import LeaderElector
from kybern.client.rest import Client
from kybern.process.daemon import run_until_signalled
from kybern.process.health import serve_health
from kybern.scheduler import profiles as config
from kybern.scheduler.cache import Cache
from kybern.scheduler.cycle import Scheduler, queue_for
from kybern.scheduler.framework import Handle
from kybern.scheduler.report import Reporter
from kybern.scheduler.watching import Feed, watch_cluster

log = logging.getLogger(__name__)

_LEASE = "kube-scheduler"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags with upstream's names."""
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="how to reach the API server")
    parser.add_argument("--config", default="", metavar="FILE", help="a KubeSchedulerConfiguration (v1)")
    parser.add_argument("--leader-elect", type=_boolean, nargs="?", const=True, default=None, metavar="BOOL",
                        help="work only while holding the lease kube-system/kube-scheduler (default true)")  # fmt: skip
    parser.add_argument("--bind-address", default="0.0.0.0", metavar="IP", help="where to answer health and metrics")
    parser.add_argument("--secure-port", type=int, default=10259, metavar="PORT",
                        help="where to answer /healthz, /livez, /readyz and /metrics; 0: nowhere")  # fmt: skip


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


async def run(args: argparse.Namespace) -> int | None:
    """Run until a signal. Raises OperatorError."""
    configuration = config.load(args.config) if args.config else config.Configuration()
    path = args.kubeconfig or configuration.kubeconfig
    client = kubeconfig.connect(kubeconfig.load(path) if path else kubeconfig.in_cluster(), "kube-scheduler")
    elect = args.leader_elect if args.leader_elect is not None else configuration.leader_elect
    ready: list[str] = ["not started"]
    checks = {"shutdown": lambda: None, "informer-sync": lambda: ready[0] if ready else None}
    health = await serve_health(args.bind_address, args.secure_port, checks) if args.secure_port else None

    async def main() -> None:
        def lead() -> asyncio.Future[None]:
            return asyncio.ensure_future(schedule(client, configuration, ready))

        if elect is False:
            await lead()
        else:
            # A standby is healthy: only a leader that can't read the cluster isn't.
            ready.clear()
            await LeaderElector(client, _LEASE).run(lead)

    try:
        await run_until_signalled(main())
    finally:
        if health:
            await health.close()
        await client.close()
    return None


async def schedule(client: Client, configuration: config.Configuration, not_ready: list[str] | None = None) -> None:
    """Schedule until cancelled. `not_ready` says why not yet and is emptied once the caches are filled."""
    profiles = config.build(configuration, Handle(client))
    queue = queue_for(
        profiles, initial_backoff=configuration.initial_backoff, max_backoff=configuration.max_backoff
    )
    cache = Cache()
    recorders = {name: EventRecorder(client, name) for name in profiles}
    reporter = Reporter(client, recorders)
    informers = InformerFactory(client)
    watch_cluster(informers, Feed(cache, queue, profiles, reporter))
    informers.start()
    try:
        await informers.synced()
        if not_ready:
            not_ready.clear()
        log.info("scheduling for %s: %d nodes, %d pods wait", ", ".join(profiles), len(cache.table), len(queue))
        await Scheduler(profiles, cache, queue, reporter).run()
    finally:
        await informers.stop()
        await reporter.close()
