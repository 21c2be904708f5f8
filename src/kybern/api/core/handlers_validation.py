"""Rules of probes and lifecycle hooks. Source: API reference, Probe v1, Lifecycle v1; KEP-3960, KEP-4960."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api import names
from kybern.api.core.podspec_checks import Surroundings, follows, supported
from kybern.api.field import Errors
from kybern.api.types import Object

_COUNTS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_SCHEMES = ("HTTP", "HTTPS")
_PLAIN_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
)
_SIGNALS = {
    "linux": (
        *(f"SIG{name}" for name in _PLAIN_SIGNALS.split()),
        *(f"SIGRTMIN+{number}" for number in range(1, 16)),
        *(f"SIGRTMAX-{number}" for number in range(1, 15)),
    ),
    "windows": ("SIGKILL", "SIGTERM"),
}


def validate_probes(container: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """Liveness, readiness and startup probes of a container that may have them."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        here = f"{path}.{name}"
        _probe(probe, here, errors, around)
        if name == "readinessProbe":
            if probe.get("terminationGracePeriodSeconds") is not None:
                seconds = probe["terminationGracePeriodSeconds"]
                errors.invalid(f"{here}.terminationGracePeriodSeconds", seconds, "must not be set for readinessProbes")
        elif probe.get("successThreshold") != 1:
            errors.invalid(f"{here}.successThreshold", probe.get("successThreshold") or 0, "must be 1")


def validate_lifecycle(lifecycle: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """A container's hooks and its stop signal."""
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            _handler(lifecycle[hook], ("exec", "httpGet", "tcpSocket", "sleep"), f"{path}.{hook}", errors, around)
    signal = lifecycle.get("stopSignal")
    if signal is not None:
        if not around.os:
            errors.forbidden(f"{path}.stopSignal", "may not be set for containers with empty `spec.os.name`")
        elif around.os in _SIGNALS:
            supported(signal, _SIGNALS[around.os], f"{path}.stopSignal", errors)


def _probe(probe: Object, path: str, errors: Errors, around: Surroundings) -> None:
    _handler(probe, ("exec", "httpGet", "tcpSocket", "grpc"), path, errors, around)
    for key in _COUNTS:
        value = probe.get(key)
        if value is not None and value < 0:
            errors.invalid(f"{path}.{key}", value, "must be greater than or equal to 0")
    grace = probe.get("terminationGracePeriodSeconds")
    if grace is not None and grace <= 0:
        errors.invalid(f"{path}.terminationGracePeriodSeconds", grace, "must be greater than 0")


def _handler(handler: Object, kinds: tuple[str, ...], path: str, errors: Errors, around: Surroundings) -> None:
    found = False
    for kind in kinds:
        action = handler.get(kind)
        if action is None:
            continue
        if found:
            errors.forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
        else:
            found = True
            _ACTIONS[kind](action, f"{path}.{kind}", errors, around)
    if not found:
        errors.required(path, "must specify a handler type")


def _exec(action: Object, path: str, errors: Errors, _around: Surroundings) -> None:
    if not action.get("command"):
        errors.required(f"{path}.command")


def _http_get(action: Object, path: str, errors: Errors, around: Surroundings) -> None:
    if not action.get("path"):
        errors.required(f"{path}.path")
    _port(action, path, errors, around)
    supported(action.get("scheme"), _SCHEMES, f"{path}.scheme", errors)
    for header in action.get("httpHeaders") or ():
        follows(names.http_header, header.get("name") or "", f"{path}.httpHeaders", errors)


def _port(action: Object, path: str, errors: Errors, _around: Surroundings) -> None:
    port = action.get("port")
    if isinstance(port, str):
        follows(names.port_name, port, f"{path}.port", errors)
    else:
        for problem in names.port_number(port or 0):
            errors.invalid(f"{path}.port", port or 0, problem)


def _sleep(action: Object, path: str, errors: Errors, around: Surroundings) -> None:
    seconds = action.get("seconds") or 0
    if around.grace is not None and not 0 <= seconds <= around.grace:
        detail = f"must be non-negative and less than terminationGracePeriodSeconds ({around.grace})"
        errors.invalid(path, seconds, detail)


_ACTIONS: dict[str, Callable[[Object, str, Errors, Surroundings], None]] = {
    "exec": _exec,
    "httpGet": _http_get,
    "tcpSocket": _port,
    "grpc": _port,
    "sleep": _sleep,
}
