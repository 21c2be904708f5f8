"""Volumes: what a pod's containers see of ConfigMaps, Secrets, the downward API, scratch space and the host.

reads: the objects a volume refers to
writes: files and mounts below the pod's directory
start here: base.py (the contract), manager.py (all volumes of a pod)
to add one: a module here with a `PLUGIN`, found by name
"""
