"""Puts the authenticators together, in upstream's order: front proxy, certificate, tokens; what is local comes first.

    static tokens, bound and legacy service account tokens, bootstrap tokens, other issuers' tokens, webhook

The file of --authentication-config is followed; a changed one takes effect whole, once its issuers have been found, or
not at all where it isn't well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kybern.api.errors import NotFound
from kybern.api.legacytokens import LAST_USED
from kybern.api.types import Object
from kybern.apiserver import auth_metrics
from kybern.apiserver.app import App, Authenticator
from kybern.apiserver.authn import config
from kybern.apiserver.authn.authorities import Authorities
from kybern.apiserver.authn.base import Known, TokenAuthenticator
from kybern.apiserver.authn.bearer import Bearer
from kybern.apiserver.authn.bootstraptoken import BootstrapTokens
from kybern.apiserver.authn.legacytokens import LegacyTokens
from kybern.apiserver.authn.oidc import Issuers
from kybern.apiserver.authn.requestheader import FrontProxy, FrontProxyOptions
from kybern.apiserver.authn.serviceaccount import ServiceAccountTokens
from kybern.apiserver.authn.tokencache import TokenCache
from kybern.apiserver.authn.tokenfile import TokenFile, read_token_file
from kybern.apiserver.authn.webhook import TokenWebhookOptions, WebhookTokens
from kybern.apiserver.authn.x509 import ClientCertificate
from kybern.apiserver.config_files import Follower
from kybern.apiserver.egress import ways_of
from kybern.apiserver.tokens import KeySet
from kybern.process.daemon import OperatorError

REMEMBERED = 10.0
"""Seconds for which the tokens of other issuers are remembered."""
FOUND_SECONDS = 60.0
"""How long a changed file's issuers may take to be found."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AuthnOptions:
    """The flags that concern authentication, by upstream's names."""

    client_ca_file: Path | None = None
    token_auth_file: Path | None = None
    enable_bootstrap_token_auth: bool = False
    front_proxy: FrontProxyOptions = field(default_factory=FrontProxyOptions)
    anonymous: bool | None = None
    """--anonymous-auth; None where it isn't given, which lets such requests in."""
    lookup: bool = True
    """--service-account-lookup."""
    webhook: TokenWebhookOptions | None = None
    config_file: Path | None = None
    """--authentication-config."""
    oidc: Object | None = None
    """What the --oidc-* flags come to, as an AuthenticationConfiguration."""
    oidc_algorithms: Sequence[str] = ("RS256",)


