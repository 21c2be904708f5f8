"""The kernel's side: reads our routes and VXLAN device through rtnetlink and changes what differs.

Routes are ours by their protocol number; all of the VXLAN device is. Nothing else is touched, and what an earlier run
left is taken up as if this one had made it. All of it blocks for some milliseconds: call it in a thread. Source:
rtnetlink(7), and the kernel's Documentation/netlink/specs.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import psutil
from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kybern.network.routes import DEVICE, Hop, Link, Plan, Tables, Tunnel, diff

PROTOCOL = 75
"""Marks routes as ours, in the range the kernel leaves to programs."""

_MAIN_TABLE = 254
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_ONLINK = 4
"""RTNH_F_ONLINK: the gateway is on the device though no subnet says so."""
_NO_DAD = 2
"""IFA_F_NODAD: usable at once; nobody else on a tunnel could have the address."""
_SELF, _PERMANENT, _NO_ARP = 0x02, 0x80, 0x40
"""NTF_SELF, NUD_PERMANENT, NUD_NOARP."""


class KernelError(Exception):
    """The kernel refused; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`changed` entries were put or dropped; `failed` has a line for each that was refused."""

    changed: int
    failed: tuple[str, ...]


def links() -> list[Link]:
    """The interfaces that have addresses."""
    stats = psutil.net_if_stats()
    found = []
    for name, entries in psutil.net_if_addrs().items():
        held = [entry for entry in entries if entry.family in (socket.AF_INET, socket.AF_INET6)]
        # An IPv6 address that holds on one link only is written with that link's name.
        texts = [f"{entry.address.partition('%')[0]}/{_prefix(entry.netmask)}" for entry in held]
        if texts and name in stats and name != DEVICE:
            found.append(Link(name, tuple(map(ip_interface, texts)), stats[name].mtu))
    return found


def apply(plan: Plan) -> Outcome:
    """Make the kernel's tables those of the plan. An entry that is refused holds up no other. Raises KernelError if
    the kernel can't be asked or the device can't be had; what needs none is in force even so."""
    with _opened() as kernel:
        if not plan.tunnel:
            outcome = kernel.sync(plan.tables)
            kernel.drop_tunnel()
            return outcome
        try:
            kernel.keep_tunnel(plan.tunnel)
        except KernelError:
            kernel.sync(Tables({key: hop for key, hop in plan.tables.routes.items() if hop.device != DEVICE}))
            raise
        return kernel.sync(plan.tables)


def cleanup() -> None:
    """Take away all that is ours. Raises KernelError."""
    outcome = apply(Plan(Tables(), None, ()))
    if outcome.failed:
        raise KernelError("; ".join(outcome.failed))


@contextmanager
def _opened() -> Iterator[_Kernel]:
    try:
        # strict_check has the kernel do the filtering of dumps.
        with IPRoute(strict_check=True) as ipr:
            yield _Kernel(ipr)
    except NetlinkError as error:
        raise KernelError(f"rtnetlink: {_reason(error)}") from error


class _Kernel:
    def __init__(self, ipr: Any) -> None:
        self.ipr = ipr
        self.failed: list[str] = []
        self.changed = 0

    # The device.

    def keep_tunnel(self, tunnel: Tunnel) -> None:
        """Have the device as it should be; one that differs in what can't be changed is made anew."""
        version = ip_address(tunnel.local).version
        local = {"vxlan_local" if version == 4 else "vxlan_local6": tunnel.local}
        try:
            found = self._device()
            if found and not _is_like(found, tunnel):
                self.ipr.link("del", index=found["index"])
                found = None
            if not found:
                self.ipr.link("add", ifname=DEVICE, kind="vxlan", vxlan_id=tunnel.vni, vxlan_port=tunnel.port,
                              vxlan_learning=False, address=tunnel.mac, **local)  # fmt: skip
            index = socket.if_nametoindex(DEVICE)
            self.ipr.link("set", index=index, mtu=tunnel.mtu, state="up")
            self._keep_addresses(index, tunnel.addresses)
        except NetlinkError as error:
            why = _reason(error)
            if error.code == errno.EEXIST:
                why = f"another VXLAN device has VNI {tunnel.vni} and port {tunnel.port}; use --vxlan-vni"
            raise KernelError(f"can't set up {DEVICE}: {why}") from error

    def drop_tunnel(self) -> None:
        if found := self._device():
            self._try(f"device {DEVICE}", self.ipr.link, "del", index=found["index"])

    def _device(self) -> Any | None:
        try:
            index = socket.if_nametoindex(DEVICE)
        except OSError:
            return None
        return next(iter(self.ipr.link("get", index=index)), None)

    def _keep_addresses(self, index: int, wanted: Iterable[str]) -> None:
        have = set()
        for message in self.ipr.get_addr(index=index):
            address = ip_address(message.get_attr("IFA_ADDRESS"))
            if not address.is_link_local:
                have.add(f"{address}/{message['prefixlen']}")
        for text in have.difference(wanted):
            self._address("del", index, text)
        for text in sorted(set(wanted) - have):
            self._address("add", index, text)

    def _address(self, verb: str, index: int, text: str) -> None:
        held = ip_interface(text)
        flags = {"flags": _NO_DAD} if held.version == 6 and verb == "add" else {}
        self.ipr.addr(verb, index=index, address=str(held.ip), prefixlen=held.network.prefixlen, **flags)

    # The tables.

    def sync(self, want: Tables) -> Outcome:
        tunnel = self._device()
        index = tunnel["index"] if tunnel else 0
        have = self._read(index)
        put, drop = diff(have, want)
        # A route comes after what it leads through, and goes before it.
        for mac, address in put.forwards.items():
            self._forward("replace", index, mac, address)
        for address, mac in put.neighbours.items():
            self._neighbour("replace", index, address, mac)
        for destination, hop in put.routes.items():
            # Only what is known to be ours is replaced: of somebody else's route the kernel says that it is there.
            self._route("replace" if destination in have.routes else "add", destination, hop)
        for destination, hop in drop.routes.items():
            self._route("del", destination, hop)
        for address, mac in drop.neighbours.items():
            self._neighbour("del", index, address, mac)
        for mac, address in drop.forwards.items():
            self._forward("del", index, mac, address)
        return Outcome(self.changed, tuple(self.failed))

    def _read(self, index: int) -> Tables:
        routes: dict[str, Hop] = {}
        for version, family in _FAMILIES.items():
            for message in self.ipr.get_routes(family=family, table=_MAIN_TABLE, proto=PROTOCOL):
                destination = message.get_attr("RTA_DST") or ("0.0.0.0" if version == 4 else "::")
                device = _name(message.get_attr("RTA_OIF"))
                routes[f"{destination}/{message['dst_len']}"] = Hop(message.get_attr("RTA_GATEWAY") or "", device)
        if not index:
            return Tables(routes)
        neighbours = {
            message.get_attr("NDA_DST"): message.get_attr("NDA_LLADDR")
            for message in self.ipr.get_neighbours(ifindex=index)
            if message["state"] & _PERMANENT
        }
        forwards = {
            message.get_attr("NDA_LLADDR"): message.get_attr("NDA_DST")
            for message in self.ipr.fdb("dump", ifindex=index)
            if message.get_attr("NDA_DST")
        }
        return Tables(routes, neighbours, forwards)

    def _route(self, verb: str, destination: str, hop: Hop) -> None:
        what = f"route to {destination} via {hop.gateway} on {hop.device}"
        arguments: dict[str, Any] = {
            "dst": destination,
            "family": _FAMILIES[ip_network(destination).version],
            "proto": PROTOCOL,
            "table": _MAIN_TABLE,
        }
        if verb != "del":
            try:
                arguments |= {"gateway": hop.gateway, "oif": socket.if_nametoindex(hop.device)}
            except OSError:
                self.failed.append(f"{what}: there is no interface {hop.device}")
                return
            arguments["flags"] = _ONLINK if hop.device == DEVICE else 0
        self._try(what, self.ipr.route, verb, **arguments)

    def _neighbour(self, verb: str, index: int, address: str, mac: str) -> None:
        family = _FAMILIES[ip_address(address).version]
        self._try(f"neighbour {address}", self.ipr.neigh, verb, family=family, dst=address, lladdr=mac,
                  ifindex=index, state=_PERMANENT)  # fmt: skip

    def _forward(self, verb: str, index: int, mac: str, address: str) -> None:
        self._try(f"forwarding of {mac} to {address}", self.ipr.fdb, verb, lladdr=mac, dst=address, ifindex=index,
                  state=_PERMANENT | _NO_ARP, flags=_SELF)  # fmt: skip

    def _try(self, what: str, call: Callable[..., Any], verb: str, **arguments: Any) -> None:
        try:
            call(verb, **arguments)
        except NetlinkError as error:
            if verb == "del" and error.code in (errno.ESRCH, errno.ENOENT):
                return
            self.failed.append(f"{what}: {_reason(error)}")
        else:
            self.changed += 1


def _is_like(found: Any, tunnel: Tunnel) -> bool:
    """Whether a device agrees with the plan in all that is fixed when it is made."""
    info = found.get_attr("IFLA_LINKINFO")
    if not info or info.get_attr("IFLA_INFO_KIND") != "vxlan":
        return False
    data = info.get_attr("IFLA_INFO_DATA")
    local = data.get_attr("IFLA_VXLAN_LOCAL") or data.get_attr("IFLA_VXLAN_LOCAL6")
    is_ours = (data.get_attr("IFLA_VXLAN_ID"), data.get_attr("IFLA_VXLAN_PORT"), local)
    return is_ours == (tunnel.vni, tunnel.port, tunnel.local) and found.get_attr("IFLA_ADDRESS") == tunnel.mac


def _name(index: int | None) -> str:
    try:
        return socket.if_indextoname(index or 0)
    except OSError:
        return ""


def _prefix(mask: str | None) -> int:
    """The length of a netmask."""
    return bin(int(ip_address(mask))).count("1") if mask else 0


def _reason(error: NetlinkError) -> str:
    return os.strerror(error.code)
