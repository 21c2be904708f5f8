"""The metrics of a HorizontalPodAutoscaler: their rules, and how the Targets column shows them."""

from __future__ import annotations

from kybern.api import names, quantity, selectors
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.types import Object

SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
"""The field that goes with each metric type."""

_TARGETS = ("AverageValue", "Utilization", "Value")
_MAX_WINDOW, _MAX_PERIOD = 3600, 1800
_UNKNOWN = "<unknown>"


def shown(obj: Object) -> str:
    """The Targets column: `cpu: 10%/50%, 4/10`; two at most."""
    specs, statuses = at(obj, "spec", "metrics") or [], at(obj, "status", "currentMetrics") or []
    if not specs:
        return "<none>"
    found = [_one(spec, statuses[index] if index < len(statuses) else {}) for index, spec in enumerate(specs)]
    more = f" + {len(found) - 2} more..." if len(found) > 2 else ""
    return ", ".join(found[:2]) + more


def _one(spec: Object, status: Object) -> str:
    kind = spec.get("type") or ""
    source = SOURCES.get(kind)
    if source is None:
        return "<unknown type>"
    metric = spec.get(source) or {}
    target, current = metric.get("target") or {}, at(status, source, "current") or {}
    if kind in ("External", "Object"):
        if target.get("averageValue") is not None:
            return f"{current.get('averageValue', _UNKNOWN)}/{target['averageValue']} (avg)"
        return f"{current.get('value', _UNKNOWN)}/{target.get('value', _UNKNOWN)}"
    if kind == "Pods":
        return f"{current.get('averageValue', _UNKNOWN)}/{target.get('averageValue', _UNKNOWN)}"
    if target.get("averageValue") is not None:
        return f"{metric.get('name')}: {current.get('averageValue', _UNKNOWN)}/{target['averageValue']}"
    now, wanted = current.get("averageUtilization"), target.get("averageUtilization")
    used = _UNKNOWN if now is None else f"{now}%"
    return f"{metric.get('name')}: {used}/{'<auto>' if wanted is None else f'{wanted}%'}"


def validate_spec(spec: Object, errors: Errors, bound: int = 1) -> None:
    """The whole spec; `bound`: the fewest replicas that minReplicas may be."""
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < bound:
        errors.invalid("spec.minReplicas", least, f"must be greater than or equal to {bound}")
    if most < 1:
        errors.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        errors.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    _check_reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef", errors)
    for index, metric in enumerate(spec.get("metrics") or []):
        _check_metric(metric, f"spec.metrics[{index}]", errors)
    for direction in ("scaleUp", "scaleDown"):
        rules = at(spec, "behavior", direction)
        if rules is not None:
            _check_rules(rules, f"spec.behavior.{direction}", errors)


def _check_reference(reference: Object, path: str, errors: Errors) -> None:
    for name in ("kind", "name"):
        value = reference.get(name)
        if not value:
            errors.required(f"{path}.{name}")
            continue
        for problem in names.path_segment(value):
            errors.invalid(f"{path}.{name}", value, problem)


def _check_metric(metric: Object, path: str, errors: Errors) -> None:
    kind = metric.get("type")
    if not kind:
        errors.required(f"{path}.type", "must specify a metric source type")
        return
    if kind not in SOURCES:
        errors.unsupported(f"{path}.type", kind, SOURCES)
        return
    own = SOURCES[kind]
    if metric.get(own) is None:
        errors.required(f"{path}.{own}", "must populate information for the given metric source")
    for source in SOURCES.values():
        if source != own and metric.get(source) is not None:
            errors.forbidden(f"{path}.{source}", "must populate the given metric source only")
    if metric.get(own) is not None:
        _check_source(metric[own], kind, f"{path}.{own}", errors)


def _check_source(source: Object, kind: str, path: str, errors: Errors) -> None:
    if kind in ("Resource", "ContainerResource"):
        if not source.get("name"):
            errors.required(f"{path}.name", "must specify a resource name")
        if kind == "ContainerResource" and not source.get("container"):
            errors.required(f"{path}.container", "must specify a container")
    else:
        if not at(source, "metric", "name"):
            errors.required(f"{path}.metric.name", "must specify a metric name")
        selectors.validate_object(at(source, "metric", "selector"), f"{path}.metric.selector", errors)
    if kind == "Object":
        _check_reference(source.get("describedObject") or {}, f"{path}.describedObject", errors)
    target, where = source.get("target") or {}, f"{path}.target"
    if not target.get("type"):
        errors.required(f"{where}.type", "must specify a metric target type")
    if target.get("type") not in _TARGETS:
        detail = "must be either Utilization, Value, or AverageValue"
        errors.invalid(f"{where}.type", target.get("type") or "", detail)
    _check_amounts(target, where, errors)
    utilization, average, value = (target.get(k) for k in ("averageUtilization", "averageValue", "value"))
    if kind in ("Resource", "ContainerResource"):
        if utilization is None and average is None:
            errors.required(f"{where}.averageUtilization", "must set either a target raw value or a target utilization")
        if utilization is not None and average is not None:
            errors.forbidden(f"{where}.averageValue", "may not set both a target raw value and a target utilization")
    elif kind == "Pods":
        if average is None:
            errors.required(f"{where}.averageValue", "must specify a positive target averageValue")
    elif value is None and average is None:
        errors.required(f"{where}.averageValue", "must set either a target value for metric or a per-pod target")
    elif value is not None and average is not None:
        detail = "may not set both a target value for metric and a per-pod target"
        errors.forbidden(f"{where}.value", detail)


def _check_amounts(target: Object, path: str, errors: Errors) -> None:
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        errors.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0")
    for name in ("value", "averageValue"):
        given = target.get(name)
        if given is not None and quantity.parse(given) <= 0:
            errors.invalid(f"{path}.{name}", str(given), "must be positive")


def _check_rules(rules: Object, path: str, errors: Errors) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        errors.invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > _MAX_WINDOW:
        errors.invalid(f"{path}.stabilizationWindowSeconds", window, f"must be less than or equal to {_MAX_WINDOW}")
    tolerance = rules.get("tolerance")
    if tolerance is not None and quantity.parse(tolerance) < 0:
        shown = quantity.canonical(tolerance)
        errors.invalid(f"{path}.tolerance", shown, "must be greater than or equal to 0")
    select = rules.get("selectPolicy")
    if select is not None and select not in ("Disabled", "Max", "Min"):
        errors.unsupported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min"))
    if not rules.get("policies"):
        errors.required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(rules.get("policies") or []):
        here = f"{path}.policies[{index}]"
        if policy.get("type") not in ("Percent", "Pods"):
            errors.unsupported(f"{here}.type", policy.get("type") or "", ("Percent", "Pods"))
        for name in ("value", "periodSeconds"):
            if (policy.get(name) or 0) <= 0:
                errors.invalid(f"{here}.{name}", policy.get(name) or 0, "must be greater than zero")
        period = policy.get("periodSeconds") or 0
        if period > _MAX_PERIOD:
            errors.invalid(f"{here}.periodSeconds", period, f"must be less than or equal to {_MAX_PERIOD}")
