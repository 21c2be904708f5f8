"""Scheduler plugins, one per file, found by name: every `Plugin` subclass with a `name` in a module here.

reads: the node table, the pod
writes: nothing, except default_binder.py
start here: node_unschedulable.py (the smallest), then node_resources_fit.py
to add one: a file here; it runs once a profile enables it (profiles.py lists the default order)
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from kybern.scheduler.framework import Plugin


def discover() -> dict[str, type[Plugin]]:
    """Plugin name -> class."""
    found: dict[str, type[Plugin]] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(cls, Plugin) and cls.__module__ == module.name and "name" in cls.__dict__:
                found[cls.name] = cls
    return found
