"""What a controller is: watches turn changes into keys, `reconcile` brings one key in order, its result decides when
it is looked at again.

    return None        done; wait for the next change
    return 2.5         look again in 2.5 s
    raise Conflict     somebody else wrote first: again soon, nothing is wrong
    raise Terminal     it can't succeed until something changes: logged, not retried
    raise Failure      again, each time later; its message says all there is to know
    raise anything     again, each time later
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Generic, Protocol, TypeVar

from kybern.api.errors import APIError, Conflict
from kybern.api.types import Object
from kybern.client.events import EventRecorder
from kybern.client.informer import Informer, InformerFactory
from kybern.client.rest import Client
from kybern.client.transport import severity
from kybern.client.workqueue import QueueClosed, WorkQueue

log = logging.getLogger(__name__)


class Terminal(Exception):
    """Trying again won't help."""


class Failure(Exception):
    """It didn't work this time, for a reason that lies outside this process."""


class Configured(Protocol):
    """The least that a manager's options have."""

    workers: dict[str, int]
    """Controller name -> keys worked on at the same time."""


Options = TypeVar("Options", bound=Configured)


class Context(Generic[Options]):
    """What the controllers share: a client, the informers, the configuration."""

    def __init__(self, client: Client, options: Options) -> None:
        self.client = client
        self.informers = InformerFactory(client)
        self.options = options
        self._recorders: dict[str, EventRecorder] = {}

    def recorder(self, component: str) -> EventRecorder:
        """The recorder of events that come from `component`."""
        if component not in self._recorders:
            self._recorders[component] = EventRecorder(self.client, component)
        return self._recorders[component]

    async def close(self) -> None:
        """Stop the watches and write the last events."""
        await self.informers.stop()
        await asyncio.gather(*(recorder.close() for recorder in self._recorders.values()))


class Controller(Generic[Options]):
    """Subclass, name it as upstream does, subscribe in `__init__`, write `reconcile`."""

    name = ""
    aliases: tuple[str, ...] = ()
    """Upstream's old names, which --controllers takes too."""
    gates: tuple[str, ...] = ()
    """The feature gates without which it does not run."""
    by_default = True
    """Whether --controllers=* takes it in; upstream has a few that must be named."""
    workers = 5
    """Keys worked on at the same time."""

    def __init__(self, context: Context[Options]) -> None:
        self.context = context
        self.client = context.client
        self.options = context.options
        self.queue = WorkQueue(self.name)
        self._informers: list[Informer] = []

    @property
    def ready(self) -> bool:
        """Whether its informers are filled."""
        return all(informer.has_synced for informer in self._informers)

    @classmethod
    def wanted(cls, options: Options) -> bool:
        """Whether the configuration leaves it anything to do."""
        return True

    def informer(self, api_version: str, plural: str, *, namespaced: bool = True, field_selector: str = "") -> Informer:
        """The shared informer of a resource; `run` waits until it is filled."""
        found = self.context.informers.informer(
            api_version, plural, namespaced=namespaced, field_selector=field_selector
        )
        if found not in self._informers:
            self._informers.append(found)
        return found

    def watch(self, informer: Informer, keys: Callable[[Object], Iterable[str]]) -> None:
        """Queue `keys(object)` at each change, of the object before and of the object after."""

        def changed(old: Object | None, new: Object | None) -> None:
            for obj in (old, new):
                if obj is not None:
                    for key in keys(obj):
                        self.queue.add(key)

        informer.on_change(changed)

    async def reconcile(self, key: str) -> float | None:
        """Bring one key in order. See the module for what the result and the errors mean."""
        return None

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        """Loops to run beside the workers, started once the informers are filled."""
        return ()

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in self._informers:
            await informer.synced()
        number = self.options.workers.get(self.name, self.workers)
        loops = [*self.background(), *(self._work() for _ in range(number))]
        tasks = [asyncio.create_task(loop, name=self.name) for loop in loops]
        try:
            await asyncio.gather(*tasks)
        finally:
            self.queue.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self._process(key)
            finally:
                self.queue.done(key)

    async def _process(self, key: str) -> None:
        try:
            again = await self.reconcile(key)
        except Conflict as error:
            log.debug("%s %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except Terminal as error:
            log.warning("%s %s: %s", self.name, key, error)
            self.queue.forget(key)
        except (APIError, Failure) as error:
            log.log(severity(error), "%s %s: %s", self.name, key, error)
            self.queue.add_rate_limited(key)
        except Exception:
            log.exception("%s %s failed", self.name, key)
            self.queue.add_rate_limited(key)
        else:
            self.queue.forget(key)
            if again is not None:
                self.queue.add_after(key, again)


async def periodically(seconds: float, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Run `work` every so many seconds until cancelled; an error is logged and doesn't end it."""
    while True:
        try:
            await work()
        except (APIError, Failure) as error:
            log.log(severity(error), "%s: %s", name, error)
        except Exception:
            log.exception("%s failed", name)
        await asyncio.sleep(seconds)
