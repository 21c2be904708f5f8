"""The flags of `kybern apiserver` about who asks and what they may, and the options they come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kybern.api.types import Object
from kybern.apiserver.authn.assembly import AuthnOptions
from kybern.apiserver.authn.oidc import ALGORITHMS
from kybern.apiserver.authn.requestheader import FrontProxyOptions
from kybern.apiserver.authn.webhook import TokenWebhookOptions
from kybern.apiserver.authz.assembly import DEFAULT, AuthzOptions
from kybern.apiserver.authz.webhook import WebhookOptions
from kybern.process.daemon import OperatorError
from kybern.process.flags import boolean, duration

Add = Callable[..., Any]


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def add_flags(add: Add) -> None:
    """All of them."""
    path = {"type": Path, "default": None, "metavar": "FILE"}
    names = {"type": _list, "default": [], "metavar": "NAMES"}
    add("--requestheader-client-ca-file", **path,
        help="CA of proxies that say in headers who asks; without it no such header counts")  # fmt: skip
    add("--requestheader-allowed-names", **names, help="common names of those proxies; any if empty")
    add("--requestheader-username-headers", **names, help="headers with the user's name; X-Remote-User is common")
    add("--requestheader-uid-headers", **names, help="headers with the user's uid; X-Remote-Uid is common")
    add("--requestheader-group-headers", **names, help="headers with groups; X-Remote-Group is common")
    add("--requestheader-extra-headers-prefix", **names,
        help="beginnings of headers with more; X-Remote-Extra- is common")  # fmt: skip
    add("--service-account-lookup", type=boolean, default=True, nargs="?", const=True,
        help="look whether the Secret of a legacy token is still there")  # fmt: skip
    _add_issuer_flags(add, path, names)
    _add_authz_flags(add, path)


def _add_issuer_flags(add: Add, path: dict[str, Any], names: dict[str, Any]) -> None:
    add("--authentication-config", **path, help="AuthenticationConfiguration: issuers of tokens and what they claim")
    add("--authentication-token-webhook-config-file", **path, help="kubeconfig of the webhook that knows tokens")
    add("--authentication-token-webhook-version", choices=("v1", "v1beta1"), default="v1beta1",
        help="version of the TokenReviews that are sent to it")  # fmt: skip
    add("--authentication-token-webhook-cache-ttl", type=duration, default=120.0, metavar="DURATION",
        help="how long its answers are kept")  # fmt: skip
    text = {"default": "", "metavar": "TEXT"}
    add("--oidc-issuer-url", **text, help="URL of an OpenID issuer whose ID tokens are taken")
    add("--oidc-client-id", **text, help="audience of those tokens")
    add("--oidc-ca-file", **path, help="CA of the issuer; the system's if absent")
    add("--oidc-username-claim", default="sub", metavar="CLAIM", help="claim that is the user's name")
    add("--oidc-username-prefix", **text,
        help="put before the name, - for nothing; the issuer's URL and # if absent, but for email")  # fmt: skip
    add("--oidc-groups-claim", **text, help="claim that is the user's groups")
    add("--oidc-groups-prefix", **text, help="put before each group")
    add("--oidc-signing-algs", **{**names, "default": ["RS256"]}, help="algorithms that tokens may be signed with")
    add("--oidc-required-claim", action="append", default=[], metavar="KEY=VALUE",
        help="claim that must have this value; repeatable")  # fmt: skip


def _add_authz_flags(add: Add, path: dict[str, Any]) -> None:
    add("--authorization-mode", type=_list, default=[], metavar="MODES",
        help="of Node, RBAC, Webhook, ABAC, AlwaysAllow, AlwaysDeny; asked in order (default Node,RBAC)")  # fmt: skip
    add("--authorization-config", **path, help="AuthorizationConfiguration, in place of the other authorization flags")
    add("--authorization-policy-file", **path, help="policies of mode ABAC, one a line")
    add("--authorization-webhook-config-file", **path, help="kubeconfig of the webhook that mode Webhook asks")
    add("--authorization-webhook-version", choices=("v1", "v1beta1"), default="v1beta1",
        help="version of the SubjectAccessReviews that are sent to it")  # fmt: skip
    add("--authorization-webhook-cache-authorized-ttl", type=duration, default=300.0, metavar="DURATION",
        help="how long its consents are kept")  # fmt: skip
    add("--authorization-webhook-cache-unauthorized-ttl", type=duration, default=30.0, metavar="DURATION",
        help="how long its refusals are kept")  # fmt: skip


def authz_options(args: argparse.Namespace) -> AuthzOptions:
    """What they say about authorization. Raises OperatorError where flags don't go together."""
    others = {
        "--authorization-mode": args.authorization_mode,
        "--authorization-webhook-config-file": args.authorization_webhook_config_file,
    }
    if args.authorization_config is not None:
        for flag, given in others.items():
            if given:
                raise OperatorError(f"--authorization-config can not be specified when {flag} is")
    webhook = None
    if args.authorization_webhook_config_file is not None:
        webhook = WebhookOptions(
            "default",
            args.authorization_webhook_config_file,
            args.authorization_webhook_version,
            authorized_ttl=args.authorization_webhook_cache_authorized_ttl,
            unauthorized_ttl=args.authorization_webhook_cache_unauthorized_ttl,
        )
    return AuthzOptions(
        args.authorization_mode or DEFAULT, webhook, args.authorization_policy_file, args.authorization_config
    )


