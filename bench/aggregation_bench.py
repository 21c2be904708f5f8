"""What it costs to pass requests on to a server behind this one: CPU of the API server per request, and of an upload.

usage: aggregation_bench.py [--count 2000] [--clients 8] [--upload 64]; needs `hey`. The server behind is a small one
over TLS in this process, made known by an APIService.
"""

from __future__ import annotations

import argparse
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bench.measure import Server, api_server, cpu, hey, tls
from kybern.process import selfsigned

GROUP = "bench.example.com"
ROOT = f"/apis/{GROUP}/v1"


class Behind(BaseHTTPRequestHandler):
    """Says that it serves one kind, and that all is well."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        said: dict[str, Any] = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1"}
        self._answer({**said, "resources": [], "padding": "x" * 2000})

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self._answer({})

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def behind() -> Iterator[int]:
    """Serves; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    selfsigned.load_into(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def ask(server: Server, method: str, path: str, body: bytes | None = None) -> int:
    headers = {**server.headers, "Content-Type": "application/json"}
    request = urllib.request.Request(server.url + path, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=tls(), timeout=60) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def make_known(server: Server, port: int) -> None:
    """Have the API server pass requests for the group on to a port here."""
    place = {"namespace": "default", "name": "behind", "port": port}
    external = {"metadata": {"name": "behind"}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
    spec = {"group": GROUP, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 10, "service": place}
    service = {"metadata": {"name": f"v1.{GROUP}"}, "spec": {**spec, "insecureSkipTLSVerify": True}}
    ask(server, "POST", "/api/v1/namespaces/default/services", json.dumps(external).encode())
    ask(server, "POST", "/apis/apiregistration.k8s.io/v1/apiservices", json.dumps(service).encode())
    for _ in range(200):
        if ask(server, "GET", f"{ROOT}/things") == 200:
            return
        time.sleep(0.05)
    raise SystemExit("the server behind was not found available")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--upload", type=int, default=64, help="MiB")
    args = parser.parse_args()
    with api_server() as server, behind() as port:
        make_known(server, port)
        loads = [hey(server, f"{ROOT}/things", args.count, args.clients) for _ in range(3)]
        best = min(loads, key=lambda load: load.cpu_us)
        print(f"GET through the aggregator: {best.cpu_us:.0f} us CPU, {best.rate:.0f}/s, p50 {best.p50:.1f} ms")
        before = cpu(server.pid)
        status = ask(server, "POST", f"{ROOT}/things", b"x" * (args.upload << 20))
        used = (cpu(server.pid) - before) / args.upload * 1000
        print(f"POST of {args.upload} MiB: answered {status}, {used:.2f} ms CPU per MiB")


if __name__ == "__main__":
    main()
