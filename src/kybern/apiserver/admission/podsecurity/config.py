"""The plugin's configuration: what namespaces without labels get, and who is exempt.

Source: API reference, PodSecurityConfiguration (pod-security.admission.config.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.admission.podsecurity.policy import (
    LATEST,
    MODES,
    PRIVILEGED,
    Policy,
    Standard,
    parse_level,
    parse_version,
)
from kybern.process.daemon import OperatorError

KIND = "PodSecurityConfiguration"
VERSIONS = tuple(f"pod-security.admission.config.k8s.io/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
NOTHING = Policy(*[Standard(PRIVILEGED, LATEST)] * 3)


@dataclass(slots=True)
class Configuration:
    """See the module."""

    defaults: Policy = NOTHING
    users: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    runtime_classes: frozenset[str] = frozenset()


def parse(document: Object | None) -> Configuration:
    """Of the decoded document. Raises OperatorError, which names all that is wrong."""
    if document is None:
        return Configuration()
    errors = Errors()
    given, exempt = _map(document, "defaults", errors), _map(document, "exemptions", errors)
    _known(document, ("apiVersion", "kind", "defaults", "exemptions"), "", errors)
    _known(given, (*MODES, *(f"{mode}-version" for mode in MODES)), "defaults.", errors)
    _known(exempt, ("usernames", "namespaces", "runtimeClasses"), "exemptions.", errors)
    found = Configuration(
        Policy(*(_standard(given, mode, errors) for mode in MODES)),
        _names(exempt, "usernames", lambda name: [] if name else ["username must not be empty"], errors),
        _names(exempt, "namespaces", names.dns_label, errors),
        _names(exempt, "runtimeClasses", names.dns_subdomain, errors),
    )
    if errors:
        raise OperatorError(f"the configuration of PodSecurity: {'; '.join(map(str, errors))}")
    return found


def _map(holder: Object, field: str, errors: Errors) -> Object:
    found = holder.get(field)
    if found is None:
        return {}
    if not isinstance(found, dict):
        errors.invalid(field, str(found), "must be a map")
        return {}
    return found


def _known(holder: Object, fields: tuple[str, ...], path: str, errors: Errors) -> None:
    for field in sorted(map(str, holder.keys() - set(fields))):
        errors.forbidden(f"{path}{field}", "there is no such field")


def _standard(given: Object, mode: str, errors: Errors) -> Standard:
    level, wrong = parse_level(given.get(mode) or PRIVILEGED)
    if wrong:
        errors.invalid(f"defaults.{mode}", given[mode], wrong)
    minor, wrong = parse_version(given.get(f"{mode}-version") or "latest")
    if wrong:
        errors.invalid(f"defaults.{mode}-version", given[f"{mode}-version"], wrong)
    return Standard(level, minor)


def _names(exempt: Object, field: str, rule: Callable[[str], list[str]], errors: Errors) -> frozenset[str]:
    seen: set[str] = set()
    listed: Any = exempt.get(field) or []
    for number, name in enumerate(listed if isinstance(listed, list) else [listed]):
        path = f"exemptions.{field}[{number}]"
        if problems := rule(name) if isinstance(name, str) else ["must be a string"]:
            errors.invalid(path, str(name), ", ".join(problems))
        elif name in seen:
            errors.duplicate(path, name)
        else:
            seen.add(name)
    return frozenset(seen)
