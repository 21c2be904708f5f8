"""Secrets with tokens of service accounts: made good for requests, and gone with their account."""

from __future__ import annotations

import base64

import pytest

from kybern.api.errors import NotFound
from kybern.api.legacytokens import ACCOUNT_NAME, ACCOUNT_UID, INVALID_SINCE, LAST_USED, TRACKING, TYPE
from kybern.apiserver.authn.bearer import Bearer
from kybern.apiserver.authn.legacytokens import LegacyTokens
from kybern.apiserver.request import Request
from kybern.apiserver.tokens import KeySet
from kybern.controllers import serviceaccount_token_cleaner
from kybern.controllers.options import Options
from kybern.process.clock import clock
from kybern.testing import builders, certificates
from kybern.testing.cluster import InProcessCluster

KEY = certificates.key()
ROOT_CA = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"


@pytest.fixture
async def cluster():
    options = Options(service_account_key=certificates.key_pem(KEY).decode(), root_ca=ROOT_CA)
    async with InProcessCluster(
        nodes=0, scheduler=False, controllers="serviceaccount-token-controller", options=options
    ) as made:
        yield made


def account(name):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}}


def secret(name, of):
    meta = {"name": name, "namespace": "default", "annotations": {ACCOUNT_NAME: of}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": TYPE}


async def filled(cluster, name):
    async def token():
        found = await cluster.resource("v1", "secrets").get(name, "default")
        return found if (found.get("data") or {}).get("token") else None

    return await cluster.until(token)


async def gone(cluster, plural, name):
    async def away():
        try:
            await cluster.resource("v1", plural).get(name, "default")
        except NotFound:
            return True
        return False

    await cluster.until(away)


async def test_a_secret_for_an_account_gets_a_token_that_is_good(cluster):
    made = await cluster.create(account("robot"))
    await cluster.create(secret("robot-token", "robot"))
    found = await filled(cluster, "robot-token")
    data = {name: base64.b64decode(value).decode() for name, value in found["data"].items()}
    assert (data["namespace"], data["ca.crt"]) == ("default", ROOT_CA)
    assert found["metadata"]["annotations"][ACCOUNT_UID] == made["metadata"]["uid"]
    secrets = cluster.resource("v1", "secrets")

    async def relabel(namespace, name, day):
        await secrets.patch(name, {"metadata": {"labels": {LAST_USED: day}}}, namespace)

    lister = cluster.app.registry.lister
    listers = {plural: lister("", plural) for plural in ("serviceaccounts", "secrets")}
    authenticator = Bearer([LegacyTokens(KeySet([KEY.public_key()]), ["api"], listers, relabel)])
    request = Request("GET", "/", headers={"authorization": f"Bearer {data['token']}"})
    user = await authenticator.authenticate(request)
    assert (user.name, request.notes) == (
        "system:serviceaccount:default:robot",
        {"authentication.k8s.io/legacy-token": "system:serviceaccount:default:robot"},
    )

    async def labelled():
        labels = (await secrets.get("robot-token", "default"))["metadata"].get("labels") or {}
        return labels.get(LAST_USED) == clock.stamp()[:10]

    await cluster.until(labelled)


async def test_a_token_ends_with_its_account_and_leaves_its_list(cluster):
    accounts = cluster.resource("v1", "serviceaccounts")
    await cluster.create(account("robot"))
    for name in ("one", "two"):
        await cluster.create(secret(name, "robot"))
        await filled(cluster, name)
    await accounts.patch("robot", {"secrets": [{"name": "one"}, {"name": "two"}]}, "default")
    await cluster.resource("v1", "secrets").delete("one", "default")

    async def unlisted():
        return (await accounts.get("robot", "default")).get("secrets") == [{"name": "two"}]

    await cluster.until(unlisted)
    await accounts.delete("robot", "default")
    await gone(cluster, "secrets", "two")
    await cluster.create(secret("three", "nobody"))
    await gone(cluster, "secrets", "three")


async def test_since_when_uses_are_noted(cluster):
    found = await cluster.resource("v1", "configmaps").get(TRACKING, "kube-system")
    assert found["data"] == {"since": clock.stamp()[:10]}


async def test_tokens_that_made_themselves_and_are_not_used_go(monkeypatch):
    monkeypatch.setattr(serviceaccount_token_cleaner, "EVERY", 0.05)
    options = Options(legacy_token_clean_up_period=0.0)
    name = "legacy-serviceaccount-token-cleaner-controller"
    async with InProcessCluster(nodes=0, scheduler=False, controllers=name, options=options) as cluster:
        await cluster.create(account("default"))
        for one in ("listed", "mounted", "made"):
            await cluster.create(secret(one, "default"))
        volumes = [{"name": "t", "secret": {"secretName": "mounted"}}]
        await cluster.create(builders.pod("p", volumes=volumes))
        listed = {"secrets": [{"name": "listed"}, {"name": "mounted"}]}
        await cluster.resource("v1", "serviceaccounts").patch("default", listed, "default")
        await gone(cluster, "secrets", "listed")
        for one in ("mounted", "made"):
            found = await cluster.resource("v1", "secrets").get(one, "default")
            assert INVALID_SINCE not in (found["metadata"].get("labels") or {})
