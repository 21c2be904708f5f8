"""Tokens of other issuers, with a real OpenID provider."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from kybern.api.scheme import builtin
from kybern.apiserver import config_files
from kybern.apiserver.app import App
from kybern.apiserver.authn import config, oidcprovider
from kybern.apiserver.authn.assembly import Authentication, AuthnOptions
from kybern.apiserver.authn.base import BadToken
from kybern.apiserver.authz.base import AlwaysAllow
from kybern.apiserver.flags import add_flags
from kybern.apiserver.flags_auth import authn_options
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request, json_response
from kybern.apiserver.tokens import KeySet, new_signing_key
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError
from kybern.store.memory import MemoryStore
from tests.unit.apiserver_gates.issuer import Issuer

NAME = {"claim": "sub", "prefix": ""}
SIGNING = KeySet([new_signing_key().public_key()])


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[Issuer]:
    made = await Issuer(tmp_path).start()
    yield made
    await made.stop()


def jwt_entry(issuer: Issuer, mappings: Any = None, **more: Any) -> Any:
    found = {"url": issuer.url, "certificateAuthority": issuer.ca, "audiences": ["kubernetes"]}
    return {"issuer": found, "claimMappings": mappings or {"username": NAME}, **more}


def document(*entries: Any, **more: Any) -> Any:
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": config.KIND, "jwt": list(entries), **more}


class Server:
    """The server's authenticators, asked with tokens."""

    def __init__(self, options: AuthnOptions) -> None:
        self.store = MemoryStore()
        self.app = App(Registry(builtin(), self.store))
        self.authentication = Authentication(self.app, options, SIGNING, ["https://own"], ["https://own"])
        self.app.authenticators += self.authentication.request_authenticators()
        self.app.authorizers.append(AlwaysAllow())

        async def show(_: App, request: Request) -> Any:
            return json_response(request.user.name)

        for path in ("/who", "/livez"):
            self.app.route(path, show)

    async def user(self, token: str, *audiences: str) -> Any:
        found = await self.authentication.bearer.user(token, audiences)
        return found.user if found is not None else None

    async def why(self, token: str) -> str:
        with pytest.raises(BadToken) as refused:
            await self.authentication.bearer.user(token)
        return refused.value.why

    async def status(self, path: str, token: str = "") -> int:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return (await self.app.handle(Request("GET", path, headers=headers))).status

    async def until(self, check: Any) -> None:
        async with asyncio.timeout(30):
            while not await check():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(options: AuthnOptions) -> AsyncIterator[Server]:
    server = Server(options)
    server.authentication.start()
    try:
        await asyncio.wait_for(server.authentication._others.issuers.ready(), 30)
        yield server
    finally:
        await server.authentication.stop()
        await server.app.registry.close()
        await server.store.close()


def written(tmp_path: Path, *entries: Any, **more: Any) -> AuthnOptions:
    path = tmp_path / "authn.yaml"
    path.write_text(yaml.safe_dump(document(*entries, **more)))
    return AuthnOptions(config_file=path)


async def test_a_users_parts_come_from_claims(issuer: Issuer, tmp_path: Path) -> None:
    mappings = {
        "username": {"claim": "sub", "prefix": "oidc:"},
        "groups": {"claim": "roles", "prefix": "g:"},
        "uid": {"claim": "id"},
    }
    async with serving(written(tmp_path, jwt_entry(issuer, mappings))) as server:
        user = await server.user(issuer.token(roles=["dev", "ops"], id="7"))
        assert (user.name, user.uid) == ("oidc:alice", "7")
        assert user.groups == ("g:dev", "g:ops", "system:authenticated")
        assert (await server.user(issuer.token(roles="dev", id="7"))).groups[0] == "g:dev"
        assert await server.user(issuer.token(id="7"), "another") is None
        assert await server.user(issuer.token(id="7"), "https://own")
        assert "parse uid claims" in await server.why(issuer.token())
        assert "neither text nor a list" in await server.why(issuer.token(id="7", roles=[1]))


async def test_a_users_parts_come_from_expressions(issuer: Issuer, tmp_path: Path) -> None:
    mappings = {
        "username": {"expression": "claims.sub + '@' + claims.org.name"},
        "groups": {"expression": "claims.roles.filter(r, r.startsWith('k8s-'))"},
        "uid": {"expression": "string(claims.number)"},
        "extra": [
            {"key": "acme.io/org", "valueExpression": "claims.org.name"},
            {"key": "acme.io/none", "valueExpression": "''"},
            {"key": "acme.io/teams", "valueExpression": "claims.?teams.orValue([])"},
        ],
    }
    rules = [{"expression": "claims.exp - claims.iat <= 7200", "message": "too long"}]
    user_rules = [{"expression": "!user.username.startsWith('system:')", "message": "reserved"}]
    entry = jwt_entry(issuer, mappings, claimValidationRules=rules, userValidationRules=user_rules)
    async with serving(written(tmp_path, entry)) as server:
        claims = {"org": {"name": "acme"}, "roles": ["k8s-dev", "other"], "number": 42, "teams": ["a", "b"]}
        user = await server.user(issuer.token(**claims))
        assert (user.name, user.uid, user.groups) == ("alice@acme", "42", ("k8s-dev", "system:authenticated"))
        assert user.extra == {"acme.io/org": ("acme",), "acme.io/teams": ("a", "b")}
        late = int(clock.time()) + 9000
        assert "too long" in await server.why(issuer.token(**claims, exp=late))
        assert "reserved" in await server.why(issuer.token(**{**claims, "sub": "system:admin"}))
        assert "no such key: org" in await server.why(issuer.token())
        assert "must return a string or a list of strings" in await server.why(issuer.token(**{**claims, "teams": [1]}))


