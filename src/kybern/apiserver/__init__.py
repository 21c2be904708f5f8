"""The gate: an ASGI app that serves the API over a store. Stateless, so it replicates.

reads: requests; the store
writes: the store; kubelets (logs, exec, attach, port-forward)
start here: app.py, then chain.py: the way of a request, in order
to add one: a verb is a file in verbs/, an authenticator in authn/, an authorizer in authz/, an admission plugin in admission/
"""
