"""Bootstrap tokens, `abcdef.0123456789abcdef`, and the Secrets of kube-system that hold them.

Source: Kubernetes documentation, "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import base64
import binascii
import re

from kybern.api.types import Object
from kybern.process.clock import parse_time

NAMESPACE = "kube-system"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
SECRET_PREFIX = "bootstrap-token-"
USER_PREFIX = "system:bootstrap:"
GROUP = "system:bootstrappers"

TOKEN_ID, TOKEN_SECRET, EXPIRATION = "token-id", "token-secret", "expiration"
DESCRIPTION, GROUPS = "description", "auth-extra-groups"
USAGE_PREFIX = "usage-bootstrap-"
AUTHENTICATION, SIGNING = "authentication", "signing"

CLUSTER_INFO_NAMESPACE, CLUSTER_INFO = "kube-public", "cluster-info"
SIGNATURE_PREFIX = "jws-kubeconfig-"

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_ID = re.compile(r"[a-z0-9]{6}")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
GROUP_PATTERN, TOKEN_PATTERN = rf"\A{_GROUP.pattern}\z", rf"\A{_TOKEN.pattern}\z"
"""As upstream's messages show them."""


def split(token: str) -> tuple[str, str] | None:
    """A token's id and secret; None for what is no bootstrap token."""
    found = _TOKEN.fullmatch(token)
    return (found[1], found[2]) if found else None


def is_id(text: str) -> bool:
    """Whether it can be a token's id."""
    return _ID.fullmatch(text) is not None


def is_group(name: str) -> bool:
    """Whether tokens may give this group."""
    return _GROUP.fullmatch(name) is not None


def value(secret: Object, key: str) -> str:
    """A value of the Secret's data; empty where it is absent or no text."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def remaining(secret: Object, now: float) -> float | None:
    """Seconds until the token expires, 0 once it has or where the time is malformed; None: it never does."""
    stamp = value(secret, EXPIRATION)
    if not stamp:
        return None
    try:
        return max(0.0, parse_time(stamp) - now)
    except ValueError:
        return 0.0


def is_for(secret: Object, usage: str) -> bool:
    """Whether the token may be used to authenticate, or to sign."""
    return value(secret, f"{USAGE_PREFIX}{usage}") == "true"


def groups(secret: Object) -> list[str]:
    """The groups the token gives, sorted. Raises ValueError for one it may not give."""
    found = {GROUP}
    extra = value(secret, GROUPS)
    for name in extra.split(",") if extra else ():
        if not is_group(name):
            raise ValueError(f'bootstrap group "{name}" is invalid (must match {GROUP_PATTERN})')
        found.add(name)
    return sorted(found)
