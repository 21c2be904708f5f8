"""`kybern token create|list|delete|generate`: bootstrap tokens, with which nodes join."""

from __future__ import annotations

import argparse
import secrets
import string
import sys
from collections.abc import Awaitable, Callable

from kybern.api import bootstraptokens as tokens
from kybern.api import durations
from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.types import Object
from kybern.client.kubeconfig import ClientConfig, connect, load
from kybern.client.rest import Client
from kybern.cluster import joining
from kybern.cluster.layout import Layout, add_data_dir
from kybern.process.clock import clock, format_time
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration

USAGES = (tokens.SIGNING, tokens.AUTHENTICATION)
_DAY = 86400.0
_LETTERS = string.ascii_lowercase + string.digits
_COLUMNS = ("TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS")


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)
    parser.add_argument("--kubeconfig", default="", metavar="FILE", help="of another cluster than this machine's")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a token; prints it, and the hash of the cluster's CA")
    add = create.add_argument
    add("token", nargs="?", default="", metavar="TOKEN", help="abcdef.0123456789abcdef (default: a random one)")
    add("--ttl", type=duration, default=_DAY, help="how long it is good for; 0 for ever (default 24h)")
    add("--usages", type=_words, default=list(USAGES), help="of signing,authentication (default both)")
    add("--groups", type=_words, default=None, help=f"groups who shows it is in (default {joining.DEFAULT_GROUP})")
    add("--description", default="", help="what it is for")
    add("--print-join-command", action="store_true", help="print what to type on a machine that is to join")
    actions.add_parser("list", help="show the tokens there are")
    actions.add_parser("delete", help="remove tokens").add_argument(
        "tokens", nargs="+", metavar="TOKEN", help="whole or only its id"
    )
    actions.add_parser("generate", help="print a random token, and do nothing with it")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


async def run(args: argparse.Namespace) -> int:
    if args.action == "generate":
        sys.stdout.write(f"{generate()}\n")
        return 0
    config = _config(args)
    client = connect(config, "kybern-token", quiet=True)
    try:
        await _ACTIONS[args.action](args, client, config)
    except APIError as error:
        raise OperatorError(error.message) from error
    finally:
        await client.close()
    return 0


def _config(args: argparse.Namespace) -> ClientConfig:
    if args.kubeconfig:
        return load(args.kubeconfig)
    path = Layout.of(args).admin_kubeconfig
    if not path.exists():
        raise OperatorError(f"there is no cluster in {args.data_dir}; `kybern up` makes one, or name a --kubeconfig")
    return load(path)


def generate() -> str:
    """A random token."""
    token_id, secret = ("".join(secrets.choice(_LETTERS) for _ in range(length)) for length in (6, 16))
    return f"{token_id}.{secret}"


async def _create(args: argparse.Namespace, client: Client, config: ClientConfig) -> None:
    token = args.token or generate()
    groups = args.groups
    if groups is None:
        groups = [joining.DEFAULT_GROUP] if tokens.AUTHENTICATION in args.usages else []
    made = secret(token, args.ttl, args.usages, groups, args.description)
    if not config.ca_data:
        raise OperatorError("the kubeconfig names no CA, so there is none for nodes to trust")
    try:
        await client.resource("v1", "secrets").create(made)
    except AlreadyExists as error:
        raise OperatorError(f'a token with id "{token[:6]}" already exists') from error
    await joining.prepare(client, config.server, config.ca_data)
    if args.print_join_command:
        sys.stdout.write(f"{joining.command(config.server, token, config.ca_data)}\n")
        return
    sys.stdout.write(f"{token}\n{joining.ca_hash(config.ca_data)}\n")


async def _list(args: argparse.Namespace, client: Client, config: ClientConfig) -> None:
    found = await client.resource("v1", "secrets").list(tokens.NAMESPACE, field_selector=f"type={tokens.SECRET_TYPE}")
    table = [_COLUMNS, *(row(one, clock.time()) for one in found.items)]
    widths = [max(map(len, column)) + 3 for column in zip(*table, strict=True)]
    for line in table:
        padded = "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write(f"{padded.rstrip()}\n")


async def _delete(args: argparse.Namespace, client: Client, config: ClientConfig) -> None:
    for given in args.tokens:
        token_id = given.partition(".")[0]
        if not tokens.is_id(token_id) or (token_id != given and not tokens.split(given)):
            raise OperatorError(f'"{given}" is neither a bootstrap token nor the id of one')
        try:
            await client.resource("v1", "secrets").delete(f"{tokens.SECRET_PREFIX}{token_id}", tokens.NAMESPACE)
        except NotFound as error:
            raise OperatorError(f'there is no bootstrap token "{token_id}"') from error
        sys.stdout.write(f'bootstrap token "{token_id}" deleted\n')


_ACTIONS: dict[str, Callable[[argparse.Namespace, Client, ClientConfig], Awaitable[None]]] = {
    "create": _create,
    "list": _list,
    "delete": _delete,
}


def secret(token: str, ttl: float, usages: list[str], groups: list[str], description: str) -> Object:
    """The Secret that holds a token; a `ttl` of 0 seconds is for ever. Raises OperatorError for what can't be one."""
    parts = tokens.split(token)
    if parts is None:
        raise OperatorError(f'the bootstrap token "{token}" was not of the form "{tokens.TOKEN_PATTERN}"')
    for usage in usages:
        if usage not in USAGES:
            raise OperatorError(f"invalid bootstrap token usage: {usage}; valid usages: {', '.join(USAGES)}")
    for group in groups:
        if not tokens.is_group(group):
            raise OperatorError(f'bootstrap group "{group}" is invalid (must match {tokens.GROUP_PATTERN})')
    if groups and tokens.AUTHENTICATION not in usages:
        raise OperatorError('token groups cannot be specified unless --usages includes "authentication"')
    data = {
        tokens.TOKEN_ID: parts[0],
        tokens.TOKEN_SECRET: parts[1],
        tokens.DESCRIPTION: description,
        tokens.EXPIRATION: format_time(clock.time() + ttl) if ttl else "",
        tokens.GROUPS: ",".join(groups),
        **{f"{tokens.USAGE_PREFIX}{usage}": "true" for usage in usages},
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": tokens.SECRET_TYPE,
        "metadata": {"name": f"{tokens.SECRET_PREFIX}{parts[0]}", "namespace": tokens.NAMESPACE},
        "stringData": {key: text for key, text in data.items() if text},
    }


def row(found: Object, now: float) -> tuple[str, ...]:
    """A token's line in the list."""
    left, expiry = tokens.remaining(found, now), tokens.value(found, tokens.EXPIRATION)
    usages = [usage for usage in sorted(USAGES) if tokens.is_for(found, usage)]
    return (
        f"{tokens.value(found, tokens.TOKEN_ID)}.{tokens.value(found, tokens.TOKEN_SECRET)}",
        "<forever>" if left is None else durations.human(left) if left else "<invalid>",
        expiry or "<never>",
        ",".join(usages) or "<none>",
        tokens.value(found, tokens.DESCRIPTION) or "<none>",
        tokens.value(found, tokens.GROUPS) or "<none>",
    )
