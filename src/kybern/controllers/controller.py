"""What the controllers here are made of: `kybern.client.controller` with this manager's options."""

from __future__ import annotations

from kybern.client import controller
from kybern.client.controller import Failure, Terminal, periodically
from kybern.client.rest import Client
from kybern.controllers.options import Options

__all__ = ["Context", "Controller", "Failure", "Terminal", "periodically"]


class Context(controller.Context[Options]):
    """The defaults count where no options are given."""

    def __init__(self, client: Client, options: Options | None = None) -> None:
        super().__init__(client, options or Options())


class Controller(controller.Controller[Options]):
    """Subclass this one."""
