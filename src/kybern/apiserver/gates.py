"""Puts the gates into a server: who may come in, what they may do, what is served, and what runs beside that.

gates = Gates(app, GateOptions(...))     # before listening
await gates.start()                      # bootstrap objects, custom kinds; /readyz is red until then
await gates.stop()
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from kybern.api.flowcontrol.bootstrap import GROUP as GROUP_OF_FLOWS
from kybern.apiserver import egress, stages
from kybern.apiserver.admission import config as admission_config
from kybern.apiserver.admission import order
from kybern.apiserver.admission.defaulttolerationseconds import DEFAULT_SECONDS, NOT_READY, UNREACHABLE
from kybern.apiserver.admission.defaulttolerationseconds import SERVICE as TOLERATIONS
from kybern.apiserver.aggregator.aggregator import SERVICES, Aggregator
from kybern.apiserver.app import App
from kybern.apiserver.authn.assembly import Authentication, AuthnOptions
from kybern.apiserver.authz.assembly import Authorization, AuthzOptions
from kybern.apiserver.bootstrap import Bootstrap
from kybern.apiserver.clustertrust import ClusterTrust
from kybern.apiserver.crds import CRDS, CustomKinds
from kybern.apiserver.discovery import Discovery
from kybern.apiserver.egress import Ways
from kybern.apiserver.flowcontrol import debug
from kybern.apiserver.flowcontrol.control import SCHEMAS, FlowControl
from kybern.apiserver.flowcontrol.inflight import Inflight
from kybern.apiserver.presence import Presence
from kybern.apiserver.request import JSON, Request, Response, json_response
from kybern.apiserver.services.running import Services
from kybern.apiserver.tokens import (
    KeySet,
    PrivateKey,
    PublicKey,
    TokenIssuer,
    new_signing_key,
    openid_configuration,
    read_private_key,
    read_public_keys,
)
from kybern.apiserver.webhooks.services import ServiceResolver
from kybern.process.daemon import OperatorError

if TYPE_CHECKING:
    from kybern.apiserver.openapi import OpenAPI
    from kybern.apiserver.signing.external import ExternalSigner

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(slots=True)
class GateOptions:
    """The flags that concern the gates, by upstream's names."""

    authorization: AuthzOptions = field(default_factory=AuthzOptions)
    authentication: AuthnOptions = field(default_factory=AuthnOptions)
    shared_store: bool = False
    """Whether other servers may be on the same store."""
    endpoint_reconciler_type: str = "lease"
    """Or `none`: others see to the endpoints of the Service `kubernetes`."""
    service_account_issuers: Sequence[str] = (DEFAULT_ISSUER,)
    """The first one is put into tokens; all are accepted."""
    api_audiences: Sequence[str] = ()
    """Defaults to the issuers."""
    service_account_key_files: Sequence[Path] = ()
    service_account_signing_key_file: Path | None = None
    service_account_signing_endpoint: str = ""
    """The socket of a signer, in place of the key files."""
    service_account_max_token_expiration: int = 0
    """Seconds; 0 is no limit."""
    service_account_extend_token_expiration: bool = True
    service_account_jwks_uri: str = ""
    egress: Ways = field(default_factory=Ways)
    enable_admission_plugins: Sequence[str] = ()
    disable_admission_plugins: Sequence[str] = ()
    admission_control_config_file: Path | None = None
    enable_aggregator_routing: bool = False
    """Whether Services that APIServices and webhooks name are reached at their endpoints."""
    aggregator_reject_forwarding_redirect: bool = True
    proxy_client_cert_file: Path | None = None
    proxy_client_key_file: Path | None = None
    """Who this server is to servers behind it."""
    default_not_ready_toleration_seconds: int = DEFAULT_SECONDS
    default_unreachable_toleration_seconds: int = DEFAULT_SECONDS
    advertise_address: str = "127.0.0.1"
    secure_port: int = 6443
    service_cluster_ip_range: str = "10.96.0.0/12"
    """One network, or two of different families separated by a comma."""
    service_node_port_range: str = "30000-32767"
    enable_priority_and_fairness: bool = True
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    request_timeout: float = 60.0
    """Seconds a request may take that isn't long-running; a quarter of it a request may wait for its turn."""


