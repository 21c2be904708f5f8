"""Whatever a webhook answers is a verdict or a complaint, and whatever it refuses with is an error one can send."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.apiserver.webhooks import review

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("uid", "allowed", "status", "patch", "patchType", "auditAnnotations", "warnings")
ANSWERS = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)) | JSON


@settings(max_examples=300, deadline=None)
@given(response=ANSWERS, version=st.sampled_from(review.VERSIONS), mutating=st.booleans())
def test_any_answer(response: Any, version: str, mutating: bool) -> None:
    if isinstance(response, dict):
        response["uid"] = "u"
    answer = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "response": response}
    try:
        verdict = review.verdict(version, "u", answer, mutating=mutating)
    except review.InvalidReview:
        return
    if not verdict.allowed:
        error = review.denied("x", verdict.result)
        assert 400 <= error.code < 1000 and orjson.dumps(error.status())


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (None, "webhook response was absent"),
        ({"uid": "v"}, 'expected response.uid="u", got "v"'),
        ({"uid": "u", "patch": "W10="}, "webhook returned response.patch but not response.patchType"),
        ({"uid": "u", "patchType": "JSONPatch"}, "webhook returned response.patchType but not response.patch"),
        ({"uid": "u", "patch": "W10=", "patchType": "x"}, 'webhook returned invalid response.patchType of "x"'),
    ],
)
def test_what_is_wrong_is_said(response: Any, said: str) -> None:
    answer = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}
    with pytest.raises(review.InvalidReview) as caught:
        review.verdict("v1", "u", answer, mutating=True)
    assert str(caught.value) == said


def test_the_old_version_needs_neither_uid_nor_type() -> None:
    patch = base64.b64encode(b'[{"op":"remove","path":"/a"}]').decode()
    verdict = review.verdict("v1beta1", "u", {"response": {"allowed": True, "patch": patch}}, mutating=True)
    assert verdict.allowed and verdict.patch == [{"op": "remove", "path": "/a"}]
