"""The functions that CEL has in Kubernetes beyond the language's own, a library per file.

reads: strings, lists and values of Kubernetes' own types, which are maps of one key that names the type.
writes: the like.
start here: regex.py, the shortest.
to add one: an entry in FUNCTIONS of its file; a new file is named in ../library.py.
"""
