"""The verbs: what a request that may pass does. Each module has `serve(app, request, resource) -> Response`.

reads: the request; watch caches
writes: the store, through registry.py
start here: get.py, then create.py
to add one: a file here, and its name in ../dispatch.py
"""
