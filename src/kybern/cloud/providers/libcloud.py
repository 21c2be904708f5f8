"""Any cloud that Apache Libcloud knows: its machines, and its load balancers.

The configuration names a driver for each; what one is without is left out:

    compute:
      driver: ec2                        # by Libcloud's names
      arguments: {region: eu-west-1}     # of the driver
      credentials:                       # arguments too, but never written here
        key: {env: AWS_KEY}
        secret: {file: /etc/cloud/secret}
      region: eu-west-1                  # said of nodes where the driver doesn't; zone as well
    loadBalancer:
      driver: elb
      ...

Source: https://libcloud.readthedocs.io/ (compute and load balancer base APIs).
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from libcloud.compute import providers as compute
from libcloud.compute.types import NodeState
from libcloud.loadbalancer import providers as balancing
from libcloud.loadbalancer.base import Algorithm, Member

from kybern.api.types import Object
from kybern.cloud import provider
from kybern.cloud.provider import CloudError, Metadata
from kybern.process.daemon import OperatorError

_SCHEME = "libcloud://"
_SECTION = {"driver", "arguments", "credentials", "region", "zone"}
_OFF = (NodeState.STOPPED, NodeState.SUSPENDED, NodeState.PAUSED)
_ZONE = ("availability", "availability_zone", "zone", "location")
_TYPE = ("instance_type", "instancetype", "size", "machineType")
"""Where drivers keep a machine's zone and type: there is no field for them."""
_LISTED_SECONDS = 3.0
"""How long a list of machines serves for others of them; one that isn't in it is always asked for anew."""
_PENDING_SECONDS = 10.0
_EVERYWHERE = {"0.0.0.0/0", "::/0"}

Result = TypeVar("Result")


def create(config: Object) -> provider.Provider:
    """Raises OperatorError."""
    unknown = set(config) - {"compute", "loadBalancer"}
    if unknown:
        raise OperatorError(f"--cloud-config: unknown {', '.join(sorted(unknown))}; there are compute and loadBalancer")
    if not config:
        raise OperatorError("--cloud-config: neither compute nor loadBalancer is there")
    return Libcloud(config.get("compute"), config.get("loadBalancer"))


class Libcloud(provider.Provider):
    """Libcloud has no routing tables."""

    name = "libcloud"

    def __init__(self, machines: Object | None, balancers: Object | None) -> None:
        if machines is not None:
            self.instances = Instances(Driver(compute.get_driver, machines, "compute"), machines)
        if balancers is not None:
            self.load_balancers = LoadBalancers(Driver(balancing.get_driver, balancers, "loadBalancer"))


class Driver:
    """A driver of Libcloud. They block, and their connections are for one thread at a time."""

    def __init__(self, find: Callable[[str], Callable[..., Any]], section: Object, where: str) -> None:
        self.name = str(section.get("driver", ""))
        if unknown := set(section) - _SECTION:
            raise OperatorError(f"--cloud-config: unknown {', '.join(sorted(unknown))} in {where}")
        try:
            made = find(self.name)
        except Exception as error:
            # Libcloud says that a driver is unknown by AttributeError, and that it is no more by Exception itself.
            raise OperatorError(f"--cloud-config: {where}.driver {self.name!r}: {error}") from error
        secrets = _secrets(section.get("credentials") or {}, where)
        try:
            self._driver = made(**(section.get("arguments") or {}), **secrets)
        except Exception as error:
            raise OperatorError(f"--cloud-config: {where}: driver {self.name} can't be made: {error}") from error
        self._lock = asyncio.Lock()

    async def call(self, work: Callable[[Any], Result]) -> Result:
        """`work(driver)` in a thread. Raises CloudError."""
        async with self._lock:
            try:
                return await asyncio.to_thread(work, self._driver)
            except CloudError:
                raise
            except Exception as error:
                # Drivers raise what they like, plain Exception too.
                said = str(error) or type(error).__name__
                raise CloudError(f"{self.name}: {said}", getattr(error, "retry_after", None)) from error


def _secrets(given: Mapping[str, Mapping[str, str]], where: str) -> dict[str, str]:
    found = {}
    for name, source in given.items():
        if not isinstance(source, dict) or len(source) != 1 or not set(source) <= {"env", "file"}:
            said = f"{where}.credentials.{name} is neither {{env: NAME}} nor {{file: PATH}}"
            raise OperatorError(f"--cloud-config: {said}")
        try:
            found[name] = os.environ[source["env"]] if "env" in source else Path(source["file"]).read_text().strip()
        except KeyError as error:
            raise OperatorError(f"--cloud-config: {where}.credentials.{name}: {error.args[0]} is not set") from error
        except OSError as error:
            raise OperatorError(f"--cloud-config: {where}.credentials.{name}: {error}") from error
    return found


