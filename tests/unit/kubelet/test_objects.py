"""ConfigMaps and Secrets while the API server is away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kybern.api.errors import APIError, Forbidden, NotFound, ServiceUnavailable
from kybern.api.types import Object
from kybern.kubelet import objects
from kybern.kubelet.objects import Objects


class API:
    """Gives `held`, or raises `failure`."""

    def __init__(self) -> None:
        self.held: Object = {"data": {"a": "1"}}
        self.failure: APIError | None = None

    async def get(self, name: str, namespace: str) -> Object:
        if self.failure:
            raise self.failure
        return self.held


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> API:
    monkeypatch.setattr(objects, "KEPT", 0.0)
    return API()


def over(api: API) -> Objects:
    client: Any = SimpleNamespace(resource=lambda *names: api)
    return Objects(client)


async def test_what_the_api_last_said_serves_while_it_is_away(api: API) -> None:
    source = over(api)
    assert await source.config_map("ns", "m") == api.held
    api.failure = ServiceUnavailable("no answer")
    source.expire("ns")
    assert await source.config_map("ns", "m") == {"data": {"a": "1"}}
    with pytest.raises(ServiceUnavailable):
        await source.secret("ns", "never-seen")
    api.failure, api.held = None, {"data": {"a": "2"}}
    assert await source.config_map("ns", "m") == {"data": {"a": "2"}}


@pytest.mark.parametrize("failure", [NotFound.of("configmaps", "", "m"), Forbidden("no")])
async def test_what_is_gone_or_kept_from_the_node_does_not_serve(api: API, failure: APIError) -> None:
    source = over(api)
    await source.config_map("ns", "m")
    for api.failure in (failure, ServiceUnavailable("no answer")):
        with pytest.raises(type(api.failure)):
            await source.config_map("ns", "m")


async def test_what_no_pod_here_needs_is_forgotten(api: API) -> None:
    source = over(api)
    await source.secret("ns", "s")
    source.keep({"other"})
    api.failure = ServiceUnavailable("no answer")
    with pytest.raises(ServiceUnavailable):
        await source.secret("ns", "s")
