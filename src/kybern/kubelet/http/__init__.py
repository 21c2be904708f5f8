"""What the kubelet serves over HTTPS: logs, exec, attach, port-forward, its pods, its health and its usage.

reads: the pods' workers, the runtime's state and streaming server, log files, cgroups; reviews by the API server
writes: nothing
start here: ../server.py (the paths), listener.py (the connections)
to add one: a handler from Request to Response or Upgrade, named in ../server.py
"""
