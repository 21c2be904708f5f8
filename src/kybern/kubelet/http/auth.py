"""Who asks the kubelet, and whether they may: client certificates, TokenReview and SubjectAccessReview.

Source: "Kubelet authentication/authorization" and KEP-2862 (fine-grained subresources of nodes).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.kubelet.config import Config
from kybern.kubelet.http.message import Refused, Request
from kybern.process.clock import clock, monotonic

log = logging.getLogger(__name__)

TOKEN_SECONDS = 120.0
ALLOWED_SECONDS, DENIED_SECONDS = 300.0, 30.0
"""How long a review's answer counts."""
_MAX_KEPT = 4096
_VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_FINE = {"pods": "pods", "runningpods": "pods", "healthz": "healthz", "configz": "configz"}
"""First segment of a path -> a subresource that is enough; else the general one counts."""
_GENERAL = {"stats": "stats", "metrics": "metrics", "logs": "log", "checkpoint": "checkpoint", "statusz": "statusz",
            "flagz": "configz"}  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class User:
    """Who asks."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


class Kept(Generic[T]):
    """Answers that count for a while."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, T]] = {}

    def get(self, key: Hashable) -> T | None:
        until, value = self._kept.get(key, (0.0, None))
        return value if monotonic() < until else None

    def put(self, key: Hashable, value: T, seconds: float) -> None:
        if len(self._kept) >= _MAX_KEPT:
            self._kept.clear()
        self._kept[key] = (monotonic() + seconds, value)


class Authenticator:
    """Certificate first, then token, then nobody in particular."""

    def __init__(self, config: Config, client: Client | None) -> None:
        self._config, self._client = config, client
        self._tokens: Kept[User] = Kept()

    async def user(self, request: Request) -> User:
        """Raises Refused (401)."""
        if request.certificate is not None and (user := user_of_certificate(request.certificate)):
            return user
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and token.strip() and self._config.token_webhook:
            # A token that is wrong doesn't become nobody.
            if user := await self._user_of_token(token.strip()):
                return user
        elif self._config.anonymous_auth:
            return ANONYMOUS
        raise Refused(401, "Unauthorized")

    async def _user_of_token(self, token: str) -> User | None:
        if self._client is None:
            return None
        key = hashlib.sha256(token.encode()).digest()
        if known := self._tokens.get(key):
            return known
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            review = await self._client.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        except APIError as error:
            log.warning("reviewing a token: %s", error)
            return None
        status = review.get("status") or {}
        if not status.get("authenticated"):
            return None
        user = _reviewed(status.get("user") or {})
        self._tokens.put(key, user, TOKEN_SECONDS)
        return user


def _reviewed(info: Object) -> User:
    extra = tuple((name, tuple(values)) for name, values in sorted((info.get("extra") or {}).items()))
    return User(info.get("username", ""), info.get("uid", ""), tuple(info.get("groups") or ()), extra)


def user_of_certificate(der: bytes) -> User | None:
    """The common name and the organizations; None if the certificate names nobody, or isn't for clients or of now."""
    # Nobody may ever come: the library is a fifth of an idle kubelet.
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usable = ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
    except x509.ExtensionNotFound:
        usable = True
    # Connections outlive certificates.
    current = certificate.not_valid_before_utc <= clock.now() <= certificate.not_valid_after_utc
    if not names or not usable or not current:
        return None
    groups = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    return User(str(names[0].value), groups=(*groups, "system:authenticated"))


def subresources(path: str) -> list[str]:
    """The subresources of nodes of which one must be allowed for this path, the finest first."""
    first = path.strip("/").split("/")[0]
    return [*([_FINE[first]] if first in _FINE else []), _GENERAL.get(first, "proxy")]


class Authorizer:
    """Everything, or what the API server's SubjectAccessReview says."""

    def __init__(self, config: Config, client: Client | None) -> None:
        self._config, self._client = config, client
        self._decisions: Kept[bool] = Kept()

    async def check(self, user: User, request: Request) -> None:
        """Raises Refused (403, or 500 if nobody can tell)."""
        if self._config.authorization_mode == "AlwaysAllow":
            return
        verb, wanted = _VERBS.get(request.method, ""), subresources(request.path)
        asked = f"user={user.name}, verb={verb}, resource=nodes"
        for subresource in wanted:
            try:
                if await self._is_allowed(user, verb, subresource):
                    return
            except APIError as error:
                log.warning("authorization error (%s, subresource=%s): %s", asked, subresource, error)
                raise Refused(500, f"Authorization error ({asked}, subresource={subresource})") from error
        raise Refused(403, f"Forbidden ({asked}, subresource(s)=[{' '.join(wanted)}])\n")

    async def _is_allowed(self, user: User, verb: str, subresource: str) -> bool:
        """Raises APIError."""
        if self._client is None:
            return False
        key = (user, verb, subresource)
        known = self._decisions.get(key)
        if known is not None:
            return known
        attributes = {"verb": verb, "version": "v1", "resource": "nodes", "subresource": subresource}
        spec: Object = {"resourceAttributes": {**attributes, "name": self._config.node_name}, "user": user.name}
        spec |= {"groups": list(user.groups), "uid": user.uid}
        spec["extra"] = {name: list(values) for name, values in user.extra}
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        review = await self._client.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        allowed = bool((review.get("status") or {}).get("allowed"))
        self._decisions.put(key, allowed, ALLOWED_SECONDS if allowed else DENIED_SECONDS)
        return allowed
