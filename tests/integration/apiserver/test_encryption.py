"""Secrets at rest, with the real kubectl: what the store's file holds, rotation, loss of a key, and a KMS plugin."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from kybern.store.encryption import AesGcm
from kybern.testing.kms import KmsPlugin
from tests.integration.apiserver.conftest import Kubectl, running

WORD = "open-sesame"
IDENTITY: dict[str, Any] = {"identity": {}}


def secret_of(name: str) -> bytes:
    return name.encode().ljust(32, b"-")


def aesgcm(*names: str) -> dict[str, Any]:
    keys = [{"name": name, "secret": base64.b64encode(secret_of(name)).decode()} for name in names]
    return {"aesgcm": {"keys": keys}}


def write(directory: Path, *providers: dict[str, Any], resources: tuple[str, ...] = ("secrets",)) -> list[str]:
    """Write the file, in one step; gives the flag that names it."""
    path = directory / "encryption.yaml"
    document = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": list(resources), "providers": list(providers)}],
    }
    path.with_suffix(".new").write_text(yaml.safe_dump(document))
    os.replace(path.with_suffix(".new"), path)
    return ["--encryption-provider-config", str(path)]


def stored(directory: Path) -> dict[str, bytes]:
    """Keys and values in the file of the store; of a copy, as a running server keeps others out."""
    copy = directory / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in (directory / "data").glob("store.db*"):
        shutil.copy(path, copy)
    with sqlite3.connect(copy / "store.db") as database:
        latest = dict(database.execute("select key, value from log order by revision").fetchall())
    return {key: bytes(value) for key, value in latest.items() if value is not None}


def raw(directory: Path) -> bytes:
    """All that the store has on disk."""
    return b"".join(path.read_bytes() for path in (directory / "data").glob("store.db*"))


def make(kubectl: Kubectl, name: str) -> None:
    kubectl.run("create", "secret", "generic", name, f"--from-literal=word={WORD}-{name}")


def word(kubectl: Kubectl, name: str) -> str:
    return base64.b64decode(kubectl.get("secret", name)["data"]["word"]).decode()


def rewrite(kubectl: Kubectl) -> None:
    """As the documentation says to."""
    everything = kubectl.out("get", "secrets", "-A", "-o", "json")
    kubectl.run("replace", "-f", "-", stdin=everything)


def test_a_secret_is_unreadable_in_the_file_but_readable_with_the_key(tmp_path: Path) -> None:
    with running(
        tmp_path, *write(tmp_path, aesgcm("one"), IDENTITY, resources=("secrets", "*.example.com"))
    ) as kubectl:
        make(kubectl, "a")
        kubectl.run("create", "configmap", "plain", f"--from-literal=word=public-{WORD}")
        assert word(kubectl, "a") == f"{WORD}-a"
    on_disk = raw(tmp_path)
    encoded = base64.b64encode(f"{WORD}-a".encode())
    assert f"public-{WORD}".encode() in on_disk
    assert encoded not in on_disk and b'"kind":"Secret"' not in on_disk
    value = stored(tmp_path)["/registry/secrets/default/a"]
    prefix = b"k8s:enc:aesgcm:v1:one:"
    assert value.startswith(prefix)
    plain, _ = AesGcm(secret_of("one")).open(value[len(prefix) :], b"/registry/secrets/default/a")
    assert json.loads(plain)["data"]["word"] == encoded.decode()


def test_keys_are_rotated_and_encryption_left_without_a_restart(tmp_path: Path) -> None:
    flags = [*write(tmp_path, IDENTITY), "--encryption-provider-config-automatic-reload"]

    def prefixes() -> set[bytes]:
        values = [value for key, value in stored(tmp_path).items() if key.startswith("/registry/secrets/")]
        return {prefix[0] for value in values if (prefix := re.match(rb"(k8s:enc:\w+:v1:\w+:)?", value))}

    with running(tmp_path, *flags) as kubectl:
        for name in ("a", "b"):
            make(kubectl, name)
        version = kubectl.get("secret", "a")["metadata"]["resourceVersion"]
        assert prefixes() == {b""}
        steps = [
            ((aesgcm("one"), IDENTITY), b"k8s:enc:aesgcm:v1:one:"),
            ((aesgcm("two", "one"),), b"k8s:enc:aesgcm:v1:two:"),
            ((IDENTITY, aesgcm("two")), b""),
        ]
        for number, (providers, prefix) in enumerate(steps):
            write(tmp_path, *providers)

            def in_force(number: int = number, prefix: bytes = prefix) -> bool:
                make(kubectl, f"probe-{number}-{len(stored(tmp_path))}")
                return prefix in prefixes()

            kubectl.until(in_force, "the new file in force")
            rewrite(kubectl)
            assert prefixes() == {prefix}
        assert (word(kubectl, "a"), word(kubectl, "b")) == (f"{WORD}-a", f"{WORD}-b")
        assert int(kubectl.get("secret", "a")["metadata"]["resourceVersion"]) > int(version)
        # Now nothing is outdated, so that writing the same again is no write.
        version = kubectl.get("secret", "a")["metadata"]["resourceVersion"]
        rewrite(kubectl)
        assert kubectl.get("secret", "a")["metadata"]["resourceVersion"] == version
        (tmp_path / "encryption.yaml").write_text("kind: Nonsense")
        make(kubectl, "c")
        assert word(kubectl, "c") == f"{WORD}-c"


def test_a_value_without_its_key_hides_no_other(tmp_path: Path) -> None:
    with running(tmp_path, *write(tmp_path, aesgcm("one"))) as kubectl:
        make(kubectl, "old")
    flags = [*write(tmp_path, aesgcm("two")), "--encryption-provider-config-automatic-reload"]
    with running(tmp_path, *flags) as kubectl:
        make(kubectl, "new")
        assert word(kubectl, "new") == f"{WORD}-new"
        why = "no matching key was found for the provided AES transformer"
        said = f"Error from server (InternalError): Internal error occurred: {why}"
        assert kubectl.error("get", "secret", "old") == said
        assert kubectl.error("delete", "secret", "old") == said
        listed = f'unable to transform key "/registry/secrets/default/old": {why}'
        assert listed in kubectl.error("get", "secrets")
        assert listed in kubectl.error("get", "secrets", "-A", "--chunk-size=1")
        assert 'secrets "old" already exists' in kubectl.error("create", "secret", "generic", "old")
        kubectl.run("create", "namespace", "other")
        assert kubectl.out("get", "secrets", "-n", "other") == ""
        write(tmp_path, aesgcm("two", "one"))
        kubectl.until(lambda: kubectl.run("get", "secrets", ok=None).returncode == 0, "the key back")
        assert word(kubectl, "old") == f"{WORD}-old"
        assert kubectl.out("get", "secrets", "-o", "name").split() == ["secret/new", "secret/old"]
    with running(tmp_path) as kubectl:
        # Without any configuration the values are said to be encrypted, not taken for what they aren't.
        assert "identity transformer tried to read encrypted data" in kubectl.error("get", "secret", "old")


@contextmanager
def plugin_at(socket: Path) -> Iterator[tuple[KmsPlugin, Callable[[Any], Any]]]:
    """A plugin on a loop of its own, and what runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def begin() -> KmsPlugin:
        made = KmsPlugin(socket)
        await made.start()
        return made

    plugin = run(begin())
    try:
        yield plugin, run
    finally:
        run(plugin.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def test_a_kms_plugin_guards_the_key(tmp_path: Path) -> None:
    socket = tmp_path / "kms.sock"
    provider = {"kms": {"apiVersion": "v2", "name": "vault", "endpoint": f"unix://{socket}"}}
    flags = write(tmp_path, provider)
    with plugin_at(socket) as (plugin, run):
        with running(tmp_path, *flags) as kubectl:
            make(kubectl, "a")
            assert kubectl.out("get", "--raw", "/healthz/kms-provider-0") == "ok"
        assert stored(tmp_path)["/registry/secrets/default/a"].startswith(b"k8s:enc:kms:v2:vault:")
        assert plugin.decrypted == 0
        with running(tmp_path, *flags) as kubectl:
            assert word(kubectl, "a") == f"{WORD}-a"
            assert plugin.decrypted == 1
        run(plugin.stop())
        with running(tmp_path, *flags, up="livez?exclude=kms-provider-0") as kubectl:
            assert "got unexpected nil transformer" in kubectl.error("get", "secret", "a")
            assert "got unexpected nil transformer" in kubectl.error("create", "secret", "generic", "b")
            for endpoint in ("readyz", "livez"):
                assert "kms-provider-0 failed" in kubectl.error("get", "--raw", f"/{endpoint}")
            run(plugin.start())
            kubectl.until(lambda: kubectl.run("get", "secrets", ok=None).returncode == 0, "the plugin asked again")
            assert word(kubectl, "a") == f"{WORD}-a"
