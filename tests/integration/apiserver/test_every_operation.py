"""Every operation of the v1.36 API is served, and our own OpenAPI documents list each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.apiserver.inprocess import MERGE, Api, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMESPACE, NAME = "operated", "nothing"
METHODS = ("get", "head", "options", "post", "put", "patch", "delete")


def _reference() -> dict[str, set[str]]:
    """Path template -> methods."""
    lines = Path(__file__).with_name("operations.txt").read_text().splitlines()
    found = [line.split() for line in lines if not line.startswith("#")]
    return {path: {method.lower() for method in methods} for path, *methods in found}


REFERENCE = _reference()


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    async with serving() as made:
        await made.ok("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield made


@pytest.fixture(scope="module")
async def everything() -> AsyncIterator[Api]:
    """A server of beta and alpha versions too."""
    async with serving(**{"api/all": "true"}) as made:
        await made.ok("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        yield made


async def _documented(api: Api) -> dict[str, set[str]]:
    """The reference of our own documents."""
    found: dict[str, set[str]] = {}
    for entry in (await api.ok("GET", "/openapi/v3"))["paths"].values():
        document = await api.ok("GET", entry["serverRelativeURL"])
        for path, item in document["paths"].items():
            found.setdefault(path, set()).update(method for method in METHODS if method in item)
    return found


async def _unserved(api: Api, operations: dict[str, set[str]]) -> list[str]:
    """The operations that are answered as those are that there are not, or not as they should be."""
    missing = []
    for path, methods in sorted(operations.items()):
        target = path.replace("{namespace}", NAMESPACE).replace("{name}", NAME).replace("{path}", "some/path")
        for method in sorted(methods):
            query = "?dryRun=All" if method == "delete" else ""
            body: Any = {} if method in ("post", "put", "patch") else None
            kind = {"kind": MERGE} if method == "patch" else {}
            code, answer = await api.ask(method.upper(), f"{target}{query}", body, **kind)
            named = isinstance(answer, dict) and NAME in str(answer.get("message"))
            if code == 405 or code >= 500 or (code == 404 and not named):
                missing.append(f"{method.upper()} {path}: {code} {answer}")
    return missing


async def _all_served(api: Api, operations: dict[str, set[str]]) -> None:
    missing = await _unserved(api, operations)
    assert not missing, "\n".join(missing)


def _without(listed: dict[str, set[str]], found: dict[str, set[str]]) -> list[str]:
    """The operations that are listed and not found."""
    return [f"{path} {method}" for path in listed for method in sorted(listed[path] - found.get(path, set()))]


async def test_every_operation_is_served(api: Api) -> None:
    await _all_served(api, REFERENCE)


async def test_documents_list_what_the_reference_has(api: Api) -> None:
    documented = await _documented(api)
    absent, extra = _without(REFERENCE, documented), _without(documented, REFERENCE)
    assert not absent and not extra, "\n".join(["absent:", *absent, "more:", *extra])


async def test_what_documents_list_is_served_in_every_version(everything: Api) -> None:
    documented = await _documented(everything)
    assert documented.keys() > {path for path in REFERENCE if path.endswith("/pods")}
    await _all_served(everything, documented)
