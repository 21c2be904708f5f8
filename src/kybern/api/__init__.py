"""The nouns: what resources are, how they default, validate, patch and select. No I/O.

reads: the OpenAPI definitions that kubernetes-validate ships
writes: nothing
start here: resource.py (what a resource declares), core/pod.py (the largest), scheme.py (all of them)
to add one: a file in the folder of its API group with one `Resource` subclass; scheme.py finds it
"""
