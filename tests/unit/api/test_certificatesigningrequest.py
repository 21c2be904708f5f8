from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from kybern.api.certificates import certificatesigningrequest as kind
from kybern.api.certificates.certificatesigningrequest import CertificateSigningRequest
from kybern.api.field import Errors
from kybern.api.resource import Preparation
from kybern.api.types import Object
from kybern.testing import certificates

PEM = certificates.request("alice")
CLIENT = ("digital signature", "client auth")
CSR = CertificateSigningRequest()


def request(**spec: Any) -> Object:
    made = certificates.signing_request("one", PEM, kind.APISERVER_CLIENT, CLIENT)
    made["spec"] |= spec
    return made


def complaints(obj: Object) -> list[str]:
    errors = Errors()
    CSR.validate(obj, errors)
    return [str(error) for error in errors]


def status_complaints(new: Object, old: Object) -> list[str]:
    errors = Errors()
    CSR.validate_status(new, old, errors)
    return [str(error) for error in errors]


def with_conditions(*types: str, **status: Any) -> Object:
    conditions = [{"type": one, "status": "True"} for one in types]
    return {**request(), "status": {"conditions": conditions, **status}}


def test_a_good_request_passes() -> None:
    assert complaints(request()) == []
    assert complaints(request(expirationSeconds=600, signerName="example.com/a.b")) == []


def test_the_request_must_be_a_signed_pem_block() -> None:
    assert complaints(request(request=None)) == [
        "spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"
    ]
    wrong = base64.b64encode(PEM.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE")).decode()
    assert complaints(request(request=wrong))[0].endswith(": PEM block type must be CERTIFICATE REQUEST")
    der = bytearray(base64.b64decode(b"".join(PEM.splitlines()[1:-1])))
    der[der.index(b"alice")] ^= 1
    body = base64.encodebytes(bytes(der))
    forged = b"-----BEGIN CERTIFICATE REQUEST-----\n" + body + b"-----END CERTIFICATE REQUEST-----\n"
    said = complaints(request(request=base64.b64encode(forged).decode()))
    assert len(said) == 1
    assert said[0].endswith(": x509: ECDSA verification failure")


def test_text_around_the_pem_block_is_passed_over() -> None:
    assert complaints(request(request=base64.b64encode(b"hello\n" + PEM + b"bye\n").decode())) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"usages": []}, "spec.usages: Required value"),
        ({"usages": ["client auth", "client auth"]}, 'spec.usages[1]: Duplicate value: "client auth"'),
        (
            {"expirationSeconds": 599},
            "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        ),
        ({"signerName": ""}, "spec.signerName: Required value"),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": '
            "the legacy signerName is not allowed via this API version",
        ),
        (
            {"signerName": "a/b/c"},
            'spec.signerName: Invalid value: "a/b/c": '
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        ),
        (
            {"signerName": "local/x"},
            'spec.signerName: Invalid value: "local": should be a domain with at least two segments separated by dots',
        ),
    ],
)
def test_bad_specs(spec: Object, said: str) -> None:
    assert complaints(request(**spec)) == [said]


def test_unknown_usages_are_named_with_the_known_ones() -> None:
    (said,) = complaints(request(usages=["flying"]))
    assert said.startswith('spec.usages[0]: Unsupported value: "flying": supported values: "any", "cert sign", ')
    assert len(re.findall(r'"[a-z/ ]+"', said)) == 24


