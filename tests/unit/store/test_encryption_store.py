"""A store that encrypts, beyond the contract of all stores: where values are tied to, and those that can't be read."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kybern.store.base import Event, Mismatch, StoreError, Unreadable
from kybern.store.encryption import PLAIN, AesGcm, Cipher, Prefixed
from kybern.store.encryption_store import EncryptedStore
from kybern.store.memory import MemoryStore

A, POD = "/registry/secrets/default/a", "/registry/pods/default/a"
ONE = (b"k8s:enc:aesgcm:v1:one:", AesGcm(bytes(32)))
TWO = (b"k8s:enc:aesgcm:v1:two:", AesGcm(bytes(31) + b"2"))


def of_secrets(cipher: Cipher, inner: MemoryStore, prefix: str = "/registry") -> EncryptedStore:
    return EncryptedStore(inner, lambda key: cipher if key.startswith("/registry/secrets/") else PLAIN, prefix)


@pytest.fixture
async def inner() -> AsyncIterator[MemoryStore]:
    made = MemoryStore()
    yield made
    await made.close()


async def test_a_value_is_tied_to_its_whole_key_in_etcd(inner: MemoryStore) -> None:
    await of_secrets(Prefixed([ONE]), inner, "/elsewhere").create(A, b"{}")
    kept = await inner.get(A)
    assert kept is not None
    assert ONE[1].open(kept.value[len(ONE[0]) :], b"/elsewhere/secrets/default/a") == (b"{}", False)
    read = await of_secrets(Prefixed([ONE]), inner).get(A)
    assert read is not None
    assert isinstance(read.value, Unreadable) and read.value.problem == "cipher: message authentication failed"


async def test_what_is_not_to_be_encrypted_passes_as_the_same_object(inner: MemoryStore) -> None:
    store, value, heard = of_secrets(Prefixed([ONE]), inner), b"{}", list[Event]()
    await store.watch("/registry/", after=0, on_events=heard.extend, on_lost=lambda error: None)
    made = await store.create(POD, value)
    found = await store.get(POD)
    assert found is not None and found.value is made.value is heard[0].entry.value is value
    assert await store.outdated(POD) is False


async def test_a_writer_hears_of_its_own_value_as_the_same_object(inner: MemoryStore) -> None:
    store, value, heard = of_secrets(Prefixed([ONE]), inner), b"{}", list[Event]()
    await store.watch("/registry/", after=0, on_events=heard.extend, on_lost=lambda error: None)
    assert (await store.create(A, value)).value is value
    assert heard[0].entry.value is value


async def test_outdated_is_what_the_first_cipher_did_not_write(inner: MemoryStore) -> None:
    await of_secrets(Prefixed([ONE]), inner).create(A, b"{}")
    assert await of_secrets(Prefixed([ONE, TWO]), inner).outdated(A) is False
    assert await of_secrets(Prefixed([TWO, ONE]), inner).outdated(A) is True
    assert await of_secrets(Prefixed([TWO]), inner).outdated(A) is True
    assert await of_secrets(Prefixed([ONE]), inner).outdated(f"{A}-none") is False


async def test_what_can_not_be_read_is_given_as_such_everywhere(inner: MemoryStore) -> None:
    made = await of_secrets(Prefixed([ONE]), inner).create(A, b"{}")
    store, heard, lost = of_secrets(Prefixed([TWO]), inner), list[Event](), list[StoreError]()
    await store.watch("/registry/secrets/", after=0, on_events=heard.extend, on_lost=lost.append)
    await store.create(f"{A}-readable", b"{}")
    values = [entry.value for entry in (await store.list("/registry/secrets/")).entries]
    assert [type(value) for value in values] == [Unreadable, bytes]
    with pytest.raises(Mismatch) as caught:
        await store.update(A, b"{}", expect=made.mod_revision + 7)
    assert caught.value.current is not None
    values = [caught.value.current.value, (await store.delete(A)).value, heard[0].entry.value, heard[-1].entry.value]
    assert [value.problem for value in values if isinstance(value, Unreadable)] == ["no matching prefix found"] * 4
    assert not lost


async def test_without_a_configuration_encrypted_values_are_known_as_such(inner: MemoryStore) -> None:
    await of_secrets(Prefixed([ONE]), inner).create(A, b"{}")
    found = await EncryptedStore(inner).get(A)
    assert found is not None and isinstance(found.value, Unreadable)
    assert found.value.problem == "identity transformer tried to read encrypted data"
