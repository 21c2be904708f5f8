"""Run inside a network namespace: two nodes' proxies, as far as a load balancer sees them.

Each has an address of its own, answers its name to HTTP on 30080 and to datagrams on 30053, and its health on 10256
and 31000: 200, but 503 on 31000 of the second, as if it had no pod of the Service.
"""

from __future__ import annotations

import socketserver
import sys
import threading

NODES = {"10.9.0.1": "one", "10.9.0.2": "two"}


def answer(name: str, code: str) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while line := self.rfile.readline():
                if line == b"slow\n":
                    self.wfile.write(name.encode() + b"\n")
                elif not line.strip():
                    self.wfile.write(f"HTTP/1.0 {code}\r\n\r\n{name}".encode())
                    return

    return Handler


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        name = NODES[self.server.server_address[0]]
        sock.sendto(f"{name} {data.decode()} {self.client_address[1]}".encode(), self.client_address)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


for address, name in NODES.items():
    codes = {30080: "200 OK", 10256: "200 OK", 31000: "200 OK" if name == "one" else "503 None"}
    servers = [Server((address, port), answer(name, code)) for port, code in codes.items()]
    servers.append(socketserver.ThreadingUDPServer((address, 30053), Echo))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdout.write("ready\n")
sys.stdout.flush()
threading.Event().wait()
