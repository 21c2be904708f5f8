"""What names mean: Services, EndpointSlices and namespaces to DNS records. Pure: no I/O, no clock.

Source: the Kubernetes DNS specification, version 1.1; what it leaves open is as in CoreDNS's kubernetes plugin.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from kybern.api.types import Object

TTL = 5
SPEC_VERSION = "1.1.0"
_SERVICE_NAME = "kubernetes.io/service-name"


class Record(NamedTuple):
    """One resource record; `value` is its text form without the owner and TTL."""

    name: str
    type: str
    value: str


@dataclass
class Answer:
    """What a question gets: `exists` False is NXDOMAIN; no records on an existing name is NODATA."""

    exists: bool
    records: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)


class Endpoint(NamedTuple):
    """A ready address behind a Service; `host` is its label below the Service's name."""

    address: str
    host: str


class Port(NamedTuple):
    name: str
    protocol: str
    number: int


NOT_THERE = Answer(False)


class Records:
    """The zone, kept current by `set_*`; `version` changes with every change."""

    def __init__(self, zone: str = "cluster.local") -> None:
        self.zone = zone.strip(".").lower()
        self.version = 0
        self._services: dict[tuple[str, str], Object] = {}
        self._slices: dict[tuple[str, str], dict[str, Object]] = defaultdict(dict)
        self._namespaces: set[str] = set()
        self._owners: dict[str, set[tuple[str, str]]] = defaultdict(set)

    # What changes it

    def set_namespace(self, name: str, present: bool) -> None:
        """A namespace came or went."""
        (self._namespaces.add if present else self._namespaces.discard)(name)
        self.version += 1

    def set_service(self, namespace: str, name: str, service: Object | None) -> None:
        """A Service came, changed or (None) went."""
        key = (namespace, name)
        for address in _cluster_ips(self._services.pop(key, {})):
            self._owners[address].discard(key)
        if service is not None:
            self._services[key] = service
            for address in _cluster_ips(service):
                self._owners[address].add(key)
        self.version += 1

    def set_slice(self, namespace: str, name: str, old: Object | None, new: Object | None) -> None:
        """An EndpointSlice came, changed or went."""
        for slice_, present in ((old, False), (new, True)):
            owner = (slice_ or {}).get("metadata", {}).get("labels", {}).get(_SERVICE_NAME)
            if slice_ is None or not owner:
                continue
            key = (namespace, owner)
            if present:
                self._slices[key][name] = slice_
                for address in _addresses_of([slice_]):
                    self._owners[address].add(key)
                continue
            self._slices[key].pop(name, None)
            # An address that moves between slices, or has ports in several, is still there.
            for address in _addresses_of([slice_]) - _addresses_of(self._slices[key].values()):
                self._owners[address].discard(key)
        self.version += 1

    # What it answers

    def holds(self, name: str) -> bool:
        """Whether the name (lower case, no final dot) is for this zone to answer."""
        return name == self.zone or name.endswith((f".{self.zone}", ".in-addr.arpa", ".ip6.arpa"))

    def answer(self, name: str, type_: str) -> Answer | None:
        """The answer to a question; None: a reverse name nobody here owns, which others may know."""
        if name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return self._reverse(name, type_)
        labels = name[: -len(self.zone) - 1].split(".") if name != self.zone else []
        match labels:
            case [] | ["svc"] | ["pod"]:
                return Answer(True)
            case ["dns-version"]:
                return Answer(True, [Record(name, "TXT", f'"{SPEC_VERSION}"')] if type_ == "TXT" else [])
            case [*rest, namespace, "svc"]:
                return self._service(name, rest, namespace, type_)
            case [host, namespace, "pod"]:
                return self._pod(name, host, namespace, type_)
            case [namespace, "pod"]:
                return Answer(namespace in self._namespaces)
        return NOT_THERE

    def _service(self, name: str, rest: list[str], namespace: str, type_: str) -> Answer:
        if not rest:
            return Answer(namespace in self._namespaces)
        service = self._services.get((namespace, rest[-1]))
        if service is None:
            return NOT_THERE
        owner = f"{rest[-1]}.{namespace}.svc.{self.zone}"
        external = service["spec"].get("type") == "ExternalName"
        match rest[:-1]:
            case []:
                if external:
                    return Answer(True, [Record(name, "CNAME", f"{service['spec'].get('externalName', '')}.")])
                if type_ == "SRV":
                    return self._all_ports(name, owner, service)
                targets = self._targets(service, owner)
                # A headless Service without ready endpoints is as if it were not there.
                return self._addresses(name, targets, type_) if targets else NOT_THERE
            case [port, protocol] if port.startswith("_") and protocol.startswith("_") and not external:
                return self._port(name, owner, service, port[1:], protocol[1:], type_)
            case [host] if not external:
                targets = [(f"{e.host}.{owner}", e.address) for e in self._endpoints(service) if e.host == host]
                return self._addresses(name, targets, type_) if targets else NOT_THERE
        return NOT_THERE

    def _addresses(self, name: str, targets: Iterable[tuple[str, str]], type_: str) -> Answer:
        found = dict.fromkeys(address for _, address in targets if _type(address) == type_)
        return Answer(True, [Record(name, type_, address) for address in found])

    def _targets(self, service: Object, owner: str) -> list[tuple[str, str]]:
        """(name, address) pairs behind a Service: its cluster IPs, or each endpoint of a headless one."""
        if not _headless(service):
            return [(owner, address) for address in _cluster_ips(service)]
        return [(f"{e.host}.{owner}", e.address) for e in self._endpoints(service)]

    def _endpoints(self, service: Object) -> Iterator[Endpoint]:
        unready_too = service["spec"].get("publishNotReadyAddresses", False)
        for slice_ in self._slices_of(service):
            for endpoint in slice_.get("endpoints") or []:
                if unready_too or (endpoint.get("conditions") or {}).get("ready") is not False:
                    for address in endpoint["addresses"]:
                        yield Endpoint(address, endpoint.get("hostname") or dashed(address))

    def _slices_of(self, service: Object) -> list[Object]:
        meta = service["metadata"]
        return list(self._slices.get((meta["namespace"], meta["name"]), {}).values())

    def _ports(self, service: Object) -> list[Port]:
        """Of a headless Service the endpoints' ports, else the Service's."""
        spec_ports = service["spec"].get("ports") or []
        if _headless(service):
            spec_ports = [port for slice_ in self._slices_of(service) for port in slice_.get("ports") or []]
        found = (Port(p.get("name") or "", p.get("protocol", "TCP").lower(), p.get("port") or 0) for p in spec_ports)
        return list(dict.fromkeys(found))

    def _all_ports(self, name: str, owner: str, service: Object) -> Answer:
        return self._srv(name, owner, service, self._ports(service))

    def _port(self, name: str, owner: str, service: Object, port: str, protocol: str, type_: str) -> Answer:
        ports = [p for p in self._ports(service) if p.name == port and p.protocol == protocol]
        if not ports:
            return NOT_THERE
        found = self._srv(name, owner, service, ports)
        return found if type_ == "SRV" else Answer(found.exists)

    def _srv(self, name: str, owner: str, service: Object, ports: list[Port]) -> Answer:
        targets = self._targets(service, owner)
        answer = Answer(bool(targets))
        names = list(dict.fromkeys(target for target, _ in targets))
        weight = max(100 // max(len(names), 1), 1)
        answer.records = [Record(name, "SRV", f"0 {weight} {p.number} {target}.") for p in ports for target in names]
        if answer.records:
            answer.additional = [Record(target, _type(address), address) for target, address in targets]
        return answer

    def _pod(self, name: str, host: str, namespace: str, type_: str) -> Answer:
        """`10-0-0-7.ns.pod`: as CoreDNS's `pods insecure`, any address in an existing namespace."""
        address = undashed(host)
        if address is None or namespace not in self._namespaces:
            return NOT_THERE
        return Answer(True, [Record(name, type_, address)] if _type(address) == type_ else [])

    def _reverse(self, name: str, type_: str) -> Answer | None:
        address = reverse_address(name)
        names = []
        for namespace, service_name in sorted(self._owners.get(address, ())) if address else ():
            service = self._services.get((namespace, service_name))
            owner = f"{service_name}.{namespace}.svc.{self.zone}"
            if service is not None:
                names += [target for target, ip in self._targets(service, owner) if ip == address]
        if not names:
            return None
        return Answer(True, [Record(name, "PTR", f"{target}.") for target in names] if type_ == "PTR" else [])


def _cluster_ips(service: Object) -> list[str]:
    spec = service.get("spec", {})
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [address for address in addresses if address and address != "None"]


def _addresses_of(slices: Iterable[Object]) -> set[str]:
    found = (address for one in slices for endpoint in one.get("endpoints") or [] for address in endpoint["addresses"])
    return set(found)


def _headless(service: Object) -> bool:
    return bool(service["spec"].get("clusterIP") == "None")


def _type(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def dashed(address: str) -> str:
    """An address as a label: `10-0-0-7`, `fd00--7`."""
    return address.replace(".", "-").replace(":", "-")


def undashed(label: str) -> str | None:
    """The address a label stands for, if any."""
    for separator in (".", ":"):
        try:
            return str(ipaddress.ip_address(label.replace("-", separator)))
        except ValueError:
            continue
    return None


def reverse_address(name: str) -> str | None:
    """The address of a name below in-addr.arpa or ip6.arpa, if it is a whole one."""
    labels = name.split(".")[:-2][::-1]
    if name.endswith(".ip6.arpa"):
        text = "".join(labels)
        text = ":".join(text[i : i + 4] for i in range(0, len(text), 4)) if len(labels) == 32 else ""
    else:
        text = ".".join(labels) if len(labels) == 4 else ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
