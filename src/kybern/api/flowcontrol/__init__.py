"""The group flowcontrol.apiserver.k8s.io, v1: who shares the server with whom, and how.

reads: objects as JSON
writes: their defaults
start here: bootstrap.py, the objects of every cluster
to add one: a file with a Resource
"""
