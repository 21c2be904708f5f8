"""Values encrypted at rest: the ciphers, and how a stored value names the one that made it. No I/O.

A stored value is `k8s:enc:<cipher>:v1:<key name>:` and then the cipher's bytes. Everything is upstream's, so that
upstream's API server reads what is written here and the other way round; so are the texts of errors.
Source: Kubernetes documentation, "Encrypting Confidential Data at Rest".
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

ENCRYPTED = b"k8s:enc:"
"""What every encrypted value starts with."""
TIED = (b"k8s:enc:aesgcm:", b"k8s:enc:kms:v2:")
"""Values that start so can only be opened where they were sealed: the whole key in the store is authenticated too."""
TOO_SHORT = "the stored data was shorter than the required size"
NO_PREFIX = "no matching prefix found"

GCM_NONCE = 12
GCM_TAG = 16
BOX_NONCE = 24
BOX_OVERHEAD = 16
BLOCK = 16


class Undecipherable(Exception):
    """The value can't be opened; the text says why."""


class KeyAway(Exception):
    """The key to open the value with isn't at hand: await `fetch()`, then try again."""

    def __init__(self, fetch: Callable[[], Awaitable[None]]) -> None:
        super().__init__("the key is not at hand")
        self.fetch = fetch


class Cipher(Protocol):
    """A way to encrypt. `context` is where the value is kept: bytes that must be the same at both ends."""

    def seal(self, value: bytes, context: bytes) -> bytes:
        """What is stored. Raises store.base.Untransformable."""
        ...

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        """The value, and whether it would be sealed otherwise today. Raises Undecipherable, KeyAway."""
        ...


class Identity:
    """No encryption."""

    def seal(self, value: bytes, context: bytes) -> bytes:
        return value

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        if value.startswith(ENCRYPTED):
            raise Undecipherable("identity transformer tried to read encrypted data")
        return value, False


PLAIN = Identity()
"""The cipher of what isn't to be encrypted."""


class AesGcm:
    """aesgcm: a random nonce, then ciphertext and tag; the context is authenticated."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        nonce = os.urandom(GCM_NONCE)
        return nonce + self._aead.encrypt(nonce, value, context)

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(value) < GCM_NONCE:
            raise Undecipherable(TOO_SHORT)
        try:
            return self._aead.decrypt(value[:GCM_NONCE], value[GCM_NONCE:], context), False
        except InvalidTag:
            raise Undecipherable("cipher: message authentication failed") from None


class AesCbc:
    """aescbc: a random first block, then the ciphertext, padded as PKCS #7 says. Nothing is authenticated."""

    def __init__(self, key: bytes) -> None:
        self._key = AES(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        first, padding = os.urandom(BLOCK), BLOCK - len(value) % BLOCK
        encryptor = BlockCipher(self._key, CBC(first)).encryptor()
        return first + encryptor.update(value + bytes([padding]) * padding) + encryptor.finalize()

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(value) < BLOCK:
            raise Undecipherable(TOO_SHORT)
        if len(value) % BLOCK:
            raise Undecipherable("the stored data is not a multiple of the block size")
        decryptor = BlockCipher(self._key, CBC(value[:BLOCK])).decryptor()
        plain = decryptor.update(value[BLOCK:]) + decryptor.finalize()
        padding = plain[-1] if plain else 0
        if not 0 < padding <= len(plain):
            raise Undecipherable("invalid PKCS7 data (empty or not padded)")
        if plain[-padding:] != bytes([padding]) * padding:
            raise Undecipherable("invalid padding on input")
        return plain[:-padding], False


class Secretbox:
    """secretbox: XSalsa20 and Poly1305; a random nonce, then tag and ciphertext."""

    def __init__(self, key: bytes) -> None:
        # Loaded only where it is used: most have no secretbox.
        from nacl.secret import SecretBox

        self._box = SecretBox(key)

    def seal(self, value: bytes, context: bytes) -> bytes:
        return bytes(self._box.encrypt(value))

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        from nacl.exceptions import CryptoError

        if len(value) < BOX_NONCE + BOX_OVERHEAD:
            raise Undecipherable(TOO_SHORT)
        try:
            return self._box.decrypt(value), False
        except CryptoError:
            raise Undecipherable("output array was not large enough for encryption") from None


class Prefixed:
    """Several ciphers, each for the values that start with its prefix: the first writes, all read. `otherwise` is said
    of a value that has none of the prefixes."""

    def __init__(self, ciphers: Sequence[tuple[bytes, Cipher]], otherwise: str = NO_PREFIX) -> None:
        self._ciphers = tuple(ciphers)
        self._otherwise = otherwise

    def seal(self, value: bytes, context: bytes) -> bytes:
        prefix, cipher = self._ciphers[0]
        sealed = cipher.seal(value, context)
        return prefix + sealed if prefix else sealed

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        problems = []
        for number, (prefix, cipher) in enumerate(self._ciphers):
            if not value.startswith(prefix):
                continue
            try:
                plain, outdated = cipher.open(value[len(prefix) :] if prefix else value, context)
            except Undecipherable as problem:
                # Two providers of one sort share a prefix; and identity leaves what is encrypted to the others.
                if prefix:
                    problems.append(str(problem))
                continue
            return plain, outdated or number > 0
        raise Undecipherable(_together(problems) or self._otherwise)


def _together(problems: Sequence[str]) -> str:
    """Several texts as upstream joins them."""
    distinct = list(dict.fromkeys(problems))
    return f"[{', '.join(distinct)}]" if len(distinct) > 1 else "".join(distinct)
