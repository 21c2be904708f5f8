"""Why an address or a port can't be had, in upstream's words."""

from __future__ import annotations


class Taken(Exception):
    """Someone else has the value."""


class OutOfRange(Exception):
    """The value isn't of any range. Says which are."""


class Full(Exception):
    """Nothing is free."""
