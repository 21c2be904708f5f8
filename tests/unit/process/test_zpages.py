"""/statusz and /flagz, as text and as objects."""

import argparse
import json
from pathlib import Path

import pytest

from kybern.process.clock import clock
from kybern.process.zpages import ZPages, flags_of


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> ZPages:
    monkeypatch.setattr(clock, "now_fn", lambda: 1_761_697_801.5)
    args = argparse.Namespace(secure_port=6443, anonymous_auth=True, modes=["Node", "RBAC"], file=Path("/a"), none=None)
    made = ZPages("kube-apiserver", flags_of(args), ("/version", "/livez"))
    monkeypatch.setattr(clock, "now_fn", lambda: 1_761_701_462.0)
    return made


def test_text(pages: ZPages) -> None:
    status, kind, body = pages.statusz("")
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    lines = body.decode().splitlines()
    assert lines[0] == "kube-apiserver statusz" and lines[1].startswith("Warning: This endpoint is not meant to be")
    assert "Up: 1 hr 01 min 00 sec" in lines and "Emulation version: 1.36" in lines
    assert "Paths: /livez /version" in lines
    flags = pages.flagz("text/plain").body.decode().splitlines()
    assert flags[3:] == ["anonymous-auth=true", "file=/a", "modes=[Node,RBAC]", "none=", "secure-port=6443"]


def test_objects(pages: ZPages) -> None:
    status, kind, body = pages.statusz("application/json;v=v1beta1;g=config.k8s.io;as=Statusz")
    made = json.loads(body)
    assert (status, kind, made["kind"], made["apiVersion"]) == (
        200,
        "application/json",
        "Statusz",
        "config.k8s.io/v1beta1",
    )
    assert made["metadata"] == {"name": "kube-apiserver"} and made["uptimeSeconds"] == 3660
    assert made["startTime"] == "2025-10-29T00:30:01Z" and made["paths"] == ["/livez", "/version"]
    made = json.loads(pages.flagz("application/json;v=v1beta1;g=config.k8s.io;as=Flagz").body)
    assert made["flags"]["modes"] == "[Node,RBAC]"


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json;v=v1beta1;g=config.k8s.io;as=Flagz", "image/png"]
)
def test_what_is_not_acceptable(pages: ZPages, accept: str) -> None:
    assert pages.statusz(accept).status == 406
