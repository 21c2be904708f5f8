"""Encryption at rest as the file of --encryption-provider-config has it: which key of the store gets which cipher, KMS
plugins kept in touch with, and the file followed.

Source: Kubernetes documentation, "Encrypting Confidential Data at Rest".
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kybern.api.scheme import Scheme
from kybern.apiserver.encryption_config import Configuration, Kind, load
from kybern.process.daemon import OperatorError
from kybern.store.encryption import PLAIN, Cipher
from kybern.store.encryption_store import EncryptedStore

if TYPE_CHECKING:
    from kybern.store.encryption_kms import KmsCipher

RELOAD_SECONDS = 1.0
"""Between two looks at whether the file changed."""
OLD_SECONDS = 30.0
"""How long the KMS plugins of an earlier file are kept, for what is under way."""

log = logging.getLogger(__name__)


class Locator:
    """The resource that a key of the store belongs to."""

    def __init__(self, scheme: Scheme) -> None:
        self._kinds: dict[str, Kind] = {}
        self._parents: set[str] = set()
        for resource in scheme:
            _, _, prefix = resource.prefix().rstrip("/").partition("/registry/")
            # The kinds of two groups that share a prefix are known by the core group's name.
            if prefix not in self._kinds or not resource.group:
                self._kinds[prefix] = (resource.group, resource.plural)
            if "/" in prefix:
                self._parents.add(prefix.partition("/")[0])

    def place(self, key: str) -> str:
        """The part of a key that all keys of its resource share."""
        first, _, rest = key[len("/registry/") :].partition("/")
        if first in self._parents or "." in first:
            return f"{first}/{rest.partition('/')[0]}"
        return first

    def kind(self, place: str) -> Kind | None:
        """The resource there; None for what the server keeps for itself."""
        found = self._kinds.get(place)
        if found is None and "/" in place:
            group, _, plural = place.partition("/")
            return (group, plural) if "." in group else None
        return found


class Encryption:
    """A file in force: `store` encrypts as it says."""

    def __init__(self, path: Path, scheme: Scheme, store: EncryptedStore) -> None:
        self._path = path
        self._locator = Locator(scheme)
        self._store = store
        self._plugins: list[KmsCipher] = []
        self._stamp: tuple[int, ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Put the file in force; plugins that don't answer are waited for later. Raises OperatorError."""
        self._stamp = self._changed()
        configuration = load(self._path)
        self._enforce(configuration, await _started(configuration))

    def checks(self, *, reload: bool) -> dict[str, Callable[[], str]]:
        """Health checks of the plugins. `reload`: also follow the file from now on."""
        if reload:
            self._spawn(self._follow())
            return {"kms-providers": lambda: "; ".join(filter(None, (kms.problem for kms in self._plugins)))}
        return {f"kms-provider-{number}": _problem_of(kms) for number, kms in enumerate(self._plugins)}

    async def close(self) -> None:
        """Let go of the file and of the plugins."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for kms in self._plugins:
            await kms.close()

    def _enforce(self, configuration: Configuration, plugins: list[KmsCipher]) -> None:
        chosen = configuration.finished({kms.name: (kms.prefix, kms) for kms in plugins})
        locator, known = self._locator, dict[str, Cipher]()

        def cipher_of(key: str) -> Cipher:
            place = locator.place(key)
            cipher = known.get(place)
            if cipher is None:
                kind = locator.kind(place)
                cipher = known[place] = chosen(kind) if kind else PLAIN
            return cipher

        self._store.cipher_of = cipher_of
        old, self._plugins = self._plugins, plugins
        if old:
            self._spawn(_retire(old))

    def _changed(self) -> tuple[int, ...]:
        """What is another after a change of the file; empty where it can't be looked at."""
        try:
            found = os.stat(self._path)
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            stamp = self._changed()
            if stamp and stamp != self._stamp:
                self._stamp = stamp
                await self._reload()

    async def _reload(self) -> None:
        """Put the changed file in force; leave things as they are where it or a plugin isn't well."""
        try:
            configuration = load(self._path)
        except OperatorError as error:
            log.error("the encryption configuration stays as it was: %s", error)
            return
        plugins = await _started(configuration)
        if problems := [kms.problem for kms in plugins if kms.problem]:
            log.error("the encryption configuration stays as it was: %s", "; ".join(problems))
            await _close(plugins)
            self._stamp = ()  # the plugin may come later: try again
            return
        self._enforce(configuration, plugins)
        log.info("the encryption configuration changed; values are encrypted anew as they are written")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _problem_of(kms: KmsCipher) -> Callable[[], str]:
    return lambda: kms.problem


async def _started(configuration: Configuration) -> list[KmsCipher]:
    if not configuration.providers:
        return []
    # gRPC takes its time to load, and most have no KMS.
    from kybern.store.encryption_kms import KmsCipher, Plugin

    plugins = [KmsCipher(kms.name, Plugin(kms.endpoint, kms.timeout)) for kms in configuration.providers]
    await asyncio.gather(*(kms.start() for kms in plugins))
    return plugins


async def _retire(plugins: list[KmsCipher]) -> None:
    try:
        await asyncio.sleep(OLD_SECONDS)
    finally:
        await _close(plugins)


async def _close(plugins: list[KmsCipher]) -> None:
    for kms in plugins:
        await kms.close()
