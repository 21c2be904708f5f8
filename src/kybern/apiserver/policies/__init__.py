"""Admission policies: CEL expressions, kept in the API, that refuse or change what is written.

reads: policies, their bindings, and the objects that bindings name as parameters
writes: refusals, warnings, audit annotations, changed objects
start here: inforce.py (which policies there are), then validating.py and mutating.py (what one does)
to add one: policies are objects; a kind of policy is a plugin in ../admission and a file here
"""
