"""A little of what `make fuzz` does for long: requests made from the OpenAPI that the server publishes."""

from __future__ import annotations

import asyncio

import pytest

from tests.fuzz.openapi import Asker, Outcome
from tests.integration.apiserver.inprocess import serving


@pytest.mark.parametrize("group", ["apis/coordination.k8s.io/v1", "apis/autoscaling/v1", "apis/node.k8s.io/v1"])
def test_no_request_of_our_own_openapi_breaks_the_server(group: str) -> None:
    outcome = Outcome()
    with asyncio.Runner() as runner:
        serving_here = serving()
        api = runner.run(serving_here.__aenter__())
        try:
            Asker(api, runner.run, outcome).group(group, examples=2, seed=0)
        finally:
            runner.run(serving_here.__aexit__(None, None, None))
    assert not outcome.wrong, "\n".join(outcome.wrong)
    assert outcome.requests > 10 and len(outcome.codes) > 1, outcome
