"""The contract of an admission plugin, and the chain that runs them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kybern.api import managedfields
from kybern.api.errors import Forbidden
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.admission.metrics import WHOLE_STEP, AdmissionMetrics
from kybern.apiserver.app import App
from kybern.apiserver.audit_policy import METADATA
from kybern.apiserver.request import Request, UserInfo
from kybern.process.clock import monotonic

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


@dataclass(slots=True)
class Attributes:
    """A write on its way to the store. Plugins may change `object` in place or replace it, never `old`."""

    operation: str
    resource: Resource
    namespace: str
    name: str
    user: UserInfo
    object: Object | None = None
    """The object to be written, in the storage version; of a subresource its own kind (Binding, Eviction, ...)."""
    old: Object | None = None
    subresource: str = ""
    dry_run: bool = False
    options: Object = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    """Texts for `Warning:` headers."""
    request: Request | None = None
    """What asks for the write; None where the server does of its own accord."""

    def is_for(self, group: str, plural: str, subresource: str = "") -> bool:
        """Whether the write is to that resource."""
        mine = self.resource
        return mine.plural == plural and mine.group == group and self.subresource == subresource

    reinvoke: bool = False
    """Set by a plugin that changed the object, for all that change objects to be asked once more."""
    round: int = 0
    """1 when they are asked once more."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What a plugin keeps from one round for the next, by its name."""

    @property
    def version(self) -> str:
        """The version of the resource that the request is made in."""
        return self.request.info.version if self.request is not None else self.resource.stored_as

    def annotate(self, key: str, value: str, level: int = METADATA) -> None:
        """Have the audit event say so, where the request is audited at that level. What is said first stays."""
        if self.request is not None and self.request.trail is not None:
            self.request.trail.annotate(key, value, level)

    def forbidden(self, why: str) -> Forbidden:
        """The refusal of this write: `pods "web" is forbidden: why`."""
        metadata = (self.object or {}).get("metadata") or {}
        name = self.name or metadata.get("name") or metadata.get("generateName") or "Unknown"
        return Forbidden.on(self.resource.plural, self.resource.group, name, why)


class Plugin:
    """A plugin overrides `admit` (may change the object) or `validate` (may only refuse), or both."""

    name = ""
    handles: frozenset[tuple[str, str]] | None = None
    """The (group, plural) pairs it looks at; None for all."""
    operations: frozenset[str] = frozenset((CREATE, UPDATE))

    reconsider: Callable[[], None] = staticmethod(lambda: None)
    """Call it when `concerned` would answer otherwise than before; the chain sets it."""

    def __init__(self, app: App) -> None:
        """Take what the plugin needs of the server: listers, authorizers."""

    async def start(self) -> None:
        """Return once the plugin knows what it must know to decide. Raises StoreUnavailable."""

    def close(self) -> None:
        """Let go of connections."""

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        """Whether it has anything to do with such writes. The answer is kept: see `reconsider`."""
        return operation in self.operations and (self.handles is None or (group, plural) in self.handles)

    async def admit(self, a: Attributes) -> None:
        """Change a.object, or raise an APIError."""

    async def validate(self, a: Attributes) -> None:
        """Raise an APIError if the write must not be."""


class AdmissionChain:
    """Runs the plugins in order: `admit` before validation of the object, `validate` after it."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self.metrics = AdmissionMetrics()
        self._admitting: dict[tuple[str, str, str], tuple[Plugin, ...]] = {}
        self._validating: dict[tuple[str, str, str], tuple[Plugin, ...]] = {}
        for plugin in plugins:
            plugin.reconsider = self._forget

    async def admit(self, a: Attributes) -> None:
        """Let every plugin that is concerned change the object. Raises what a plugin raises."""
        key = (a.operation, a.resource.group, a.resource.plural)
        plugins = self._admitting.get(key)
        if plugins is None:
            plugins = self._admitting[key] = self._concerned("admit", *key)
        owners = _owners(a)
        await self._ask("admit", plugins, a)
        if a.reinvoke:
            a.round = 1
            await self._ask("admit", plugins, a)
        now = _owners(a)
        if now is not owners and now != owners and (problem := managedfields.problem(now)):
            assert a.object is not None
            a.object["metadata"]["managedFields"] = owners
            a.warnings.append(
                ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
                f"mutating admission controller; please fix your requests: {problem}"
            )

    async def validate(self, a: Attributes) -> None:
        """Ask every plugin that is concerned. Raises what a plugin raises."""
        key = (a.operation, a.resource.group, a.resource.plural)
        plugins = self._validating.get(key)
        if plugins is None:
            plugins = self._validating[key] = self._concerned("validate", *key)
        await self._ask("validate", plugins, a)

    async def _ask(self, step: str, plugins: tuple[Plugin, ...], a: Attributes) -> None:
        """One after the other, and the clock in between."""
        observe, operation = self.metrics.observe, a.operation
        began = before = monotonic()
        for plugin in plugins:
            try:
                await (plugin.admit(a) if step == "admit" else plugin.validate(a))
            except BaseException:
                now = monotonic()
                observe(plugin.name, step, operation, True, now - before)
                observe(WHOLE_STEP, step, operation, True, now - began)
                raise
            now = monotonic()
            observe(plugin.name, step, operation, False, now - before)
            before = now
        observe(WHOLE_STEP, step, operation, False, before - began)

    async def start(self) -> None:
        """Return once all plugins are ready to decide. Raises StoreUnavailable."""
        for plugin in self.plugins:
            await plugin.start()

    def close(self) -> None:
        """Let go of connections."""
        for plugin in self.plugins:
            plugin.close()

    def _forget(self) -> None:
        self._admitting.clear()
        self._validating.clear()

    def _concerned(self, step: str, *key: str) -> tuple[Plugin, ...]:
        return tuple(
            plugin
            for plugin in self.plugins
            if plugin.concerned(*key) and getattr(type(plugin), step) is not getattr(Plugin, step)
        )


def _owners(a: Attributes) -> list[Object] | None:
    metadata = a.object.get("metadata") if a.object is not None else None
    return metadata.get("managedFields") if metadata else None
