from __future__ import annotations

import base64
import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kybern.api.errors import Unauthorized
from kybern.apiserver.authn.base import BadToken
from kybern.apiserver.authn.bearer import Bearer
from kybern.apiserver.authn.bootstraptoken import BootstrapTokens
from kybern.apiserver.authn.claims import ClaimMappings, Part
from kybern.apiserver.authn.legacytokens import LegacyTokens
from kybern.apiserver.authn.oidc import IssuerOptions, Issuers
from kybern.apiserver.authn.serviceaccount import ServiceAccountTokens
from kybern.apiserver.authn.tokencache import TokenCache
from kybern.apiserver.authn.tokenfile import TokenFile, read_token_file
from kybern.apiserver.authn.x509 import ClientCertificate
from kybern.apiserver.request import Request
from kybern.apiserver.tokens import KeySet, TokenIssuer, key_id, openid_configuration
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError
from tests.unit.apiserver_gates.fakes import FakeLister, named

DEEP = base64.urlsafe_b64encode(b"[" * 99_999).decode()
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(days: int = 1) -> bytes:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "alice"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "dev"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ops"),
        ]
    )
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def bearer(token: str) -> Request:
    return Request("GET", "/api", headers={"authorization": f"Bearer {token}"})


async def test_certificate_names_user_and_groups() -> None:
    authenticator = ClientCertificate()
    assert await authenticator.authenticate(Request("GET", "/")) is None
    user = await authenticator.authenticate(Request("GET", "/", peer_certificate=certificate()))
    assert user is not None
    assert (user.name, user.groups) == ("alice", ("dev", "ops", "system:authenticated"))


async def test_expired_certificate_is_refused() -> None:
    with pytest.raises(Unauthorized):
        await ClientCertificate().authenticate(Request("GET", "/", peer_certificate=certificate(days=-1)))


async def test_token_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.csv"
    path.write_text('secret,admin,1,"system:masters,dev"\nplain,joe,2\n')
    authenticator = Bearer([TokenFile(read_token_file(path))])
    user = await authenticator.authenticate(bearer("secret"))
    assert user is not None
    assert (user.name, user.uid, user.groups) == ("admin", "1", ("system:masters", "dev", "system:authenticated"))
    with pytest.raises(Unauthorized):
        await authenticator.authenticate(bearer("wrong"))
    assert await authenticator.authenticate(Request("GET", "/")) is None
    path.write_text("only,two\n")
    with pytest.raises(OperatorError, match="line 1"):
        read_token_file(path)


class Accounts:
    """A verifier and an issuer with one key over listers."""

    def __init__(self) -> None:
        self.account = named("robot", "ci")
        self.listers = {
            "serviceaccounts": FakeLister(self.account),
            "pods": FakeLister(named("web", "ci")),
            "secrets": FakeLister(),
            "nodes": FakeLister(),
        }
        self.issuer = TokenIssuer(KEY, "https://here", ("https://here",))
        self.verifier = ServiceAccountTokens(
            KeySet([KEY.public_key()]), ["https://here"], ["https://here"], dict(self.listers)
        )

    def token(self, *audiences: str, seconds: int = 600, pod: str = "web") -> str:
        bound = {"pod": {"name": pod, "uid": f"uid-{pod}"}} if pod else {}
        return self.issuer.issue("ci", self.account, audiences, seconds, bound)[0]


async def test_service_account_token_names_account_and_pod() -> None:
    accounts = Accounts()
    found = await accounts.verifier.user(accounts.token())
    assert found is not None
    user, audiences = found.user, found.audiences
    assert user.name == "system:serviceaccount:ci:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
    assert audiences == ("https://here",)


@pytest.mark.parametrize(("plural", "name"), [("pods", "web"), ("serviceaccounts", "robot")])
async def test_token_ends_with_what_it_is_bound_to(plural: str, name: str) -> None:
    accounts = Accounts()
    token = accounts.token()
    assert await accounts.verifier.user(token)
    accounts.listers[plural].put({"metadata": {"name": name, "namespace": "ci", "uid": "another"}})
    with pytest.raises(Unauthorized):
        await accounts.verifier.user(token)
    accounts.listers[plural].drop("ci", name)
    with pytest.raises(Unauthorized):
        await accounts.verifier.user(token)


async def test_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts()
    token = accounts.token()
    assert await accounts.verifier.user(token)
    later = clock.time() + 601
    monkeypatch.setattr(clock, "now_fn", lambda: later)
    with pytest.raises(Unauthorized):
        await accounts.verifier.user(token)


async def test_token_for_another_audience_is_no_key_here() -> None:
    accounts = Accounts()
    token = accounts.token("vault")
    with pytest.raises(Unauthorized):
        await accounts.verifier.user(token)
    found = await accounts.verifier.user(token, ("vault", "other"))
    assert found is not None
    assert found[1] == ("vault",)


