"""WebSocket and SPDY/3.1 streams for exec, attach and port-forward, on both sides of the wire.

reads: bytes of an upgraded connection
writes: bytes of an upgraded connection
start here: streams.py
to add one: a protocol is a file with the contract of streams.py
"""

from kybern.streaming.pipes import tunnel

__all__ = ["tunnel"]
