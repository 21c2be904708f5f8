"""Levels, versions, and what a namespace's labels make of them.

Source: Kubernetes documentation, "Pod Security Admission", "Enforce Pod Security Standards with Namespace Labels".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from kybern.api.field import Errors

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
"""From the loosest to the strictest."""
LATEST = 1 << 30
"""The minor version that stands for `latest`."""
PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")

_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


class Standard(NamedTuple):
    """A level as of a version (its minor number)."""

    level: str
    minor: int

    def __str__(self) -> str:
        return f"{self.level}:{shown(self.minor)}"

    def looser(self, other: Standard) -> bool:
        """Whether it is of the same version and no stricter."""
        return self.minor == other.minor and LEVELS.index(self.level) <= LEVELS.index(other.level)


class Policy(NamedTuple):
    """What is done at which standard."""

    enforce: Standard
    audit: Standard
    warn: Standard

    @property
    def lets_all_through(self) -> bool:
        """Whether no mode looks at anything."""
        return self.enforce.level == self.audit.level == self.warn.level == PRIVILEGED


def shown(minor: int) -> str:
    """`latest`, `v1.24`."""
    return "latest" if minor == LATEST else f"v1.{minor}"


def parse_level(text: object) -> tuple[str, str]:
    """The level, and what is wrong with it; a wrong one counts as restricted."""
    if isinstance(text, str) and text in LEVELS:
        return text, ""
    return RESTRICTED, f"must be one of {', '.join(LEVELS)}"


def parse_version(text: object) -> tuple[int, str]:
    """The minor version, and what is wrong with it; a wrong one counts as latest."""
    if text == "latest":
        return LATEST, ""
    match = _VERSION.fullmatch(text) if isinstance(text, str) else None
    if match is None or len(match[1]) > 9:
        return LATEST, 'must be "latest" or "v1.x"'
    return int(match[1]), ""


def of(labels: Mapping[str, str] | None, defaults: Policy, errors: Errors | None = None) -> Policy:
    """The policy of a namespace with these labels. What is wrong with them goes into `errors`: to enforce, it counts as
    the strictest; to audit and to warn, as nothing."""
    if not labels or not any(label.startswith(PREFIX) for label in labels):
        return defaults
    found = []
    for mode, default in zip(MODES, defaults, strict=True):
        level, minor = default
        key = f"{PREFIX}{mode}"
        if key in labels:
            level, wrong = parse_level(labels[key])
            if wrong:
                if mode != "enforce":
                    level = PRIVILEGED
                if errors is not None:
                    errors.invalid(f"metadata.labels[{key}]", labels[key], wrong)
        key = f"{PREFIX}{mode}-version"
        if key in labels:
            minor, wrong = parse_version(labels[key])
            if wrong and errors is not None:
                errors.invalid(f"metadata.labels[{key}]", labels[key], wrong)
        found.append(Standard(level, minor))
    return Policy(*found)
