"""The way in, for every component: REST, kubeconfig, informers, work queue, leader election, events.

reads: the API by get, list and watch
writes: the API by create, update, patch and delete
start here: rest.py, then informer.py
to add one: a transport is a class in transport.py that fulfils its Protocol
"""
