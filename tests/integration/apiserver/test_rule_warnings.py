"""Rules that come after the objects they are about."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from tests.integration.apiserver.inprocess import MERGE, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAME = "crops.rules.example.com"


def definition(*rules: str) -> dict[str, Any]:
    spec = {"type": "object", "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}}}
    spec["x-kubernetes-validations"] = [{"rule": rule} for rule in rules]
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    names = {"plural": "crops", "kind": "Crop"}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "metadata": {"name": NAME},
        "spec": {"group": "rules.example.com", "scope": "Cluster", "names": names, "versions": [version]},
    }


async def warnings(api: Api, patch: dict[str, Any]) -> tuple[int, list[str]]:
    answer = await api.respond("PATCH", "/apis/rules.example.com/v1/crops/x", patch, kind=MERGE)
    return answer.status, [value for name, value in answer.headers if name.lower() == "warning"]


async def test_what_was_wrong_before_the_rule_is_warned_of(api: Api) -> None:
    numbers = itertools.count()
    await api.ok("POST", CRDS, definition())
    async with asyncio.timeout(10):
        while (await api.ask("GET", "/apis/rules.example.com/v1/crops"))[0] != 200:
            await asyncio.sleep(0.01)
    body = {"apiVersion": "rules.example.com/v1", "kind": "Crop", "metadata": {"name": "x"}, "spec": {"n": 1}}
    await api.ok("POST", "/apis/rules.example.com/v1/crops", body)
    await api.ok("PATCH", f"{CRDS}/{NAME}", {"spec": definition("self.n > 1")["spec"]}, kind=MERGE)
    async with asyncio.timeout(10):
        while (await warnings(api, {"spec": {"m": next(numbers)}}))[0] != 422:
            await asyncio.sleep(0.01)
    said = ['299 - "spec: Invalid value: failed rule: self.n > 1"']
    assert await warnings(api, {"metadata": {"labels": {"a": "b"}}}) == (200, said)
    assert await warnings(api, {"spec": {"n": 2}}) == (200, [])
    assert await warnings(api, {"metadata": {"labels": {"a": "c"}}}) == (200, [])
    await api.ok("DELETE", f"{CRDS}/{NAME}")
