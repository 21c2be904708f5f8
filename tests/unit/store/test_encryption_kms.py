"""Values under a KMS plugin's keys, with a real plugin on a unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kybern.process.clock import clock
from kybern.store._generated import kms_pb2 as kms
from kybern.store.base import Untransformable
from kybern.store.encryption import AesGcm, KeyAway, Undecipherable
from kybern.store.encryption_kms import SEED_SECONDS, KmsCipher, Plugin
from kybern.testing.kms import KmsPlugin

AT = b"/registry/secrets/default/a"


@pytest.fixture
async def plugin(tmp_path: Path) -> AsyncIterator[KmsPlugin]:
    made = KmsPlugin(tmp_path / "kms.sock")
    await made.start()
    yield made
    await made.stop()


async def server(plugin: KmsPlugin) -> KmsCipher:
    """The cipher of one API server; it doesn't ask by itself."""
    cipher = KmsCipher("vault", Plugin(plugin.endpoint, 2.0))
    await cipher.refresh()
    return cipher


async def opened(cipher: KmsCipher, value: bytes) -> tuple[bytes, bool]:
    try:
        return cipher.open(value, AT)
    except KeyAway as away:
        await away.fetch()
        return cipher.open(value, AT)


async def test_one_server_reads_what_another_wrote_and_asks_once_for_its_key(plugin: KmsPlugin) -> None:
    one, two = await server(plugin), await server(plugin)
    sealed = [one.seal(value, AT) for value in (b"a", b"b")]
    found = kms.EncryptedObject.FromString(sealed[0])
    assert (found.key_id, found.source_type, dict(found.annotations)) == ("one", 1, {"by.kms.test": b"plugin"})
    assert one.open(sealed[0], AT) == (b"a", False)
    with pytest.raises(KeyAway):
        two.open(sealed[0], AT)
    assert [await opened(two, value) for value in sealed] == [(b"a", False), (b"b", False)]
    assert plugin.decrypted == 1
    with pytest.raises(Undecipherable, match="message authentication failed"):
        one.open(sealed[0], AT + b"2")
    await one.close()
    await two.close()


async def test_another_key_id_makes_a_new_seed_and_the_old_values_outdated(plugin: KmsPlugin) -> None:
    cipher = await server(plugin)
    before = cipher.seal(b"a", AT)
    await cipher.refresh()
    same = kms.EncryptedObject.FromString(cipher.seal(b"a", AT)).source
    assert same == kms.EncryptedObject.FromString(before).source
    plugin.rotate("two")
    await cipher.refresh()
    after = cipher.seal(b"a", AT)
    assert kms.EncryptedObject.FromString(after).key_id == "two"
    assert (cipher.open(before, AT), cipher.open(after, AT)) == ((b"a", True), (b"a", False))
    await cipher.close()


async def test_a_value_whose_key_was_used_directly_is_read(plugin: KmsPlugin) -> None:
    """The form of upstream's first releases of KMS v2: no seed, the key itself."""
    cipher, key = await server(plugin), bytes(range(32))
    answer = await Plugin(plugin.endpoint, 2.0).encrypt(key)
    value = kms.EncryptedObject(
        data=AesGcm(key).seal(b"a", AT),
        key_id=answer.key_id,
        source=answer.ciphertext,
        annotations=dict(answer.annotations),
    )
    assert await opened(cipher, value.SerializeToString()) == (b"a", True)
    await cipher.close()


async def test_a_key_that_was_taken_away(plugin: KmsPlugin) -> None:
    one, two = await server(plugin), await server(plugin)
    plugin.keys.clear()
    sealed = one.seal(b"a", AT)
    for _ in range(2):
        with pytest.raises(Undecipherable) as caught:
            await opened(two, sealed)
    assert str(caught.value) == ("failed to decrypt DEK, error: rpc error: code = InvalidArgument desc = no key one")
    assert plugin.decrypted == 1
    await one.close()
    await two.close()


async def test_a_plugin_that_is_not_well(plugin: KmsPlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.healthz = "sealed"
    cipher = await server(plugin)
    assert cipher.problem == ("kmsv2 Provider vault is not healthy, error: got unexpected healthz status: sealed")
    with pytest.raises(Untransformable, match="got unexpected nil transformer"):
        cipher.seal(b"a", AT)
    plugin.healthz = "ok"
    await cipher.refresh()
    assert cipher.problem == ""
    sealed, now = cipher.seal(b"a", AT), clock.time()
    monkeypatch.setattr(clock, "now_fn", lambda: now + SEED_SECONDS + 1)
    with pytest.raises(Untransformable, match=r'^encryptedDEKSource with keyID hash "sha256:[0-9a-f]{64}" expired at '):
        cipher.seal(b"a", AT)
    assert cipher.open(sealed, AT) == (b"a", False)
    await cipher.close()


async def test_no_plugin_at_all(tmp_path: Path) -> None:
    cipher = KmsCipher("vault", Plugin(f"unix://{tmp_path}/none.sock", 0.5))
    await cipher.refresh()
    assert cipher.problem.startswith("rpc error: code = ")
    await cipher.close()
