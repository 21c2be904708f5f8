"""The gate: an ASGI app that serves the API over a store. Stateless, so it replicates.

reads: requests; the store
writes: the store; kubelets (logs, exec, attach, port-forward)
start here: app.py, then chain.py: the way of a request, in order
to add one: a file in verbs/, authn/, authz/ or admission/; order is a list in chain.py and admission/order.py
"""
