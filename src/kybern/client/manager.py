"""Finds the controllers of a package, and runs the wanted ones over shared informers.

A controller is any `Controller` subclass with a name in a module of the package. One that fails at start-up ends the
manager: half a control plane is worse than a restart.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Generic

from kybern.client.controller import Context, Controller, Options
from kybern.process import features
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

Known = Mapping[str, type[Controller[Any]]]
"""Controllers by name."""


def discover(package: ModuleType) -> Known:
    """Every controller in the modules of a package."""
    found: dict[str, type[Controller[Any]]] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, Controller) and cls.name and cls.__module__ == module.name:
                found[cls.name] = cls
    return found


def select(flag: str, known: Known) -> list[type[Controller[Any]]]:
    """--controllers: `*` is all that needn't be named, `-name` leaves one out, `name` takes one in. Raises
    OperatorError."""
    by_alias = {alias: cls.name for cls in known.values() for alias in (cls.name, *cls.aliases)}
    words = [word.strip() for word in flag.split(",") if word.strip()]
    wanted: dict[str, bool] = {}
    for word in words:
        name = word.removeprefix("-")
        if word == "*":
            continue
        if name not in by_alias:
            raise OperatorError(f'--controllers: "{name}" is not a controller; known are {", ".join(sorted(known))}')
        wanted[by_alias[name]] = not word.startswith("-")
    return [cls for name, cls in known.items() if wanted.get(name, "*" in words and cls.by_default)]


def _gate_off(cls: type[Controller[Any]]) -> str:
    """The feature gate for which a controller doesn't run, or ""."""
    return next((gate for gate in cls.gates if not features.enabled(gate)), "")


class Manager(Generic[Options]):
    """The controllers of one process."""

    def __init__(self, context: Context[Options], known: Known, controllers: str = "*") -> None:
        self.context = context
        chosen = [cls for cls in select(controllers, known) if cls.wanted(context.options)]
        self._off = {cls.name: gate for cls in chosen if (gate := _gate_off(cls))}
        self.controllers = [cls(context) for cls in chosen if cls.name not in self._off]

    async def run(self) -> None:
        """Work until cancelled. Raises what made a controller end."""
        for name, gate in self._off.items():
            log.info("%s does not run: the feature gate %s is off", name, gate)
        log.info("running %s", ", ".join(one.name for one in self.controllers))
        self.context.informers.start()
        tasks = [asyncio.create_task(one.run(), name=one.name) for one in self.controllers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.context.close()

    def not_ready(self) -> str | None:
        """For /readyz: what is still missing."""
        waiting = [one.name for one in self.controllers if not one.ready]
        return f"waiting for the caches of {', '.join(waiting)}" if waiting else None
