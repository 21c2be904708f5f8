"""The cloud that is this machine: the nodes that `kybern up` made here, routes to their pods, HAProxy as the balancer.

The configuration, which `kybern up` writes:

    machines: /var/lib/kybern/nodes.json       # the nodes in namespaces: members, each with name, ip and stopped
    machine: {name: here, ip: 192.0.2.1}       # instead: the one node that is the machine itself
    bridge: kybern-br                          # on which machines are; without it there are no routes
    loadBalancers:
      subnet: 10.89.1.0/24                     # their addresses
      interface: kybern-lb                     # has them; made when the first is needed
      directory: /var/lib/kybern/cloud         # what was decided, and HAProxy's configuration

A balancer takes connections and makes its own to the nodes, so pods see the machine's address, not the client's.
Source: "Service" concept page, type LoadBalancer; HAProxy's configuration and management manuals; ip(8).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.cloud import provider
from kybern.cloud.providers.local.load_balancers import LoadBalancers
from kybern.cloud.providers.local.machines import Instances, Machine, Machines
from kybern.cloud.providers.local.routes import Routes
from kybern.process.daemon import OperatorError

_KEYS = {"machines", "machine", "bridge", "loadBalancers"}
_BALANCER_KEYS = {"subnet", "interface", "directory"}


def create(config: Object) -> provider.Provider:
    """Raises OperatorError."""
    if unknown := set(config) - _KEYS:
        raise _wrong(f"unknown {', '.join(sorted(unknown))}; there are {', '.join(sorted(_KEYS))}")
    if ("machines" in config) == ("machine" in config):
        raise _wrong("say either machines, a file, or machine, with name and ip")
    if "machine" in config:
        here = _mapping(config["machine"], "machine", {"name", "ip"})
        machines = Machines(only=Machine(here["name"], _checked(ip_address, here["ip"], "machine.ip")))
    else:
        machines = Machines(Path(str(config["machines"])))
    return Local(machines, str(config.get("bridge") or ""), _balancers(config.get("loadBalancers")))


def _balancers(section: Any) -> LoadBalancers | None:
    if section is None:
        return None
    found = _mapping(section, "loadBalancers", _BALANCER_KEYS)
    subnet = ip_network(_checked(ip_network, found["subnet"], "loadBalancers.subnet"))
    if subnet.version != 4:
        raise _wrong("loadBalancers.subnet must be of IPv4")
    return LoadBalancers(subnet, found["interface"], Path(found["directory"]))


def _mapping(section: Any, where: str, keys: set[str]) -> dict[str, str]:
    if not isinstance(section, dict) or set(section) != keys:
        raise _wrong(f"{where} takes {', '.join(sorted(keys))}")
    return {key: str(value) for key, value in section.items()}


def _checked(parse: Any, text: str, where: str) -> str:
    try:
        return str(parse(text))
    except ValueError as error:
        raise _wrong(f"{where}: {error}") from error


def _wrong(said: str) -> OperatorError:
    return OperatorError(f"--cloud-config: {said}")


class Local(provider.Provider):
    """This machine."""

    name = "local"

    def __init__(self, machines: Machines, bridge: str, balancers: LoadBalancers | None) -> None:
        self.instances = Instances(machines)
        self.load_balancers: LoadBalancers | None = balancers
        if bridge:
            self.routes = Routes(machines, bridge)

    async def start(self, client: Client) -> None:
        if self.load_balancers:
            await self.load_balancers.start(client)

    async def close(self) -> None:
        if self.load_balancers:
            await self.load_balancers.close()