async def test_what_a_token_is_refused_for(issuer: Issuer, tmp_path: Path) -> None:
    async with serving(written(tmp_path, jwt_entry(issuer))) as server:
        now = int(clock.time())
        for changed, said in (
            ({"aud": "another"}, 'expected audience in ["kubernetes"] got ["another"]'),
            ({"exp": now - 10}, "token is expired"),
            ({"exp": None}, "token is expired"),
            ({"nbf": now + 1000}, "before the nbf"),
            ({"sub": 7}, "parse username claims"),
        ):
            assert said in await server.why(issuer.token(**changed))
        assert await server.user(issuer.token(nbf=now + 100))
        other = rsa.generate_private_key(65537, 2048)
        assert "failed to verify" in await server.why(issuer.token(key=other))
        assert "unsupported algorithm" in await server.why(issuer.token(key="s" * 64, algorithm="HS256"))
        assert await server.user(issuer.token(iss="https://elsewhere")) is None
        assert await server.status("/who", issuer.token(aud="x")) == 401
        assert await server.status("/who", issuer.token()) == 200


async def test_keys_are_rotated(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidcprovider, "AGAIN", 0.0)
    async with serving(written(tmp_path, jwt_entry(issuer))) as server:
        tokens = [issuer.token(n=n) for n in range(5)]
        await asyncio.gather(*map(server.user, tokens))
        assert issuer.asked.count("/keys") == 1
        issuer.add_key("ec-1")
        assert await server.user(issuer.token("ec-1"))
        del issuer.keys["rsa"]
        assert issuer.asked.count("/keys") == 2


async def test_a_token_is_remembered(issuer: Issuer, tmp_path: Path) -> None:
    async with serving(written(tmp_path, jwt_entry(issuer))) as server:
        token = issuer.token()
        first = await server.user(token)
        assert await server.user(token) is first


async def test_several_issuers_and_one_that_is_found_elsewhere(issuer: Issuer, tmp_path: Path) -> None:
    second = await Issuer(tmp_path, "second", "https://second.example").start()
    other = jwt_entry(second, {"username": {"claim": "sub", "prefix": "2:"}})
    other["issuer"]["discoveryURL"] = f"{second.address}/else/.well-known/openid-configuration"
    entries = jwt_entry(issuer), other
    async with serving(written(tmp_path, *entries)) as server:
        assert (await server.user(issuer.token())).name == "alice"
        assert (await server.user(second.token())).name == "2:alice"
        # An issuer's key isn't good for another's tokens.
        assert "failed to verify" in await server.why(second.token(key=issuer.keys["rsa"]))
        assert second.asked[0] == "/else/.well-known/openid-configuration"
    await second.stop()


async def test_groups_that_somebody_else_knows(issuer: Issuer, tmp_path: Path) -> None:
    mappings = {"username": NAME, "groups": {"claim": "groups", "prefix": ""}}
    async with serving(written(tmp_path, jwt_entry(issuer, mappings))) as server:
        issuer.claims_of_groups = issuer.token(groups=["far"])
        source = {"endpoint": f"{issuer.url}/groups", "access_token": "access"}
        claims = {"_claim_names": {"groups": "src"}, "_claim_sources": {"src": source}}
        assert (await server.user(issuer.token(**claims))).groups == ("far", "system:authenticated")
        source["access_token"] = "wrong"
        assert "could not expand distributed claims" in await server.why(issuer.token(**claims))


async def test_the_oidc_flags(issuer: Issuer) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    ca = issuer._authority.path
    given = ["--oidc-issuer-url", issuer.url, "--oidc-client-id", "kubernetes", "--oidc-ca-file", str(ca)]
    args = parser.parse_args([*given, "--oidc-groups-claim", "roles", "--oidc-required-claim", "hd=acme"])
    async with serving(authn_options(args)) as server:
        user = await server.user(issuer.token(roles=["dev"], hd="acme"))
        assert (user.name, user.groups[0]) == (f"{issuer.url}#alice", "dev")
        assert "required claim hd not present" in await server.why(issuer.token())
        assert "value does not match" in await server.why(issuer.token(hd="other"))
        issuer.add_key("ec-1")
        assert "unsupported algorithm" in await server.why(issuer.token("ec-1", hd="acme"))
    args = parser.parse_args([*given, "--oidc-username-claim", "email"])
    async with serving(authn_options(args)) as server:
        assert (await server.user(issuer.token(email="a@b"))).name == "a@b"
        assert "email not verified" in await server.why(issuer.token(email="a@b", email_verified=False))
    for wrong in (given[:2], [*given, "--authentication-config", "x"], [*given, "--oidc-signing-algs", "none"]):
        with pytest.raises(OperatorError):
            authn_options(parser.parse_args(wrong))


