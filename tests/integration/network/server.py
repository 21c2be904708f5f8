"""Answers HTTP on TCP port 8080, both IP versions, with its name and the client's address; below /big at length."""

import socket
import socketserver
import sys

NAME = sys.argv[1]


class Web(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked = self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        client = self.client_address[0].removeprefix("::ffff:")
        body = "x" * 300_000 if b" /big " in asked else f"{NAME} {client}\n"
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True


web = Server(("::", 8080), Web)
sys.stdout.write("ready\n")
sys.stdout.flush()
web.serve_forever()
