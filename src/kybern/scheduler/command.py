"""`kybern scheduler`: flags, leader election, health, and the parts put together."""

from __future__ import annotations

import argparse
import logging
from functools import partial

from kybern.client import kubeconfig
from kybern.client.events import EventRecorder
from kybern.client.informer import InformerFactory
from kybern.client.leaderelection import LeaderElector, LeadershipLost
from kybern.client.rest import Client
from kybern.process import features
from kybern.process.daemon import OperatorError, run_until_signalled
from kybern.process.flags import boolean, duration, port, server_tls
from kybern.process.health import serve_health
from kybern.scheduler import profiles as config
from kybern.scheduler.cache import Cache
from kybern.scheduler.cycle import Scheduler, queue_for
from kybern.scheduler.framework import Handle
from kybern.scheduler.report import Reporter
from kybern.scheduler.watching import Feed, watch_cluster

log = logging.getLogger(__name__)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Flags with upstream's names."""
    add = parser.add_argument
    add("--kubeconfig", default="", metavar="FILE",
        help="how to reach the API server; inside a pod, its service account")  # fmt: skip
    add("--config", default="", metavar="FILE", help="a KubeSchedulerConfiguration (v1)")
    features.add_flag(parser)
    add("--bind-address", default="0.0.0.0", metavar="IP", help="where to answer health and metrics")
    add("--secure-port", type=port, default=10259, metavar="PORT",
        help="where to answer /healthz, /livez, /readyz and /metrics; 0: nowhere")  # fmt: skip
    add("--tls-cert-file", metavar="FILE", help="answer them over TLS with this certificate")
    add("--tls-private-key-file", metavar="FILE", help="its key")
    add("--leader-elect", type=boolean, nargs="?", const=True, metavar="BOOL",
        help="work only while holding the lease (default true)")  # fmt: skip
    lease = partial(add, default=None)
    lease("--leader-elect-resource-name", dest="name", metavar="NAME", help="the lease (kube-scheduler)")
    lease("--leader-elect-resource-namespace", dest="namespace", metavar="NAME", help="its namespace (kube-system)")
    lease = partial(lease, type=duration, metavar="DURATION")
    lease("--leader-elect-lease-duration", dest="lease_duration", help="how long a dead leader keeps others out (15s)")
    lease("--leader-elect-renew-deadline", dest="renew_deadline", help="how long to go on unable to renew it (10s)")
    lease("--leader-elect-retry-period", dest="retry_period", help="how long to wait between attempts (2s)")


_LEASE_FLAGS = ("name", "namespace", "lease_duration", "renew_deadline", "retry_period")


async def run(args: argparse.Namespace) -> int | None:
    """Run until a signal. Raises OperatorError."""
    features.start(args.feature_gates)
    configuration = config.load(args.config) if args.config else config.Configuration()
    # A mistake in it should show at once, not when this one comes to lead.
    config.build(configuration, Handle())
    path = args.kubeconfig or configuration.kubeconfig
    client = kubeconfig.connect(kubeconfig.load(path) if path else kubeconfig.in_cluster(), "kube-scheduler")
    elect = args.leader_elect if args.leader_elect is not None else configuration.leader_elect
    not_ready: list[str] = []
    health = None

    async def lead() -> None:
        not_ready.append("the caches are not filled")
        await schedule(client, configuration, not_ready)

    try:
        if args.secure_port:
            # A standby is well: only a leader that can't read the cluster isn't.
            checks = {"shutdown": lambda: None, "informer-sync": lambda: not_ready[0] if not_ready else None}
            tls = server_tls(args.tls_cert_file, args.tls_private_key_file, args.bind_address)
            health = await serve_health(args.bind_address, args.secure_port, checks, tls)
        if elect is False:
            await run_until_signalled(lead())
        else:
            given = {name: getattr(args, name) for name in _LEASE_FLAGS if getattr(args, name) is not None}
            await run_until_signalled(LeaderElector(client, **{**configuration.lease, **given}).run(lead))
    except LeadershipLost as error:
        raise OperatorError(f"{error}: another scheduler leads, or the API server was out of reach") from error
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
