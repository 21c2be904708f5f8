"""Makes the pods of one node real, through CRI, and reports what became of them.

reads: pods from the API and manifest files; the runtime over CRI
writes: pod and node status, leases, events; containers, volumes and logs on the host
start here: sync.py (what should be done), worker.py (does it)
to add one: a volume is a file in volumes/, a probe in probes/
"""
