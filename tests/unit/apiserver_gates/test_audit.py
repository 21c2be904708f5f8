"""Audit: which rule decides, how the file is kept, and the events of answers that take their time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver import audit as audit_module
from kybern.apiserver import info
from kybern.apiserver.app import Decision
from kybern.apiserver.audit import Audit
from kybern.apiserver.audit_log import MEGABYTE, AuditLog
from kybern.apiserver.audit_outputs import LogOutput
from kybern.apiserver.audit_policy import LEVELS, Policy, load, parse
from kybern.apiserver.request import Frame, Request, Response, Stream, Upgrade, UserInfo
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

JANE = UserInfo("jane", ("devs", "system:authenticated"))
PODS = "/api/v1/namespaces/default/pods"


def policy(*rules: dict[str, Any], **more: Any) -> Policy:
    return parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more})


def asked(line: str, **headers: str) -> Request:
    """`GET /path?query` as a request that has been parsed."""
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(method, path, query, sent, client=("10.0.0.9", 4000))
    request.info = info.parse(request)
    request.user = JANE
    return request


def level(rule: dict[str, Any], line: str, user: UserInfo | None = JANE) -> str:
    """What a single rule, followed by one that says Metadata, makes of a request."""
    found = policy({"level": "Request", **rule}, {"level": "Metadata"}).evaluate(user, asked(line).info)
    return LEVELS[found.level]


@pytest.mark.parametrize(
    ("rule", "hit", "miss"),
    [
        ({"users": ["jane"]}, f"GET {PODS}", ""),
        ({"users": ["joe"]}, "", f"GET {PODS}"),
        ({"userGroups": ["ops", "devs"]}, f"GET {PODS}", ""),
        ({"userGroups": ["ops"]}, "", f"GET {PODS}"),
        ({"verbs": ["list", "watch"]}, f"GET {PODS}?watch=1", f"GET {PODS}/a"),
        ({"namespaces": ["default"]}, f"GET {PODS}", "GET /api/v1/namespaces/other/pods"),
        ({"namespaces": [""]}, "GET /api/v1/nodes", f"GET {PODS}"),
        ({"namespaces": ["default"]}, f"GET {PODS}", "GET /healthz"),
        ({"resources": [{"group": ""}]}, f"GET {PODS}/a/log", "GET /apis/apps/v1/deployments"),
        ({"resources": [{"group": "*", "resources": ["deployments"]}]}, "GET /apis/apps/v1/deployments", f"GET {PODS}"),
        ({"resources": [{"group": "apps", "resources": ["*"]}]}, "GET /apis/apps/v1/deployments", f"GET {PODS}"),
        ({"resources": [{"group": "", "resources": ["pods"]}]}, f"GET {PODS}/a", f"GET {PODS}/a/log"),
        ({"resources": [{"group": "", "resources": ["pods/log"]}]}, f"GET {PODS}/a/log", f"GET {PODS}/a"),
        ({"resources": [{"group": "", "resources": ["pods/*"]}]}, f"GET {PODS}/a/log", "GET /api/v1/nodes"),
        ({"resources": [{"group": "", "resources": ["*/log"]}]}, f"GET {PODS}/a/log", f"GET {PODS}/a"),
        (
            {"resources": [{"group": "", "resources": ["pods"], "resourceNames": ["a"]}]},
            f"DELETE {PODS}/a",
            f"DELETE {PODS}/b",
        ),
        ({"nonResourceURLs": ["/healthz*"]}, "GET /healthz/ping", "GET /livez"),
        ({"nonResourceURLs": ["/version"]}, "GET /version", "GET /version/more"),
        ({"nonResourceURLs": ["*"]}, "GET /version", f"GET {PODS}"),
    ],
)
def test_a_rule_is_about_what_it_names(rule: dict[str, Any], hit: str, miss: str) -> None:
    if hit:
        assert level(rule, hit) == "Request"
    if miss:
        assert level(rule, miss) == "Metadata"


def test_the_first_rule_that_matches_decides_and_without_one_nothing_is_written() -> None:
    found = policy(
        {"level": "None", "verbs": ["watch"]},
        {"level": "RequestResponse", "verbs": ["watch", "get"], "omitStages": ["Panic"], "omitManagedFields": False},
        omitStages=["RequestReceived"],
        omitManagedFields=True,
    )
    assert LEVELS[found.evaluate(JANE, asked(f"GET {PODS}?watch=1").info).level] == "None"
    verdict = found.evaluate(JANE, asked(f"GET {PODS}/a").info)
    assert (LEVELS[verdict.level], verdict.omit_managed_fields) == ("RequestResponse", False)
    assert verdict.omit_stages == {"RequestReceived", "Panic"}
    assert LEVELS[found.evaluate(JANE, asked(f"DELETE {PODS}/a").info).level] == "None"


def test_without_a_user_rules_of_users_are_skipped() -> None:
    assert level({"users": ["jane"]}, f"GET {PODS}", None) == "Metadata"
    assert level({"userGroups": ["devs"]}, f"GET {PODS}", None) == "Metadata"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({}, "rules[0].level: Required value"),
        ({"level": "All"}, 'rules[0].level: Unsupported value: "All"'),
        ({"level": "None", "omitStages": ["Never"]}, "allowed stages are RequestReceived,ResponseStarted"),
        ({"level": "None", "nonResourceURLs": ["x"]}, "non-resource URL rules must begin with a '/' character"),
        ({"level": "None", "nonResourceURLs": ["/a*/b"]}, "wildcards '*' must be the final character of the rule"),
        (
            {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]},
            "rules cannot apply to both regular resources and non-resource URLs",
        ),
        ({"level": "None", "resources": [{"resourceNames": ["a"]}]}, "requires at least one resource"),
        ({"level": "None", "resources": [{"group": "apps/v1"}]}, "rules[0].resources.group: Invalid value"),
        ({"level": "None", "user": ["a"]}, "rules[0].user: Invalid value"),
        ({"level": "None", "users": "a"}, "rules[0].users: Invalid value"),
    ],
)
def test_what_is_wrong_is_said(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        policy(rule)
    assert says in str(caught.value)


def test_a_file_that_is_no_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    for content, says in (("kind: X", "it must be of kind Policy"), ("a: [", "no YAML")):
        path.write_text(content)
        with pytest.raises(OperatorError, match=says):
            load(path)
    with pytest.raises(ValueError, match="loaded illegal policy with 0 rules"):
        policy()


# The file.


def test_lines_are_appended_in_order_and_all_there_after_close(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.log"
    for run in range(2):
        log = AuditLog(str(path))
        for number in range(1000):
            log.append([f"{run}-{number}\n".encode()])
        log.close()
    assert path.read_text().splitlines() == [f"{run}-{number}" for run in range(2) for number in range(1000)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_set_aside_at_its_size_and_old_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10**9, 10**9 + 10**6))
    monkeypatch.setattr(clock, "now_fn", lambda: float(next(now)))
    (tmp_path / "audit-mine.log").write_text("of someone else")
    (tmp_path / "audit-1999-01-01T00-00-00.000.log").write_text("too old")
    log = AuditLog(str(tmp_path / "audit.log"), megabytes=1, backups=2, days=300)
    for number in range(5):
        log.append([str(number).encode() * (MEGABYTE * 2 // 3)])
    log.close()
    firsts = {path.name: path.read_text()[0] for path in sorted(tmp_path.iterdir())}
    backups = sorted(name for name in firsts if name.startswith("audit-2001-09-09T"))
    assert [firsts[name] for name in backups] == ["2", "3"]
    assert firsts.keys() - set(backups) == {"audit.log", "audit-mine.log"}
    assert firsts["audit.log"] == "4"


def test_a_log_without_a_size_is_never_set_aside(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "audit.log"), backups=1, days=1)
    for _ in range(101):
        log.append([b"x" * MEGABYTE])
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["audit.log"]


def test_what_can_not_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="--audit-log-path"):
        AuditLog(str(tmp_path / "file" / "audit.log"))


# Events.


class Written:
    """An audit whose lines a test reads."""

    def __init__(self, path: Path, rules: Sequence[dict[str, Any]]) -> None:
        self._path, self._log = path, AuditLog(str(path))
        self.audit = Audit(policy(*rules), LogOutput(self._log))

    def events(self) -> list[dict[str, Any]]:
        self._log.close()
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def stages(self) -> list[tuple[str, int]]:
        return [(event["stage"], event.get("responseStatus", {}).get("code", 0)) for event in self.events()]

    def begin(self, line: str, **headers: str) -> Any:
        trail = self.audit.begin(asked(line, **headers))
        assert trail is not None
        trail.decided(Decision(True, "RBAC: allowed"))
        return trail


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "audit.log", [{"level": "RequestResponse"}])


class Quiet(Stream):
    """A watch that tells nothing."""

    ended = False

    def start(self, sink: Any) -> None:
        self.sink = sink

    def closed(self) -> None:
        self.ended = True


class Nothing:
    congested = False

    def write(self, frame: Frame) -> None: ...

    def finish(self) -> None: ...


@pytest.mark.parametrize("how", ["finished", "gone"])
async def test_a_watch_is_complete_when_it_ends_whoever_ends_it(written: Written, how: str) -> None:
    inner = Quiet()
    outer = written.begin(f"GET {PODS}?watch=1").answered(inner)
    assert isinstance(outer, Stream)
    outer.start(Nothing())
    if how == "finished":
        inner.sink.finish()
    outer.closed()
    assert inner.ended
    assert written.stages() == [("RequestReceived", 0), ("ResponseStarted", 200), ("ResponseComplete", 200)]


async def test_an_exec_is_complete_when_its_connection_ends(written: Written) -> None:
    served = []

    async def handler(reader: Any, writer: Any) -> None:
        served.append((reader, writer))
        raise ConnectionResetError

    answer = written.begin(f"POST {PODS}/a/exec?command=ls").answered(Upgrade(handler, []))
    assert isinstance(answer, Upgrade) and answer.status == 101
    with pytest.raises(ConnectionResetError):
        await answer.handler(1, 2)
    assert served == [(1, 2)]
    events = written.events()
    assert [event["stage"] for event in events] == ["RequestReceived", "ResponseStarted", "ResponseComplete"]
    assert events[2]["responseStatus"]["code"] == 101
    assert events[2]["objectRef"]["subresource"] == "exec"
    assert events[2]["requestURI"] == f"{PODS}/a/exec?command=ls"


async def test_an_answer_in_pieces_is_put_together(written: Written) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"items":', b"[1]}"):
            yield piece

    answer = written.begin(f"GET {PODS}").answered(Response(200, pieces()))
    assert not isinstance(answer.body, bytes)
    assert [piece async for piece in answer.body] == [b'{"items":', b"[1]}"]
    last = written.events()[-1]
    assert (last["stage"], last["responseObject"]) == ("ResponseComplete", {"items": [1]})


async def test_a_failure_of_the_server_is_a_panic_and_the_end(written: Written) -> None:
    trail = written.begin(f"GET {PODS}/a")
    trail.panicked(KeyError("x"))
    answer = Response(500, b"{}")
    assert trail.answered(answer) is answer
    assert written.stages() == [("RequestReceived", 0), ("Panic", 500)]


async def test_who_asked_from_where(written: Written) -> None:
    headers = {"x_forwarded_for": "192.0.2.1, nonsense, 192.0.2.2", "user_agent": "u" * 2000, "audit_id": "i" * 99}
    written.begin(f"GET {PODS}", **headers).answered(Response(200, b"{}"))
    received, complete = written.events()
    assert received["sourceIPs"] == ["192.0.2.1", "192.0.2.2", "10.0.0.9"]
    assert received["userAgent"] == "u" * 1024 + "...TRUNCATED"
    assert received["auditID"] == complete["auditID"] == "i" * 64
    assert received["user"] == {"username": "jane", "groups": ["devs", "system:authenticated"]}
    assert "annotations" not in received
    assert complete["annotations"] == {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": "RBAC: allowed",
    }


async def test_the_body_need_not_be_read_again_to_know_what_it_is_about(tmp_path: Path) -> None:
    written = Written(tmp_path / "log", [{"level": "Metadata", "omitStages": ["RequestReceived"]}])
    for told in (False, True):
        request = asked(f"POST {PODS}")
        request.body = b'{"metadata":{"name":"from-body","namespace":"other"}}'
        trail = written.audit.begin(request)
        assert trail is not None
        trail.decided(Decision(True, ""))
        if told:
            trail.refer({"name": "told", "uid": "u", "labels": {}})
        trail.answered(Response(201, b"{}"))
    first, second = (event["objectRef"] for event in written.events())
    assert (first["name"], first["namespace"]) == ("from-body", "default")
    assert (second["name"], second["uid"], second["namespace"]) == ("told", "u", "default")
    assert "labels" not in second


async def test_managed_fields_are_left_out_where_the_policy_says_so(tmp_path: Path) -> None:
    written = Written(tmp_path / "log", [{"level": "RequestResponse", "omitManagedFields": True}])
    managed = {"metadata": {"name": "a", "managedFields": [{}]}}
    written.begin(f"GET {PODS}/a").answered(Response(200, json.dumps(managed).encode()))
    written2 = {"kind": "PodList", "items": [managed]}
    written.begin(f"GET {PODS}").answered(Response(200, json.dumps(written2).encode()))
    found = [event["responseObject"] for event in written.events() if event["stage"] == "ResponseComplete"]
    assert found == [{"metadata": {"name": "a"}}, {"kind": "PodList", "items": [{"metadata": {"name": "a"}}]}]


async def test_long_and_deprecated_requests_are_marked(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 100.4, 200.0, 261.25])
    monkeypatch.setattr(audit_module, "monotonic", lambda: next(times))
    written.begin(f"GET {PODS}/quick").answered(Response(200, b"{}"))
    slow = written.begin(f"GET {PODS}/slow")
    slow.deprecated("1.40")
    slow.answered(Response(200, b"{}"))
    _, quick, _, late = (event.get("annotations", {}) for event in written.events())
    decided = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "RBAC: allowed"}
    assert quick == decided
    assert late == {
        **decided,
        "apiserver.latency.k8s.io/total": "1m1.25s",
        "k8s.io/deprecated": "true",
        "k8s.io/removed-release": "1.40",
    }
