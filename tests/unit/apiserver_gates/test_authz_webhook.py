"""Webhook and structured authorization against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kybern.api.errors import Forbidden, InternalError
from kybern.apiserver import config_files
from kybern.apiserver.app import App
from kybern.apiserver.authz import config
from kybern.apiserver.authz.assembly import Authorization, AuthzOptions
from kybern.apiserver.authz.base import Union, decide, require
from kybern.apiserver.authz.webhook import WebhookAuthorizer, WebhookOptions
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.apiserver.webhooks import reviews
from kybern.process.daemon import OperatorError
from tests.unit.apiserver_gates.webhook import ReviewServer

BOB = UserInfo("bob", ("dev",), "7", {"team": ("red",)})
PODS = RequestInfo(
    "list", "", True, "", "v1", "pods", "", "ci", "",
    fields="spec.nodeName=a,status.phase!=Failed", labels="app in (a,b),!x",
)  # fmt: skip
VERSION = RequestInfo("get", "/version")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ReviewServer]:
    made = await ReviewServer(tmp_path, lambda spec: {"allowed": spec["user"] == "bob", "reason": "so it is"}).start()
    yield made
    await made.stop()


def webhook(server: ReviewServer, **more: Any) -> WebhookAuthorizer:
    return WebhookAuthorizer("--flag", WebhookOptions("hook", server.kubeconfig, **more))


async def test_what_a_webhook_is_asked(server: ReviewServer) -> None:
    authorizer = webhook(server)
    decision = await authorizer.authorize(BOB, PODS)
    assert (decision.allowed, decision.reason) == (True, "so it is")
    await authorizer.authorize(BOB, VERSION)
    first, second = server.asked
    assert (first["apiVersion"], first["kind"]) == ("authorization.k8s.io/v1", "SubjectAccessReview")
    assert first["spec"] == {
        "user": "bob", "groups": ["dev"], "uid": "7", "extra": {"team": ["red"]},
        "resourceAttributes": {
            "namespace": "ci", "verb": "list", "version": "v1", "resource": "pods",
            "fieldSelector": {"requirements": [
                {"key": "spec.nodeName", "operator": "In", "values": ["a"]},
                {"key": "status.phase", "operator": "NotIn", "values": ["Failed"]},
            ]},
            "labelSelector": {"requirements": [
                {"key": "app", "operator": "In", "values": ["a", "b"]},
                {"key": "x", "operator": "DoesNotExist"},
            ]},
        },
    }  # fmt: skip
    assert second["spec"]["nonResourceAttributes"] == {"path": "/version", "verb": "get"}
    assert server.tokens == ["Bearer who-i-am"] * 2


async def test_the_older_version_has_another_name_for_groups(server: ReviewServer) -> None:
    await webhook(server, version="v1beta1").authorize(BOB, VERSION)
    assert server.asked[0]["apiVersion"] == "authorization.k8s.io/v1beta1"
    assert server.asked[0]["spec"]["group"] == ["dev"]


async def test_answers_are_kept_for_their_time(server: ReviewServer) -> None:
    authorizer = webhook(server, authorized_ttl=60, unauthorized_ttl=0)
    eve = UserInfo("eve")
    for _ in range(2):
        assert (await authorizer.authorize(BOB, PODS)).allowed
        assert (await authorizer.authorize(eve, PODS)).allowed is None
    assert [one["spec"]["user"] for one in server.asked] == ["bob", "eve", "eve"]


async def test_no_answer_is_no_opinion_and_an_internal_error_in_the_end(server: ReviewServer) -> None:
    server.code = 403
    app = App(None, authorizers=[webhook(server)])  # type: ignore[arg-type]
    with pytest.raises(InternalError):
        await require(app, BOB, PODS)
    deny = await webhook(server, deny_on_error=True).authorize(BOB, PODS)
    assert deny.allowed is False and deny.error
    await server.stop()
    assert "connection refused" in (await webhook(server).authorize(BOB, PODS)).error
    await server.start()


async def test_what_may_pass_is_tried_again(server: ReviewServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "WAIT", 0.001)
    server.code = 500
    assert (await webhook(server).authorize(BOB, PODS)).error
    assert len(server.asked) == reviews.ATTEMPTS


async def test_a_webhook_that_denies_has_the_last_word(server: ReviewServer) -> None:
    server.status = lambda spec: {"allowed": False, "denied": True, "reason": "never"}
    app = App(None, authorizers=[webhook(server)])  # type: ignore[arg-type]
    with pytest.raises(Forbidden, match="never"):
        await require(app, BOB, PODS)
    server.status = lambda spec: {"allowed": True, "denied": True}
    assert "both allow and deny" in (await webhook(server).authorize(UserInfo("x"), PODS)).error
    rules = Union([webhook(server)]).rules_for(BOB, "ci")
    assert (rules.incomplete, rules.error) == (True, "webhook authorizer does not support user rule resolution")


def entry(server: ReviewServer, name: str = "hook", **more: Any) -> Any:
    connection = {"type": "KubeConfigFile", "kubeConfigFile": str(server.kubeconfig)}
    hook = {
        "timeout": "3s", "subjectAccessReviewVersion": "v1", "failurePolicy": "Deny", "connectionInfo": connection,
        "matchConditionSubjectAccessReviewVersion": "v1", **more,
    }  # fmt: skip
    return {"type": "Webhook", "name": name, "webhook": hook}


def write(path: Path, *authorizers: Any) -> Path:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    document = {**head, "authorizers": list(authorizers)}
    path.write_text(yaml.safe_dump(document))
    return path


async def test_conditions_keep_requests_away(server: ReviewServer, tmp_path: Path) -> None:
    conditions = [
        {"expression": "has(request.resourceAttributes)"},
        {"expression": "request.resourceAttributes.namespace == 'ci'"},
        {"expression": "!('system:masters' in request.groups)"},
    ]
    allow = {"type": "AlwaysAllow", "name": "a"}
    path = write(tmp_path / "authz.yaml", entry(server, matchConditions=conditions), allow)
    app = App(None)  # type: ignore[arg-type]
    authorization = Authorization(app, AuthzOptions(config_file=path))
    assert (await decide(app, BOB, VERSION)).allowed
    assert not server.asked
    assert (await decide(app, BOB, PODS)).reason == "so it is"
    assert len(server.asked) == 1
    # A condition that fails is as bad as a webhook that does.
    broken = await decide(app, UserInfo("nobody"), PODS)
    assert broken.allowed is False and "groups" in broken.error
    await authorization.stop()


async def test_a_changed_file_is_taken_if_it_is_well(
    server: ReviewServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_files, "EVERY", 0.01)
    path = write(tmp_path / "authz.yaml", {"type": "AlwaysDeny", "name": "a"})
    app = App(None)  # type: ignore[arg-type]
    authorization = Authorization(app, AuthzOptions(config_file=path))
    authorization.start()
    assert not (await decide(app, BOB, VERSION)).allowed
    write(path, {"type": "AlwaysAllow", "name": "a"})

    async def until(allowed: bool) -> None:
        async with asyncio.timeout(30):
            while bool((await decide(app, BOB, VERSION)).allowed) is not allowed:
                await asyncio.sleep(0.01)

    await until(True)
    write(path, {"type": "Nonsense", "name": "a"})
    await asyncio.sleep(0.1)
    assert (await decide(app, BOB, VERSION)).allowed
    write(path, entry(server))
    async with asyncio.timeout(30):
        while not server.asked:
            await decide(app, BOB, VERSION)
            await asyncio.sleep(0.01)
    await authorization.stop()


async def test_what_is_wrong_with_a_file(server: ReviewServer, tmp_path: Path) -> None:
    path = tmp_path / "authz.yaml"
    for authorizers, said in (
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([{"name": "a"}], "authorizers[0].type: Required value"),
        ([{"type": "X", "name": "a"}], 'authorizers[0].type: Unsupported value: "X"'),
        ([{"type": "RBAC", "name": name} for name in "ab"], 'authorizers[1].type: Duplicate value: "RBAC"'),
        ([{"type": "RBAC", "name": "A"}], "authorizer name is invalid"),
        ([{"type": "RBAC", "name": "a", "webhook": {}}], "may only be specified when type=Webhook"),
        ([{"type": "Webhook", "name": "a"}], "authorizers[0].webhook: Required value: required when type=Webhook"),
        ([entry(server, timeout="31s")], "must be > 0s and <= 30s"),
        ([entry(server, timeout="soon")], "is not a duration"),
        ([entry(server, failurePolicy="Maybe")], 'Unsupported value: "Maybe": supported values: "Deny", "NoOpinion"'),
        ([entry(server, unknown=1)], "authorizers[0].webhook.unknown: Invalid value"),
        ([entry(server, matchConditions=[{"expression": "request.("}])], "compilation failed"),
        ([entry(server, matchConditions=[{"expression": "true"}, {"expression": "true"}])], "Duplicate value"),
        ([entry(server, connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "x"})], "must be an absolute path"),
        ([entry(server, connectionInfo={"type": "KubeConfigFile", "kubeConfigFile": "/no/file"})], "no such file"),
    ):  # fmt: skip
        with pytest.raises(OperatorError) as refused:
            config.load(write(path, *authorizers))
        assert said in str(refused.value)
    for options, said in (
        (AuthzOptions(["Webhook"]), "needs --authorization-webhook-config-file"),
        (AuthzOptions(["RBAC", "RBAC"]), "more than once"),
        (AuthzOptions(["Nonsense"]), "is not known"),
        (AuthzOptions(["AlwaysAllow"], policy_file=path), "needs --authorization-mode ABAC"),
    ):
        with pytest.raises(OperatorError, match=said):
            Authorization(App(None), options)  # type: ignore[arg-type]


async def test_policies_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "abac.jsonl"
    head = '{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":'
    path.write_text(
        f'# first\n{head}{{"user":"bob","namespace":"ci","resource":"pods","readonly":true}}}}\n'
        f'{head}{{"group":"dev","nonResourcePath":"/v*"}}}}\n'
    )
    app = App(None)  # type: ignore[arg-type]
    Authorization(app, AuthzOptions(["ABAC"], policy_file=path))
    assert (await decide(app, BOB, PODS)).allowed
    assert (await decide(app, BOB, VERSION)).allowed
    assert not (await decide(app, UserInfo("bob"), VERSION)).allowed
    delete = RequestInfo("delete", "", True, "", "v1", "pods", "", "ci", "x")
    assert (await decide(app, BOB, delete)).reason == "No policy matched."
    path.write_text("{}\n")
    with pytest.raises(OperatorError, match="line 1"):
        Authorization(App(None), AuthzOptions(["ABAC"], policy_file=path))  # type: ignore[arg-type]
