"""The life of a deployment, hop by hop: deploys the sample and says when each part of the cluster did its share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client, ResourceClient
from kybern.cluster import images, sample
from kybern.cluster.layout import Settings
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

Say = Callable[[str, float, str], None]
"""Told of each hop: what, seconds since the deployment was sent, and a detail."""

HOPS = (
    "deployment stored", "ReplicaSet made", "pods made", "scheduled", "bound", "image present",
    "sandbox and network ready", "container started", "ready", "endpoints published", "rules programmed",
    "name resolved", "first HTTP 200",
)  # fmt: skip


class Trace:
    """Collects when each hop was first seen, for all three pods where there are three."""

    def __init__(self, say: Say, scheduler_logs: Sequence[Path]) -> None:
        self.say, self.scheduler_logs = say, scheduler_logs
        self.began = clock.time()
        self.seen: dict[str, float] = {}
        self.pods: dict[str, set[str]] = {}
        self.wanted = int(sample.deployment()["spec"]["replicas"])
        self.done = asyncio.Event()

    def mark(self, hop: str, detail: str = "", at: float | None = None) -> None:
        """Note a hop, once."""
        if hop not in self.seen:
            self.seen[hop] = (at or clock.time()) - self.began
            self.say(hop, self.seen[hop], detail)
            if len(self.seen) == len(HOPS):
                self.done.set()

    def mark_pod(self, hop: str, pod: str, detail: str = "") -> None:
        """Note a hop when the last of the pods has made it."""
        reached = self.pods.setdefault(hop, set())
        reached.add(pod)
        if len(reached) >= self.wanted:
            self.mark(hop, detail or f"{len(reached)} of {self.wanted} pods")

    def missing(self) -> list[str]:
        return [hop for hop in HOPS if hop not in self.seen]

    def see_replicaset(self, obj: Object) -> None:
        self.mark("ReplicaSet made", obj["metadata"]["name"])

    def see_pod(self, obj: Object) -> None:
        name, spec, status = obj["metadata"]["name"], obj["spec"], obj.get("status", {})
        self.mark_pod("pods made", name)
        if spec.get("nodeName"):
            self.mark_pod("bound", name, f"to {spec['nodeName']}")
        conditions = {c["type"]: c["status"] == "True" for c in status.get("conditions", [])}
        states = [c.get("state", {}) for c in status.get("containerStatuses", [])]
        if conditions.get("PodReadyToStartContainers") or status.get("podIP"):
            self.mark_pod("sandbox and network ready", name)
        if states and all("running" in state for state in states):
            self.mark_pod("container started", name)
        if conditions.get("Ready"):
            self.mark_pod("ready", name)

    def see_event(self, obj: Object) -> None:
        about = obj.get("involvedObject", {})
        if about.get("kind") != "Pod" or "visitor" in about.get("name", ""):
            return
        if obj.get("reason") == "Scheduled":
            self.mark_pod("scheduled", about["name"], self._feasible(obj.get("message", "")))
        if obj.get("reason") == "Pulled":
            self.mark_pod("image present", about["name"], images.KYBERN)

    def see_slice(self, obj: Object) -> None:
        ready = [e for e in obj.get("endpoints") or [] if e.get("conditions", {}).get("ready")]
        if len(ready) >= self.wanted:
            self.mark("endpoints published", ", ".join(address for e in ready for address in e["addresses"]))

    def _feasible(self, message: str) -> str:
        """How many nodes the scheduler found feasible, from its log; the API doesn't carry it."""
        for log in self.scheduler_logs:
            with contextlib.suppress(OSError):
                found = re.findall(r"pod=\S+ node=(\S+).*?feasible=(\d+)", log.read_text()[-20_000:])
                if found:
                    return f"on {found[-1][0]}, {found[-1][1]} feasible"
        return message


