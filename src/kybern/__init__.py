"""kybern: Kubernetes, whole, in Python.

reads: nothing
writes: nothing
start here: `__main__.py`, then docs/flow.md
to add one: a component is a package here with a `command.py` and a row in `__main__.COMMANDS`
"""

VERSION = "v1.36.0"
"""The Kubernetes version whose API this package speaks on the wire."""
