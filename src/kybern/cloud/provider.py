"""What a cloud is to the controllers, and how one is found by its name.

A provider is `create(config) -> Provider` in providers/NAME.py, or in another distribution under the entry point group
`kybern.cloud_providers`. Its parts raise CloudError for what the cloud refuses, and ImplementedElsewhere to leave a
matter alone. Nodes and Services are API objects; providers must not change them.

Source: "Cloud Controller Manager" concept page and the interface that it describes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

import yaml

import kybern.cloud.providers as package
from kybern.api.types import Object
from kybern.client.controller import Failure
from kybern.client.rest import Client
from kybern.process.daemon import OperatorError

GROUP = "kybern.cloud_providers"


class CloudError(Failure):
    """The cloud refused, or gave no answer. `retry_after`: seconds until it is worth asking again, if it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ImplementedElsewhere(Exception):
    """Somebody else takes care of this load balancer."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A failure domain; empty for unknown."""

    zone: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the cloud says of a machine."""

    provider_id: str = ""
    """`cloud://...`, as in a node's spec.providerID."""
    addresses: list[Object] = field(default_factory=list)
    """As in a node's status: type and address."""
    instance_type: str = ""
    zone: str = ""
    region: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    """More labels for the node; none of Kubernetes' own, and they replace none."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the pods of a node."""

    target: str
    """The node's name; empty if the cloud doesn't know it."""
    cidr: str
    name: str = ""
    """The cloud's own."""
    addresses: list[Object] | None = None
    """Of the node, as the route uses them; None where changes of them don't matter to the route."""
    blackhole: bool = False
    """It leads nowhere any more."""


class Instances(Protocol):
    """The machines behind nodes, found by spec.providerID or by name."""

    async def exists(self, node: Object) -> bool: ...

    async def is_shutdown(self, node: Object) -> bool: ...

    async def metadata(self, node: Object) -> Metadata | None:
        """None leaves the node as it is. Raises CloudError if there is no such machine."""


class LoadBalancers(Protocol):
    """One for each Service of type LoadBalancer. What they give is a Service's status.loadBalancer."""

    async def get(self, cluster: str, service: Object) -> Object | None:
        """None if there is none."""

    async def ensure(self, cluster: str, service: Object, nodes: list[Object]) -> Object:
        """Make it, or bring it in order."""
        ...

    async def update(self, cluster: str, service: Object, nodes: list[Object]) -> None:
        """Send to these nodes from now on; all else is in order."""

    async def delete(self, cluster: str, service: Object) -> None:
        """With all that belongs to it. None there is fine."""


class Routes(Protocol):
    """The routing table of the machines' network."""

    async def list(self, cluster: str) -> list[Route]: ...

    async def create(self, cluster: str, hint: str, route: Route) -> None:
        """`hint` may go into its name."""

    async def delete(self, cluster: str, route: Route) -> None: ...


class Zones(Protocol):
    """For clouds whose instances don't say where they are."""

    async def of(self, node: Object) -> Zone: ...


class Provider:
    """A cloud: subclass this and say what it has. Parts that it lacks are None."""

    name = ""
    instances: Instances | None = None
    load_balancers: LoadBalancers | None = None
    routes: Routes | None = None
    zones: Zones | None = None

    async def start(self, client: Client) -> None:
        """Called once, before the controllers run."""

    async def close(self) -> None:
        """Called once, after they ended."""


Create = Callable[[Object], Provider]
"""Raises OperatorError for a configuration that can't work."""


def known() -> list[str]:
    """The names of all providers here."""
    own = {module.name for module in pkgutil.iter_modules(package.__path__)}
    return sorted(own | {entry.name for entry in entry_points(group=GROUP)})


def load(name: str, config: Object) -> Provider:
    """The provider of that name. Raises OperatorError."""
    if name not in known():
        raise OperatorError(f'--cloud-provider: "{name}" is not known; known are {", ".join(known())}')
    try:
        created: Provider = _creator(name)(config)
    except ImportError as error:
        raise OperatorError(f"--cloud-provider {name} can't be loaded: {error}") from error
    return created


def _creator(name: str) -> Create:
    found: Create
    for entry in entry_points(group=GROUP, name=name):
        found = entry.load()
        return found
    found = importlib.import_module(f"{package.__name__}.{name}").create
    return found


def read(path: str) -> Object:
    """The configuration of --cloud-config; no path is an empty one. Raises OperatorError."""
    if not path:
        return {}
    try:
        document = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OperatorError(f"can't read --cloud-config {path}: {' '.join(str(error).split())}") from error
    if document is not None and not isinstance(document, dict):
        raise OperatorError(f"--cloud-config {path} is not a YAML mapping")
    return document or {}