async def test_token_of_another_key_or_issuer() -> None:
    accounts = Accounts()
    other = ec.generate_private_key(ec.SECP256R1())
    forged = TokenIssuer(other, "https://here", ("https://here",)).issue("ci", accounts.account, (), 600, {})[0]
    with pytest.raises(Unauthorized):
        await accounts.verifier.user(forged)
    foreign = TokenIssuer(KEY, "https://there", ("https://here",)).issue("ci", accounts.account, (), 600, {})[0]
    assert await accounts.verifier.user(foreign) is None
    assert await accounts.verifier.user("no.jwt") is None
    head, body, signature = accounts.token().split(".")
    tampered = ".".join([head, body, ("A" if signature[0] != "A" else "B") + signature[1:]])
    with pytest.raises(Unauthorized):
        await accounts.verifier.user(tampered)


async def test_projected_tokens_live_longer_than_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts()
    pod = {"pod": {"name": "web", "uid": "uid-web"}}
    token, shown, _ = accounts.issuer.issue("ci", accounts.account, (), 3607, pod)
    assert shown <= clock.time() + 3607
    later = clock.time() + 4000
    monkeypatch.setattr(clock, "now_fn", lambda: later)
    known = await accounts.verifier.user(token)
    assert known is not None
    said = known.annotations["authentication.k8s.io/stale-token"]
    assert said.startswith("subject: system:serviceaccount:ci:robot, seconds after warning threshold: ")


async def test_tokens_of_older_keys_stay_good() -> None:
    accounts = Accounts()
    old = ec.generate_private_key(ec.SECP256R1())
    keys = KeySet([KEY.public_key(), old.public_key()])
    verifier = ServiceAccountTokens(keys, ["https://here"], ["https://here"], dict(accounts.listers))
    for key in (KEY, old):
        issuer = TokenIssuer(key, "https://here", ("https://here",))
        assert await verifier.user(issuer.issue("ci", accounts.account, (), 600, {}).token)
    assert {key["kid"] for key in keys.jwks()["keys"]} == {key_id(KEY.public_key()), key_id(old.public_key())}


async def test_a_token_bound_to_a_node_ends_with_it_and_one_of_a_pod_does_not() -> None:
    accounts = Accounts()
    node = {"node": {"name": "n1", "uid": "uid-n1"}}
    of_node = accounts.issuer.issue("ci", accounts.account, (), 600, node).token
    both = {**node, "pod": {"name": "web", "uid": "uid-web"}}
    of_pod = accounts.issuer.issue("ci", accounts.account, (), 600, both).token
    with pytest.raises(BadToken, match="Unauthorized") as refused:
        await accounts.verifier.user(of_node)
    assert refused.value.why == "service account token has been invalidated"
    known = await accounts.verifier.user(of_pod)
    assert known is not None and known.user.extra["authentication.kubernetes.io/node-name"] == ("n1",)
    accounts.listers["nodes"].put(named("n1"))
    known = await accounts.verifier.user(of_node)
    assert known is not None and known.user.extra["authentication.kubernetes.io/node-uid"] == ("uid-n1",)


def test_openid_documents() -> None:
    keys = KeySet([KEY.public_key()])
    [key] = keys.jwks()["keys"]
    assert (key["kid"], key["kty"], key["alg"]) == (key_id(KEY.public_key()), "EC", "ES256")
    document = openid_configuration("https://here", "https://there/openid/v1/jwks", keys)
    assert document["id_token_signing_alg_values_supported"] == ["ES256"]


@pytest.mark.parametrize(
    "token",
    [
        "x", "..", "a.b.c", "é.ü.ö", "\x00", "eyJhbGciOiJub25lIn0.e30.", ".".join(["W10"] * 3),
        f"{DEEP}.e30.x", f"e30.{DEEP}.x",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6e319.eyJpc3MiOltdfQ.x", "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJodHRwczovL2hlcmUifQ.x",
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused_and_nothing_worse(token: str) -> None:
    accounts = Accounts()
    keys = KeySet([KEY.public_key()])

    async def relabel(namespace: str, name: str, day: str) -> None:
        """Nothing is used here."""

    issuer = IssuerOptions("https://here", ("a",), ClaimMappings(Part("sub")))
    others = [
        TokenFile({}, ()),
        accounts.verifier,
        LegacyTokens(keys, [], accounts.listers, relabel),
        BootstrapTokens(FakeLister()),
        TokenCache(Issuers([issuer], []), 10),
    ]
    with pytest.raises(Unauthorized):
        await Bearer(others).authenticate(bearer(token))  # type: ignore[arg-type]
