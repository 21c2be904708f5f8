"""HorizontalPodAutoscaler between autoscaling/v2 and v1.

v1 knows one CPU target; it carries the rest in annotations, in the JSON upstream writes there, so a round trip through
v1 loses nothing.

Source: API reference, HorizontalPodAutoscaler v1 autoscaling.
"""

from __future__ import annotations

from typing import Any

import orjson

from kybern.api.types import Object

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, CURRENT, CONDITIONS, BEHAVIOR = (
    _PREFIX + name for name in ("metrics", "current-metrics", "conditions", "behavior")
)
_SPEC_FIELDS = ("scaleTargetRef", "minReplicas", "maxReplicas")
_STATUS_FIELDS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")


def to_v1(obj: Object) -> Object:
    """The v1 form of a v2 object."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    out_spec = {key: spec[key] for key in _SPEC_FIELDS if key in spec}
    out_status = {"currentReplicas": 0, "desiredReplicas": 0}
    out_status |= {key: status[key] for key in _STATUS_FIELDS if key in status}
    notes = _other_annotations(obj)
    cpu, others = _split(spec.get("metrics") or [], "target")
    if cpu is not None:
        out_spec["targetCPUUtilizationPercentage"] = cpu
    if others:
        notes[METRICS] = _dump([_metric_to_v1(metric) for metric in others])
    current, rest = _split(status.get("currentMetrics") or [], "current")
    if current is not None:
        out_status["currentCPUUtilizationPercentage"] = current
    if status.get("currentMetrics") and (rest or current is not None):
        notes[CURRENT] = _dump([_status_to_v1(metric) for metric in status["currentMetrics"]])
    if status.get("conditions"):
        notes[CONDITIONS] = _dump(status["conditions"])
    if spec.get("behavior") is not None:
        notes[BEHAVIOR] = _dump({_upper(key): value for key, value in spec["behavior"].items()})
    return _assemble(obj, "autoscaling/v1", notes, out_spec, out_status)


def to_v2(obj: Object) -> Object:
    """The v2 form of a v1 object. An annotation that isn't the JSON expected is dropped, as upstream does it."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    out_spec = {key: spec[key] for key in _SPEC_FIELDS if key in spec}
    out_status = {key: status[key] for key in _STATUS_FIELDS if key in status}
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    metrics = [_metric_to_v2(metric) for metric in _load_list(notes.get(METRICS))]
    percentage = spec.get("targetCPUUtilizationPercentage")
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        out_spec["metrics"] = metrics
    behavior = _load(notes.get(BEHAVIOR))
    if isinstance(behavior, dict):
        out_spec["behavior"] = {_lower(key): value for key, value in behavior.items()}
    current = [_status_to_v2(metric) for metric in _load_list(notes.get(CURRENT))]
    used = status.get("currentCPUUtilizationPercentage")
    if used is not None and not any(_is_cpu(metric) for metric in current):
        resource = {"name": "cpu", "current": {"averageUtilization": used}}
        current.append({"type": "Resource", "resource": resource})
    if current:
        out_status["currentMetrics"] = current
    conditions = _load_list(notes.get(CONDITIONS))
    if conditions:
        out_status["conditions"] = conditions
    return _assemble(obj, "autoscaling/v2", _other_annotations(obj), out_spec, out_status)


def _assemble(obj: Object, api_version: str, notes: dict[str, str], spec: Object, status: Object) -> Object:
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "annotations"}
    if notes:
        metadata["annotations"] = notes
    out: Object = {"kind": "HorizontalPodAutoscaler", "apiVersion": api_version, "metadata": metadata}
    if "spec" in obj:
        out["spec"] = spec
    if "status" in obj:
        out["status"] = status
    return out


def _other_annotations(obj: Object) -> dict[str, str]:
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    return {key: value for key, value in notes.items() if key not in (METRICS, CURRENT, CONDITIONS, BEHAVIOR)}


def _is_cpu(metric: Object) -> bool:
    return metric.get("type") == "Resource" and (metric.get("resource") or {}).get("name") == "cpu"


