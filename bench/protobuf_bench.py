"""What an answer in protobuf costs: CPU µs to encode a stored pod of about 3 KB, beside what its JSON costs.

usage: protobuf_bench.py [--count 5000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import orjson

from bench.measure import pod
from kybern.api import protobuf, protobuf_encode
from kybern.api.scheme import builtin
from kybern.apiserver.app import App, Decision
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request, RequestInfo, UserInfo
from kybern.store.memory import MemoryStore

ROUNDS = 7
PODS = "/api/v1/namespaces/bench/pods"


class Anyone:
    """Lets anyone do anything."""

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return Decision(True)


async def stored() -> bytes:
    """The pod's JSON as a client gets it."""
    app = App(Registry(builtin(), MemoryStore()), authorizers=[Anyone()])

    async def ask(method: str, path: str, body: Any = None) -> bytes:
        headers = {"content-type": "application/json"}
        answer = await app.handle(Request(method, path, "", headers, json.dumps(body).encode() if body else b""))
        assert answer.status < 300 and isinstance(answer.body, bytes), answer.body
        return answer.body

    await ask("POST", "/api/v1/namespaces", {"metadata": {"name": "bench"}})
    await ask("POST", PODS, pod("one"))
    found = await ask("GET", f"{PODS}/one")
    await app.registry.close()
    return found


def best(work: Callable[[], Any], count: int) -> float:
    """CPU µs of one call: the best of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(count):
            work()
        rounds.append((time.process_time() - began) / count * 1e6)
    return min(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    count = parser.parse_args().count
    text = asyncio.run(stored())
    obj = orjson.loads(text)
    body = protobuf_encode.encode(obj)
    assert protobuf.decode(body)["spec"] == obj["spec"]
    print(f"JSON {len(text)} bytes, protobuf {len(body)} bytes")
    for what, work in {
        "JSON to an object": lambda: orjson.loads(text),
        "object to protobuf": lambda: protobuf_encode.encode(obj),
        "protobuf to an object": lambda: protobuf.decode(body),
    }.items():
        print(f"{what:24} {best(work, count):7.1f} µs")


if __name__ == "__main__":
    main()
