"""Feature gates of this process: `enabled("WatchList")`, and the flag --feature-gates that switches them.

    --feature-gates=AllAlpha=true,WatchList=false,kube:HPAScaleToZero=true

A gate that a component doesn't heed is named in its log when it starts. Source: Kubernetes documentation, "Feature
Gates"; KEP-4330 for the prefix `kube:`, which those components take that have other versions to emulate.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Collection, Iterable, Mapping

from kybern.process.daemon import OperatorError
from kybern.process.feature_table import DEPENDENCIES, GATES

log = logging.getLogger(__name__)

COMPONENT = "kube"
_STAGES = {"AllAlpha": "ALPHA", "AllBeta": "BETA"}
_BOOLEANS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True)
_BOOLEANS |= dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)

_values: dict[str, bool] = {}
version = 0
"""Changes whenever gates are switched, so that what is derived from them knows when it is stale."""


def enabled(name: str) -> bool:
    """Whether a gate is on. Raises KeyError for one that v1.36 doesn't have."""
    return _values[name]


def values() -> Mapping[str, bool]:
    """All gates."""
    return dict(_values)


def changed() -> dict[str, bool]:
    """The gates that are not at their defaults."""
    return {name: value for name, value in _values.items() if value is not GATES[name].default}


def parse(text: str, *, prefixed: bool = True) -> dict[str, bool]:
    """What `A=true,B=false` says; `prefixed`: names may begin with `kube:`. Raises ValueError."""
    found: dict[str, bool] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if prefixed and ":" in name:
            component, _, name = name.partition(":")
            if component != COMPONENT:
                raise ValueError(f"component not registered: {component}")
        if not equals:
            raise ValueError(f"missing bool value for {name}" if prefixed else "malformed pair, expect string=bool")
        if value not in _BOOLEANS:
            given = f"{name}={value}" if prefixed else f"{name}: {value}"
            raise ValueError(f'invalid value of {given}, err: strconv.ParseBool: parsing "{value}": invalid syntax')
        found[name] = _BOOLEANS[value]
    return found


def resolve(settings: Mapping[str, bool]) -> dict[str, bool]:
    """All gates as these settings make them. Raises ValueError with all that is wrong."""
    wrong = []
    for name, value in settings.items():
        gate = GATES.get(name)
        if gate is None:
            wrong.append(f"unrecognized feature gate: {name}")
        elif gate.locked and value is not gate.default:
            locked = f"feature is locked to {_shown(gate.default)}"
            wrong.append(f"cannot set feature gate {name} to {_shown(value)}, {locked}")
    staged = {stage: settings[name] for name, stage in _STAGES.items() if name in settings}
    found = {
        name: settings.get(name, gate.default if name in _STAGES else staged.get(gate.stage, gate.default))
        for name, gate in GATES.items()
    }
    for name, needed in () if wrong else DEPENDENCIES.items():
        if found[name] and (off := [other for other in needed if not found[other]]):
            wrong.append(f"{name} is enabled, but depends on features that are disabled: [{' '.join(off)}]")
    if wrong:
        raise ValueError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return found


def switch(settings: Mapping[str, bool]) -> None:
    """Switch this process's gates: those not named are at their defaults. Raises ValueError."""
    global version
    _values.update(resolve(settings))
    version += 1


def add_flag(parser: argparse.ArgumentParser) -> None:
    """--feature-gates, with what can be switched in its help."""
    known = ", ".join(
        f"{name}=true|false ({gate.stage} - default={_shown(gate.default)})"
        for name, gate in sorted(GATES.items())
        if gate.stage in _STAGES.values()
    )
    parser.add_argument("--feature-gates", action="append", default=[], metavar="NAME=BOOL,...",
        help=f"alpha and beta features to switch on or off; options are: {known}")  # fmt: skip


def start(
    flags: Iterable[str], heeded: Collection[str] = (), *, file: Mapping[str, bool] | None = None, prefixed: bool = True
) -> None:
    """Switch the gates as the flags say, and before them a configuration file; say which of those that differ from
    their defaults this component doesn't heed. Raises OperatorError."""
    try:
        settings = {**(file or {}), **parse(",".join(flags), prefixed=prefixed)}
        switch(settings)
    except ValueError as error:
        raise OperatorError(f"--feature-gates: {error}") from error
    for name, value in settings.items():
        if (stage := GATES[name].stage) in ("", "DEPRECATED"):
            log.warning("the %s feature gate %s=%s will be removed", stage.lower() or "GA", name, _shown(value))
    ours = {*heeded, *_STAGES}
    if idle := [f"{name}={_shown(value)}" for name, value in changed().items() if name not in ours]:
        log.warning("feature gates that change nothing here: %s", ", ".join(idle))


def _shown(value: bool) -> str:
    return "true" if value else "false"


switch({})