class Authentication:
    """The server's authenticators."""

    def __init__(
        self, app: App, options: AuthnOptions, keys: KeySet, issuers: Sequence[str], audiences: Sequence[str]
    ) -> None:
        self._app, self._options = app, options
        self._audiences, self._own_issuers = tuple(audiences), tuple(issuers)
        self._others = _Others()
        self._authorities: list[Authorities] = []
        self._follower: Follower | None = None
        found = config.Configuration()
        if options.config_file is not None:
            self._follower = Follower(self._reload, options.config_file)
            found = config.load(options.config_file, self._own_issuers)
        elif options.oidc is not None:
            found = config.parse(options.oidc, self._own_issuers, "--oidc-*", options.oidc_algorithms)
        self._enforce(found, Issuers(found.issuers, self._audiences))
        way = ways_of(app).controlplane
        self._webhook = WebhookTokens(options.webhook, audiences, way) if options.webhook else None
        self.bearer = Bearer(self._token_authenticators(keys, issuers, audiences))

    def start(self) -> None:
        """Look for issuers, and follow the file."""
        self._others.issuers.start()
        if self._follower is not None:
            self._follower.start()

    async def stop(self) -> None:
        """End what start began."""
        if self._follower is not None:
            await self._follower.stop()
        await self._others.issuers.stop()
        if self._webhook is not None:
            self._webhook.close()

    def _enforce(self, found: config.Configuration, issuers: Issuers) -> None:
        flag = self._options.anonymous
        if found.anonymous is not None and flag is not None:
            raise OperatorError(
                "--anonymous-auth flag cannot be set when anonymous field is configured in authentication "
                "configuration file"
            )
        enabled, paths = found.anonymous or (flag is not False, frozenset())
        self._app.anonymous, self._app.anonymous_paths = enabled, paths
        self._others.put(issuers, known=bool(found.issuers))

    async def _reload(self) -> None:
        assert self._options.config_file is not None
        try:
            found = config.load(self._options.config_file, self._own_issuers)
        except OperatorError as error:
            auth_metrics.reloaded("authentication", "failure")
            log.error("the authentication configuration stays as it was: %s", error)
            return
        issuers = Issuers(found.issuers, self._audiences)
        issuers.start()
        try:
            async with asyncio.timeout(FOUND_SECONDS):
                await issuers.ready()
        except TimeoutError:
            auth_metrics.reloaded("authentication", "failure")
            log.error("the authentication configuration stays as it was: its issuers can't be reached")
            await issuers.stop()
            return
        old = self._others.issuers
        self._enforce(found, issuers)
        auth_metrics.reloaded("authentication", "success")
        log.info("the authentication configuration changed")
        await old.stop()

    def request_authenticators(self) -> list[Authenticator]:
        """In the order in which they are asked. Raises OperatorError."""
        options, proxy = self._options, self._options.front_proxy
        if proxy.client_ca_file is None:
            return [ClientCertificate(), self.bearer]
        authorities = Authorities("--requestheader-client-ca-file", proxy.client_ca_file)
        self._authorities.append(authorities)
        found: list[Authenticator] = [FrontProxy(proxy, authorities)]
        if options.client_ca_file is not None:
            authorities = Authorities("--client-ca-file", options.client_ca_file)
            self._authorities.append(authorities)
            found.append(ClientCertificate(authorities))
        return [*found, self.bearer]

    def reload_authorities(self) -> None:
        """Read the files of those who vouch for certificates again. Raises OperatorError."""
        for authorities in self._authorities:
            authorities.reload()

    def _token_authenticators(
        self, keys: KeySet, issuers: Sequence[str], audiences: Sequence[str]
    ) -> list[TokenAuthenticator]:
        options, lister = self._options, self._app.registry.lister
        found: list[TokenAuthenticator] = []
        if options.token_auth_file:
            found.append(TokenFile(read_token_file(options.token_auth_file), audiences))
        listers = {plural: lister("", plural) for plural in ("serviceaccounts", "pods", "secrets", "nodes")}
        # Bound tokens come by far most often; of legacy ones it doesn't matter who looks first.
        found.append(ServiceAccountTokens(keys, issuers, audiences, listers))
        found.append(LegacyTokens(keys, audiences, listers, self._label_as_used, lookup=options.lookup))
        if options.enable_bootstrap_token_auth:
            found.append(BootstrapTokens(listers["secrets"], audiences))
        if options.config_file is not None or options.oidc is not None:
            found.append(self._others)
        if self._webhook is not None and options.webhook is not None:
            found.append(TokenCache(self._webhook, options.webhook.cache_ttl, options.webhook.cache_ttl))
        return found

    async def _label_as_used(self, namespace: str, name: str, day: str) -> None:
        registry = self._app.registry
        secrets = registry.scheme.resource("", "secrets")
        assert secrets is not None

        def label(secret: Object) -> Object:
            labels = {**(secret["metadata"].get("labels") or {}), LAST_USED: day}
            return {**secret, "metadata": {**secret["metadata"], "labels": labels}}

        try:
            await registry.guaranteed_update(secrets, namespace, name, label)
        except NotFound:
            return


class _Others:
    """The issuers in force."""

    def __init__(self) -> None:
        self.issuers = Issuers((), ())
        self._cache: TokenCache | None = None

    def put(self, issuers: Issuers, *, known: bool) -> None:
        """From now on these. What was remembered of others' tokens is forgotten."""
        self.issuers = issuers
        self._cache = TokenCache(issuers, REMEMBERED) if known else None

    async def user(self, token: str, audiences: Collection[str] = ()) -> Known | None:
        return await self._cache.user(token, audiences) if self._cache is not None else None
