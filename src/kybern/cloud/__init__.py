"""What the cluster knows of the cloud below it, and asks of it: machines, load balancers, routes.

reads: the API through shared informers, a provider
writes: the API, a provider
start here: provider.py, then service.py
to add one: a provider is a file in providers/ with a `create`; a controller is a file with one `Controller` subclass
"""
