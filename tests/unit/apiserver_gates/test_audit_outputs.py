"""Where audit events go: modes, batches, limits, the webhook and its retries, lines of words."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kybern.api.errors import InternalError
from kybern.apiserver import audit_log, audit_metrics, audit_webhook, flags_audit
from kybern.apiserver.audit import Audit
from kybern.apiserver.audit_log import AuditLog
from kybern.apiserver.audit_outputs import Batches, Buffer, Event, LogOutput, batched_log
from kybern.apiserver.audit_webhook import AuditWebhook
from kybern.apiserver.request import Response, UserInfo
from kybern.process.daemon import OperatorError
from tests.unit.apiserver_gates.test_audit import PODS, asked, policy

METADATA = {"level": "Metadata"}


def event(**fields: Any) -> Event:
    return Event(lambda: {"auditID": "i", **fields})


class Received:
    """A server that takes lists of events, and answers with `codes` first."""

    def __init__(self) -> None:
        self.lists: list[dict[str, Any]] = []
        self.codes: list[int] = []
        self.asked = 0
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.json()
        code = self.codes.pop(0) if self.codes else 200
        if code == 200:
            self.lists.append(body)
        return web.Response(status=code)

    @property
    def ids(self) -> list[str]:
        return [item["auditID"] for each in self.lists for item in each["items"]]


@pytest.fixture
async def receiver() -> AsyncIterator[Received]:
    made = Received()
    app = web.Application()
    app.router.add_post("/audit", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


@pytest.fixture
def config(tmp_path: Path, receiver: Received) -> Path:
    path = tmp_path / "webhook.yaml"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{receiver.port}/audit"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_webhook_gets_lists_as_full_as_may_be(receiver: Received, config: Path) -> None:
    buffer = AuditWebhook(config).batched(Batches(size=3, wait=0.05))
    for number in range(7):
        assert buffer.write(event(auditID=str(number)))
    await until(lambda: len(receiver.ids) == 7)
    assert sorted(receiver.ids) == [str(number) for number in range(7)]
    assert sorted(len(each["items"]) for each in receiver.lists) == [1, 3, 3]
    assert receiver.lists[0]["kind"] == "EventList" and receiver.lists[0]["apiVersion"] == "audit.k8s.io/v1"
    await buffer.close()


async def test_what_fails_is_sent_again_and_what_is_refused_is_lost(receiver: Received, config: Path) -> None:
    webhook = AuditWebhook(config, backoff=0.01)
    receiver.codes = [500, 429]
    assert await webhook.write(event())
    assert receiver.asked == 3 and webhook.lost == 0
    receiver.codes = [400]
    assert not await webhook.write(event())
    assert receiver.asked == 4 and webhook.lost == 1
    receiver.codes = [503] * 10
    assert not await webhook.write(event())
    assert receiver.asked == 4 + audit_webhook.ATTEMPTS
    await webhook.close()


async def test_a_full_buffer_loses_events_and_counts_them(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def deliver(events: list[Event]) -> bool:
        await held.wait()
        return True

    buffer = Buffer(LogOutput(AuditLog(str(tmp_path / "log"))), deliver, Batches(buffer=2, size=1, wait=0))
    assert buffer.write(event())
    await asyncio.sleep(0.02)
    assert [buffer.write(event()) for _ in range(4)] == [True, True, False, False]
    assert buffer.lost == 2
    held.set()
    await buffer.close()


async def test_batches_are_throttled(tmp_path: Path) -> None:
    delivered: list[int] = []

    async def deliver(events: list[Event]) -> bool:
        delivered.append(len(events))
        return True

    output = LogOutput(AuditLog(str(tmp_path / "log")))
    buffer = Buffer(output, deliver, Batches(size=1, wait=0, qps=5, burst=2))
    for _ in range(4):
        buffer.write(event())
    await asyncio.sleep(0.1)
    assert len(delivered) == 2
    await until(lambda: len(delivered) == 3)
    await buffer.close()
    assert len(delivered) == 4


async def test_the_log_in_batches_has_everything_after_close(tmp_path: Path) -> None:
    path = tmp_path / "log"
    buffer = batched_log(LogOutput(AuditLog(str(path))), Batches(size=10, wait=0.01))
    for number in range(100):
        buffer.write(event(auditID=str(number)))
    await buffer.close()
    assert [json.loads(line)["auditID"] for line in path.read_text().splitlines()] == [str(n) for n in range(100)]


def test_large_events_lose_their_objects_and_then_themselves(tmp_path: Path) -> None:
    path = tmp_path / "log"
    output = LogOutput(AuditLog(str(path)), limit=200)
    assert output.write(event(requestObject={"x": "y" * 1000}, annotations={"a": "b"}))
    assert not output.write(event(userAgent="y" * 1000))
    assert output.lost == 1
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {"auditID": "i", "annotations": {"a": "b", "audit.k8s.io/truncated": "true"}}


async def test_lists_are_cut_at_their_size(receiver: Received, config: Path) -> None:
    webhook = AuditWebhook(config, batch_limit=150)
    assert await webhook.deliver([event(userAgent="y" * 60) for _ in range(5)])
    assert [len(each["items"]) for each in receiver.lists] == [1, 1, 1, 1, 1] or len(receiver.lists) in (2, 3)
    assert len(receiver.ids) == 5
    await webhook.close()


def test_words(tmp_path: Path) -> None:
    path = tmp_path / "log"
    audit = Audit(policy(METADATA), LogOutput(AuditLog(str(path)), legacy=True))
    trail = audit.begin(asked(f"GET {PODS}/a", user_agent='a "b"', audit_id="id"))
    assert trail is not None
    trail.answered(Response(200, b"{}"))
    first, last = path.read_text().splitlines()
    assert ' AUDIT: id="id" stage="RequestReceived" ip="10.0.0.9" method="get" user="jane" ' in first
    assert 'groups="\\"devs\\",\\"system:authenticated\\"" as="<self>" asgroups="<lookup>"' in first
    assert first.endswith(f'user-agent="a \\"b\\"" namespace="default" uri="{PODS}/a" response="<deferred>"')
    assert last.endswith('response="200"')


async def test_strict_refuses_what_can_not_be_written_down(receiver: Received, config: Path) -> None:
    webhook = AuditWebhook(config, strict=True)
    audit = Audit(policy(METADATA), webhook)
    receiver.codes = [400]
    trail = audit.begin(asked(f"GET {PODS}/a"))
    assert trail is not None and trail.unsettled
    with pytest.raises(InternalError, match="failed to store audit event"):
        await trail.settle()
    assert audit.rejected == 1
    trail = audit.begin(asked(f"GET {PODS}/a"))
    assert trail is not None
    await trail.settle()
    assert len(receiver.ids) == 1
    await audit.close()


def test_what_is_set_aside_is_compressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log.clock, "time", lambda: 1e9)  # all in one millisecond
    log = AuditLog(str(tmp_path / "audit.log"), megabytes=1, compress=True)
    for _ in range(3):
        log.append([b"x" * 700_000 + b"\n"])
    log.close()
    packed = sorted(tmp_path.glob("audit-*.log.gz"))
    assert len(packed) == 2 and not list(tmp_path.glob("audit-*.log"))
    assert gzip.decompress(packed[0].read_bytes()) == b"x" * 700_000 + b"\n"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    flags_audit.add_flags(parser.add_argument)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--audit-log-maxage=-1"], "--audit-log-maxage -1 can't be a negative number"),
        (["--audit-webhook-batch-max-size=0"], "--audit-webhook-batch-max-size 0 must be a positive number"),
        (["--audit-webhook-batch-buffer-size=10"], "can't be more than --audit-webhook-batch-buffer-size"),
        (["--audit-webhook-batch-throttle-qps=0"], "must be positive numbers where throttling is enabled"),
    ],
)
def test_flags_that_can_not_be(words: list[str], said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        flags_audit.check(parsed(*words))


async def test_flags_make_both_outputs_by_upstreams_defaults(tmp_path: Path, config: Path) -> None:
    (tmp_path / "policy").write_text(
        json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [METADATA]})
    )
    args = parsed(f"--audit-log-path={tmp_path / 'log'}", f"--audit-webhook-config-file={config}")
    assert (args.audit_log_maxsize, args.audit_log_maxbackup, args.audit_log_maxage) == (100, 100, 366)
    assert flags_audit.audit(args) is None
    args.audit_policy_file = tmp_path / "policy"
    flags_audit.check(args)
    made = flags_audit.audit(args)
    assert made is not None
    assert [type(output) for output in made.outputs] == [LogOutput, Buffer]
    await made.close()


def test_what_is_audited_is_counted(tmp_path: Path) -> None:
    audit = Audit(policy({"level": "None", "users": ["joe"]}, METADATA), LogOutput(AuditLog(str(tmp_path / "log"))))
    for name in ("jane", "joe"):
        request = asked(f"GET {PODS}/a")
        request.user = UserInfo(name)
        if (trail := audit.begin(request)) is not None:
            trail.answered(Response(200, b"{}"))
    samples = [sample for family in audit_metrics.families(audit) for sample in family.samples]
    found = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert found["apiserver_audit_event_total",] == 2
    assert found["apiserver_audit_level_total", "None"] == found["apiserver_audit_level_total", "Metadata"] == 1
    assert found["apiserver_audit_error_total", "log"] == 0
