"""The loops that drive the cluster from what is to what was asked for, all in one process.

reads: the API through shared informers
writes: the API
start here: manager.py, then replicaset.py
to add one: a file with one `Controller` subclass; manager.py finds it
"""
