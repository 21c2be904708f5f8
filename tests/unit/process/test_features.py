"""--feature-gates: what it takes, what it refuses, and what follows from it."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping

import pytest

from kybern.process import features, metrics
from kybern.process.daemon import OperatorError
from kybern.process.feature_table import DEPENDENCIES, GATES
from tests.gates import switched


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    with switched():
        yield


def test_every_gate_is_at_its_default() -> None:
    assert features.values() == {name: gate.default for name, gate in GATES.items()}
    # kube-scheduler --help of v1.36 lists as many, with AllAlpha and AllBeta.
    assert sum(gate.stage == "ALPHA" for gate in GATES.values()) == 50
    assert not any(gate.locked for gate in GATES.values() if gate.stage in ("ALPHA", "BETA"))


def test_the_table_holds_by_itself() -> None:
    stages = ["DEPRECATED", "ALPHA", "BETA", ""]
    for name, needed in DEPENDENCIES.items():
        for other in needed:
            assert stages.index(GATES[name].stage) <= stages.index(GATES[other].stage), name
            assert GATES[other].default or not GATES[name].default, name
            assert GATES[other].locked or not GATES[name].locked, name


def test_an_unknown_gate_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        features.enabled("NoSuchGate")


@pytest.mark.parametrize(
    ("flags", "on", "off"),
    [
        ([], ["WatchList"], ["HPAScaleToZero", "StorageVersionMigrator"]),
        (["HPAScaleToZero=true,WatchList=F"], ["HPAScaleToZero"], ["WatchList"]),
        (["kube:HPAScaleToZero=1", " MemoryQoS = t "], ["HPAScaleToZero", "MemoryQoS"], []),
        (["HPAScaleToZero=true", "HPAScaleToZero=false"], [], ["HPAScaleToZero"]),
        (["AllAlpha=true,MemoryQoS=false"], ["HPAScaleToZero", "AllAlpha", "WatchList"], ["MemoryQoS", "SELinuxMount"]),
        (["WatchList=true,AllBeta=false"], ["WatchList", "SidecarContainers"], ["EnvFiles", "AtomicFIFO"]),
        (["AllBeta=true"], ["SELinuxMount"], ["MemoryQoS", "KMSv1"]),
        (["SidecarContainers=true"], ["SidecarContainers"], []),
    ],
)
def test_what_flags_switch(flags: list[str], on: list[str], off: list[str]) -> None:
    features.start(flags)
    assert [features.enabled(name) for name in on + off] == [True] * len(on) + [False] * len(off)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("Nope=true", "unrecognized feature gate: Nope"),
        ("MemoryQoS", "missing bool value for MemoryQoS"),
        ("MemoryQoS=", 'invalid value of MemoryQoS=, err: strconv.ParseBool: parsing "": invalid syntax'),
        ("MemoryQoS=yes", 'invalid value of MemoryQoS=yes, err: strconv.ParseBool: parsing "yes": invalid syntax'),
        ("wardle:MemoryQoS=true", "component not registered: wardle"),
        ("WinDSR=false", "cannot set feature gate WinDSR to false, feature is locked to true"),
        ("GitRepoVolumeDriver=true", "cannot set feature gate GitRepoVolumeDriver to true, feature is locked to false"),
        ("WorkloadAwarePreemption=true,GenericWorkload=true",
         "WorkloadAwarePreemption is enabled, but depends on features that are disabled: [GangScheduling]"),
        ("Nope=true,WinDSR=false",
         "[unrecognized feature gate: Nope, cannot set feature gate WinDSR to false, feature is locked to true]"),
    ],
)  # fmt: skip
def test_what_flags_are_refused(flag: str, said: str) -> None:
    before = features.values()
    with pytest.raises(OperatorError) as refused:
        features.start([flag])
    assert str(refused.value) == f"--feature-gates: {said}"
    assert features.values() == before


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("MemoryQoS", "malformed pair, expect string=bool"),
        ("MemoryQoS=yes", 'invalid value of MemoryQoS: yes, err: strconv.ParseBool: parsing "yes": invalid syntax'),
        ("kube:MemoryQoS=true", "unrecognized feature gate: kube:MemoryQoS"),
    ],
)
def test_the_kubelet_and_the_proxy_know_no_components(flag: str, said: str) -> None:
    with pytest.raises(OperatorError) as refused:
        features.start([flag], prefixed=False)
    assert str(refused.value) == f"--feature-gates: {said}"


@pytest.mark.parametrize(
    ("file", "flag", "on"),
    [({"MemoryQoS": True}, "", True), ({"MemoryQoS": True}, "MemoryQoS=false", False), (None, "MemoryQoS=true", True)],
)
def test_flags_prevail_over_the_file(file: Mapping[str, bool] | None, flag: str, on: bool) -> None:
    features.start([flag], file=file, prefixed=False)
    assert features.enabled("MemoryQoS") is on


def test_what_changes_nothing_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        features.start(["MemoryQoS=true,WatchList=false,EnvFiles=true,HPAScaleToZero=true"], ("HPAScaleToZero",))
    assert caplog.messages == ["feature gates that change nothing here: MemoryQoS=true, WatchList=false"]


def test_what_will_go_is_said(caplog: pytest.LogCaptureFixture) -> None:
    features.start(["KMSv1=false", "SidecarContainers=true"])
    assert caplog.messages == [
        "the deprecated feature gate KMSv1=false will be removed",
        "the GA feature gate SidecarContainers=true will be removed",
    ]


def test_metrics_show_them() -> None:
    features.start(["MemoryQoS=true"])
    page = metrics.page().decode()
    assert 'kubernetes_feature_enabled{name="MemoryQoS",stage="ALPHA"} 1.0' in page
    assert 'kubernetes_feature_enabled{name="SELinuxMount",stage="BETA"} 0.0' in page
    assert 'kubernetes_feature_enabled{name="SidecarContainers",stage=""} 1.0' in page
    assert 'kubernetes_feature_enabled{name="KMSv1",stage="DEPRECATED"} 0.0' in page


def test_help_lists_what_can_be_switched() -> None:
    parser = argparse.ArgumentParser()
    features.add_flag(parser)
    text = " ".join(parser.format_help().split())
    assert "MemoryQoS=true|false (ALPHA - default=false), " in text and "AllBeta=true|false (BETA" in text
    assert "SidecarContainers" not in text and "KMSv1" not in text