async def deploy(
    client: Client, settings: Settings, scheduler_logs: Sequence[Path], say: Say, patience: float = 60.0
) -> Trace:
    """Deploy the sample anew and follow it to the first answer. Raises OperatorError naming the hop it got stuck at."""
    await remove(client)
    trace = Trace(say, scheduler_logs)
    watches = [
        (client.resource("apps/v1", "replicasets"), sample.LABEL_SELECTOR, trace.see_replicaset),
        (client.resource("v1", "pods"), sample.LABEL_SELECTOR, trace.see_pod),
        (client.resource("v1", "events"), "", trace.see_event),
        (
            client.resource("discovery.k8s.io/v1", "endpointslices"),
            f"kubernetes.io/service-name={sample.NAME}",
            trace.see_slice,
        ),
    ]
    tasks = [asyncio.ensure_future(_follow(*watch)) for watch in watches]
    try:
        service = await client.resource("v1", "services").create(sample.service())
        trace.began = clock.time()
        stored = await client.resource("apps/v1", "deployments").create(sample.deployment())
        trace.mark(
            "deployment stored", f"{sample.NAMESPACE}/{sample.NAME}, revision {stored['metadata']['resourceVersion']}"
        )
        url = f"http://{sample.NAME}.{sample.NAMESPACE}.svc.{settings.cluster_domain}/"
        tasks.append(asyncio.ensure_future(_probe(trace, service["spec"]["clusterIP"])))
        tasks.append(asyncio.ensure_future(_visit(client, trace, url)))
        async with asyncio.timeout(patience):
            await trace.done.wait()
    except TimeoutError:
        raise OperatorError(
            f"the sample got no further in {patience:.0f} s; still missing: {', '.join(trace.missing())}; "
            "`kybern kubectl describe pods` and the logs say why"
        ) from None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return trace


async def remove(client: Client) -> None:
    """Delete the sample, if it is there, and wait until it is gone."""
    pods = client.resource("v1", "pods")
    for resource, name in (
        (client.resource("apps/v1", "deployments"), sample.NAME),
        (client.resource("v1", "services"), sample.NAME),
        (pods, f"{sample.NAME}-visitor"),
    ):
        with contextlib.suppress(NotFound):
            await resource.delete(name, sample.NAMESPACE, grace_period_seconds=0)
    while (await pods.list(sample.NAMESPACE, label_selector=sample.LABEL_SELECTOR)).items:
        await asyncio.sleep(0.1)


async def _follow(resource: ResourceClient, selector: str, see: Callable[[Object], None]) -> None:
    """Hand everything that changes from now on to `see`."""
    start = (await resource.list(sample.NAMESPACE, label_selector=selector)).resource_version
    async for event in resource.watch(sample.NAMESPACE, resource_version=start, label_selector=selector):
        if event.type in ("ADDED", "MODIFIED"):
            see(event.object)


async def _probe(trace: Trace, cluster_ip: str) -> None:
    """Ask at the Service's address from the node until the kernel passes it on to a pod. A connection alone says
    nothing: without rules it leaves the machine, where anything may take it."""
    while True:
        try:
            async with asyncio.timeout(1):
                reader, writer = await asyncio.open_connection(cluster_ip, sample.PORT)
                writer.write(f"GET / HTTP/1.0\r\nHost: {sample.NAME}\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
        except OSError:  # TimeoutError is one, too
            answer = b""
        if b"hello from" in answer:
            return trace.mark("rules programmed", f"{cluster_ip}:{sample.PORT} reaches a pod")
        await asyncio.sleep(0.02)


async def _visit(client: Client, trace: Trace, url: str) -> None:
    """Run the visitor and read what it saw from its log."""
    await client.resource("v1", "pods").create(sample.visitor(url))
    async for line in _log_lines(client, f"{sample.NAME}-visitor"):
        report = json.loads(line)
        if "resolved" in report:
            trace.mark("name resolved", f"{url} is {report['address']}", report["resolved"])
        if "answered" in report:
            trace.mark("first HTTP 200", str(report["body"]).strip(), report["answered"])


async def _log_lines(client: Client, pod: str) -> AsyncIterator[str]:
    path = f"/api/v1/namespaces/{sample.NAMESPACE}/pods/{pod}/log"
    given = 0
    while True:
        try:
            _, _, body = await client.raw("GET", path)
        except APIError:
            body = b""  # not started yet
        lines = body.decode(errors="replace").splitlines()
        for line in lines[given:]:
            if line.startswith("{"):
                yield line
        given = len(lines)
        await asyncio.sleep(0.05)
