"""The numbers of the fields of every message that is sent in protobuf, one module per API group.

reads: nothing.
writes: nothing; each module is a table, MESSAGES, in the notation that protobuf_fields.py explains.
start here: apps.py, a group of one version; resource.py, where versions differ.
to add one: a module named as in GROUPS of protobuf_fields.py, and the group's entry there.
"""
