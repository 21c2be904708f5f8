"""PodSecurity: the Pod Security Standards, enforced, audited or warned of as a namespace's labels say.

reads: pods and what has pod templates, their namespaces, the plugin's configuration
writes: warnings, audit annotations, counts
start here: plugin.py (when what is checked), checks.py (which checks a level and version has)
to add one: a function in baseline.py or restricted.py, and its line in checks.py
"""
