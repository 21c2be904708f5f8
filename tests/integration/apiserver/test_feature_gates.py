"""Fields of feature gates, as the official Python client sees them go and stay: with all gates on each is kept; with
them off it is kept where it was, and taken from what is new."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic import DynamicClient

from kybern.api import gated_fields
from kybern.api.gated_fields import RULES, Rule
from kybern.api.scheme import builtin
from tests.integration.apiserver.conftest import TOKEN, running
from tests.integration.apiserver.gated_samples import merged, sample, values

NAMESPACE = "gated"
SERVED = "--runtime-config=api/all=true"
ON, OFF = "--feature-gates=AllAlpha=true,AllBeta=true", "--feature-gates=AllBeta=false,DRAPrioritizedList=false"
INVALID = {"DRAListTypeAttributes", "DRAPartitionableDevices", "DRAPrioritizedList", "EnvFiles"}
"""Gates without whose fields nothing valid is left of the samples."""
KINDS = {kind.group_kind: kind for kind in builtin()}
MERGE = "application/merge-patch+json"


class Case(NamedTuple):
    """A rule for one of its kinds."""

    rule: Rule
    kind: str
    place: str

    @property
    def name(self) -> str:
        return f"{self.rule.gates.split()[0].lower()}-{RULES.index(self.rule)}"


def cases(*, workloads: bool) -> list[Case]:
    found = [
        Case(rule, kind, place)
        for rule in RULES
        for kind, place in gated_fields._SHARED.get(rule.kind, {rule.kind: ""}).items()
    ]
    return [case for case in found if case.kind.startswith("scheduling.k8s.io/") is workloads]


class Server:
    """A server, through the official client."""

    def __init__(self, url: str) -> None:
        settings = client.Configuration(host=url)
        settings.verify_ssl = False
        settings.api_key = {"authorization": f"Bearer {TOKEN}"}
        warnings.simplefilter("ignore")
        self.client = DynamicClient(client.ApiClient(settings))

    def _resource(self, case: Case) -> tuple[Any, dict[str, str]]:
        kind = KINDS[case.kind]
        found = self.client.resources.get(api_version=kind.api_version(), kind=kind.kind)
        return found, {"namespace": NAMESPACE} if kind.namespaced else {}

    def create(self, case: Case, name: str) -> Any:
        """The sample of a case, with its status. Raises ApiException."""
        resource, where = self._resource(case)
        kind = KINDS[case.kind]
        body = merged(sample(*case, NAMESPACE), {"apiVersion": kind.api_version(), "kind": kind.kind})
        body["metadata"] = {"name": name}
        made = resource.create(body=body, **where).to_dict()
        if "status" in body and not kind.status_at_creation:
            patch = {"status": body["status"]}
            made = resource.status.patch(name=name, body=patch, content_type=MERGE, **where).to_dict()
        return made

    def label(self, case: Case, name: str) -> Any:
        """Change something else of it."""
        resource, where = self._resource(case)
        body = {"metadata": {"labels": {"more": "yes"}}}
        return resource.patch(name=name, body=body, content_type=MERGE, **where).to_dict()


def uses(case: Case, obj: Any) -> bool:
    """Whether all that the sample has of the fields is in an object."""
    full = sample(*case, NAMESPACE)
    paths = [path for path in gated_fields._paths(case.rule, case.kind, case.rule.paths) if values(full, path)]
    assert paths
    return all(values(obj, path) for path in paths)


def lacks(case: Case, obj: Any) -> bool:
    return not any(values(obj, path) for path in gated_fields._paths(case.rule, case.kind, case.rule.paths))


@contextmanager
def turned_off(directory: Path, chosen: list[Case], off: str) -> Iterator[Server]:
    """A server with gates off, that finds what was made while they were on."""
    with running(directory, SERVED, ON) as kubectl:
        kubectl.run("create", "namespace", NAMESPACE)
        kubectl.run("create", "serviceaccount", "default", "-n", NAMESPACE)
        kubectl.run("create", "priorityclass", "p", "--value=5")
        server = Server(kubectl.server)
        lost = [case for case in chosen if not uses(case, server.create(case, case.name))]
        assert not lost
    with running(directory, SERVED, off) as kubectl:
        yield Server(kubectl.server)


@pytest.fixture(scope="module")
def off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with turned_off(tmp_path_factory.mktemp("off"), cases(workloads=False), OFF) as server:
        yield server


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Workloads and groups are served, but for what other gates add to them."""
    directory = tmp_path_factory.mktemp("workloads")
    with turned_off(directory, cases(workloads=True), "--feature-gates=GenericWorkload=true") as server:
        yield server


def _check(server: Server, case: Case) -> None:
    assert uses(case, server.label(case, case.name))
    if case.rule.gates in INVALID:
        with pytest.raises(ApiException) as refused:
            server.create(case, f"{case.name}-new")
        assert refused.value.status == 422
    else:
        assert lacks(case, server.create(case, f"{case.name}-new"))


@pytest.mark.parametrize("case", cases(workloads=False), ids=lambda case: f"{case.kind} {case.name}")
def test_gated_fields(off: Server, case: Case) -> None:
    _check(off, case)


@pytest.mark.parametrize("case", cases(workloads=True), ids=lambda case: f"{case.kind} {case.name}")
def test_gated_fields_of_workloads(workloads: Server, case: Case) -> None:
    _check(workloads, case)


def test_kinds_need_their_gates(off: Server) -> None:
    served = {(one.group, one.kind) for one in off.client.resources.search()}
    for kind in KINDS.values():
        assert ((kind.group, kind.kind) in served) is not bool(kind.gate), kind.kind
