"""The controllers of this package, run over shared informers."""

from __future__ import annotations

import kybern.controllers as package
from kybern.client import manager
from kybern.client.manager import Known, select
from kybern.client.rest import Client
from kybern.controllers.controller import Context
from kybern.controllers.options import Options

__all__ = ["Manager", "discover", "select"]


def discover() -> Known:
    """Every controller by its name."""
    return manager.discover(package)


class Manager(manager.Manager[Options]):
    """The controller manager."""

    def __init__(self, client: Client, options: Options | None = None, controllers: str = "*") -> None:
        super().__init__(Context(client, options), discover(), controllers)