def test_the_server_says_who_asks() -> None:
    asked = request(username="root", groups=["system:masters"], uid="0", extra={"a": ["b"]})
    asked["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    prep = Preparation("alice", "", [], "7", ("dev",), {"scope": ("x", "y")})
    CSR.prepare_create(asked, prep)
    spec = asked["spec"]
    assert (spec["username"], spec["uid"], spec["groups"], spec["extra"]) == (
        "alice",
        "7",
        ["dev"],
        {"scope": ["x", "y"]},
    )
    assert asked["status"] == {}
    asked = request(uid="0")
    CSR.prepare_create(asked, Preparation("bob"))
    assert asked["spec"].keys() == {"request", "signerName", "usages", "username"}


def test_an_update_changes_no_spec() -> None:
    old, new = request(), request(usages=["server auth"])
    CSR.prepare_update(new, old, Preparation("alice"))
    assert new["spec"] == old["spec"]


def test_approval_writes_conditions_only_and_stamps_them() -> None:
    old = {**request(), "status": {"certificate": "old"}}
    new = with_conditions("Approved", certificate="new")
    CSR.prepare_update(new, old, Preparation("alice", "approval"))
    (one,) = new["status"]["conditions"]
    assert new["status"]["certificate"] == "old"
    assert one["lastUpdateTime"] == one["lastTransitionTime"]


def test_a_condition_that_stays_keeps_its_transition() -> None:
    old = with_conditions("Ready")
    old["status"]["conditions"][0]["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    new = with_conditions("Ready")
    CSR.prepare_update(new, old, Preparation("alice", "status"))
    assert new["status"]["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


def test_signers_do_not_touch_what_approvers_said() -> None:
    old, new = with_conditions("Approved"), with_conditions("Approved", "Failed")
    old["status"]["conditions"][0]["reason"] = "fine"
    new["status"]["conditions"][0]["reason"] = "changed"
    CSR.prepare_update(new, old, Preparation("signer", "status"))
    assert new["status"]["conditions"][0]["reason"] == "fine"
    assert status_complaints(new, old) == []
    added = with_conditions("Approved")
    CSR.prepare_update(added, request(), Preparation("signer", "status"))
    assert status_complaints(added, request()) == [
        'status.conditions: Forbidden: updates may not add a condition of type "Approved"'
    ]


def test_conditions() -> None:
    both = with_conditions("Approved", "Denied")
    assert complaints(both) == [
        'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'
    ]
    assert complaints(with_conditions("Ready", "Ready")) == ['status.conditions[1].type: Duplicate value: "Ready"']
    untrue = with_conditions("Approved")
    untrue["status"]["conditions"][0]["status"] = "False"
    assert complaints(untrue) == ['status.conditions[0].status: Unsupported value: "False": supported values: "True"']
    errors = Errors()
    CSR.validate_part("approval", request(), with_conditions("Denied"), errors)
    assert [str(error) for error in errors] == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Denied"'
    ]


def test_a_certificate_is_written_once_and_is_one() -> None:
    good = base64.b64encode(certificates.certificate("alice", certificates.key())).decode()
    issued = with_conditions("Approved", certificate=good)
    assert status_complaints(issued, with_conditions("Approved")) == []
    other = base64.b64encode(certificates.certificate("bob", certificates.key())).decode()
    assert status_complaints(with_conditions("Approved", certificate=other), issued) == [
        "status.certificate: Forbidden: updates may not modify existing certificate content"
    ]
    no_pem = base64.b64encode(b"hello").decode()
    assert complaints(with_conditions(certificate=no_pem)) == [
        'status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block'
    ]
    assert (
        'only CERTIFICATE PEM blocks are allowed, found "CERTIFICATE REQUEST"'
        in complaints(with_conditions(certificate=base64.b64encode(PEM).decode()))[0]
    )


def test_columns() -> None:
    def cells(obj: Object) -> list[Any]:
        return [column.cell(obj) for column in CSR.columns[1:]]

    assert cells(request(username="alice")) == [kind.APISERVER_CLIENT, "alice", "<none>", "Pending"]
    assert cells(with_conditions("Approved", certificate="x"))[-1] == "Approved,Issued"
    assert cells(with_conditions("Approved", "Failed"))[-1] == "Approved,Failed"
    assert cells(with_conditions("Denied"))[-1] == "Denied"
    assert cells(request(expirationSeconds=86400))[2] == "24h"
