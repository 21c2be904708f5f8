"""What the operator lets pods do in this cluster, whatever they ask for: set once, when the server starts."""

from __future__ import annotations

allow_privileged = True
"""--allow-privileged: whether containers may be privileged."""
