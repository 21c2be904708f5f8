"""Secrets of type kubernetes.io/service-account-token get their token, and end with their ServiceAccount.

Source: Kubernetes documentation, "Managing Service Accounts", token controller.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from kybern.api.errors import Conflict, NotFound
from kybern.api.legacytokens import ACCOUNT_NAME, ACCOUNT_UID, TYPE, claims
from kybern.api.types import Object, key_of
from kybern.controllers.controller import Context, Controller
from kybern.controllers.options import Options
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)


class ServiceAccountTokenController(Controller):
    name = "serviceaccount-token-controller"
    aliases = ("serviceaccount-token",)

    @classmethod
    def wanted(cls, options: Options) -> bool:
        return bool(options.service_account_key)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._sign = Signer(self.options.service_account_key)
        self.secrets = self.informer("v1", "secrets", field_selector=f"type={TYPE}")
        self.accounts = self.informer("v1", "serviceaccounts")
        self.secrets.add_index("account", lambda secret: [_account_key(secret)])
        self.accounts.add_index("secret", _listed)
        self._secrets = self.client.resource("v1", "secrets")
        self._accounts = self.client.resource("v1", "serviceaccounts")
        self.watch(self.secrets, lambda secret: [key_of(secret)])
        self.watch(self.accounts, self._secrets_of)

    def _secrets_of(self, account: Object) -> list[str]:
        return [key_of(secret) for secret in self.secrets.by_index("account", key_of(account))]

    async def reconcile(self, key: str) -> float | None:
        secret = self.secrets.get(key)
        if secret is None:
            await self._unlist(key)
            return None
        meta = secret["metadata"]
        account = await self._account(secret)
        if account is None:
            log.info("removing the token %s, whose service account is gone", key)
            try:
                await self._secrets.delete(meta["name"], meta["namespace"], uid=meta["uid"])
            except (NotFound, Conflict):
                return None
            return None
        made = filled(secret, account, self.options.root_ca, self._sign)
        if made is not None:
            try:
                await self._secrets.update(made)
            except NotFound:
                return None
        return None

    async def _account(self, secret: Object) -> Object | None:
        """The Secret's account; the server is asked before it is taken for gone."""
        account = self.accounts.get(_account_key(secret))
        if account is not None and _is_of(secret, account):
            return account
        namespace, _, name = _account_key(secret).partition("/")
        try:
            account = await self._accounts.get(name, namespace)
        except NotFound:
            return None
        return account if _is_of(secret, account) else None

    async def _unlist(self, key: str) -> None:
        """Take a Secret that is gone off its account's list."""
        name = key.partition("/")[2]
        for account in self.accounts.by_index("secret", key):
            try:
                fresh = await self._accounts.get(account["metadata"]["name"], account["metadata"]["namespace"])
                left = [ref for ref in fresh.get("secrets") or () if ref.get("name") != name]
                if len(left) != len(fresh.get("secrets") or ()):
                    await self._accounts.update({**fresh, "secrets": left})
            except NotFound:
                continue


class Signer:
    """Signs with the key of --service-account-private-key-file, which is looked at closely when it first does.
    Raises OperatorError."""

    def __init__(self, pem: str) -> None:
        self._pem = pem
        if "PRIVATE KEY-----" not in pem:
            raise OperatorError("--service-account-private-key-file has no private key")

    def __call__(self, said: dict[str, str]) -> str:
        key, algorithm, key_id = self._key
        return self._encode(said, key, algorithm=algorithm, headers={"kid": key_id})

    @cached_property
    def _encode(self) -> Callable[..., str]:
        # Few make such Secrets, and the libraries are large.
        import jwt

        return jwt.encode

    @cached_property
    def _key(self) -> tuple[Any, str, str]:
        """The key, its algorithm and its id."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        try:
            key = serialization.load_pem_private_key(self._pem.encode(), None)
        except (ValueError, TypeError) as error:
            raise OperatorError(f"--service-account-private-key-file: {error}") from error
        if isinstance(key, rsa.RSAPrivateKey):
            algorithm = "RS256"
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            algorithm = {256: "ES256", 384: "ES384", 521: "ES512"}[key.curve.key_size]
        else:
            raise OperatorError("--service-account-private-key-file is neither an RSA nor an ECDSA key")
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashlib.sha256(key.public_key().public_bytes(*form)).digest()
        return key, algorithm, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def filled(secret: Object, account: Object, root_ca: str, sign: Signer) -> Object | None:
    """The Secret with what it lacks; None if it lacks nothing."""
    meta, data = secret["metadata"], secret.get("data") or {}
    wanted = {"namespace": meta["namespace"].encode()}
    if root_ca:
        wanted["ca.crt"] = root_ca.encode()
    lacking = {
        name: base64.b64encode(value).decode()
        for name, value in wanted.items()
        if data.get(name) != base64.b64encode(value).decode() and (name == "ca.crt" or not data.get(name))
    }
    if not data.get("token"):
        lacking["token"] = base64.b64encode(sign(claims(account, meta["name"])).encode()).decode()
    annotations = meta.get("annotations") or {}
    if not lacking and annotations.get(ACCOUNT_UID):
        return None
    annotations = {**annotations, ACCOUNT_UID: account["metadata"]["uid"]}
    return {**secret, "metadata": {**meta, "annotations": annotations}, "data": {**data, **lacking}}


def read_key(path: str | None) -> str:
    """The PEM text of --service-account-private-key-file; "" without one. Raises OperatorError."""
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"can't read --service-account-private-key-file {path}: {error}") from error


def _account_key(secret: Object) -> str:
    meta = secret["metadata"]
    return f"{meta['namespace']}/{(meta.get('annotations') or {}).get(ACCOUNT_NAME, '')}"


def _is_of(secret: Object, account: Object) -> bool:
    uid = (secret["metadata"].get("annotations") or {}).get(ACCOUNT_UID)
    return not uid or uid == account["metadata"]["uid"]


def _listed(account: Object) -> list[str]:
    namespace = account["metadata"]["namespace"]
    return [f"{namespace}/{ref.get('name', '')}" for ref in account.get("secrets") or ()]
