"""Requests that the server's own OpenAPI allows, and some that it doesn't: none may fail in the server, or hang."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from kybern.apiserver.request import Request, Response, Stream
from tests.integration.apiserver.inprocess import ADMIN, Api, Watched
from tests.integration.apiserver.minimal import minimal

SECONDS = 10.0
"""A request that takes longer hangs."""
BUSY = frozenset((503, 504))
"""Codes that say "later": a service that isn't there, a revision that is yet to come."""
KNOWN = {"namespace": "default", "name": "fuzzed"}
"""Parameters of paths that most requests have."""
_VERSION = re.compile(r"/v\d[^/]*$")
OPTIONS = frozenset(("dryRun", "fieldManager", "fieldValidation", "propagationPolicy", "orphanDependents", "force",
                     "resourceVersionMatch", "sendInitialEvents", "continue", "gracePeriodSeconds"))  # fmt: skip
"""Parameters that mostly end a request before it has begun, if they are anything; most requests go without."""
PATCHES = ("application/merge-patch+json", "application/strategic-merge-patch+json", "application/json-patch+json")
UNTYPED = "failed to create typed patch object"
"""What upstream's server-side apply answers with code 500 is the client's fault there too."""


@dataclass
class Outcome:
    """How requests ended: by code; and those that must not have."""

    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.codes.total()


class Asker:
    """Sends what schemathesis thinks of to a server in this process."""

    def __init__(self, api: Api, run: Callable[[Any], Any], outcome: Outcome) -> None:
        self.api, self.run, self.outcome = api, run, outcome
        self.asked = 0

    def group(self, name: str, examples: int, seed: int) -> None:
        """Every operation of a group's version (`apis/apps/v1`), each so many times."""
        if not _VERSION.search(name):
            return  # discovery only
        document = self.run(self.api.ok("GET", f"/openapi/v3/{name}"))
        self.run(self.fill(f"/{name}"))
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            self.operation(found.ok(), examples, seed)

    async def fill(self, root: str) -> None:
        """An object of each kind, as far as the least will do, so that there is something to read and change."""
        await self.api.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        group = root.split("/")[2] if root.startswith("/apis/") else ""
        for resource in (await self.api.ok("GET", root))["resources"]:
            if "/" in resource["name"] or "list" not in resource["verbs"]:
                continue
            place = "/namespaces/default" if resource["namespaced"] else ""
            made = minimal(group, root.rpartition("/")[2], resource["kind"], KNOWN["name"])
            await self.api.ask("POST", f"{root}{place}/{resource['name']}", made)

    def operation(self, operation: Any, examples: int, seed: int) -> None:
        """One operation."""

        @settings(
            max_examples=examples, deadline=None, database=None, derandomize=seed == 0, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(operation.as_strategy())
        def ask(case: Any) -> None:
            self.case(case)

        ask()

    def case(self, case: Any) -> None:
        """One request, judged."""
        request = self.request(case)
        shown = f"{request.method} {request.path}?{request.query} {request.body[:2000]!r}"
        try:
            code, text = self.run(asyncio.wait_for(answered(self.api, request), SECONDS))
        except TimeoutError:
            self.outcome.wrong.append(f"hung: {shown}")
            return
        self.outcome.codes[code] += 1
        if code >= 500 and code not in BUSY and UNTYPED not in text:
            self.outcome.wrong.append(f"{code} {text[:500]}: {shown}")

    def request(self, case: Any) -> Request:
        """The request of a case, as an administrator."""
        self.asked += 1
        method = case.method.upper()
        headers = {str(key).lower(): str(value) for key, value in (case.headers or {}).items()}
        headers["authorization"] = f"Bearer test {ADMIN}"
        body, path, query = b"", case.path, dict(case.query or {})
        for name, value in (case.path_parameters or {}).items():
            path = path.replace(f"{{{name}}}", KNOWN.get(name, str(value)))
        if type(case.body).__name__ != "NotSet":
            body = case.body if isinstance(case.body, bytes) else json.dumps(self.aimed(method, case.body)).encode()
            headers["content-type"] = case.media_type or "application/json"
            if self.asked % 4:
                headers["content-type"] = PATCHES[self.asked % 3] if method == "PATCH" else "application/json"
        if self.asked % 4:
            query = {name: value for name, value in query.items() if name not in OPTIONS}
        if method == "DELETE" and self.asked % 4:
            query["dryRun"] = "All"
        return Request(method, path, urlencode(query, doseq=True), headers, body)

    def aimed(self, method: str, body: Any) -> Any:
        """Most bodies are given a name and kind that fit, so that they get further than the first check."""
        if method not in ("POST", "PUT") or not isinstance(body, dict) or self.asked % 4 == 0:
            return body
        metadata = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
        kept = {key: value for key, value in metadata.items() if key in ("labels", "annotations", "finalizers")}
        rest = {key: value for key, value in body.items() if key not in ("kind", "apiVersion")}
        return {**rest, "metadata": {**kept, "name": KNOWN["name"]}}


async def answered(api: Api, request: Request) -> tuple[int, str]:
    """Code and text of the answer; of a watch what it says at once."""
    response: Response = await api.app.handle(request)
    if isinstance(response, Stream):
        watched = Watched(response)
        response.start(watched)
        await asyncio.sleep(0)
        response.closed()
        return response.status, ""
    body = response.body
    content = body if isinstance(body, bytes) else b"".join([piece async for piece in body])
    return response.status, content.decode("utf-8", "replace")
