"""The container runtime, over CRI v1 gRPC: the only way to a container.

reads: sandboxes, containers and images of the runtime
writes: the same
start here: client.py (calls), cache.py (what runs, per pod)
to add one: a call is its messages in cri.proto and a method in client.py
"""
