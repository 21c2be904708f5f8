"""/version, /healthz, /livez, /readyz and /metrics. Source: Kubernetes documentation, "API health endpoints"."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kybern.apiserver.app import App, Handler
from kybern.apiserver.request import Request, Response, json_response
from kybern.apiserver.stages import HOOK
from kybern.process import features, metrics
from kybern.process.clock import monotonic
from kybern.process.version import VERSION
from kybern.process.zpages import Page, ZPages

ENDPOINTS = ("healthz", "livez", "readyz")
READY_ONLY = frozenset(("etcd-readiness", "informer-sync", "shutdown"))
"""What only /readyz looks at: it passes, or is meant."""
_TEXT = "text/plain; charset=utf-8"

log = logging.getLogger(__name__)


def add_routes(app: App) -> None:
    """Serve the paths."""
    app.route("/version", _version)
    app.route("/metrics", _metrics)
    app.route("/metrics/slis", _slis)
    app.route("/", _index)
    for endpoint in ENDPOINTS:
        app.route(f"/{endpoint}", _health)
        app.route(f"/{endpoint}/*", _health)


def add_zpages(app: App, pages: ZPages) -> None:
    """Serve /statusz and /flagz."""
    for path, page, gate in (
        ("/statusz", pages.statusz, "ComponentStatusz"), ("/flagz", pages.flagz, "ComponentFlagz"),
    ):  # fmt: skip
        if features.enabled(gate):
            app.route(path, _zpage(page))


def _zpage(page: Callable[[str], Page]) -> Handler:
    async def serve(app: App, request: Request) -> Response:
        made = page(request.headers.get("accept", ""))
        return Response(made.status, made.body, made.content_type)

    return serve


async def _version(app: App, request: Request) -> Response:
    return json_response(VERSION)


async def _metrics(app: App, request: Request) -> Response:
    await app.telemetry.measure()
    return Response(200, metrics.page() + app.telemetry.page(), metrics.CONTENT_TYPE)


async def _slis(app: App, request: Request) -> Response:
    return Response(200, metrics.slis(), metrics.CONTENT_TYPE)


async def _index(app: App, request: Request) -> Response:
    served = [(kind.group, version) for kind in app.registry.scheme if kind.group for version in kind.versions]
    groups = {f"/apis/{group}" for group, _ in served}
    versions = {f"/apis/{group}/{version}" for group, version in served}
    exact = [path for path in app.routes if not path.endswith("/*") and path != "/"]
    return json_response({"paths": sorted({*exact, "/api/v1", *groups, *versions})})


async def _health(app: App, request: Request) -> Response:
    endpoint, _, only = request.path.strip("/").partition("/")
    checks = {"ping": _well, "log": _well, **app.checks}
    if endpoint != "readyz":
        checks = {name: check for name, check in checks.items() if name not in READY_ONLY}
    if endpoint == "livez" and monotonic() < app.live_until:
        checks |= {name: _well for name in checks if name.startswith(HOOK)}
    if only:
        if only not in checks:
            return Response(404, b"404 page not found\n", _TEXT)
        wrong = checks[only]()
        metrics.checked(endpoint, only, well=not wrong)
        return Response(500, f"internal server error: {wrong}\n".encode(), _TEXT) if wrong else _ok()
    excluded = set(request.args.get("exclude", ())) if request.query else set()
    # Anyone may read this, so what is wrong is for the log only.
    lines, failed = [], []
    for name, check in checks.items():
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        wrong = check()
        metrics.checked(endpoint, name, well=not wrong)
        if wrong:
            failed.append(f"{name}: {wrong}")
            lines.append(f"[-]{name} failed: reason withheld")
        else:
            lines.append(f"[+]{name} ok")
    if unknown := sorted(excluded - checks.keys()):
        quoted = ", ".join(f'"{name}"' for name in unknown)
        lines.append(f"warn: some health checks cannot be excluded: no matches for {quoted}")
    if failed:
        log.info("%s: %s", endpoint, "; ".join(failed))
        return Response(500, "\n".join([*lines, f"{endpoint} check failed", ""]).encode(), _TEXT)
    if not (request.query and "verbose" in request.args):
        return _ok()
    return Response(200, "\n".join([*lines, f"{endpoint} check passed", ""]).encode(), _TEXT)


def _well() -> str:
    return ""


def _ok() -> Response:
    return Response(200, b"ok", _TEXT)
