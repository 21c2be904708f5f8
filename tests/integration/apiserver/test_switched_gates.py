"""What the API server does otherwise when a feature gate is switched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kybern.api.scheme import builtin
from kybern.apiserver.command import GATES
from kybern.process import features
from tests.gates import switched
from tests.integration.apiserver.inprocess import Api, serving

SCALER: dict[str, Any] = {"minReplicas": 0, "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "d"}}
MERGE = "application/merge-patch+json"
FORBIDDEN = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
SCALERS = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
WATCH = "/api/v1/namespaces?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


async def _code(api: Api, name: str) -> int:
    made = {"metadata": {"name": name}, "spec": {**SCALER, "scaleTargetRef": {**SCALER["scaleTargetRef"],
                                                                             "apiVersion": "apps/v1"}}}  # fmt: skip
    return int((await api.ask("POST", SCALERS, made))[0])


def test_those_said_to_be_heeded_are() -> None:
    source = Path(features.__file__).parents[1]
    files = [path for name in ("api", "apiserver") for path in (source / name).rglob("*.py")]
    asked = {name for path in files for name in re.findall(r'features\.enabled\("(\w+)"\)', path.read_text())}
    assert asked <= GATES <= features.values().keys()
    assert {kind.gate for kind in builtin()} - {""} <= GATES


async def test_scaling_to_zero() -> None:
    async with serving() as api:
        assert await _code(api, "a") == 422
        with switched(HPAScaleToZero=True):
            assert await _code(api, "a") == 201
        assert await _code(api, "b") == 422
        changed = await api.ok("PATCH", f"{SCALERS}/a", {"spec": {"maxReplicas": 3}}, kind=MERGE)
        assert changed["spec"]["minReplicas"] == 0


async def test_watches_that_begin_with_the_state() -> None:
    async with serving() as api:
        with switched(WatchList=False):
            code, answer = await api.ask("GET", WATCH)
        assert code == 422 and FORBIDDEN in answer["message"]


async def test_hashes_of_stored_versions() -> None:
    async with serving() as api:
        shown = str(await api.ok("GET", "/api/v1"))
    with switched(StorageVersionHash=False):
        async with serving() as api:
            hidden = str(await api.ok("GET", "/api/v1"))
    assert "storageVersionHash" in shown and "storageVersionHash" not in hidden


async def test_plugins_that_need_a_gate() -> None:
    async with serving() as api:
        assert {"MutatingAdmissionPolicy", "PodTopologyLabels"} <= _plugins(api)
    with switched(MutatingAdmissionPolicy=False, PodTopologyLabelsAdmission=False):
        async with serving() as api:
            assert not {"MutatingAdmissionPolicy", "PodTopologyLabels"} & _plugins(api)


def _plugins(api: Api) -> set[str]:
    chain: Any = api.app.admission
    return {plugin.name for plugin in chain.plugins}
