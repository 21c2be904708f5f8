"""Answers HTTP on TCP port 8080 and datagrams on UDP port 8080 with its name and the client's address."""

import socketserver
import sys
import threading

NAME = sys.argv[1]


class Web(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        body = f"{NAME} {self.client_address[0]}\n"
        self.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())


class Datagram(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        self.wfile.write(f"{NAME} {self.client_address[0]}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 64


web = Server(("0.0.0.0", 8080), Web)
datagrams = socketserver.UDPServer(("0.0.0.0", 8080), Datagram)
threading.Thread(target=datagrams.serve_forever, daemon=True).start()
sys.stdout.write("ready\n")
sys.stdout.flush()
web.serve_forever()
