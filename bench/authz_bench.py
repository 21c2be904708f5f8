"""What it costs to decide whether a request may pass: CPU µs, with RBAC and the Node authorizer.

usage: authz_bench.py [--bindings 2000] [--count 20000]; as many users as bindings, all in one group of 20 roles.
`steady` asks the same things again and again; `churn` is that while, every 50 requests, a binding of somebody else
changes; `new` asks what was not asked before.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable

from kybern.api.scheme import builtin
from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import decide
from kybern.apiserver.gates import GateOptions, Gates
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.store.memory import MemoryStore

RBAC = "rbac.authorization.k8s.io"
GROUP = "everyone"
EVERY = 50


def role(number: int) -> Object:
    rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": [f"kind{number}s"]}
    return {"metadata": {"name": f"role-{number}"}, "rules": [rule]}


def binding(name: str, role: str, kind: str, subject: str) -> Object:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": kind, "name": subject}],
    }


async def filled(app: App, bindings: int) -> None:
    registry = app.registry
    roles, bound = (registry.scheme.resource(RBAC, plural) for plural in ("clusterroles", "clusterrolebindings"))
    assert roles is not None and bound is not None
    for number in range(20):
        await registry.create(roles, role(number))
        await registry.create(bound, binding(f"group-{number}", f"role-{number}", "Group", GROUP))
    for number in range(bindings):
        await registry.create(bound, binding(f"user-{number}", f"role-{number % 20}", "User", f"user-{number}"))


async def timed(app: App, count: int, info_of: Callable[[int], RequestInfo], churn: bool) -> float:
    """CPU µs for each decision."""
    registry = app.registry
    bound = registry.scheme.resource(RBAC, "clusterrolebindings")
    assert bound is not None
    users = [UserInfo(f"user-{number}", (GROUP, "system:authenticated")) for number in range(50)]
    spent = 0.0
    for start in range(0, count, EVERY):
        if churn:
            labels = {"at": str(start)}
            await registry.guaranteed_update(
                bound, "", "user-100", lambda obj, labels=labels: {
                    **obj, "metadata": {**obj["metadata"], "labels": labels}, "subjects": [
                        *obj["subjects"][:1], {"apiGroup": RBAC, "kind": "User", "name": f"other-{labels['at']}"},
                    ],
                },
            )  # fmt: skip
        began = time.process_time()
        for number in range(start, start + EVERY):
            await decide(app, users[number % len(users)], info_of(number))
        spent += time.process_time() - began
    return spent / count * 1e6


async def measure(bindings: int, count: int) -> None:
    store = MemoryStore()
    app = App(Registry(builtin(), store))
    gates = Gates(app, GateOptions())
    await gates.start()
    await filled(app, bindings)

    def known(number: int) -> RequestInfo:
        return RequestInfo("get", "", True, "", "v1", f"kind{number % 7}s", "", "default", f"name-{number % 3}")

    def new(number: int) -> RequestInfo:
        return RequestInfo("get", "", True, "", "v1", f"kind{number % 7}s", "", "default", f"new-{number}")

    for name, info_of, churn in (("steady", known, False), ("churn", known, True), ("new", new, False)):
        print(f"{name}: {await timed(app, count, info_of, churn):.2f} µs")
    await gates.stop()
    await app.registry.close()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bindings", type=int, default=2000)
    parser.add_argument("--count", type=int, default=20_000)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.bindings, arguments.count))


if __name__ == "__main__":
    main()