class Instances(provider.Instances):
    """Machines by `libcloud://DRIVER/ID`, or by the node's name."""

    def __init__(self, driver: Driver, section: Object) -> None:
        self._driver = driver
        self._prefix = f"{_SCHEME}{driver.name}/"
        self._zone, self._region = str(section.get("zone") or ""), str(section.get("region") or "")
        self._listed: list[Any] = []
        self._listed_at = float("-inf")

    async def exists(self, node: Object) -> bool:
        return await self._find(node) is not None

    async def is_shutdown(self, node: Object) -> bool:
        machine = await self._find(node)
        return machine is not None and machine.state in _OFF

    async def metadata(self, node: Object) -> Metadata:
        machine = await self._find(node)
        if machine is None:
            raise CloudError("instance not found")
        extra = machine.extra or {}
        return Metadata(
            provider_id=f"{self._prefix}{machine.id}",
            addresses=_addresses(machine, node["metadata"]["name"]),
            instance_type=_text(machine.size) or _first(extra, _TYPE),
            zone=_first(extra, _ZONE) or self._zone,
            region=self._region,
        )

    async def _find(self, node: Object) -> Any:
        """None if there is none. Raises CloudError."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._listed_at < _LISTED_SECONDS and (found := self._match(node)):
            return found
        self._listed = await self._driver.call(lambda driver: driver.list_nodes())
        self._listed_at = loop.time()
        return self._match(node)

    def _match(self, node: Object) -> Any:
        wanted = node["spec"].get("providerID", "")
        if wanted and not wanted.startswith(self._prefix):
            # Not knowing it doesn't mean that it is gone: its node must not be deleted.
            raise CloudError(f"{wanted} is not a machine of {self._driver.name}")
        there = [machine for machine in self._listed if machine.state != NodeState.TERMINATED]
        if wanted:
            return next((one for one in there if f"{self._prefix}{one.id}" == wanted), None)
        name = node["metadata"]["name"]
        named = [one for one in there if one.name == name]
        if len(named) > 1:
            raise CloudError(f"{len(named)} machines have the name {name}")
        return named[0] if named else None


def _addresses(machine: Any, name: str) -> list[Object]:
    public = [{"type": "ExternalIP", "address": ip} for ip in dict.fromkeys(machine.public_ips or ())]
    # A machine without a network of its own is reached by its public addresses, from within too.
    inner = dict.fromkeys(machine.private_ips or machine.public_ips or ())
    private = [{"type": "InternalIP", "address": ip} for ip in inner]
    return [*private, *public, {"type": "Hostname", "address": name}]


def _first(extra: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(extra.get(name)))), "")


def _text(value: Any) -> str:
    """What drivers give as a string, or as an object with a name or an id."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(getattr(value, "id", "") or getattr(value, "name", ""))


class LoadBalancers(provider.LoadBalancers):
    """A balancer here has one port: a Service has as many balancers as ports."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def get(self, cluster: str, service: Object) -> Object | None:
        found = await self._driver.call(lambda driver: _of(driver, service))
        return _status(found, service) if found else None

    async def ensure(self, cluster: str, service: Object, nodes: list[Object]) -> Object:
        _check(service)
        status = await self._driver.call(lambda driver: _ensure(driver, service, nodes))
        if any(not ("ip" in one or "hostname" in one) for one in status["ingress"]):
            raise CloudError("the load balancer has no address yet", _PENDING_SECONDS)
        return status

    async def update(self, cluster: str, service: Object, nodes: list[Object]) -> None:
        await self._driver.call(lambda driver: _update(driver, service, nodes))

    async def delete(self, cluster: str, service: Object) -> None:
        await self._driver.call(lambda driver: _delete(driver, list(_of(driver, service).values())))


def _check(service: Object) -> None:
    """Raises CloudError for what no driver can be asked for."""
    spec = service["spec"]
    if set(spec.get("loadBalancerSourceRanges") or ()) - _EVERYWHERE:
        raise CloudError("load balancers of Libcloud can't be limited to loadBalancerSourceRanges")
    if spec.get("sessionAffinity", "None") != "None":
        raise CloudError(f"unsupported load balancer affinity: {spec['sessionAffinity']}")
    if spec.get("externalTrafficPolicy") == "Local":
        raise CloudError("load balancers of Libcloud have no health checks, which externalTrafficPolicy Local needs")
    if any(not port.get("nodePort") for port in spec["ports"]):
        raise CloudError("load balancers of Libcloud send to node ports, and allocateLoadBalancerNodePorts is false")


def _prefix(service: Object) -> str:
    """Short enough, with a port, for clouds that allow 32 characters."""
    return f"a{service['metadata']['uid'].replace('-', '')}"[:26] + "-"


def _of(driver: Any, service: Object) -> dict[str, Any]:
    """The Service's balancers by name."""
    prefix = _prefix(service)
    return {one.name: one for one in driver.list_balancers() if one.name.startswith(prefix)}


