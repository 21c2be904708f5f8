"""Probes: asking containers whether they have started, live and are ready.

reads: containers, over HTTP, TCP, gRPC or by running a command in them
writes: nothing; results go to the pod's worker
start here: base.py (the contract), prober.py (thresholds and timing)
to add one: a module here with a `PROBE`, found by name
"""
