"""--runtime-config: which versions of which kinds are served. Stable ones are unless it says no, others if it says yes.

    api/all, api/ga, api/beta, api/alpha    all versions of a stage; the later of these prevail
    <group>/<version>                       prevails over them
    <group>/<version>/<resource>            prevails over all

Kinds that have a feature gate are served only while it is on.
Source: Kubernetes documentation, "Enabling or disabling API groups"; KEP-3136 Beta APIs are off by default.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from kybern.api.scheme import Scheme, stable
from kybern.process import features
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

STAGES = {
    "api/all": re.compile(r".*"),
    "api/ga": re.compile(r"v\d+"),
    "api/beta": re.compile(r"v\d+beta\d+"),
    "api/alpha": re.compile(r"v\d+alpha\d+"),
}
"""In the order in which they are heeded."""
_BOOLEANS = {"": True} | dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True)
_BOOLEANS |= dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)


def apply(scheme: Scheme, config: Mapping[str, str]) -> Scheme:
    """Have the scheme serve what the flag says; gives the scheme. Raises OperatorError."""
    if config:
        chosen = _chosen(scheme, config)
        gates = {(kind.group, kind.plural): kind.gate for kind in scheme if kind.gate}
        stages = [(STAGES[key], _stage(key, config[key])) for key in STAGES if key in config]

        def served(group: str, version: str, plural: str) -> bool:
            found = stable(group, version, plural)
            for pattern, on in stages:
                if pattern.fullmatch(version):
                    found = on
            found = chosen.get((group, version), found)
            found = chosen.get((group, version, plural), found)
            gate = gates.get((group, plural))
            if found and gate and not features.enabled(gate):
                log.warning("%s/%s %s is not served: the feature gate %s is off", group, version, plural, gate)
                return False
            return found

        scheme.serve(served)
    return scheme


def _stage(key: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise OperatorError(f"--runtime-config: invalid value {key}={value}")
    return value == "true"


def _chosen(scheme: Scheme, config: Mapping[str, str]) -> dict[tuple[str, ...], bool]:
    """What is said of single versions and resources."""
    if dict(config) == {"api/all": "false"}:
        raise OperatorError("--runtime-config: invalid key with only api/all=false")
    known = {(kind.group, version) for kind in scheme for version in type(kind).versions}
    found: dict[tuple[str, ...], bool] = {}
    for key, value in config.items():
        if key in STAGES:
            continue
        parts = tuple(key.split("/"))
        if len(parts) not in (2, 3):
            raise OperatorError(f"--runtime-config: runtime-config invalid key {key}")
        if parts[0] not in {group for group, _ in known}:
            raise OperatorError(f"--runtime-config: unknown api groups {parts[0]}")
        if parts[:2] not in known:
            raise OperatorError(f"--runtime-config: group version {'/'.join(parts[:2])} that has not been registered")
        if value not in _BOOLEANS:
            raise OperatorError(f'--runtime-config: invalid value of {key}: {value}; write true or false')
        if key.lower() != key and len(parts) == 3:
            raise OperatorError(
                f"--runtime-config: invalid key {key}: group/version/resource and resource is always lowercase plural, "
                f'not "{parts[2]}"'
            )
        found[parts] = _BOOLEANS[value]
    return found
