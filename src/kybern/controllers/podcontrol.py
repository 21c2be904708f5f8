"""Making and deleting the pods of an owner: slowly at first, with events, and with a note of what is yet to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from kybern.api.errors import APIError, Forbidden, NotFound
from kybern.api.types import Object, key_of
from kybern.client.events import EventRecorder
from kybern.client.rest import ResourceClient
from kybern.controllers.owners import Expectations

BURST = 500
"""Pods made or deleted in one pass."""


class PodControl:
    """Acts for owners of any kind, known by their keys."""

    def __init__(self, pods: ResourceClient, recorder: EventRecorder, expectations: Expectations) -> None:
        self._pods = pods
        self._recorder = recorder
        self._expectations = expectations

    async def create(self, owner: Object, bodies: Sequence[Object]) -> None:
        """Make these pods. Raises the first error, unless it is that the namespace ends."""
        key, left = key_of(owner), iter(bodies)
        self._expectations.expect_creations(key, len(bodies))

        async def create() -> None:
            try:
                pod = await self._pods.create(next(left))
            except APIError as error:
                if not namespace_ends(error):
                    self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {error}")
                raise
            name = pod["metadata"]["name"]
            self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {name}")

        done, failure = await slow_start(len(bodies), create)
        self._expectations.created(key, len(bodies) - done)
        if failure and not namespace_ends(failure):
            raise failure

    async def delete(self, owner: Object, surplus: Sequence[Object]) -> None:
        """Delete these pods, all at the same time. Raises the first error; pods that are gone are none."""
        key = key_of(owner)
        self._expectations.expect_deletions(key, [key_of(pod) for pod in surplus])

        async def delete(pod: Object) -> None:
            meta = pod["metadata"]
            try:
                await self._pods.delete(meta["name"], meta["namespace"], uid=meta["uid"])
            except NotFound:
                self._expectations.deleted(key, key_of(pod))
            except APIError as error:
                self._expectations.deleted(key, key_of(pod))
                self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
                raise
            else:
                self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta['name']}")

        results = await asyncio.gather(*map(delete, surplus), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result


async def slow_start(count: int, create: Callable[[], Awaitable[None]]) -> tuple[int, APIError | None]:
    """Call `create` `count` times in batches of 1, 2, 4, ...: what fails for all then fails once, not `count` times.
    Gives how many succeeded, and the first error."""
    done, batch = 0, 1
    while done < count:
        batch = min(batch, count - done)
        results = await asyncio.gather(*(create() for _ in range(batch)), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        done += batch - len(errors)
        for error in errors:
            if not isinstance(error, APIError):
                raise error
            return done, error
        batch *= 2
    return done, None


def namespace_ends(error: APIError) -> bool:
    """Whether nothing can be created because the namespace is being deleted: not worth telling or trying again."""
    causes = (error.details or {}).get("causes") or ()
    ends = any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
    return ends or (isinstance(error, Forbidden) and "because it is being terminated" in error.message)
