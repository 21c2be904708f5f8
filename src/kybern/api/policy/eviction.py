"""Eviction, policy/v1: the body of a pod's `eviction` subresource; it has no endpoint of its own and isn't stored.

Source: API reference, Eviction v1 policy.
"""

from __future__ import annotations

from kybern.api.types import Object

GROUP, VERSION, KIND = "policy", "v1", "Eviction"


def delete_options(eviction: Object) -> Object:
    """The DeleteOptions an Eviction asks for; {} without any."""
    return dict(eviction.get("deleteOptions") or {})
