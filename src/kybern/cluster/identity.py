"""Whom a certificate speaks for; apart from the making of certificates, for those who only name people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Whom a leaf certificate speaks for. `names` are DNS names and IP addresses; without any it is a client's."""

    common_name: str
    organizations: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    client: bool = True