class Gates:
    """See the module."""

    def __init__(self, app: App, options: GateOptions) -> None:
        self.app = app
        self.options = options
        self._services = Services(
            app.registry, service_networks(options), node_ports(options), app.telemetry.registry
        )
        app.services[egress.SERVICE], app.pools.through = options.egress, options.egress.cluster
        endpoint = options.service_account_signing_endpoint
        self._signer = _signer(endpoint) if endpoint else None
        self.keys, self.issuer = _keys(options, self._signer)
        if self._signer is not None:
            app.telemetry.registry.register(self._signer.metrics)
        self.authentication = Authentication(
            app, options.authentication, self.keys, options.service_account_issuers, self._audiences()
        )
        app.authenticators += self.authentication.request_authenticators()
        self.authorization = Authorization(app, options.authorization)
        if options.admission_control_config_file:
            app.services[admission_config.SERVICE] = admission_config.load(options.admission_control_config_file)
        own = (options.advertise_address, options.secure_port)
        by_endpoints = options.enable_aggregator_routing
        app.services["resolver"] = ServiceResolver(app.registry, by_endpoints=by_endpoints, own=own)
        app.services[TOLERATIONS] = {
            NOT_READY: options.default_not_ready_toleration_seconds,
            UNREACHABLE: options.default_unreachable_toleration_seconds,
        }
        app.admission = order.chain(app, options.enable_admission_plugins, options.disable_admission_plugins)
        app.services |= {"tokens": self.issuer, "token_authenticator": self.authentication.bearer}
        host = options.advertise_address
        self.address = f"[{host}]:{options.secure_port}" if ":" in host else f"{host}:{options.secure_port}"
        self._route_documents()
        where = (options.advertise_address, options.secure_port)
        lists, shared = options.endpoint_reconciler_type != "none", options.shared_store
        self.bootstrap = Bootstrap(app, *where, first_addresses(options), alone=not shared, lists_itself=lists)
        self._presence = Presence(app.registry, *where) if shared and lists else None
        self._trust = ClusterTrust(
            app.registry, options.authentication.client_ca_file, options.authentication.front_proxy
        )
        self._flows = self._flow_control()
        app.request_timeout = options.request_timeout
        self._aggregator = self._made_aggregator()
        self._custom_kinds = CustomKinds(app) if app.registry.scheme.resource(*CRDS) else None
        self._stages = stages.Stages(app.checks, self._expected())

    async def start(self) -> None:
        """Make the objects every cluster has and begin to serve custom kinds. Raises StoreUnavailable."""
        done = self._stages.done
        if self._signer is not None:
            self.issuer.max_seconds = await self._signer.start()
        await self._services.start()
        await self.app.admission.start()
        done(stages.CACHES, stages.ADMISSION)
        await self.bootstrap.run()
        done(stages.BOOTSTRAP)
        await self._services.keep()
        self.bootstrap.keep()
        done(stages.SERVICES)
        await self._trust.start()
        done(stages.TRUST)
        self.authentication.start()
        self.authorization.start()
        done(stages.TOKENS)
        if self._flows is not None:
            await self._flows.start(self.bootstrap.maintain)
            done(stages.FLOWS)
        if self._presence:
            await self._presence.start()
        if self._custom_kinds:
            await self._custom_kinds.start()
            done(stages.CUSTOM_KINDS)
        if self._aggregator:
            await self._aggregator.start()
            done(stages.AGGREGATION)

    async def stop(self) -> None:
        """End what start began."""
        self.app.admission.close()
        if self._signer is not None:
            await self._signer.close()
        if self._aggregator:
            await self._aggregator.stop()
        self.app.pools.close()
        await self.bootstrap.stop()
        await self._services.stop()
        await self._trust.stop()
        await self.authentication.stop()
        await self.authorization.stop()
        if self._flows is not None:
            await self._flows.stop()
        if self._presence:
            await self._presence.stop()
        if self._custom_kinds:
            await self._custom_kinds.stop()

    def _expected(self) -> Iterator[stages.Stage]:
        """What `start` goes through, in the order in which upstream shows it."""
        yield from (stages.CACHES, stages.ADMISSION)
        if self._flows is not None:
            yield stages.FLOWS
        if self._custom_kinds:
            yield stages.CUSTOM_KINDS
        yield from (stages.BOOTSTRAP, stages.TRUST, stages.TOKENS, stages.SERVICES)
        if self._aggregator:
            yield stages.AGGREGATION

    def _flow_control(self) -> FlowControl | None:
        """API Priority and Fairness, or the plain limit where that is off."""
        app, options = self.app, self.options
        reads, writes = options.max_requests_inflight, options.max_mutating_requests_inflight
        if not options.enable_priority_and_fairness or app.registry.scheme.resource(GROUP_OF_FLOWS, SCHEMAS) is None:
            app.flows = Inflight(app.running, reads, writes)
            return None
        flows = FlowControl(app.registry, concurrency=reads + writes, wait_limit=options.request_timeout / 4)
        app.flows = flows
        debug.add_routes(app, flows)
        return flows

    def _audiences(self) -> tuple[str, ...]:
        return tuple(self.options.api_audiences or self.options.service_account_issuers)

    def _made_aggregator(self) -> Aggregator | None:
        """What passes requests on to servers behind this one, if APIServices are served."""
        if self.app.registry.scheme.resource(*SERVICES) is None:
            return None
        certificate, key = self.options.proxy_client_cert_file, self.options.proxy_client_key_file
        identity = (certificate, key) if certificate and key else None
        made = Aggregator(self.app, identity, redirects=not self.options.aggregator_reject_forwarding_redirect)
        self._discovery.others = made
        return made

    @cached_property
    def _openapi(self) -> OpenAPI:
        from kybern.apiserver.openapi import OpenAPI

        made = OpenAPI(self.app.registry.scheme, self._discovery)
        made.others = self._aggregator
        return made

    def _route_documents(self) -> None:
        app, options = self.app, self.options
        discovery = self._discovery = Discovery(app.registry.scheme, self.address)

        async def discover(_: App, request: Request) -> Response:
            return await discovery.serve(request)

        for path in ("/api", "/api/*", "/apis", "/apis/*"):
            app.route(path, discover)

        async def describe(_: App, request: Request) -> Response:
            return await self._openapi.serve(request)

        for path in ("/openapi/v2", "/openapi/v3", "/openapi/v3/*"):
            app.route(path, describe)
        if not self.issuer.issuer.startswith("https://"):
            # Discovery is for issuers that are URLs.
            return
        jwks_uri = options.service_account_jwks_uri or f"https://{self.address}/openid/v1/jwks"

        async def openid(_: App, request: Request) -> Response:
            configuration = openid_configuration(self.issuer.issuer, jwks_uri, self.keys)
            return json_response(configuration, headers=[("cache-control", "public, max-age=3600")])

        async def key_set(_: App, request: Request) -> Response:
            found = json_response(self.keys.jwks(), headers=[("cache-control", "public, max-age=3600")])
            found.headers = [(k, v.replace(JSON, "application/jwk-set+json")) for k, v in found.headers]
            return found

        app.route("/.well-known/openid-configuration", openid)
        app.route("/openid/v1/jwks", key_set)


