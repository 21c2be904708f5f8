"""The gates in a server, without sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from kybern.api.scheme import builtin
from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.apiserver.authn.assembly import AuthnOptions
from kybern.apiserver.gates import GateOptions, Gates, node_ports, service_networks
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request
from kybern.process.daemon import OperatorError
from kybern.store.memory import MemoryStore
from tests.unit.apiserver_gates.test_admission import Pod


class Server:
    """Asks an app, as one of the users of a token file."""

    def __init__(self, directory: Path) -> None:
        tokens = directory / "tokens.csv"
        tokens.write_text('admin,admin,1,"system:masters"\nbob,bob,2,dev\n')
        scheme = builtin()
        if scheme.resource("", "pods") is None:
            scheme.add(Pod())
        self.app = App(Registry(scheme, MemoryStore()))
        self.gates = Gates(self.app, GateOptions(authentication=AuthnOptions(token_auth_file=tokens)))

    async def ask(
        self, method: str, path: str, body: Object | None = None, *, token: str = "admin", **headers: str
    ) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {token}"
        content = orjson.dumps(body) if body is not None else b""
        where, _, query = path.partition("?")
        response = await self.app.handle(Request(method, where, query, sent, content))
        assert isinstance(response.body, bytes)
        return response.status, orjson.loads(response.body) if response.body[:1] in b"{[" else response.body


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path)
    await made.gates.start()
    yield made
    await made.gates.stop()
    await made.app.registry.close()


def review(kind: str, group: str, **spec: Any) -> Object:
    return {"kind": kind, "apiVersion": f"{group}/v1", "spec": spec}


AUTHN, AUTHZ = "authentication.k8s.io", "authorization.k8s.io"


async def test_who_am_i(server: Server) -> None:
    path = f"/apis/{AUTHN}/v1/selfsubjectreviews"
    status, body = await server.ask("POST", path, review("SelfSubjectReview", AUTHN), token="bob")
    assert status == 201
    assert body["status"]["userInfo"] == {
        "username": "bob",
        "uid": "2",
        "groups": ["dev", "system:authenticated"],
    }
    status, body = await server.ask("POST", path, review("SelfSubjectReview", AUTHN), token="wrong")
    assert (status, body["reason"]) == (401, "Unauthorized")
    status, body = await server.ask("POST", path, review("SelfSubjectReview", AUTHN), token="")
    assert status == 403


async def test_access_reviews(server: Server) -> None:
    path = f"/apis/{AUTHZ}/v1/selfsubjectaccessreviews"
    asked = review("SelfSubjectAccessReview", AUTHZ, resourceAttributes={"verb": "get", "resource": "pods"})
    assert (await server.ask("POST", path, asked, token="bob"))[1]["status"] == {"allowed": False}
    assert (await server.ask("POST", path, asked))[1]["status"]["allowed"] is True
    path = f"/apis/{AUTHZ}/v1/subjectaccessreviews"
    asked = review("SubjectAccessReview", AUTHZ, user="bob", nonResourceAttributes={"verb": "get", "path": "/version"})
    assert (await server.ask("POST", path, asked))[1]["status"]["allowed"] is False
    asked["spec"]["groups"] = ["system:authenticated"]
    assert (await server.ask("POST", path, asked))[1]["status"]["allowed"] is True
    status, body = await server.ask("POST", path, review("SubjectAccessReview", AUTHZ, user="bob"))
    assert status == 422
    path = f"/apis/{AUTHZ}/v1/selfsubjectrulesreviews"
    asked = review("SelfSubjectRulesReview", AUTHZ, namespace="default")
    _, body = await server.ask("POST", path, asked, token="bob")
    assert {"verbs": ["create"], "apiGroups": [AUTHN], "resources": ["selfsubjectreviews"]} in body["status"][
        "resourceRules"
    ]


async def test_tokens_of_service_accounts(server: Server) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    status, _ = await server.ask("POST", accounts, {"metadata": {"name": "robot"}})
    assert status == 201
    status, body = await server.ask("POST", f"{accounts}/robot/token", {"spec": {"expirationSeconds": 600}})
    assert status == 201
    token = body["status"]["token"]
    assert body["spec"]["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
    path = f"/apis/{AUTHN}/v1/tokenreviews"
    _, body = await server.ask("POST", path, review("TokenReview", AUTHN, token=token))
    assert body["status"]["authenticated"] is True
    assert body["status"]["user"]["username"] == "system:serviceaccount:default:robot"
    who = f"/apis/{AUTHN}/v1/selfsubjectreviews"
    status, body = await server.ask("POST", who, review("SelfSubjectReview", AUTHN), token=token)
    assert status == 201
    await server.ask("DELETE", f"{accounts}/robot")
    _, body = await server.ask("POST", path, review("TokenReview", AUTHN, token=token))
    assert body["status"].get("authenticated") is None
    status, _ = await server.ask("POST", who, review("SelfSubjectReview", AUTHN), token=token)
    assert status == 401
    status, body = await server.ask("POST", f"{accounts}/robot/token", {"spec": {}})
    assert (status, body["message"]) == (404, 'serviceaccounts "robot" not found')


async def test_token_requests_are_checked(server: Server) -> None:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    await server.ask("POST", accounts, {"metadata": {"name": "robot"}})
    status, body = await server.ask("POST", f"{accounts}/robot/token", {"spec": {"expirationSeconds": 5}})
    assert status == 422
    assert "may not specify a duration less than 10 minutes" in body["message"]
    bound = {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "ghost"}}}
    status, body = await server.ask("POST", f"{accounts}/robot/token", bound)
    assert (status, body["message"]) == (404, 'pods "ghost" not found')


async def test_impersonation(server: Server) -> None:
    who = f"/apis/{AUTHN}/v1/selfsubjectreviews"
    asked = review("SelfSubjectReview", AUTHN)
    _, body = await server.ask("POST", who, asked, impersonate_user="jane", impersonate_group="a,b")
    assert body["status"]["userInfo"] == {"username": "jane", "groups": ["a,b", "system:authenticated"]}
    status, body = await server.ask("POST", who, asked, token="bob", impersonate_user="jane")
    assert status == 403
    assert body["message"] == (
        'users "jane" is forbidden: User "bob" cannot impersonate resource "users" in API group "" at the cluster scope'
    )
    status, _ = await server.ask("POST", who, asked, impersonate_group="a")
    assert status == 400


async def test_services_get_addresses_that_are_kept_apart(server: Server) -> None:
    path = "/api/v1/namespaces/default/services"
    spec = {"ports": [{"port": 80}], "clusterIP": "10.96.0.1"}
    status, body = await server.ask("POST", path, {"metadata": {"name": "thief"}, "spec": spec})
    assert status == 422
    assert "failed to allocate IP 10.96.0.1: provided IP is already allocated" in body["message"]
    spec = {"ports": [{"port": 80}], "clusterIP": "10.96.0.77"}
    dry = await server.ask("POST", f"{path}?dryRun=All", {"metadata": {"name": "a"}, "spec": spec})
    assert (await server.ask("POST", path, {"metadata": {"name": "a"}, "spec": spec}))[0] == dry[0] == 201
    assert (await server.ask("POST", path, {"metadata": {"name": "b"}, "spec": spec}))[0] == 422
    await server.ask("DELETE", f"{path}/a")
    assert (await server.ask("POST", path, {"metadata": {"name": "b"}, "spec": spec}))[0] == 201


async def test_documents(server: Server) -> None:
    _, body = await server.ask("GET", "/.well-known/openid-configuration")
    assert body["jwks_uri"] == "https://127.0.0.1:6443/openid/v1/jwks"
    _, body = await server.ask("GET", "/openid/v1/jwks")
    assert body["keys"][0]["alg"] == "ES256"
    assert (await server.ask("GET", "/apis/apps/v1"))[1]["groupVersion"] == "apps/v1"
    assert (await server.ask("GET", "/apis/nothing"))[0] == 404
    assert "paths" in (await server.ask("GET", "/openapi/v3"))[1]


def test_bad_options_are_the_operators() -> None:
    with pytest.raises(OperatorError, match="--service-cluster-ip-range"):
        service_networks(GateOptions(service_cluster_ip_range="10.96.0.0/99"))
    with pytest.raises(OperatorError, match="--service-node-port-range"):
        node_ports(GateOptions(service_node_port_range="9-x"))
