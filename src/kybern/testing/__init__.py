"""The in-process cluster, the pytest fixtures, builders.

reads: nothing
writes: an API server in memory
start here: cluster.py
to add one: a builder is a function in builders.py
"""
