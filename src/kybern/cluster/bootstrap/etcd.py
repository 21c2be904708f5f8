"""A control plane's member of etcd comes to the others, and leaves them.

It comes as a learner, which has no vote: should it never start, the others still agree. Source: etcd's "Learner".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kybern.client.rest import Client
from kybern.cluster.bootstrap.manifests import CLIENT_PORT, ETCD_URLS, PEER_PORT
from kybern.cluster.layout import Layout, Settings
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError
from kybern.store import etcd_admin
from kybern.store.base import StoreError
from kybern.store.etcd_client import EtcdClient, Tls

_PATIENCE = 120.0


async def endpoints(client: Client) -> list[str]:
    """Where the members answer, as their pods say. Raises OperatorError, APIError."""
    pods = await client.resource("v1", "pods").list("kube-system", label_selector="component=etcd")
    found = [(pod["metadata"].get("annotations") or {}).get(ETCD_URLS, "") for pod in pods.items]
    urls = [url for text in found for url in text.split(",") if url]
    if not urls:
        raise OperatorError("no pod of etcd is to be seen in kube-system; is this a cluster of `kybern init`?")
    return urls


@asynccontextmanager
async def connected(layout: Layout, urls: list[str]) -> AsyncIterator[EtcdClient]:
    """Raises OperatorError for whatever etcd says."""
    pki = layout.pki / "etcd"
    tls = Tls(str(pki / "ca.crt"), str(pki / "healthcheck-client.crt"), str(pki / "healthcheck-client.key"))
    try:
        client = EtcdClient(urls, tls, timeout=10, connecting=5)
        try:
            yield client
        finally:
            await client.close()
    except StoreError as error:
        raise OperatorError(str(error)) from error


async def check(client: EtcdClient, settings: Settings) -> None:
    """Raises OperatorError if there is a member of that name."""
    if settings.node_name in [member.name for member in await etcd_admin.members(client)]:
        told = f"etcd has a member {settings.node_name} already"
        raise OperatorError(f"{told}; `kybern etcd member remove {settings.node_name}`, if it is gone for good")


async def expect(client: EtcdClient, settings: Settings) -> list[str]:
    """Have the others expect this node's member; gives the flags it is to be started with."""
    peer = f"https://{settings.node_ip}:{PEER_PORT}"
    for member in await etcd_admin.members(client):
        if peer in member.peerURLs:  # expected by an earlier attempt that failed
            await etcd_admin.remove_member(client, f"{member.ID:x}")
    return await etcd_admin.add_member(client, settings.node_name, [peer], learner=True)


async def promote(client: EtcdClient, name: str) -> None:
    """Give the member a vote, as soon as it knows what the others know. Raises OperatorError after two minutes."""
    end = monotonic() + _PATIENCE
    while True:
        try:
            await etcd_admin.promote_member(client, name)
            return
        except (StoreError, OperatorError) as error:
            if monotonic() > end:
                raise OperatorError(f"etcd's member {name} doesn't keep up: {error}; see its pod's log") from error
        await asyncio.sleep(0.5)


async def leave(layout: Layout, settings: Settings) -> bool:
    """Have the others forget this node's member; False where there are none. Raises OperatorError."""
    own = f"https://{settings.node_ip}:{CLIENT_PORT}"
    async with connected(layout, [own]) as client:
        members = await etcd_admin.members(client)
        others = [url for member in members if member.name != settings.node_name for url in member.clientURLs]
    if not others:
        return False
    async with connected(layout, others) as client:
        await etcd_admin.remove_member(client, settings.node_name)
    return True
