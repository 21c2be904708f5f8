"""Puts the authenticators together, in upstream's order: front proxy, certificate, tokens; what is local comes first.

    static tokens, legacy and bound service account tokens, bootstrap tokens
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kybern.api.errors import NotFound
from kybern.api.legacytokens import LAST_USED
from kybern.api.types import Object
from kybern.apiserver.app import App, Authenticator
from kybern.apiserver.authn.authorities import Authorities
from kybern.apiserver.authn.base import TokenAuthenticator
from kybern.apiserver.authn.bearer import Bearer
from kybern.apiserver.authn.bootstraptoken import BootstrapTokens
from kybern.apiserver.authn.legacytokens import LegacyTokens
from kybern.apiserver.authn.requestheader import FrontProxy, FrontProxyOptions
from kybern.apiserver.authn.serviceaccount import ServiceAccountTokens
from kybern.apiserver.authn.tokenfile import TokenFile, read_token_file
from kybern.apiserver.authn.x509 import ClientCertificate
from kybern.apiserver.tokens import KeySet


@dataclass(slots=True)
class AuthnOptions:
    """The flags that concern authentication, by upstream's names."""

    client_ca_file: Path | None = None
    token_auth_file: Path | None = None
    enable_bootstrap_token_auth: bool = False
    front_proxy: FrontProxyOptions = field(default_factory=FrontProxyOptions)


class Authentication:
    """The server's authenticators."""

    def __init__(
        self, app: App, options: AuthnOptions, keys: KeySet, issuers: Sequence[str], audiences: Sequence[str]
    ) -> None:
        self._app, self._options = app, options
        self.bearer = Bearer(self._token_authenticators(keys, issuers, audiences))

    def request_authenticators(self) -> list[Authenticator]:
        """In the order in which they are asked. Raises OperatorError."""
        options, proxy = self._options, self._options.front_proxy
        if proxy.client_ca_file is None:
            return [ClientCertificate(), self.bearer]
        found: list[Authenticator] = [
            FrontProxy(proxy, Authorities("--requestheader-client-ca-file", proxy.client_ca_file))
        ]
        if options.client_ca_file is not None:
            found.append(ClientCertificate(Authorities("--client-ca-file", options.client_ca_file)))
        return [*found, self.bearer]

    def _token_authenticators(
        self, keys: KeySet, issuers: Sequence[str], audiences: Sequence[str]
    ) -> list[TokenAuthenticator]:
        options, lister = self._options, self._app.registry.lister
        found: list[TokenAuthenticator] = []
        if options.token_auth_file:
            found.append(TokenFile(read_token_file(options.token_auth_file), audiences))
        listers = {plural: lister("", plural) for plural in ("serviceaccounts", "pods", "secrets", "nodes")}
        found.append(LegacyTokens(keys, audiences, listers, self._label_as_used))
        found.append(ServiceAccountTokens(keys, issuers, audiences, listers))
        if options.enable_bootstrap_token_auth:
            found.append(BootstrapTokens(listers["secrets"], audiences))
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
