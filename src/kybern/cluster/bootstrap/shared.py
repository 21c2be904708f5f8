"""The keys that control planes share, in a Secret, encrypted with a key that only the operator has.

The Secret is owned by a bootstrap token of two hours, so that it goes when that does. Source: kubeadm's "Uploading
control-plane certificates to the cluster"; each value is a nonce of twelve bytes and what AES-256-GCM made of a file.
"""

from __future__ import annotations

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kybern.api.errors import NotFound
from kybern.client.rest import Client
from kybern.cluster import token
from kybern.cluster.bootstrap import objects
from kybern.cluster.bootstrap.certificates import SHARED
from kybern.cluster.layout import Layout, write_private
from kybern.process.daemon import OperatorError

_TTL = 7200.0
_KEY_BYTES, _NONCE_BYTES = 32, 12


def generate_key() -> str:
    """A key, in hexadecimal."""
    return secrets.token_hex(_KEY_BYTES)


def check_key(key: str) -> bytes:
    """The key's bytes. Raises OperatorError."""
    try:
        found = bytes.fromhex(key)
    except ValueError:
        found = b""
    if len(found) != _KEY_BYTES:
        raise OperatorError(f"--certificate-key must be {2 * _KEY_BYTES} hexadecimal digits, as `kybern init` prints")
    return found


async def upload(client: Client, layout: Layout, key: str) -> None:
    """Raises APIError, OperatorError."""
    cipher = AESGCM(check_key(key))
    data = {_entry(file): _encrypt(cipher, (layout.pki / file).read_bytes()) for file in SHARED}
    said = "Proxy for managing TTL for the kubeadm-certs secret"
    owner = await client.resource("v1", "secrets").create(token.secret(token.generate(), _TTL, [], [], said))
    reference = {
        "apiVersion": "v1", "kind": "Secret", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True, "controller": True,
    }  # fmt: skip
    meta = {"name": objects.CERTS_SECRET, "namespace": objects.NAMESPACE, "ownerReferences": [reference]}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
    await objects.apply(client, [secret, *objects.for_control_planes()])


async def download(client: Client, key: str) -> dict[str, bytes]:
    """Path below pki -> content. Raises OperatorError, APIError."""
    cipher = AESGCM(check_key(key))
    try:
        secret = await client.resource("v1", "secrets").get(objects.CERTS_SECRET, objects.NAMESPACE)
    except NotFound as error:
        told = "the cluster has no certificates for control planes: they are gone two hours after their upload"
        raise OperatorError(f"{told}; run `kybern certs upload` on a control plane") from error
    try:
        return {file: _decrypt(cipher, secret["data"][_entry(file)]) for file in SHARED}
    except KeyError as error:
        raise OperatorError(f"Secret {objects.CERTS_SECRET} lacks {error}; run `kybern certs upload` again") from error
    except (InvalidTag, ValueError) as error:
        raise OperatorError("--certificate-key is not the one that the certificates were uploaded with") from error


def save(layout: Layout, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_private(layout.pki / name, content)


def _entry(file: str) -> str:
    """A key of a Secret has no slashes."""
    return file.replace("/", "-")


def _encrypt(cipher: AESGCM, content: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.b64encode(nonce + cipher.encrypt(nonce, content, None)).decode()


def _decrypt(cipher: AESGCM, text: str) -> bytes:
    whole = base64.b64decode(text)
    return cipher.decrypt(whole[:_NONCE_BYTES], whole[_NONCE_BYTES:], None)
