"""Objects that are stored in an older version, or encrypted otherwise than they would be today, are written anew: each
is applied with nothing in it, which changes nothing but how it is stored. A CRD is then known to have none of the
older versions stored any more, unless it was changed meanwhile.

Source: API reference, StorageVersionMigration v1beta1 storagemigration.k8s.io; KEP-4192.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api.errors import APIError, Conflict, NotFound
from kybern.api.types import Object
from kybern.client.rest import ResourceClient
from kybern.controllers import conditions, discovery
from kybern.controllers.controller import Context, Controller, periodically
from kybern.controllers.discovery import Served

log = logging.getLogger(__name__)

API_VERSION, PLURAL = "storagemigration.k8s.io/v1beta1", "storageversionmigrations"
CRDS = ("apiextensions.k8s.io/v1", "customresourcedefinitions")
MIGRATING, ATTEMPTS = "StorageMigrating", 5
RUNNING, SUCCEEDED, FAILED = "Running", "Succeeded", "Failed"
MANAGER = "storage-version-migrator-controller"
EVERY = 2.0
LOOK_EVERY = 300
"""Passes between two looks at whether migrations are served, which they are only where --runtime-config says so."""
PAGE = 500


class StorageVersionMigrator(Controller):
    name = "storage-version-migrator-controller"
    aliases = ("svm",)
    gates = ("StorageVersionMigrator",)
    workers = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._migrations = self.client.resource(API_VERSION, PLURAL, namespaced=False)
        self._crds = self.client.resource(*CRDS, namespaced=False)
        self._passes = 0

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(EVERY, self.migrate, self.name)]

    async def migrate(self) -> None:
        """One pass: all migrations that have not ended."""
        self._passes -= 1
        if self._passes > 0:
            return
        try:
            found = await self._migrations.list()
        except NotFound:
            self._passes = LOOK_EVERY
            return
        for migration in found.items:
            how = _ended(migration)
            if not how:
                await self._carry_out(migration)
            elif _is_true(migration, RUNNING):
                # We ended before all of it was said.
                await self._finish(migration, how)

    async def _carry_out(self, migration: Object) -> None:
        wanted = migration["spec"]["resource"]
        said = f"Migration {migration['metadata']['name']} is running"
        await self._mark_crd(migration, "True", "MigrationRunning", said)
        migration = await self._say(migration, RUNNING, "True", "MigrationRunning", "The migration is running")
        kinds = {(one.group, one.plural): one for one in await discovery.known(self.client)}
        kind = kinds.get((wanted.get("group") or "", wanted["resource"]))
        if kind is None or not {"list", "patch"} <= kind.verbs:
            await self._end(migration, FAILED, "resource does not exist in GC, cannot migrate")
            return
        try:
            await self._rewrite(kind)
        except APIError as error:
            log.warning("storage version migration %s: %s", migration["metadata"]["name"], error)
            await self._end(migration, FAILED, "migration failed due to conflict or another error")
            return
        await self._end(migration, SUCCEEDED, "")

    async def _rewrite(self, kind: Served) -> None:
        """Write each object anew. Raises APIError."""
        objects = kind.client(self.client)
        for found in (await objects.list(limit=PAGE)).items:
            await _touch(objects, kind, found)

    async def _end(self, migration: Object, how: str, message: str) -> None:
        migration = await self._say(migration, how, "True", f"StorageVersionMigration{how}", message)
        await self._finish(migration, how)

    async def _finish(self, migration: Object, how: str) -> None:
        await self._finish_crd(migration, how)
        await self._say(migration, RUNNING, "False", "MigrationCompleted", "Migration completed")

    async def _finish_crd(self, migration: Object, how: str) -> None:
        """Say at the CRD, if it is one's, how its migration ended; what was stored before is forgotten."""
        if how == FAILED:
            await self._mark_crd(migration, "False", "MigrationFailed", "The migration has failed")
            return
        crd = await self._crd(migration)
        if crd is None:
            return
        said = conditions.find(crd.get("status"), MIGRATING) or {}
        same = said.get("observedGeneration") == crd["metadata"].get("generation")
        message = "The migration has succeeded" + (
            " and the stored versions have been updated"
            if same
            else " but the stored versions have not been updated due to a generation mismatch"
        )
        stored = [version["name"] for version in crd["spec"]["versions"] if version.get("storage")]
        more = {"storedVersions": stored} if same else {}
        await self._mark_crd(migration, "False", "MigrationSucceeded", message, more)

    async def _crd(self, migration: Object) -> Object | None:
        resource = migration["spec"]["resource"]
        try:
            return await self._crds.get(f"{resource['resource']}.{resource.get('group') or ''}")
        except NotFound:
            return None

    async def _mark_crd(
        self, migration: Object, status: str, reason: str, message: str, more: Object | None = None
    ) -> None:
        """Apply a condition, and more of status, to the CRD of what is migrated, where there is one."""
        for _ in range(ATTEMPTS):
            crd = await self._crd(migration)
            if crd is None:
                return
            meta = crd["metadata"]
            condition = conditions.make(MIGRATING, status, reason, message)
            condition["observedGeneration"] = meta.get("generation")
            body: Object = {
                "apiVersion": CRDS[0], "kind": "CustomResourceDefinition",
                "metadata": {"name": meta["name"], "resourceVersion": meta["resourceVersion"]},
                "status": {"conditions": [condition], **(more or {})},
            }  # fmt: skip
            try:
                await self._crds.patch(
                    meta["name"], body, type="apply", subresource="status", field_manager=MANAGER, force=True
                )
                return
            except Conflict:
                continue

    async def _say(self, migration: Object, kind: str, status: str, reason: str, message: str) -> Object:
        said = dict(migration.get("status") or {})
        conditions.put(said, conditions.make(kind, status, reason, message))
        if not said.get("resourceVersion"):
            said["resourceVersion"] = migration["metadata"]["resourceVersion"]
        return await self._migrations.update_status({**migration, "status": said})


async def _touch(objects: ResourceClient, kind: Served, found: Object) -> None:
    """Apply nothing to an object. One that is gone or written by others meanwhile is written anew already."""
    meta = found["metadata"]
    body: Object = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": meta["name"], "uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
    }
    if meta.get("namespace"):
        body["metadata"]["namespace"] = meta["namespace"]
    namespace = meta.get("namespace", "")
    try:
        await objects.patch(meta["name"], body, namespace, type="apply", field_manager=MANAGER, force=True)
    except (Conflict, NotFound):
        return


def _ended(migration: Object) -> str:
    """How it did, or ""."""
    return next((how for how in (SUCCEEDED, FAILED) if _is_true(migration, how)), "")


def _is_true(migration: Object, kind: str) -> bool:
    found = conditions.find(migration.get("status"), kind)
    return found is not None and found["status"] == "True"
