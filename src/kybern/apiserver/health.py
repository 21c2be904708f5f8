"""/version, /healthz, /livez, /readyz and /metrics. Source: Kubernetes documentation, "API health endpoints"."""

from __future__ import annotations

import platform
import sys

from kybern.apiserver.app import App
from kybern.apiserver.request import Request, Response, json_response
from kybern.process import metrics

VERSION = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.0+kybern",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": f"python{platform.python_version()}",
    "compiler": sys.implementation.name,
    "platform": f"linux/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(platform.machine(), platform.machine()) }",
}
ENDPOINTS = ("healthz", "livez", "readyz")
_TEXT = "text/plain; charset=utf-8"


def add_routes(app: App) -> None:
    """Serve the paths."""
    app.route("/version", _version)
    app.route("/metrics", _metrics)
    app.route("/", _index)
    for endpoint in ENDPOINTS:
        app.route(f"/{endpoint}", _health)
        app.route(f"/{endpoint}/*", _health)


async def _version(app: App, request: Request) -> Response:
    return json_response(VERSION)


async def _metrics(app: App, request: Request) -> Response:
    return Response(200, metrics.page() + app.telemetry.page(), metrics.CONTENT_TYPE)


async def _index(app: App, request: Request) -> Response:
    groups = sorted({f"/apis/{kind.group}" for kind in app.registry.scheme if kind.group})
    versions = sorted({f"/apis/{kind.group}/{v}" for kind in app.registry.scheme if kind.group for v in kind.versions})
    exact = [path for path in app.routes if not path.endswith("/*") and path != "/"]
    return json_response({"paths": sorted({*exact, "/api/v1", *groups, *versions})})


async def _health(app: App, request: Request) -> Response:
    endpoint, _, only = request.path.strip("/").partition("/")
    checks = {name: check for name, check in app.checks.items() if endpoint != "livez" or name == "store"}
    if only and only not in checks and only != "ping":
        return Response(404, b"404 page not found\n", _TEXT)
    excluded = set(request.args.get("exclude", ())) if request.query else set()
    lines, failed = [], False
    for name in [only] if only else ["ping", *checks]:
        if name in excluded:
            lines.append(f"[+]{name} excluded: ok")
            continue
        wrong = checks[name]() if name in checks else ""
        failed = failed or bool(wrong)
        lines.append(f"[-]{name} failed: {wrong}" if wrong else f"[+]{name} ok")
    if failed:
        text = "\n".join([*lines, f"{endpoint} check failed", ""])
        return Response(500, text.encode(), _TEXT)
    verbose = bool(request.query) and "verbose" in request.args
    return Response(200, "\n".join([*lines, f"{endpoint} check passed", ""]).encode() if verbose else b"ok", _TEXT)