def authn_options(args: argparse.Namespace) -> AuthnOptions:
    """What they say about authentication. Raises OperatorError where flags don't go together."""
    return AuthnOptions(
        client_ca_file=args.client_ca_file,
        token_auth_file=args.token_auth_file,
        enable_bootstrap_token_auth=args.enable_bootstrap_token_auth,
        front_proxy=_front_proxy(args),
        anonymous=args.anonymous_auth,
        lookup=args.service_account_lookup,
        webhook=_token_webhook(args),
        config_file=args.authentication_config,
        oidc=_oidc(args),
        oidc_algorithms=args.oidc_signing_algs,
    )


def _token_webhook(args: argparse.Namespace) -> TokenWebhookOptions | None:
    if args.authentication_token_webhook_config_file is None:
        return None
    return TokenWebhookOptions(
        args.authentication_token_webhook_config_file,
        args.authentication_token_webhook_version,
        args.authentication_token_webhook_cache_ttl,
    )


def _oidc(args: argparse.Namespace) -> Object | None:
    """The --oidc-* flags as an AuthenticationConfiguration."""
    url, client = args.oidc_issuer_url, args.oidc_client_id
    if bool(url) is not bool(client):
        raise OperatorError("--oidc-issuer-url and --oidc-client-id must be specified together")
    if not url:
        return None
    if args.authentication_config is not None:
        raise OperatorError("authentication-config file and oidc-* flags are mutually exclusive")
    for algorithm in args.oidc_signing_algs:
        if algorithm not in ALGORITHMS:
            raise OperatorError(f'--oidc-signing-algs: "{algorithm}" is not known; known are {", ".join(ALGORITHMS)}')
    prefix = args.oidc_username_prefix
    if not prefix and args.oidc_username_claim != "email":
        prefix = f"{url}#"
    issuer: Object = {"url": url, "audiences": [client]}
    if args.oidc_ca_file is not None:
        issuer["certificateAuthority"] = _read("--oidc-ca-file", args.oidc_ca_file)
    mappings: Object = {"username": {"claim": args.oidc_username_claim, "prefix": "" if prefix == "-" else prefix}}
    if args.oidc_groups_claim:
        mappings["groups"] = {"claim": args.oidc_groups_claim, "prefix": args.oidc_groups_prefix}
    required = [pair.partition("=") for pair in args.oidc_required_claim]
    if any(not name or not sign for name, sign, _ in required):
        raise OperatorError("--oidc-required-claim must be KEY=VALUE")
    rules = [{"claim": name, "requiredValue": value} for name, _, value in required]
    return {"jwt": [{"issuer": issuer, "claimMappings": mappings, "claimValidationRules": rules}]}


def _read(flag: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"can't read {flag} {path}: {error}") from error


def _front_proxy(args: argparse.Namespace) -> FrontProxyOptions:
    given = {
        name: getattr(args, f"requestheader_{name}")
        for name in ("username_headers", "uid_headers", "group_headers", "extra_headers_prefix")
    }
    if args.requestheader_client_ca_file is None:
        return FrontProxyOptions()
    return FrontProxyOptions(args.requestheader_client_ca_file, args.requestheader_allowed_names, **given)
