"""Picks a node for each pod: queue, filter, score, reserve, permit, bind.

reads: pods and nodes through informers
writes: bindings, pod conditions and events
start here: cycle.py
to add one: a plugin is a file in plugins/, plus a line in the default profile where its order matters
"""
