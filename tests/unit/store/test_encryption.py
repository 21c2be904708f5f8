"""The ciphers against published vectors and other programs' output, and the choice among several."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kybern.store.encryption import PLAIN, AesCbc, AesGcm, Cipher, Prefixed, Secretbox, Undecipherable
from kybern.store.encryption_kms import DerivedAesGcm

AT = b"/registry/secrets/default/a"
CIPHERS: list[Cipher] = [AesGcm(bytes(16)), AesGcm(bytes(32)), AesCbc(bytes(24)), Secretbox(bytes(32))]
CIPHERS.append(DerivedAesGcm(bytes(32)))


def reason(cipher: Cipher, value: bytes, context: bytes = AT) -> str:
    with pytest.raises(Undecipherable) as caught:
        cipher.open(value, context)
    return str(caught.value)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 5000])
def test_what_was_sealed_is_opened_and_never_looks_the_same_twice(cipher: Cipher, size: int) -> None:
    value = bytes(range(256)) * 20
    sealed = [cipher.seal(value[:size], AT) for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert [cipher.open(each, AT) for each in sealed] == [(value[:size], False)] * 2


def test_aesgcm_opens_a_published_vector() -> None:
    """Test case 4 of the proposal for GCM by McGrew and Viega; stored: nonce, ciphertext, tag."""
    cipher = AesGcm(bytes.fromhex("feffe9928665731c6d6a8f9467308308"))
    stored = bytes.fromhex(
        "cafebabefacedbaddecaf888"
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95ae7121a47"
    )
    plain, _ = cipher.open(stored, bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2"))
    assert plain.hex() == (
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    assert reason(cipher, stored, b"/registry/secrets/default/b") == "cipher: message authentication failed"


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        ("2b7e151628aed2a6abf7158809cf4f3c", "f44f36aeca6b889092c5aa81b880022ca87583585c16f7056831da4910254f35"),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "129292a3fb5a9b64ac4bccd693f65521f30a22081c9f7b8a73f71022f89d0c58",
        ),
    ],
)
def test_aescbc_opens_what_openssl_made(key: str, stored: str) -> None:
    """`openssl enc -aes-128-cbc` and `-aes-256-cbc`, which pad as PKCS #7 says; stored: first block, ciphertext."""
    cipher = AesCbc(bytes.fromhex(key))
    assert cipher.open(bytes(range(16)) + bytes.fromhex(stored), AT) == (b'{"kind":"Secret"}', False)


def test_aescbc_says_what_is_wrong() -> None:
    cipher = AesCbc(bytes(16))
    assert reason(cipher, b"short") == "the stored data was shorter than the required size"
    assert reason(cipher, bytes(17)) == "the stored data is not a multiple of the block size"
    assert reason(cipher, bytes(16)) == "invalid PKCS7 data (empty or not padded)"
    sealed = bytearray(cipher.seal(bytes(15), AT))
    sealed[15] ^= 3  # flips the only byte of padding from 1 to 2
    assert reason(cipher, bytes(sealed)) == "invalid padding on input"


def test_secretbox_opens_a_published_vector() -> None:
    """NaCl's tests/secretbox; stored: nonce, tag, ciphertext."""
    cipher = Secretbox(bytes.fromhex("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"))
    stored = bytes.fromhex(
        "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"
        "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a"
        "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae"
        "90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74"
        "e355a5"
    )
    plain, _ = cipher.open(stored, AT)
    assert plain.hex().startswith("be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc")
    assert len(plain) == 131
    assert reason(cipher, stored[:-1] + b"\0") == "output array was not large enough for encryption"
    assert reason(cipher, stored[:39]) == "the stored data was shorter than the required size"


def test_a_derived_key_is_one_step_of_hkdf_over_the_leading_bytes() -> None:
    seed, info, nonce = bytes(range(32)), bytes(range(100, 132)), bytes(12)
    key = hmac.new(seed, info + b"\x01", hashlib.sha256).digest()
    stored = info + nonce + AESGCM(key).encrypt(nonce, b"value", AT)
    assert DerivedAesGcm(seed).open(stored, AT) == (b"value", False)
    assert reason(DerivedAesGcm(seed), stored[:43]) == "the stored data was shorter than the required size"


def of_keys(*names: str) -> tuple[bytes, Cipher]:
    """An aescbc provider; a key's bytes follow from its name."""
    ciphers = [(f"{name}:".encode(), AesCbc(hashlib.sha256(name.encode()).digest())) for name in names]
    return b"k8s:enc:aescbc:v1:", Prefixed(ciphers, "no matching key was found for the provided AES transformer")


def test_the_first_writes_and_all_read() -> None:
    old, both = Prefixed([of_keys("a")]), Prefixed([of_keys("b", "a"), (b"", PLAIN)])
    written = old.seal(b"{}", AT)
    assert written.startswith(b"k8s:enc:aescbc:v1:a:")
    assert both.seal(b"{}", AT).startswith(b"k8s:enc:aescbc:v1:b:")
    assert both.open(written, AT) == (b"{}", True)
    assert both.open(b"{}", AT) == (b"{}", True)
    assert both.open(both.seal(b"{}", AT), AT) == (b"{}", False)


def test_two_providers_of_one_sort_may_share_a_prefix() -> None:
    both = Prefixed([of_keys("b"), of_keys("a")])
    assert both.open(Prefixed([of_keys("a")]).seal(b"{}", AT), AT) == (b"{}", True)


def test_identity_first_leaves_what_is_encrypted_to_the_others() -> None:
    leaving = Prefixed([(b"", PLAIN), of_keys("a")])
    assert leaving.seal(b"{}", AT) == b"{}"
    assert leaving.open(Prefixed([of_keys("a")]).seal(b"{}", AT), AT) == (b"{}", True)
    assert leaving.open(b"{}", AT) == (b"{}", False)


def test_without_the_key_upstreams_words_are_said() -> None:
    sealed = Prefixed([of_keys("a")]).seal(b"{}", AT)
    assert reason(PLAIN, sealed) == "identity transformer tried to read encrypted data"
    assert reason(Prefixed([of_keys("b")]), sealed) == "no matching key was found for the provided AES transformer"
    assert reason(Prefixed([(b"k8s:enc:aesgcm:v1:", AesGcm(bytes(16)))]), sealed) == "no matching prefix found"
    assert reason(Prefixed([of_keys("a")]), b"{}") == "no matching prefix found"
