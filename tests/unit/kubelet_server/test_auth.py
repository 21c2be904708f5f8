"""Who may ask the kubelet what."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kybern.api.errors import ServiceUnavailable
from kybern.apiserver.kubelets import trusting
from kybern.kubelet.http.auth import subresources
from tests.unit.kubelet_server.conftest import Starter

START = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Signs certificates of clients."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "ca.pem"
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
        made = self._builder(self.name, self.key, 36500).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.path.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, days: int) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self.name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(START)
        return builder.not_valid_after(START + datetime.timedelta(days=days))

    def client(self, user: str, group: str, usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH) -> Any:
        """TLS that shows a certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = ((NameOID.ORGANIZATION_NAME, group), (NameOID.COMMON_NAME, user))
        builder = self._builder(x509.Name([x509.NameAttribute(*part) for part in parts]), key, 36500)
        made = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False).sign(self.key, hashes.SHA256())
        pem = self.directory / "client.pem"
        plain = serialization.NoEncryption()
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        pem.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
        context = trusting()
        context.load_cert_chain(pem)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Reviews:
    """An API server that knows the token `good`, and lets `admins` do everything and others look at health."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.broken = False

    async def request(self, method: str, path: str, *, body: dict) -> dict:
        assert method == "POST"
        assert path.endswith(f"/{body['kind'].lower()}s")
        self.asked.append(body["spec"])
        if self.broken:
            raise ServiceUnavailable("gone")
        if body["kind"] == "TokenReview":
            known = {"authenticated": True, "user": {"username": "sa", "groups": ["admins"], "extra": {"a": ["b"]}}}
            return {"status": known if body["spec"]["token"] == "good" else {"authenticated": False}}
        health = body["spec"]["resourceAttributes"]["subresource"] == "healthz"
        return {"status": {"allowed": health or "admins" in body["spec"]["groups"]}}


CLOSED = {"anonymous_auth": False, "authorization_mode": "Webhook"}


async def test_nobody_is_let_in_where_anonymous_may_not_ask(start: Starter, authority: Authority) -> None:
    node = await start(client_ca_file=str(authority.path), anonymous_auth=False)
    assert await node.ask("/healthz") == (401, b"Unauthorized")
    assert (await node.ask("/healthz", tls=authority.client("jo", "admins")))[0] == 200


async def test_a_certificate_that_is_not_for_clients_is_refused(start: Starter, authority: Authority) -> None:
    node = await start(client_ca_file=str(authority.path), anonymous_auth=False)
    tls = authority.client("jo", "admins", ExtendedKeyUsageOID.CODE_SIGNING)
    with pytest.raises(OSError):
        await node.ask("/healthz", tls=tls)


async def test_a_strangers_certificate_is_refused(start: Starter, authority: Authority, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    stranger = Authority(other).client("jo", "admins")
    node = await start(client_ca_file=str(authority.path), anonymous_auth=False)
    with pytest.raises(OSError):
        await node.ask("/healthz", tls=stranger)


async def test_certificates_say_who_asks(start: Starter, authority: Authority) -> None:
    reviews = Reviews()
    node = await start(reviews, client_ca_file=str(authority.path), **CLOSED)
    tls = authority.client("jo", "admins")
    assert (await node.ask("/metrics", tls=tls))[0] == 200
    (spec,) = reviews.asked
    assert (spec["user"], spec["groups"]) == ("jo", ["admins", "system:authenticated"])
    assert spec["resourceAttributes"] == {
        "verb": "get", "version": "v1", "resource": "nodes", "subresource": "metrics", "name": "n1",
    }  # fmt: skip
    assert (await node.ask("/metrics", tls=tls))[0] == 200
    assert len(reviews.asked) == 1


async def test_tokens_are_reviewed(start: Starter) -> None:
    reviews = Reviews()
    node = await start(reviews, token_webhook=True, anonymous_auth=True, authorization_mode="Webhook")
    assert (await node.ask("/pods", Authorization="Bearer good"))[0] == 200
    assert await node.ask("/pods", Authorization="Bearer bad") == (401, b"Unauthorized")
    assert (await node.ask("/pods", Authorization="Bearer good"))[0] == 200
    assert [spec.get("token") for spec in reviews.asked] == ["good", None, "bad"]
    assert reviews.asked[1]["extra"] == {"a": ["b"]}


async def test_anonymous_users_may_do_what_they_are_allowed(start: Starter) -> None:
    node = await start(Reviews(), anonymous_auth=True, authorization_mode="Webhook")
    assert (await node.ask("/healthz"))[0] == 200
    assert await node.ask("/exec/default/p/c?command=x&output=1", "POST") == (
        403, b"Forbidden (user=system:anonymous, verb=create, resource=nodes, subresource(s)=[proxy])\n",
    )  # fmt: skip
    status, body = await node.ask("/pods")
    assert status == 403
    assert b"subresource(s)=[pods proxy]" in body


async def test_without_an_answer_nobody_is_let_in(start: Starter, authority: Authority) -> None:
    reviews = Reviews()
    reviews.broken = True
    node = await start(reviews, token_webhook=True, client_ca_file=str(authority.path), **CLOSED)
    assert (await node.ask("/pods", Authorization="Bearer good"))[0] == 401
    status, body = await node.ask("/stats/summary", tls=authority.client("jo", "admins"))
    assert (status, body) == (500, b"Authorization error (user=jo, verb=get, resource=nodes, subresource=stats)")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/stats/summary", ["stats"]),
        ("/metrics/resource", ["metrics"]),
        ("/logs/", ["log"]),
        ("/checkpoint/a/b/c", ["checkpoint"]),
        ("/pods", ["pods", "proxy"]),
        ("/runningpods/", ["pods", "proxy"]),
        ("/healthz/log", ["healthz", "proxy"]),
        ("/configz", ["configz", "proxy"]),
        ("/statusz", ["statusz"]),
        ("/flagz", ["configz"]),
        ("/containerLogs/a/b/c", ["proxy"]),
        ("/podsX", ["proxy"]),
        ("/", ["proxy"]),
    ],
)
def test_which_subresource_of_the_node_a_path_is(path: str, wanted: list[str]) -> None:
    assert subresources(path) == wanted
