"""Kinds that are served only where --runtime-config says so."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.apiserver import pki
from tests.unit.api.checking import changed, problems

from kybern.api.apiserverinternal.storageversion import StorageVersion
from kybern.api.certificates.clustertrustbundle import ClusterTrustBundle
from kybern.api.certificates.podcertificaterequest import PodCertificateRequest
from kybern.api.coordination.leasecandidate import LeaseCandidate
from kybern.api.dra.devicetaintrule import DeviceTaintRule
from kybern.api.dra.resourcepoolstatusrequest import ResourcePoolStatusRequest
from kybern.api.resource import Preparation
from kybern.api.scheduling.podgroup import PodGroup
from kybern.api.scheduling.workload import Workload
from kybern.api.storagemigration.storageversionmigration import StorageVersionMigration
from kybern.api.types import Object

_OLD = "2001-01-01T00:00:00Z"
_CONDITION = {"status": "True", "reason": "Because", "message": "", "lastTransitionTime": "2030-01-01T00:00:00Z"}


def condition(kind: str, **fields: Any) -> Object:
    return {**_CONDITION, "type": kind, **fields}


def bundle(name: str, signer: str = "", anchors: str = pki.AUTHORITY) -> Object:
    return {"metadata": {"name": name}, "spec": {"trustBundle": anchors, **({"signerName": signer} if signer else {})}}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (bundle("plain"), []),
        (bundle("example.com:one:x", "example.com/one"), []),
        (bundle("a:b"), ['metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have '
                         '":" in its name']),
        (bundle("x", "example.com/one"),
         ['metadata.name: Invalid value: "x": ClusterTrustBundle for signerName example.com/one must be named with '
          "prefix example.com:one:"]),
        (bundle("x", anchors="nothing"),
         ['spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided']),
        (bundle("x", anchors=pki.AUTHORITY.replace("CERTIFICATE", "SECRET")),
         ['spec.trustBundle: Invalid value: "<value omitted>": entry 0 has bad block type: SECRET']),
        (bundle("x", anchors=pki.AUTHORITY * 2),
         ['spec.trustBundle: Invalid value: "<value omitted>": duplicate trust anchor (indices [0 1])']),
        (bundle("x", anchors=pki.AUTHORITY + pki.AUTHORITY.replace("CERTIFICATE", "SECRET")),
         ['spec.trustBundle: Invalid value: "<value omitted>": entry 1 has bad block type: SECRET']),
    ],
)  # fmt: skip
def test_bundles(made: Object, expected: list[str]) -> None:
    assert problems(ClusterTrustBundle(), made) == expected


def test_bundles_are_found_by_signer() -> None:
    assert ClusterTrustBundle().selectable(bundle("x", "example.com/one")) == {"spec.signerName": "example.com/one"}


REQUEST: Object = {
    "spec": {
        "signerName": "example.com/one", "podName": "p", "podUID": "1", "serviceAccountName": "s",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "stubPKCS10Request": pki.STUB,
        "maxExpirationSeconds": 259200,
    }
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.nodeName", "n", []),
        ("spec.podUID", "", ['spec.podUID: Invalid value: "": must not be empty']),
        ("spec.maxExpirationSeconds", 60,
         ["spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]"]),
        ("spec.stubPKCS10Request", "", ["spec.stubPKCS10Request: Required value: must not be empty"]),
        ("spec.unverifiedUserAnnotations", {"plain": "x"},
         ['spec.unverifiedUserAnnotations[plain]: Invalid value: "plain": must be a domain-prefixed path (such as '
          '"acme.io/foo")']),
    ],
)  # fmt: skip
def test_requests_for_pod_certificates(path: str, value: Any, expected: list[str]) -> None:
    assert problems(PodCertificateRequest(), changed(REQUEST, path, value)) == expected


def test_requests_for_pod_certificates_end_once() -> None:
    certified = {"conditions": [condition("Issued")], **pki.issued()}
    kind, issued = PodCertificateRequest(), {**REQUEST, "status": certified}
    assert problems(kind, issued, REQUEST, "status") == []
    denied = {**REQUEST, "status": {"conditions": [condition("Denied")]}}
    assert problems(kind, denied, REQUEST, "status") == []
    found = problems(kind, denied, issued, "status")
    assert [text.rpartition(": ")[2] for text in found] == [
        "immutable after PodCertificateRequest is issued, denied, or failed"
    ]
    wrong = {
        "notAfter": ("2029-01-01T00:00:00Z", "must be set to the NotAfter time encoded in the leaf certificate"),
        "notBefore": ("2029-01-01T00:00:00Z", "must be set to the NotBefore time encoded in the leaf certificate"),
        "beginRefreshAt": (certified["notAfter"], "must be at least 10 minutes before status.notAfter"),
    }
    for field, (value, said) in wrong.items():
        assert problems(kind, changed(issued, f"status.{field}", value), REQUEST, "status") == [
            f'status.{field}: Invalid value: "{value}": {said}'
        ]
    short = changed(REQUEST, "spec.maxExpirationSeconds", 86400)
    found = problems(kind, {**short, "status": certified}, short, "status")
    assert [text.rpartition(": ")[2] for text in found] == [
        "leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)"
    ]
    early = {**REQUEST, "status": {"notBefore": certified["notBefore"]}}
    assert problems(kind, early, REQUEST, "status") == [
        'status: Invalid value: status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
    ]
    both = changed(issued, "status.conditions", [condition("Issued"), condition("Failed")])
    assert any("There may be at most one condition" in text for text in problems(kind, both, REQUEST, "status"))


CANDIDATE: Object = {
    "spec": {"leaseName": "l", "binaryVersion": "1.36.0", "emulationVersion": "1.35.0",
             "strategy": "OldestEmulationVersion"}
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.leaseName", "", ["spec.leaseName: Required value"]),
        ("spec.binaryVersion", "1.34.0",
         ['spec.binaryVersion: Invalid value: "1.34.0": must be greater than or equal to `emulationVersion`']),
        ("spec.binaryVersion", "new",
         ['spec.binaryVersion: Invalid value: "new": No Major.Minor.Patch elements found']),
        ("spec.emulationVersion", None,
         ["spec.emulationVersion: Required value: must be specified when `strategy` is 'OldestEmulationVersion'"]),
        ("spec.strategy", "", ["spec.strategy: Required value"]),
        ("spec.strategy", "example.com/own", []),
    ],
)  # fmt: skip
def test_candidates_for_leases(path: str, value: Any, expected: list[str]) -> None:
    assert problems(LeaseCandidate(), changed(CANDIDATE, path, value)) == expected


def test_a_candidate_is_for_one_lease() -> None:
    assert problems(LeaseCandidate(), changed(CANDIDATE, "spec.leaseName", "m"), CANDIDATE) == [
        'spec.leaseName: Invalid value: "m": field is immutable'
    ]


def test_storage_versions() -> None:
    kind, made = StorageVersion(), {"metadata": {"name": "apps.deployments"}, "spec": {}}
    assert problems(kind, made) == []
    assert problems(kind, {**made, "metadata": {"name": "pods"}}) == [
        'metadata.name: Invalid value: "pods": name must be in the form of <group>.<resource>'
    ]
    server = {"apiServerID": "a", "encodingVersion": "v1", "decodableVersions": ["v1", "v2"]}
    status = {"storageVersions": [server], "commonEncodingVersion": "v1"}
    assert problems(kind, {**made, "status": status}, made, "status") == []
    other = {**server, "apiServerID": "b", "encodingVersion": "v2", "servedVersions": ["v3"]}
    assert problems(kind, {**made, "status": {**status, "storageVersions": [server, other]}}, made, "status") == [
        'status.storageVersions[1].servedVersions: Invalid value: ["v3"]: individual servedVersions must be in '
        "decodableVersions: v3",
        'status.commonEncodingVersion: Invalid value: "v1": should be nil if servers do not agree on one',
    ]


def test_migrations() -> None:
    kind, made = StorageVersionMigration(), {"spec": {"resource": {"group": "apps", "resource": "deployments"}}}
    assert problems(kind, made) == []
    assert problems(kind, {"spec": {"resource": {}}}) == [
        "spec.resource.resource: Required value: resource is required"
    ]
    done = {**made, "status": {"conditions": [condition("Succeeded")], "resourceVersion": "5"}}
    assert problems(kind, done, made, "status") == []
    undone = changed(done, "status.conditions", [condition("Succeeded", status="False")])
    assert problems(kind, undone, done, "status") == [
        'status.conditions: Invalid value: "Succeeded": Succeeded condition cannot be set to false once it is true'
    ]
    found = problems(kind, changed(made, "spec.resource.resource", "pods"), made)
    assert [text.partition(": ")[0] for text in found] == ["spec"]


GROUP: Object = {"spec": {"schedulingPolicy": {"gang": {"minCount": 2}}}}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("spec.disruptionMode", "PodGroup", []),
        ("spec.schedulingPolicy", {},
         ['{path}.schedulingPolicy: Invalid value: "": must specify exactly one of: `basic`, `gang`']),
        ("spec.schedulingPolicy.gang.minCount", 0,
         ["{path}.schedulingPolicy.gang.minCount: Invalid value: 0: must be greater than or equal to 1"]),
        ("spec.disruptionMode", "Some", ['{path}.disruptionMode: Unsupported value: "Some": supported values: "Pod", '
                                         '"PodGroup"']),
        ("spec.resourceClaims", [{"name": "a"}],
         ['{path}.resourceClaims[0]: Invalid value: "": must specify exactly one of: `resourceClaimName`, '
          "`resourceClaimTemplateName`"]),
    ],
)  # fmt: skip
def test_groups_of_pods(path: str, value: Any, expected: list[str]) -> None:
    made = changed(GROUP, path, value)
    assert problems(PodGroup(), made) == [text.replace("{path}", "spec") for text in expected]
    workload = {"spec": {"podGroupTemplates": [{"name": "t", **made["spec"]}]}}
    moved = [text.replace("{path}", "spec.podGroupTemplates[0]") for text in expected]
    assert problems(Workload(), workload) == moved


def test_workloads_stay_as_they_are_but_for_who_controls_them() -> None:
    made = {"spec": {"podGroupTemplates": [{"name": "t", **GROUP["spec"]}]}}
    controlled = changed(made, "spec.controllerRef", {"apiGroup": "batch", "kind": "Job", "name": "j"})
    assert problems(Workload(), controlled, made) == []
    assert len(problems(Workload(), changed(controlled, "spec.controllerRef.name", "k"), controlled)) == 1
    twice = changed(made, "spec.podGroupTemplates", made["spec"]["podGroupTemplates"] * 2)
    assert problems(Workload(), twice) == ['spec.podGroupTemplates[1]: Duplicate value: "t"']


def test_rules_of_taints() -> None:
    made: Object = {"spec": {"taint": {"key": "example.com/bad", "effect": "NoExecute"}}}
    assert problems(DeviceTaintRule(), made) == []
    wrong = changed(changed(made, "spec.taint.effect", ""), "spec.deviceSelector", {"device": "Not_Ok", "pool": ""})
    found = problems(DeviceTaintRule(), wrong)
    assert [text.partition(": ")[0] for text in found] == [
        "spec.deviceSelector.pool", "spec.deviceSelector.device", "spec.taint.effect",
    ]  # fmt: skip
    before, after = changed(made, "spec.taint.timeAdded", _OLD), changed(made, "spec.taint.timeAdded", _OLD)
    after["spec"]["taint"]["effect"] = "NoSchedule"
    DeviceTaintRule().prepare_update(after, before, Preparation())
    assert after["spec"]["taint"]["timeAdded"] > _OLD
    reported = {**made, "status": {"conditions": [condition("EvictionInProgress", reason="no reason")]}}
    found = problems(DeviceTaintRule(), reported, made, "status")
    assert [text.partition(": ")[0] for text in found] == ["status.conditions[0].reason"]


def test_questions_about_pools() -> None:
    kind, made = ResourcePoolStatusRequest(), {"spec": {"driver": "d.example.com"}}
    assert problems(kind, made) == []
    assert problems(kind, changed(made, "spec.limit", 1001)) == [
        "spec.limit: Invalid value: 1001: must be less than or equal to 1000"
    ]
    answered = {**made, "status": {"poolCount": 1}}
    assert problems(kind, answered, made, "status") == []
    assert len(problems(kind, changed(answered, "status.poolCount", 2), answered, "status")) == 1
