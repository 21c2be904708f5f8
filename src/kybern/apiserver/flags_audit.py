"""The --audit flags, by upstream's names, and the audit that they make."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kybern.apiserver import audit_policy
from kybern.apiserver.audit import Audit
from kybern.apiserver.audit_log import AuditLog
from kybern.apiserver.audit_outputs import BATCH, BLOCKING, MODES, STRICT, Batches, LogOutput, Output, batched_log
from kybern.process.daemon import OperatorError
from kybern.process.flags import boolean, duration

log = logging.getLogger(__name__)

Add = Callable[..., Any]
VERSIONS = ("audit.k8s.io/v1",)
NOT_NEGATIVE = ("audit_log_maxsize", "audit_log_maxbackup", "audit_log_maxage")


def add_flags(add: Add) -> None:
    """All of them."""
    flag = {"type": boolean, "nargs": "?", "const": True}
    add("--audit-policy-file", type=Path, default=None, metavar="FILE",
        help="audit Policy that says which requests are written down")  # fmt: skip
    add("--audit-log-path", default="", metavar="FILE", help="where they are written down; - is standard output")
    add("--audit-log-format", choices=("json", "legacy"), default="json", help="the form of a line")
    add("--audit-log-maxsize", type=int, default=100, metavar="MB",
        help="the size at which the file is set aside; 0 for never")  # fmt: skip
    add("--audit-log-maxbackup", type=int, default=100, metavar="N", help="how many set aside are kept; 0 for all")
    add("--audit-log-maxage", type=int, default=366, metavar="DAYS", help="how long they are kept; 0 for any age")
    add("--audit-log-compress", default=False, **flag, help="compress what is set aside")
    add("--audit-webhook-config-file", type=Path, default=None, metavar="FILE",
        help="kubeconfig of a server that events are posted to")  # fmt: skip
    add("--audit-webhook-initial-backoff", type=duration, default=10.0, metavar="DURATION",
        help="how long to wait before an attempt to post is repeated the first time")  # fmt: skip
    _add_mode(add, "log", BLOCKING, Batches(size=1, wait=0.0))
    _add_mode(add, "webhook", BATCH, Batches(qps=10.0, burst=15))


def _add_mode(add: Add, name: str, mode: str, batches: Batches) -> None:
    flag = {"type": boolean, "nargs": "?", "const": True}
    prefix = f"--audit-{name}"
    add(f"{prefix}-mode", choices=MODES, default=mode, help="when events are sent there")
    add(f"{prefix}-version", choices=VERSIONS, default=VERSIONS[0], help="the version of events")
    batch = f"{prefix}-batch"
    add(f"{batch}-buffer-size", type=int, default=batches.buffer, metavar="N", help="events that may wait")
    add(f"{batch}-max-size", type=int, default=batches.size, metavar="N", help="events in a batch")
    add(f"{batch}-max-wait", type=duration, default=batches.wait, metavar="DURATION",
        help="how long a batch waits to be filled")  # fmt: skip
    add(f"{batch}-throttle-enable", default=batches.qps > 0, **flag, help="whether batches are throttled")
    add(f"{batch}-throttle-qps", type=float, default=batches.qps, metavar="N", help="batches a second")
    add(f"{batch}-throttle-burst", type=int, default=batches.burst, metavar="N", help="batches at once")
    truncate = f"{prefix}-truncate"
    add(f"{truncate}-enabled", default=False, **flag, help="whether large events and batches are cut")
    add(f"{truncate}-max-batch-size", type=int, default=10 << 20, metavar="BYTES", help="the largest batch")
    add(f"{truncate}-max-event-size", type=int, default=100 << 10, metavar="BYTES", help="the largest event")


def check(args: argparse.Namespace) -> None:
    """Raises OperatorError for values that can't be."""
    for flag in NOT_NEGATIVE:
        if getattr(args, flag) < 0:
            raise OperatorError(f"--{flag.replace('_', '-')} {getattr(args, flag)} can't be a negative number")
    for name in ("log", "webhook"):
        given = _of(args, name)
        if given("mode") != BATCH:
            continue
        for what in ("batch_buffer_size", "batch_max_size"):
            if given(what) <= 0:
                raise OperatorError(f"--audit-{name}-{what.replace('_', '-')} {given(what)} must be a positive number")
        if given("batch_max_size") > given("batch_buffer_size"):
            raise OperatorError(f"--audit-{name}-batch-max-size can't be more than --audit-{name}-batch-buffer-size")
        if given("batch_throttle_enable") and (given("batch_throttle_qps") <= 0 or given("batch_throttle_burst") <= 0):
            raise OperatorError(
                f"--audit-{name}-batch-throttle-qps and -burst must be positive numbers where throttling is enabled"
            )


def audit(args: argparse.Namespace) -> Audit | None:
    """What the flags ask for; None for nothing. Call it where the event loop runs. Raises OperatorError."""
    if not args.audit_log_path and not args.audit_webhook_config_file:
        if args.audit_policy_file:
            log.warning("no audit events are written without --audit-log-path or --audit-webhook-config-file")
        return None
    if not args.audit_policy_file:
        log.warning("no audit events are written without --audit-policy-file")
        return None
    outputs: list[Output] = []
    if args.audit_log_path:
        outputs.append(_log(args))
    if args.audit_webhook_config_file:
        outputs.append(_webhook(args))
    return Audit(audit_policy.load(args.audit_policy_file), *outputs)


def _of(args: argparse.Namespace, name: str) -> Callable[[str], Any]:
    return lambda what: getattr(args, f"audit_{name}_{what}")


def _batches(given: Callable[[str], Any]) -> Batches:
    throttled = given("batch_throttle_enable")
    qps, burst = given("batch_throttle_qps") if throttled else 0.0, given("batch_throttle_burst")
    return Batches(given("batch_buffer_size"), given("batch_max_size"), given("batch_max_wait"), qps, burst)


def _limits(given: Callable[[str], Any]) -> tuple[int, int]:
    if not given("truncate_enabled"):
        return 0, 0
    return given("truncate_max_event_size"), given("truncate_max_batch_size")


def _log(args: argparse.Namespace) -> Output:
    given = _of(args, "log")
    file = AuditLog(
        args.audit_log_path,
        megabytes=args.audit_log_maxsize,
        backups=args.audit_log_maxbackup,
        days=args.audit_log_maxage,
        compress=args.audit_log_compress,
    )
    legacy = args.audit_log_format == "legacy"
    output = LogOutput(file, strict=given("mode") == STRICT, limit=_limits(given)[0], legacy=legacy)
    return batched_log(output, _batches(given)) if given("mode") == BATCH else output


def _webhook(args: argparse.Namespace) -> Output:
    from kybern.apiserver.audit_webhook import AuditWebhook

    given = _of(args, "webhook")
    limit, batch_limit = _limits(given)
    webhook = AuditWebhook(
        args.audit_webhook_config_file,
        backoff=args.audit_webhook_initial_backoff,
        strict=given("mode") == STRICT,
        limit=limit,
        batch_limit=batch_limit,
    )
    return webhook.batched(_batches(given)) if given("mode") == BATCH else webhook
