"""Where pods come from.

reads: the API, manifest files, a manifest URL
writes: mirror pods in the API, through mirrors.py
start here: base.py (what a source gives), files.py
to add one: a module here whose class calls `changed(source, pods)`
"""
