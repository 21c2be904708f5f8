"""What stands before everything else: other origins, HTTPS only, a server that ends."""

from __future__ import annotations

import pytest

from kybern.apiserver.edge import Edge
from kybern.apiserver.request import Request
from kybern.process.daemon import OperatorError
from tests.unit.apiserver_gates.test_server import Server, server

__all__ = ["server"]
HERE, ELSEWHERE = "https://app.example.com", "https://app.example.com.evil.test"


async def asked(server: Server, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    response = await server.app.handle(Request(method, path, "", {"authorization": "Bearer admin", **headers}, b""))
    return response.status, dict(response.headers)


async def test_pages_of_other_origins(server: Server) -> None:
    server.app.edge = Edge(origins=["^https://app.example.com(:|$)"])
    status, headers = await asked(server, "OPTIONS", "/api/v1/pods", origin=HERE)
    assert status == 204 and headers["access-control-allow-origin"] == HERE
    assert "PATCH" in headers["access-control-allow-methods"]
    status, headers = await asked(server, "GET", "/api/v1/namespaces", origin=HERE)
    assert status == 200 and headers["access-control-allow-credentials"] == "true"
    status, headers = await asked(server, "GET", "/api/v1/namespaces", origin=ELSEWHERE)
    assert status == 200 and "access-control-allow-origin" not in headers
    assert (await asked(server, "OPTIONS", "/api/v1/pods", origin=ELSEWHERE))[0] == 405
    assert (await asked(server, "OPTIONS", "/api/v1/pods"))[0] == 405


async def test_https_only(server: Server) -> None:
    server.app.edge = Edge(directives=["max-age=31536000", "includeSubDomains"])
    for path in ("/api/v1/namespaces", "/nowhere"):
        _, headers = await asked(server, "GET", path)
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


async def test_a_server_that_ends_turns_requests_away(server: Server) -> None:
    server.app.edge = Edge()
    server.app.edge.ending = True
    status, headers = await asked(server, "GET", "/api/v1/namespaces")
    assert (status, headers["retry-after"]) == (429, "5")
    assert (await asked(server, "GET", "/metrics"))[0] != 429


@pytest.mark.parametrize("origin", ["example.com", "^https://example.com", "//example.com(:|$", "https://[(:|$)"])
def test_origins_that_others_could_match(origin: str) -> None:
    with pytest.raises(OperatorError, match="--cors-allowed-origins"):
        Edge(origins=[origin])


@pytest.mark.parametrize("directive", ["max-age", "max-age=soon", "preload;", "x"])
def test_unknown_directives(directive: str) -> None:
    with pytest.raises(OperatorError, match="none of max-age"):
        Edge(directives=[directive])
