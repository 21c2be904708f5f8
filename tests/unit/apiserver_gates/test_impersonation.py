from __future__ import annotations

from typing import Any

import pytest

from kybern.api.errors import BadRequest, Forbidden
from kybern.apiserver.app import App, Decision
from kybern.apiserver.authn.impersonation import impersonate
from kybern.apiserver.request import Request, RequestInfo, UserInfo

AGENT = UserInfo(
    "system:serviceaccount:kube-system:agent",
    extra={"authentication.kubernetes.io/node-name": ("n1",), "authentication.kubernetes.io/pod-name": ("p",)},
)


class Allowing:
    """Allows what is listed as `verb resource name`; notes all that it is asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed, self.asked = set(allowed), []  # type: ignore[var-annotated]
        self.users: list[UserInfo] = []

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        resource = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        text = " ".join(filter(None, (info.verb, resource, info.name)))
        self.asked.append(text)
        self.users.append(user)
        return Decision(True if text in self.allowed else None)


async def become(authorizer: Allowing, caller: UserInfo = AGENT, /, **headers: Any) -> tuple[Request, str]:
    request = Request("GET", "/api/v1/pods")
    request.info = RequestInfo("list", request.path, True, "", "v1", "pods")
    request.user = caller
    for name, value in headers.items():
        key = f"impersonate-{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [value]
        request.headers[key] = ", ".join(values)
        request.repeated[key] = values
    app = App(None, authorizers=[authorizer])  # type: ignore[arg-type]
    return request, await impersonate(app, request)


async def test_a_pod_becomes_the_node_it_runs_on() -> None:
    authorizer = Allowing("impersonate-on:associated-node:list pods", "impersonate:associated-node nodes *")
    request, constraint = await become(authorizer, user="system:node:n1")
    assert constraint == "impersonate:associated-node"
    assert request.user == UserInfo("system:node:n1", ("system:nodes", "system:authenticated"))
    # What else the pod's token says makes no difference to the authorizer.
    keys = tuple(sorted(AGENT.extra))
    assert authorizer.users[0].extra == {"authentication.kubernetes.io/associated-node-keys": keys}
    with pytest.raises(Forbidden):
        await become(authorizer, user="system:node:n2")
    with pytest.raises(Forbidden):
        await become(authorizer, user="system:node:n1", group="system:masters")


async def test_many_groups_are_asked_for_at_once() -> None:
    mode = "impersonate:user-info"
    allowed = ("impersonate-on:user-info:list pods", f"{mode} users jane", f"{mode} groups *")
    groups = ["a,b", "c", "d", "e"]
    request, constraint = await become(Allowing(*allowed), user="jane", group=groups)
    assert (request.user.groups, constraint) == ((*groups, "system:authenticated"), "impersonate:user-info")
    with pytest.raises(Forbidden):
        await become(Allowing(*allowed), user="jane", group=groups[:2])


async def test_extra_keys_are_asked_for_as_subresources() -> None:
    authorizer = Allowing("impersonate users jane", "impersonate userextras/acme.io/team red", "impersonate uids 7")
    request, constraint = await become(authorizer, user="jane", uid="7", **{"extra_acme.io%2fteam": "red"})
    assert (request.user.extra, request.user.uid, constraint) == ({"acme.io/team": ("red",)}, "7", "")
    assert not request.headers
    with pytest.raises(Forbidden, match=r'userextras\.authentication\.k8s\.io "blue" is forbidden'):
        await become(authorizer, user="jane", **{"extra_acme.io%2fteam": ["red", "blue"]})
    with pytest.raises(BadRequest):
        await become(authorizer, group="dev")


@pytest.mark.parametrize(
    ("name", "groups", "given"),
    [
        ("system:anonymous", [], ("system:unauthenticated",)),
        ("jane", ["system:unauthenticated"], ("system:unauthenticated",)),
        ("jane", ["system:authenticated"], ("system:authenticated",)),
        ("system:serviceaccount:ci:robot", [],
         ("system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated")),
        ("system:serviceaccount:ci:robot", ["dev"], ("dev", "system:authenticated")),
        ("system:serviceaccount:a:b:c", [], ("system:authenticated",)),
    ],
)  # fmt: skip
async def test_groups_that_follow_from_the_name(name: str, groups: list[str], given: tuple[str, ...]) -> None:
    class Everything(Allowing):
        async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
            return Decision(info.verb == "impersonate" or None)

    headers: dict[str, Any] = {"user": name, **({"group": groups} if groups else {})}
    request, _ = await become(Everything(), UserInfo("bob"), **headers)
    assert request.user.groups == given
