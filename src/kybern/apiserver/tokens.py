"""Service account keys and tokens: key files, signing, and the documents by which others verify (OpenID discovery).

Source: KEP-1205 Bound service account tokens, KEP-1393 Service account issuer discovery.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kybern.api.types import Object
from kybern.process.clock import clock, new_uid
from kybern.process.daemon import OperatorError

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
PROJECTED_SECONDS = 3607
"""The lifetime that the ServiceAccount admission plugin asks for, by which such tokens are known."""
EXTENDED_SECONDS = 365 * 24 * 3600
"""How long those are in truth good for, as old clients don't read their token again."""


class KeySet:
    """Public keys by key id."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    def candidates(self, kid: str) -> list[PublicKey]:
        """The keys that may have signed: the one of that id; any where a token names none."""
        if not kid:
            return list(self._keys.values())
        return [self._keys[kid]] if kid in self._keys else []

    async def seek(self, token: str) -> None:
        """Look for the key of a token elsewhere, where there may be others than those known."""

    def jwks(self) -> Object:
        """The JSON Web Key Set."""
        return {"keys": [jwk(kid, key) for kid, key in self._keys.items()]}

    def algorithms(self) -> list[str]:
        """The signing algorithms in use."""
        return sorted({algorithm_of(key) for key in self._keys.values()})


class Issued(NamedTuple):
    """A token, the end to show in epoch seconds, and the token's id."""

    token: str
    end: float
    identity: str


class Signer(Protocol):
    """Signs tokens in our place."""

    async def sign(self, claims: Object) -> str:
        """The token with these claims. Raises SigningFailed."""
        ...


class SigningFailed(Exception):
    """There is no token; the message says why."""


@dataclass(slots=True)
class TokenIssuer:
    """Signs tokens, with its own key or by a signer. `audiences` are those of a token whose request names none."""

    key: PrivateKey | None
    issuer: str
    audiences: tuple[str, ...]
    max_seconds: int = 0
    """--service-account-max-token-expiration; 0: unlimited."""
    extend: bool = True
    """--service-account-extend-token-expiration."""
    signer: Signer | None = None

    async def give(
        self, namespace: str, account: Object, audiences: Sequence[str], seconds: int, bound: Mapping[str, Object]
    ) -> Issued:
        """The same as `issue`, by the signer where there is one. Raises SigningFailed."""
        if self.signer is None:
            return self.issue(namespace, account, audiences, seconds, bound)
        claims = self._claims(namespace, account, audiences, seconds, bound)
        return Issued(await self.signer.sign(claims), float(claims["iat"] + seconds), claims["jti"])

    def issue(
        self, namespace: str, account: Object, audiences: Sequence[str], seconds: int, bound: Mapping[str, Object]
    ) -> Issued:
        """`bound`: "pod", "secret", "node" -> {name, uid}. `seconds` are not more than `max_seconds`."""
        import jwt

        assert self.key is not None
        claims, public = self._claims(namespace, account, audiences, seconds, bound), self.key.public_key()
        token = jwt.encode(claims, self.key, algorithm=algorithm_of(public), headers={"kid": key_id(public)})
        return Issued(token, float(claims["iat"] + seconds), claims["jti"])

    def _claims(
        self, namespace: str, account: Object, audiences: Sequence[str], seconds: int, bound: Mapping[str, Object]
    ) -> Object:
        now = int(clock.time())
        private: Object = {
            "namespace": namespace,
            "serviceaccount": {"name": account["metadata"]["name"], "uid": account["metadata"]["uid"]},
            **bound,
        }
        valid = seconds
        if self.extend and seconds == PROJECTED_SECONDS and "pod" in bound and set(audiences) <= set(self.audiences):
            valid = max(seconds, min(EXTENDED_SECONDS, self.max_seconds or EXTENDED_SECONDS))
            private["warnafter"] = now + seconds
        return {
            "aud": list(audiences) or list(self.audiences),
            "exp": now + valid,
            "iat": now,
            "iss": self.issuer,
            "jti": new_uid(),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{account['metadata']['name']}",
        }

def key_id(key: PublicKey) -> str:
    """The SHA-256 of the public key, as upstream names keys."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def algorithm_of(key: PublicKey) -> str:
    """The one that a key signs with."""
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    return {256: "ES256", 384: "ES384", 521: "ES512"}[key.curve.key_size]


def jwk(kid: str, key: PublicKey) -> Object:
    """A key as a JSON Web Key Set has it."""
    import jwt

    algorithm = algorithm_of(key)
    implementation: Any = jwt.get_algorithm_by_name(algorithm)
    material = {k: v for k, v in implementation.to_jwk(key, as_dict=True).items() if k not in ("key_ops", "alg")}
    return {"use": "sig", **material, "kid": kid, "alg": algorithm}


def openid_configuration(issuer: str, jwks_uri: str, keys: KeySet) -> Object:
    """The document at /.well-known/openid-configuration."""
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": keys.algorithms(),
    }


def new_signing_key() -> ec.EllipticCurvePrivateKey:
    """A key for a server that was given none."""
    return ec.generate_private_key(ec.SECP256R1())


def read_private_key(path: Path) -> PrivateKey:
    """A PEM private key. Raises OperatorError."""
    try:
        key = _loaded(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise OperatorError(f"cannot read --service-account-signing-key-file {path}: {error}") from error
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise OperatorError(f"--service-account-signing-key-file {path} is neither an RSA nor an ECDSA key")
    return key


def read_public_keys(path: Path) -> list[PublicKey]:
    """The public keys of a PEM file that may hold several, public or private. Raises OperatorError."""
    keys: list[PublicKey] = []
    try:
        for block in _pem_blocks(path.read_bytes()):
            if b"PRIVATE KEY" in block:
                loaded: Any = _loaded(block).public_key()
            else:
                loaded = serialization.load_pem_public_key(block)
            if isinstance(loaded, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
                keys.append(loaded)
    except (OSError, ValueError, TypeError) as error:
        raise OperatorError(f"cannot read --service-account-key-file {path}: {error}") from error
    if not keys:
        raise OperatorError(f"--service-account-key-file {path} holds no RSA or ECDSA key")
    return keys


def _loaded(pem: bytes) -> Any:
    """The operator's own key: whether its numbers are prime is not looked at, which takes 70 ms at each start."""
    return serialization.load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)


def _pem_blocks(data: bytes) -> list[bytes]:
    marker = b"-----BEGIN "
    return [marker + piece for piece in data.split(marker)[1:]]