async def test_a_changed_file(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_files, "EVERY", 0.01)
    async with serving(written(tmp_path, jwt_entry(issuer))) as server:
        token = issuer.token()
        assert (await server.user(token)).name == "alice"
        written(tmp_path, jwt_entry(issuer, {"username": {"claim": "sub", "prefix": "new:"}}))

        async def renamed() -> bool:
            found = await server.user(token)
            return bool(found.name == "new:alice")

        await server.until(renamed)
        (tmp_path / "authn.yaml").write_text("kind: Nonsense\n")
        await asyncio.sleep(0.1)
        assert await renamed()
        written(tmp_path)

        async def unknown() -> bool:
            return await server.user(token) is None

        await server.until(unknown)


async def test_where_anonymous_requests_are_let_in(tmp_path: Path) -> None:
    allowed = {"enabled": True, "conditions": [{"path": "/livez"}]}
    async with serving(written(tmp_path, anonymous=allowed)) as server:
        assert (await server.status("/livez"), await server.status("/who")) == (200, 401)
    async with serving(written(tmp_path, anonymous={"enabled": False})) as server:
        assert await server.status("/livez") == 401
    async with serving(written(tmp_path)) as server:
        assert await server.status("/who") == 200
    options = written(tmp_path, anonymous=allowed)
    options.anonymous = True
    with pytest.raises(OperatorError, match="--anonymous-auth flag cannot be set"):
        Server(options)


URL = "https://issuer.example"


def entry(**more: Any) -> Any:
    issuer = {"url": URL, "audiences": ["a"], **more.pop("issuer", {})}
    return {"issuer": issuer, "claimMappings": {"username": NAME, **more.pop("mappings", {})}, **more}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (entry(issuer={"url": ""}), "jwt[0].issuer.url: Required value: URL is required"),
        (entry(issuer={"url": "http://x"}), 'jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be https'),
        (entry(issuer={"url": "https://u:p@x"}), "URL must not contain a username or password"),
        (entry(issuer={"url": "https://own"}), "URL must not overlap with disallowed issuers: [https://own]"),
        (entry(issuer={"discoveryURL": URL}), "discoveryURL must be different from URL"),
        (entry(issuer={"audiences": []}), "at least one jwt[0].issuer.audiences is required"),
        (entry(issuer={"audiences": ["a", "b"]}), "audienceMatchPolicy must be MatchAny for multiple audiences"),
        (entry(issuer={"certificateAuthority": "x"}), "does not contain any valid"),
        (entry(issuer={"x": "y"}), "jwt[0].issuer.x: Invalid value"),
        (entry(mappings={"username": {}}), "jwt[0].claimMappings.username: Required value: claim or expression is"),
        (entry(mappings={"username": {"claim": "a"}}), "prefix is required when claim is set"),
        (entry(mappings={"username": {"claim": "a", "expression": "'b'"}}), "claim and expression can't both be set"),
        (entry(mappings={"username": {"expression": "claims.("}}), "compilation failed"),
        (entry(mappings={"username": {"expression": "claims.email"}}), "claims.email_verified must be used"),
        (entry(mappings={"extra": [{"key": "foo", "valueExpression": "''"}]}), "must be a domain-prefixed path"),
        (entry(mappings={"extra": [{"key": "a.k8s.io/b", "valueExpression": "''"}]}), "reserved for Kubernetes use"),
        (entry(mappings={"extra": [{"key": "a.io/B", "valueExpression": "''"}]}), "key must be lowercase"),
        (entry(claimValidationRules=[{}]), "jwt[0].claimValidationRules[0]: Required value: claim or expression is"),
        (entry(claimValidationRules=[{"expression": "'x'"}]), "must evaluate to bool"),
        (entry(claimValidationRules=[{"claim": "a", "message": "m"}]), "message can't be set when claim is set"),
        (entry(userValidationRules=[{"expression": "user.nothing == ''"}]), "undefined field 'nothing'"),
        (entry(userValidationRules=[{}]), "expression is required"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(given: Any, said: str) -> None:
    with pytest.raises(OperatorError) as refused:
        config.parse(document(given), ["https://own"], "file")
    assert said in str(refused.value)


def test_an_issuer_is_named_once() -> None:
    with pytest.raises(OperatorError, match="Duplicate value"):
        config.parse(document(entry(), entry()), [], "file")
    config.parse(document(entry(), entry(issuer={"url": "https://other"})), [], "file")