def _split(metrics: list[Object], holder: str) -> tuple[int | None, list[Object]]:
    """The CPU utilization that v1 has a field for, and the metrics it hasn't."""
    cpu, others = None, []
    for metric in metrics:
        value = ((metric.get("resource") or {}).get(holder) or {}).get("averageUtilization")
        if cpu is None and _is_cpu(metric) and value is not None:
            cpu = value
        else:
            others.append(metric)
    return cpu, others


_SPEC_NAMES = {
    # source: (v2 target field, v1 field)
    "resource": (("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")),
    "containerResource": (("averageUtilization", "targetAverageUtilization"), ("averageValue", "targetAverageValue")),
    "pods": (("averageValue", "targetAverageValue"),),
    "object": (("value", "targetValue"), ("averageValue", "averageValue")),
    "external": (("value", "targetValue"), ("averageValue", "targetAverageValue")),
}
_STATUS_NAMES = {
    "resource": (("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")),
    "containerResource": (("averageUtilization", "currentAverageUtilization"), ("averageValue", "currentAverageValue")),
    "pods": (("averageValue", "currentAverageValue"),),
    "object": (("value", "currentValue"), ("averageValue", "averageValue")),
    "external": (("value", "currentValue"), ("averageValue", "currentAverageValue")),
}
_TYPES = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}


def _metric_to_v1(metric: Object) -> Object:
    return _flatten(metric, "target", _SPEC_NAMES)


def _status_to_v1(metric: Object) -> Object:
    return _flatten(metric, "current", _STATUS_NAMES)


def _metric_to_v2(metric: Object) -> Object:
    return _nest(metric, "target", _SPEC_NAMES)


def _status_to_v2(metric: Object) -> Object:
    return _nest(metric, "current", _STATUS_NAMES)


def _flatten(metric: Object, holder: str, names: dict[str, tuple[tuple[str, str], ...]]) -> Object:
    """v2 nests the metric's name and amounts; v1 lays them flat."""
    out: Object = {"type": metric.get("type")}
    for source, fields in names.items():
        inner = metric.get(source)
        if inner is None:
            continue
        flat: Object = {key: inner[key] for key in ("name", "container") if key in inner}
        if "describedObject" in inner:
            flat["target"] = inner["describedObject"]
        about = inner.get("metric") or {}
        if "name" in about:
            flat["metricName"] = about["name"]
        if about.get("selector") is not None:
            flat["metricSelector" if source == "external" else "selector"] = about["selector"]
        amounts = inner.get(holder) or {}
        for new, old in fields:
            if amounts.get(new) is not None:
                flat[old] = amounts[new]
        out[source] = flat
    return out


def _nest(metric: Object, holder: str, names: dict[str, tuple[tuple[str, str], ...]]) -> Object:
    out: Object = {"type": metric.get("type")}
    for source, fields in names.items():
        flat = metric.get(source)
        if not isinstance(flat, dict):
            continue
        inner: Object = {key: flat[key] for key in ("name", "container") if key in flat}
        if "target" in flat:
            inner["describedObject"] = flat["target"]
        if "metricName" in flat:
            inner["metric"] = {"name": flat["metricName"]}
            selector = flat.get("metricSelector" if source == "external" else "selector")
            if selector is not None:
                inner["metric"]["selector"] = selector
        amounts: Object = {new: flat[old] for new, old in fields if flat.get(old) is not None}
        if holder == "target" and amounts:
            # Upstream's objects may carry a zero targetValue beside an average; the average is what was meant.
            amounts = {"type": _TYPES[next(iter(amounts))], **amounts}
        inner[holder] = amounts
        out[source] = inner
    return out


def _upper(key: str) -> str:
    """Upstream writes the behavior with its Go field names."""
    return key[:1].upper() + key[1:]


def _lower(key: str) -> str:
    return key[:1].lower() + key[1:]


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _load(text: str | None) -> Any:
    try:
        return orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None


def _load_list(text: str | None) -> list[Any]:
    found = _load(text)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
