"""The controllers of this package, run over shared informers while the cloud is open."""

from __future__ import annotations

import kybern.cloud as package
from kybern.client import manager
from kybern.client.manager import Known
from kybern.client.rest import Client
from kybern.cloud.controller import Context
from kybern.cloud.options import Options


def discover() -> Known:
    """Every controller by its name."""
    return manager.discover(package)


class Manager(manager.Manager[Options]):
    """The cloud controller manager."""

    def __init__(self, client: Client, options: Options, controllers: str = "*") -> None:
        super().__init__(Context(client, options), discover(), controllers)

    async def run(self) -> None:
        cloud = self.context.options.cloud
        await cloud.start(self.context.client)
        try:
            await super().run()
        finally:
            await cloud.close()
