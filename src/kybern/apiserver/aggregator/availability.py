"""Whether a server behind this one can be asked: the condition Available of its APIService, in upstream's words.

Source: API reference, APIServiceCondition v1 apiregistration.k8s.io.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple

from kybern.api.apiregistration.apiservice import AVAILABLE
from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.apiserver.aggregator.backend import Backend, failed
from kybern.apiserver.registry import Lister
from kybern.apiserver.webhooks.services import is_ready, slices_of
from kybern.process.clock import clock

ATTEMPTS = 5
SECONDS = 5.0


class Condition(NamedTuple):
    """What is said of a server; `again`: it is worth looking again before something changes."""

    available: bool
    reason: str
    message: str
    again: bool = False


PASSED = Condition(True, "Passed", "all checks passed")


async def check(backend: Backend, services: Lister, slices: Lister) -> Condition:
    """Look at the Service, its endpoints, and whether the server says what it serves."""
    namespace, name, port = backend.place
    service = services.get(namespace, name)
    if service is None:
        return Condition(False, "ServiceNotFound", f'service/{name} in "{namespace}" is not present')
    if (service["spec"].get("type") or "ClusterIP") == "ClusterIP":
        found = next((one for one in service["spec"].get("ports") or () if one["port"] == port), None)
        if found is None:
            message = f'service/{name} in "{namespace}" is not listening on port {port}'
            return Condition(False, "ServicePortError", message)
        there = slices_of(slices, namespace, name)
        missing = _missing(there, found.get("name") or "", f'service/{name} in "{namespace}"')
        if missing is not None:
            return missing
    problem = await _asked(backend)
    if problem:
        return Condition(False, "FailedDiscoveryCheck", problem, again=True)
    return PASSED


def _missing(slices: list[Object], port: str, service: str) -> Condition | None:
    """What is wrong with a Service's endpoints."""
    if not slices:
        return Condition(False, "EndpointsNotFound", f"cannot find endpointslices for {service}")
    for one in slices:
        ready = any(is_ready(endpoint) for endpoint in one.get("endpoints") or ())
        if ready and any((each.get("name") or "") == port and each.get("port") for each in one.get("ports") or ()):
            return None
    message = f'endpointslices for {service} have no addresses with port name "{port}"'
    return Condition(False, "MissingEndpoints", message)


async def _asked(backend: Backend) -> str:
    """"" if the server answers; a second look is at several of its endpoints at once."""
    problem = await _try(backend)
    if not problem:
        return ""
    others = await asyncio.gather(*(_try(backend) for _ in range(ATTEMPTS - 1)))
    return "" if "" in others else problem


async def _try(backend: Backend) -> str:
    try:
        host, port = await backend.address()
    except APIError as error:
        return error.message
    url = f"https://{f'[{host}]' if ':' in host else host}:{port}{backend.root}"
    try:
        async with asyncio.timeout(SECONDS):
            status = (await backend.fetch(backend.root, trusting=True)).status
    except (APIError, OSError, ssl.SSLError, TimeoutError) as error:
        return f"failing or missing response from {url}: {failed(url, error)}"
    if not 200 <= status < 300:
        return f"failing or missing response from {url}: bad status from {url}: {status}"
    return ""


def with_condition(service: Object, found: Condition) -> Object | None:
    """The APIService with the condition; None if it has it. The time changes only when the status does."""
    status = service.get("status") or {}
    wanted = {
        "type": AVAILABLE,
        "status": "True" if found.available else "False",
        "reason": found.reason,
        "message": found.message,
    }
    conditions = list(status.get("conditions") or ())
    before = next((one for one in conditions if one.get("type") == AVAILABLE), None)
    if before is not None and all(before.get(key) == value for key, value in wanted.items()):
        return None
    same = before is not None and before.get("status") == wanted["status"]
    moved = before["lastTransitionTime"] if same and before and "lastTransitionTime" in before else clock.stamp()
    made = {**wanted, "lastTransitionTime": moved}
    others = [one for one in conditions if one.get("type") != AVAILABLE]
    return {**service, "status": {**status, "conditions": [*others, made]}}


def is_available(service: Object) -> bool:
    """Whether the condition says so."""
    conditions = (service.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == AVAILABLE and one.get("status") == "True" for one in conditions)
