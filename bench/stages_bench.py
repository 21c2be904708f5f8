"""What each stage of the chain costs a request: CPU µs of GET, LIST, create and patch of a pod.

usage: stages_bench.py [--count 2000]; the server is in this process, with the default admission plugins, RBAC, API
Priority and Fairness, SQLite, and an audit policy of Metadata for everything. What the listener costs (HTTP, TLS) isn't
in it. Requests come one after the other, so each write pays for a commit of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import inspect
import json
import logging
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.measure import TOKEN, pod
from kybern.api import codec as bodies
from kybern.api import managedfields, meta
from kybern.api.core.pod import Pod
from kybern.api.scheme import builtin
from kybern.apiserver import answers, audit_policy, body, chain, creating, health, updating
from kybern.apiserver.admission.base import AdmissionChain
from kybern.apiserver.app import App
from kybern.apiserver.audit import Audit, Trail
from kybern.apiserver.audit_log import AuditLog
from kybern.apiserver.audit_outputs import LogOutput
from kybern.apiserver.authn.assembly import AuthnOptions
from kybern.apiserver.flowcontrol.control import FlowControl
from kybern.apiserver.flowcontrol.level import Ticket
from kybern.apiserver.gates import GateOptions, Gates
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request
from kybern.apiserver.telemetry import Telemetry
from kybern.store.opening import open_store

PODS = "/api/v1/namespaces/bench/pods"
STAGES: dict[str, list[tuple[Any, str]]] = {
    "request info": [(chain.info, "parse")],
    "authentication": [(chain, "authenticate")],
    "impersonation": [(chain.impersonation, "asked")],
    "audit": [(Audit, "begin"), (Trail, "decided"), (Trail, "answered")],
    "flow control": [(FlowControl, "admit"), (Ticket, "leave")],
    "authorization": [(chain, "decide")],
    "body: decode, check": [(body, "read"), (body, "check"), (bodies, "decode"), (bodies, "duplicates")],
    "defaults, preparation": [(Pod, "default"), (Pod, "prepare_create"), (Pod, "prepare_update")],
    "admission": [(AdmissionChain, "admit"), (AdmissionChain, "validate")],
    "validation": [(Pod, "validate"), (Pod, "validate_update"), (meta, "validate_create"), (meta, "validate_update")],
    "managedFields": [(managedfields, "on_create"), (managedfields, "on_update")],
    "store": [(Registry, "insert"), (Registry, "replace")],
    "read, answer": [(Registry, "item"), (answers, "stored_object"), (creating, "_pretend")],
    "metrics": [(Telemetry, "answered")],
}


class Meter:
    """Charges CPU to the innermost stage that runs. Only for one request at a time."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, int] = defaultdict(int)
        self.calls: defaultdict[str, int] = defaultdict(int)
        self._open: list[str] = ["rest of the chain"]
        self._last = 0

    def enter(self, stage: str) -> None:
        now = time.process_time_ns()
        self.spent[self._open[-1]] += now - self._last
        self.calls[stage] += 1
        self._open.append(stage)
        self._last = time.process_time_ns()

    def leave(self) -> None:
        now = time.process_time_ns()
        self.spent[self._open.pop()] += now - self._last
        self._last = time.process_time_ns()

    def begin(self) -> None:
        self._last = time.process_time_ns()

    def end(self) -> None:
        self.spent[self._open[-1]] += time.process_time_ns() - self._last

    def wrap(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                self.enter(stage)
                try:
                    return await function(*args, **kwargs)
                finally:
                    self.leave()

            return later

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            self.enter(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.leave()

        return now


class Server:
    """The API server in this process; `ask` sends as a user whom RBAC allows everything."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def ask(self, method: str, path: str, document: Any = None, kind: str = "application/json") -> int:
        headers = {"authorization": f"Bearer {TOKEN}", "user-agent": "bench/1", "accept": "application/json"}
        data = b""
        if document is not None:
            data, headers["content-type"] = json.dumps(document).encode(), kind
        path, _, query = path.partition("?")
        response = await self.app.handle(Request(method, path, query, headers, data, client=("127.0.0.1", 1)))
        if not isinstance(response.body, bytes):
            async for _ in response.body:
                pass
        if response.status >= 300:
            raise SystemExit(f"{method} {path}: {response.status} {response.body!r}")
        return response.status


async def served(scratch: Path, run: Callable[[Server], Awaitable[None]]) -> None:
    (scratch / "tokens").write_text(f'{TOKEN},bench,1,"system:serviceaccounts,benchers"\n')
    (scratch / "policy").write_text(
        json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]})
    )
    store = await open_store(str(scratch / "store.db"))
    app = App(Registry(builtin(), store))
    health.add_routes(app)
    app.audit = Audit(audit_policy.load(scratch / "policy"), LogOutput(AuditLog(str(scratch / "audit.log"))))
    gates = Gates(app, GateOptions(authentication=AuthnOptions(token_auth_file=scratch / "tokens")))
    await gates.start()
    roles = app.registry.scheme.resource("rbac.authorization.k8s.io", "clusterrolebindings")
    assert roles is not None
    binding = {
        "metadata": {"name": "bench"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bench"}],
    }
    await app.registry.create(roles, binding)
    try:
        await run(Server(app))
    finally:
        await gates.stop()
        await app.audit.close()
        await app.registry.close()
        await store.close()


def requests(count: int) -> dict[str, list[tuple[Any, ...]]]:
    merge = "application/merge-patch+json"
    return {
        "GET": [("GET", f"{PODS}/one")] * count,
        "create": [("POST", PODS, pod(f"p-{number}")) for number in range(count)],
        "patch": [
            ("PATCH", f"{PODS}/one", {"metadata": {"annotations": {"k": str(number)}}}, merge)
            for number in range(count)
        ],
        "LIST 100": [("GET", f"{PODS}?limit=100")] * (count // 10),
    }


async def total(server: Server, asked: list[tuple[Any, ...]]) -> float:
    """CPU µs a request, nothing wrapped."""
    gc.collect()
    before = time.process_time_ns()
    for request in asked:
        await server.ask(*request)
    return (time.process_time_ns() - before) / len(asked) / 1000


async def measure(server: Server, count: int) -> None:
    await server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "bench"}})
    await server.ask("POST", PODS.replace("pods", "serviceaccounts"), {"metadata": {"name": "default"}})
    await server.ask("POST", PODS, pod("one"))
    totals = {}
    for name, asked in requests(count).items():
        for request in asked[:50]:
            await server.ask(*request[:2], *(request[2:] if name != "create" else (pod(),)))
        totals[name] = await total(server, asked)
    for item in range(count):
        await server.ask("DELETE", f"{PODS}/p-{item}?gracePeriodSeconds=0")
    meter = Meter()
    for stage, targets in STAGES.items():
        for owner, name in targets:
            wrapped = meter.wrap(stage, getattr(owner, name))
            for module in (owner, chain, creating, updating, body):
                if getattr(module, name, None) is getattr(wrapped, "__wrapped__", None):
                    setattr(module, name, wrapped)
    table: dict[str, dict[str, float]] = {}
    for name, asked in requests(count).items():
        meter.spent.clear()
        for request in asked:
            meter.begin()
            await server.ask(*request)
            meter.end()
        table[name] = {stage: spent / len(asked) / 1000 for stage, spent in meter.spent.items()}
    print_table(table, totals)


def print_table(table: dict[str, dict[str, float]], totals: dict[str, float]) -> None:
    print(f"{'CPU µs per request':<24}" + "".join(f"{name:>10}" for name in table))
    for stage in [*STAGES, "rest of the chain"]:
        print(f"{stage:<24}" + "".join(f"{row.get(stage, 0.0):>10.1f}" for row in table.values()))
    print(f"{'sum':<24}" + "".join(f"{sum(row.values()):>10.1f}" for row in table.values()))
    print(f"{'without the meter':<24}" + "".join(f"{totals[name]:>10.1f}" for name in table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with tempfile.TemporaryDirectory(prefix="kybern-bench-") as scratch:
        asyncio.run(served(Path(scratch), lambda server: measure(server, args.count)))


if __name__ == "__main__":
    main()
