"""The web app that `up` deploys, and the visitor that reaches it: `python -m kybern.cluster.sample_app [--visit URL]`.

Only the standard library is loaded, so that a pod of it starts quickly. On SIGTERM it serves on for `--drain` seconds:
a Service stops sending to a pod a moment after the pod was told to end.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Page(BaseHTTPRequestHandler):
    """Answers every GET with who answered."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"hello from {socket.gethostname()} ({os.environ.get('VERSION', 'v1')})\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        sys.stdout.write(f"{self.client_address[0]} {format % args}\n")
        sys.stdout.flush()


class Server(ThreadingHTTPServer):
    request_queue_size = 128


def serve(port: int, drain: float) -> None:
    """Serve until SIGTERM, and `drain` seconds more."""
    server = Server(("", port), Page)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    time.sleep(drain)
    server.shutdown()


def visit(url: str, patience: float) -> int:
    """Ask `url` until it answers 200; prints one JSON line: when the name resolved, when 200 came, and the body."""
    parts = urlsplit(url)
    deadline = time.time() + patience
    line: dict[str, object] = {}
    while time.time() < deadline:
        try:
            if "resolved" not in line:
                found = socket.getaddrinfo(parts.hostname, parts.port or 80, socket.AF_INET, socket.SOCK_STREAM)
                line |= {"resolved": time.time(), "address": found[0][4][0]}
            with urllib.request.urlopen(url, timeout=2) as answer:
                line |= {"answered": time.time(), "status": answer.status, "body": answer.read().decode()}
            break
        except (OSError, urllib.error.URLError) as error:
            line["error"] = str(error)
            time.sleep(0.02)
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    return 0 if "answered" in line else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--drain", type=float, default=3.0, help="seconds to serve on after SIGTERM")
    parser.add_argument("--visit", help="instead of serving, ask this URL until it answers")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to go on asking")
    args = parser.parse_args()
    if args.visit:
        return visit(args.visit, args.patience)
    serve(args.port, args.drain)
    return 0


if __name__ == "__main__":
    sys.exit(main())
