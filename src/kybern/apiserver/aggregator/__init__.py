"""Servers behind this one, each with a group and version of its own: APIServices name them.

reads: APIServices, the Services and EndpointSlices they name, CRDs, what those servers say of themselves
writes: APIServices of what is served here, the condition Available; requests to the servers behind
start here: aggregator.py (who is there), backend.py (passing a request on)
to add one: an APIService with spec.service; nothing here
"""
