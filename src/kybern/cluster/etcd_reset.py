"""Making a node's member of etcd anew from the others, in place of one whose data is damaged or gone.

Source: etcd's "Runtime reconfiguration": the old member is removed, another is added under its name.
"""

from __future__ import annotations

import asyncio
import shutil

from kybern.cluster import etcd_member, supervisor
from kybern.cluster.layout import Layout
from kybern.cluster.processes import Process
from kybern.cluster.topology import Member, Topology, layout_of
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError
from kybern.store import etcd_admin
from kybern.store.base import StoreError
from kybern.store.etcd_client import EtcdClient, Tls

_PATIENCE = 15.0


async def reset(layout: Layout, topology: Topology, member: Member) -> None:
    """Raises OperatorError, also where the other members are no majority. What the old one had is kept beside."""
    if member not in topology.etcd:
        raise OperatorError(f"{member.name} has no member of etcd; only control planes have, where there are several")
    own = layout_of(layout, member.name)
    await _readmit(own, topology, member)
    await _renew_command(own)
    data, kept = own.root / "etcd", own.root / "etcd.damaged"
    shutil.rmtree(kept, ignore_errors=True)
    if data.exists():
        data.rename(kept)
    # One that had its files open already ends; the supervisor starts another on nothing.
    running = Process.read(own.run / "etcd.json")
    if running:
        await running.stop(10)


async def _readmit(own: Layout, topology: Topology, member: Member) -> None:
    """Have the others forget the member and expect it anew, empty."""
    pki = own.pki / "etcd"
    others = [f"https://{one.ip}:{etcd_member.CLIENT_PORT}" for one in topology.etcd if one != member]
    tls = Tls(str(pki / "ca.crt"), str(pki / "client.crt"), str(pki / "client.key"))
    peer = f"https://{member.ip}:{etcd_member.PEER_PORT}"
    client = EtcdClient(others, tls, timeout=5)
    try:
        for known in await etcd_admin.members(client):
            # An expected member has no name yet: an earlier attempt may have come so far only.
            if peer in known.peerURLs:
                await etcd_admin.remove_member(client, f"{known.ID:x}")
        await etcd_admin.add_member(client, etcd_member.name(member.ip), [peer])
    except StoreError as error:
        raise OperatorError(f"{member.name} can't join the others: {error}") from error
    finally:
        await client.close()


async def _renew_command(own: Layout) -> None:
    """Have the node's supervisor start etcd as one that joins. Its command line is read when the supervisor looks."""
    etcd_member.joins(own).touch()
    record = own.run / "etcd.json"
    before = record.read_bytes() if record.exists() else b""
    supervisor.look_again(own)
    end = monotonic() + _PATIENCE
    while not record.exists() or record.read_bytes() == before:
        if monotonic() > end:
            raise OperatorError(f"etcd was not started again; see {own.logs}/etcd.log")
        await asyncio.sleep(0.05)
