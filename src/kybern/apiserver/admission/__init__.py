"""Admission: what a write must go through after it was authorized: plugins that change objects, then those that refuse.

reads: the object to be written, who writes it, and other objects through listers
writes: the object, before it is stored
start here: order.py (the plugins in order), base.py (their contract)
to add one: a file with a `Plugin`, and its line in order.py
"""
