"""`kybern apiserver`: puts the server together from its flags, and runs it until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import os
import ssl
from contextlib import AsyncExitStack

from kybern.api import gated_fields
from kybern.api.schema import SchemaUnavailable
from kybern.api.scheme import builtin
from kybern.apiserver import (
    egress,
    flags,
    flags_audit,
    flags_auth,
    flags_edge,
    flags_tls,
    health,
    runtime_config,
    selfmade,
)
from kybern.apiserver.admission import order
from kybern.apiserver.app import App
from kybern.apiserver.authn.authorities import verified_chain
from kybern.apiserver.gates import DEFAULT_ISSUER, GateOptions, Gates
from kybern.apiserver.kubelets import ADDRESS_TYPES, Kubelets
from kybern.apiserver.registry import Registry
from kybern.apiserver.server import Server
from kybern.apiserver.tls import ListenerTLS
from kybern.apiserver.tracing import RequestTracing
from kybern.process import features, tracing
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError, reason, run_until_signalled
from kybern.process.zpages import ZPages, flags_of
from kybern.store.base import StoreUnavailable
from kybern.store.encryption_store import EncryptedStore
from kybern.store.opening import PREFIX, open_store

log = logging.getLogger(__name__)

_PAGES = ("/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version")

GATES = frozenset((
    "APIResponseCompression", "ClearingNominatedNodeNameAfterBinding", "ClusterTrustBundle", "ComponentFlagz",
    "ComponentStatusz", "DRADeviceTaintRules", "DRAResourcePoolStatus", "HPAScaleToZero",
    "InPlacePodVerticalScalingInitContainers", "MatchLabelKeysInPodTopologySpreadSelectorMerge",
    "MutablePVNodeAffinity", "RestartAllContainersOnContainerExits",
    "StorageVersionHash", "UserNamespacesHostNetworkSupport", "WatchList", *order.GATED.values(),
    *gated_fields.gates(),
))  # fmt: skip
"""The feature gates that are heeded here."""

add_flags = flags.add_flags


async def run(args: argparse.Namespace) -> int | None:
    """Serve until signalled. Raises OperatorError."""
    flags.check(args)
    features.start(args.feature_gates, GATES)
    try:
        await run_until_signalled(serve(args))
    except SchemaUnavailable as error:
        raise OperatorError(str(error)) from error
    return 0


async def serve(args: argparse.Namespace) -> None:
    """Open the store, bring the server up, and serve until cancelled. Raises OperatorError."""
    _make_data_dir(args)
    address = flags.advertised(args)
    certificate, key = args.tls_cert_file, args.tls_private_key_file
    if certificate is None:
        certificate, key = selfmade.serving_certificate(args.data_dir, [address])
    secured = ListenerTLS(flags_tls.files(args, certificate, key))
    store = await _open(args)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        scheme = runtime_config.apply(builtin(), dict(args.runtime_config))
        registry = Registry(scheme, store, outdated=store.outdated)
        stack.push_async_callback(registry.close)
        app = App(registry)
        health.add_routes(app)
        health.add_zpages(app, ZPages("kube-apiserver", flags_of(args), _PAGES))
        app.checks |= {"etcd": store.problem, "etcd-readiness": store.problem}
        app.live_until = monotonic() + flags.seconds("--livez-grace-period", args.livez_grace_period)
        if args.encryption_provider_config:
            from kybern.apiserver.encryption import Encryption

            encryption = Encryption(args.encryption_provider_config, registry.scheme, store)
            stack.push_async_callback(encryption.close)
            await encryption.start()
            app.checks |= encryption.checks(reload=args.encryption_provider_config_automatic_reload)
        for kind in registry.scheme:
            if kind.time_to_live:
                kind.time_to_live = max(1, int(flags.seconds("--event-ttl", args.event_ttl)))
        app.services["kubelet"] = _kubelets(args)
        app.audit = flags_audit.audit(args)
        if app.audit is not None:
            stack.push_async_callback(app.audit.close)
        gates = Gates(app, gate_options(args, address))
        stack.push_async_callback(gates.stop)
        if args.tracing_config_file:
            traced = tracing.Tracing.configured(tracing.load(args.tracing_config_file), "apiserver")
            stack.push_async_callback(asyncio.to_thread, traced.close)
            app.tracing = RequestTracing(app, traced)
        app.edge = flags_edge.edge(args)
        flags_edge.apply(args)
        server = Server(app)
        server.shares_port = args.permit_port_sharing
        app.checks["shutdown"] = lambda: "the process is shutting down" if server.ending else ""
        app.watch_seconds = args.min_request_timeout
        if args.requestheader_client_ca_file is not None:
            server.chain_of = verified_chain
        await _listen(server, args, secured.context)
        secured.on_change(gates.authentication.reload_authorities)
        secured.start()
        stack.push_async_callback(secured.stop)
        stack.push_async_callback(server.close, args.shutdown_grace)
        if args.shutdown_send_retry_after:
            stack.push_async_callback(server.turn_away, flags.seconds("--request-timeout", args.request_timeout))
        delay = flags.seconds("--shutdown-delay-duration", args.shutdown_delay_duration)
        stack.push_async_callback(server.linger, delay)
        log.info("serving on https://%s:%d, %d kinds", address, args.secure_port, len(list(registry.scheme)))
        await gates.start()
        log.info("ready")
        await asyncio.get_running_loop().create_future()


def _make_data_dir(args: argparse.Namespace) -> None:
    try:
        os.makedirs(args.data_dir, mode=0o700, exist_ok=True)
        if not os.access(args.data_dir, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OperatorError(f"--data-dir {args.data_dir}: {error.strerror}; choose a directory that is ours") from error


async def _open(args: argparse.Namespace) -> EncryptedStore:
    try:
        store = await open_store(
            ",".join(args.etcd_servers) or str(args.data_dir / "store.db"),
            authority=args.etcd_cafile,
            certificate=args.etcd_certfile,
            key=args.etcd_keyfile,
            prefix=args.etcd_prefix,
            compaction_interval=flags.seconds("--etcd-compaction-interval", args.etcd_compaction_interval),
        )
    except StoreUnavailable as error:
        raise OperatorError(str(error)) from error
    return EncryptedStore(store, prefix=args.etcd_prefix if args.etcd_servers else PREFIX)


async def _listen(server: Server, args: argparse.Namespace, context: ssl.SSLContext) -> None:
    where = f"{args.bind_address}:{args.secure_port}"
    try:
        await server.start(args.bind_address, args.secure_port, context)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OperatorError(f"{where} is taken; stop what listens there or choose another --secure-port") from error
        raise OperatorError(f"can't listen on {where}: {reason(error)}; see --bind-address") from error


def _kubelets(args: argparse.Namespace) -> Kubelets:
    try:
        return Kubelets.made(
            certificate=args.kubelet_client_certificate,
            key=args.kubelet_client_key,
            authority=args.kubelet_certificate_authority,
            address_types=args.kubelet_preferred_address_types or ADDRESS_TYPES,
        )
    except OSError as error:
        raise OperatorError(
            f"--kubelet-client-certificate, --kubelet-client-key, --kubelet-certificate-authority: {error}"
        ) from error


def gate_options(args: argparse.Namespace, address: str) -> GateOptions:
    """The flags that the gates look at."""
    endpoint = args.service_account_signing_endpoint
    signing = args.service_account_signing_key_file or (None if endpoint else selfmade.signing_key(args.data_dir))
    longest = flags.seconds("--service-account-max-token-expiration", args.service_account_max_token_expiration)
    return GateOptions(
        authorization=flags_auth.authz_options(args),
        authentication=flags_auth.authn_options(args),
        shared_store=bool(args.etcd_servers),
        endpoint_reconciler_type=args.endpoint_reconciler_type,
        service_account_issuers=args.service_account_issuer or (DEFAULT_ISSUER,),
        api_audiences=args.api_audiences,
        service_account_signing_endpoint=endpoint,
        egress=egress.load(args.egress_selector_config_file) if args.egress_selector_config_file else egress.Ways(),
        service_account_key_files=args.service_account_key_file or ((signing,) if signing else ()),
        service_account_signing_key_file=signing,
        service_account_max_token_expiration=int(longest),
        service_account_extend_token_expiration=args.service_account_extend_token_expiration,
        service_account_jwks_uri=args.service_account_jwks_uri,
        enable_admission_plugins=args.enable_admission_plugins,
        disable_admission_plugins=args.disable_admission_plugins,
        admission_control_config_file=args.admission_control_config_file,
        enable_aggregator_routing=args.enable_aggregator_routing,
        aggregator_reject_forwarding_redirect=args.aggregator_reject_forwarding_redirect,
        proxy_client_cert_file=args.proxy_client_cert_file,
        proxy_client_key_file=args.proxy_client_key_file,
        default_not_ready_toleration_seconds=args.default_not_ready_toleration_seconds,
        default_unreachable_toleration_seconds=args.default_unreachable_toleration_seconds,
        advertise_address=address,
        secure_port=args.secure_port,
        service_cluster_ip_range=args.service_cluster_ip_range,
        service_node_port_range=args.service_node_port_range,
        enable_priority_and_fairness=args.enable_priority_and_fairness,
        max_requests_inflight=args.max_requests_inflight,
        max_mutating_requests_inflight=args.max_mutating_requests_inflight,
        request_timeout=flags.seconds("--request-timeout", args.request_timeout),
    )
