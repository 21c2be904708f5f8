"""The core group, `v1`: one declaration per kind.

reads: nothing
writes: nothing
start here: pod.py, with podspec.py (what everything with a pod template shares)
to add one: a file here with one `Resource` subclass; scheme.py finds it
"""
