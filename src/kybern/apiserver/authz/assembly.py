"""Puts the authorizers together: system:masters, then what --authorization-mode or --authorization-config names.

The file is followed; a changed one takes effect whole, or not at all where it isn't well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kybern.apiserver import auth_metrics
from kybern.apiserver.app import App, Authorizer
from kybern.apiserver.authz import config
from kybern.apiserver.authz.abac import ABAC
from kybern.apiserver.authz.base import AlwaysAllow, AlwaysDeny, Masters
from kybern.apiserver.authz.node import NodeAuthorizer
from kybern.apiserver.authz.noderefs import node_refs
from kybern.apiserver.authz.rbac import rbac_of
from kybern.apiserver.authz.webhook import WebhookAuthorizer, WebhookOptions
from kybern.apiserver.config_files import Follower
from kybern.apiserver.egress import ways_of
from kybern.process.daemon import OperatorError

DEFAULT = ("Node", "RBAC")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AuthzOptions:
    """The flags that concern authorization, by upstream's names."""

    modes: Sequence[str] = DEFAULT
    webhook: WebhookOptions | None = None
    """Of --authorization-webhook-*; for mode Webhook."""
    policy_file: Path | None = None
    """--authorization-policy-file; for mode ABAC."""
    config_file: Path | None = None
    """--authorization-config, in place of the others."""


class Authorization:
    """Keeps `app.authorizers` as the options have it. Raises OperatorError."""

    def __init__(self, app: App, options: AuthzOptions) -> None:
        self._app, self._options = app, options
        self._node: NodeAuthorizer | None = None
        self._webhooks: list[WebhookAuthorizer] = []
        self._follower: Follower | None = None
        if options.config_file is not None:
            self._follower = Follower(self._reload, options.config_file)
            self._enforce(self._made(config.load(options.config_file)))
        else:
            self._enforce(self._made(self._from_flags()))

    def start(self) -> None:
        """Follow the file."""
        if self._follower is not None:
            self._follower.start()

    async def stop(self) -> None:
        """End what start began."""
        if self._follower is not None:
            await self._follower.stop()
        for webhook in self._webhooks:
            webhook.close()

    def _from_flags(self) -> list[config.Entry]:
        options = self._options
        for mode in options.modes:
            if mode not in config.TYPES:
                raise OperatorError(f'--authorization-mode: "{mode}" is not known; known are {", ".join(config.TYPES)}')
        if len(set(options.modes)) != len(options.modes):
            raise OperatorError(f"--authorization-mode {','.join(options.modes)} has a mode more than once")
        for mode, flag, given in (
            (config.WEBHOOK, "--authorization-webhook-config-file", options.webhook),
            ("ABAC", "--authorization-policy-file", options.policy_file),
        ):
            if mode in options.modes and given is None:
                raise OperatorError(f"--authorization-mode {mode} needs {flag}")
            if mode not in options.modes and given is not None:
                raise OperatorError(f"{flag} needs --authorization-mode {mode}")
        return [
            config.Entry(mode, mode.lower(), options.webhook if mode == config.WEBHOOK else None)
            for mode in options.modes
        ]

    def _made(self, entries: Sequence[config.Entry]) -> list[Authorizer]:
        flag = config.FLAG if self._options.config_file else "--authorization-webhook-config-file"
        made: list[Authorizer] = [Masters()]
        for entry in entries:
            authorizer = self._authorizer(entry, flag)
            if entry.webhook is None:
                setattr(authorizer, "label", (entry.type, entry.name))
            made.append(authorizer)
        return made

    def _authorizer(self, entry: config.Entry, flag: str) -> Authorizer:
        if entry.webhook is not None:
            return WebhookAuthorizer(flag, entry.webhook, ways_of(self._app).controlplane)
        match entry.type:
            case "RBAC":
                return rbac_of(self._app)
            case "Node":
                self._node = self._node or NodeAuthorizer(node_refs(self._app))
                return self._node
            case "ABAC":
                if self._options.policy_file is None:
                    raise OperatorError("an authorizer of type ABAC needs --authorization-policy-file")
                return ABAC(self._options.policy_file)
            case "AlwaysAllow":
                return AlwaysAllow()
        return AlwaysDeny()

    def _enforce(self, authorizers: list[Authorizer]) -> None:
        old, self._webhooks = self._webhooks, [one for one in authorizers if isinstance(one, WebhookAuthorizer)]
        self._app.authorizers[:] = authorizers
        for webhook in old:
            # Those who are asking now are let finish.
            asyncio.get_running_loop().call_later(config.MAX_TIMEOUT, webhook.close)

    async def _reload(self) -> None:
        assert self._options.config_file is not None
        try:
            authorizers = self._made(config.load(self._options.config_file))
        except OperatorError as error:
            auth_metrics.reloaded("authorization", "failure")
            log.error("the authorization configuration stays as it was: %s", error)
            return
        auth_metrics.reloaded("authorization", "success")
        self._enforce(authorizers)
        log.info("the authorization configuration changed")