def _ensure(driver: Any, service: Object, nodes: list[Object]) -> Object:
    there = _of(driver, service)
    wanted = {f"{_prefix(service)}{port['port']}": port for port in service["spec"]["ports"]}
    _delete(driver, [balancer for name, balancer in there.items() if name not in wanted])
    made = {}
    for name, port in wanted.items():
        if name in there:
            made[name] = there[name]
            _point(driver, there[name], port, nodes)
        else:
            made[name] = driver.create_balancer(
                name, port["port"], _protocol(driver, port), _algorithm(driver), _members(port, nodes)
            )
    return _status(made, service)


def _update(driver: Any, service: Object, nodes: list[Object]) -> None:
    there = _of(driver, service)
    for port in service["spec"]["ports"]:
        name = f"{_prefix(service)}{port['port']}"
        if name not in there:
            raise CloudError(f"there is no load balancer {name}")
        _point(driver, there[name], port, nodes)


def _delete(driver: Any, balancers: list[Any]) -> None:
    for balancer in balancers:
        if not driver.destroy_balancer(balancer):
            raise CloudError(f"load balancer {balancer.name} could not be destroyed")


def _point(driver: Any, balancer: Any, port: Object, nodes: list[Object]) -> None:
    """Make the nodes the balancer's members."""
    listed = driver.balancer_list_members(balancer)
    # Some drivers know members by address and port, others by machine only.
    key = _by_machine if any(not member.ip for member in listed) else _by_address
    wanted = {key(member): member for member in _members(port, nodes)}
    there = {key(member): member for member in listed}
    # First those that come, so that it never has none.
    for new in wanted.keys() - there.keys():
        driver.balancer_attach_member(balancer, wanted[new])
    for old in there.keys() - wanted.keys():
        driver.balancer_detach_member(balancer, there[old])


def _members(port: Object, nodes: list[Object]) -> list[Any]:
    make: Callable[..., Any] = Member
    found = []
    for node in nodes:
        addresses = (node.get("status") or {}).get("addresses") or []
        ip = next((one["address"] for one in addresses if one["type"] == "InternalIP"), None)
        if ip:
            machine = node["spec"].get("providerID", "").rpartition("/")[2] or None
            found.append(make(machine, ip, port["nodePort"]))
    return found


def _by_address(member: Any) -> object:
    return member.ip, int(member.port)


def _by_machine(member: Any) -> object:
    return member.id


def _protocol(driver: Any, port: Object) -> str:
    """The driver's name of the port's protocol. Raises CloudError."""
    wanted = port.get("protocol", "TCP").lower()
    known = [str(name) for name in driver.list_protocols()]
    if wanted not in (name.lower() for name in known):
        raise CloudError(f"only {', '.join(known)} load balancers are supported, not {wanted.upper()}")
    return next(name for name in known if name.lower() == wanted)


def _algorithm(driver: Any) -> Any:
    known = driver.list_supported_algorithms()
    return Algorithm.ROUND_ROBIN if Algorithm.ROUND_ROBIN in known or not known else known[0]


def _status(balancers: Mapping[str, Any], service: Object) -> Object:
    """A status.loadBalancer. One that is still being made has no address in it."""
    listed: list[Object] = []
    for port in service["spec"]["ports"]:
        balancer = balancers.get(f"{_prefix(service)}{port['port']}")
        if balancer is not None:
            served = {"port": port["port"], "protocol": port.get("protocol", "TCP")}
            listed.append({**_address(balancer.ip), "ports": [served]})
    return {"ingress": listed}


def _address(text: str | None) -> Object:
    try:
        return {"ip": str(ipaddress.ip_address(text or ""))}
    except ValueError:
        return {"hostname": text} if text else {}
