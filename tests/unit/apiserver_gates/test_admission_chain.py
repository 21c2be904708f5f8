"""Which plugins are asked, how often, and what is counted of it."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kybern.api.core.node import Node
from kybern.api.errors import Forbidden
from kybern.apiserver.admission.base import CREATE, AdmissionChain, Attributes, Plugin
from kybern.apiserver.request import UserInfo


def attributes() -> Attributes:
    return Attributes(CREATE, Node(), "", "n", UserInfo("u"), {"metadata": {"name": "n"}})


class Sometimes(Plugin):
    name = "Sometimes"

    def __init__(self) -> None:
        self.busy, self.asked = False, 0

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        return self.busy

    async def admit(self, a: Attributes) -> None:
        self.asked += 1


async def test_a_plugin_without_work_is_not_asked_until_it_says_so() -> None:
    plugin = Sometimes()
    chain = AdmissionChain([plugin])
    await chain.admit(attributes())
    plugin.busy = True
    await chain.admit(attributes())
    assert plugin.asked == 0
    plugin.reconsider()
    await chain.admit(attributes())
    assert plugin.asked == 1


class Mutator(Plugin):
    name = "Mutator"

    def __init__(self, *, again: bool) -> None:
        self.again, self.rounds = again, list[int]()

    async def admit(self, a: Attributes) -> None:
        self.rounds.append(a.round)
        a.reinvoke = a.reinvoke or self.again


@pytest.mark.parametrize("again", [True, False])
async def test_mutating_plugins_are_asked_once_more_where_one_of_them_wants_that(again: bool) -> None:
    first, second = Mutator(again=False), Mutator(again=again)
    await AdmissionChain([first, second]).admit(attributes())
    assert first.rounds == second.rounds == ([0, 1] if again else [0])


class Refuser(Plugin):
    name = "Refuser"

    async def validate(self, a: Attributes) -> None:
        raise a.forbidden("no")


async def test_plugins_are_timed_by_name_step_operation_and_outcome() -> None:
    registry = CollectorRegistry()
    chain = AdmissionChain([Mutator(again=False), Refuser.__new__(Refuser)])
    registry.register(chain.metrics)
    await chain.admit(attributes())
    with pytest.raises(Forbidden):
        await chain.validate(attributes())
    page: Any = generate_latest(registry).decode()
    name = "apiserver_admission_controller_admission_duration_seconds_count"
    assert f'{name}{{name="Mutator",operation="CREATE",rejected="false",type="admit"}} 1.0' in page
    assert f'{name}{{name="Refuser",operation="CREATE",rejected="true",type="validate"}} 1.0' in page
