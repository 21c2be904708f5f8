"""Answers names of Services and pods.

reads: Services, EndpointSlices and pods through informers
writes: DNS answers
start here: records.py (pure: services to records), then server.py
to add one: a record source is a function in records.py
"""