def _signer(endpoint: str) -> ExternalSigner:
    from kybern.apiserver.signing.external import ExternalSigner

    return ExternalSigner(endpoint)


def _keys(options: GateOptions, signer: ExternalSigner | None) -> tuple[KeySet, TokenIssuer]:
    """Keys to verify with and to sign with: those of the signer, or of the files; made up where none are named."""
    private: PrivateKey | None = None
    if signer is not None:
        keys: KeySet = signer.keys
    else:
        signing = options.service_account_signing_key_file
        private = read_private_key(signing) if signing else new_signing_key()
        public: list[PublicKey] = [key for path in options.service_account_key_files for key in read_public_keys(path)]
        if not signing or not public:
            public.insert(0, private.public_key())
        keys = KeySet(public)
    issuers = tuple(options.service_account_issuers)
    if not issuers:
        raise OperatorError("--service-account-issuer must be given at least once")
    audiences = tuple(options.api_audiences) or issuers
    issuer = TokenIssuer(
        private,
        issuers[0],
        audiences,
        options.service_account_max_token_expiration,
        options.service_account_extend_token_expiration,
        signer,
    )
    return keys, issuer


def service_networks(options: GateOptions) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """--service-cluster-ip-range as networks, primary first. Raises OperatorError."""
    try:
        return [ipaddress.ip_network(text.strip()) for text in options.service_cluster_ip_range.split(",")]
    except ValueError as error:
        raise OperatorError(f"--service-cluster-ip-range: {error}") from error


def node_ports(options: GateOptions) -> tuple[int, int]:
    """--service-node-port-range as (first, last). Raises OperatorError."""
    first, _, last = options.service_node_port_range.partition("-")
    try:
        ports = int(first), int(last or first)
    except ValueError:
        ports = (0, 0)
    if not 0 < ports[0] <= ports[1] < 65536:
        raise OperatorError(f'--service-node-port-range: "{options.service_node_port_range}" is no range of ports')
    return ports


def first_addresses(options: GateOptions) -> list[str]:
    """The addresses of the `kubernetes` Service: the first of each service network."""
    return [str(network.network_address + 1) for network in service_networks(options)]
