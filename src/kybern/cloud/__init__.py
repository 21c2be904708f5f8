"""What the cluster knows of the cloud below it.

reads: the API, a provider
writes: the API, a provider
start here: provider.py
to add one: a provider is a file in providers/
"""
