"""Rules of a Job's spec, on its own and in a CronJob. Source: API reference, JobSpec v1 batch; the texts are
upstream's."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from kybern.api import names, selectors, validation
from kybern.api.batch import indexes
from kybern.api.batch.job_status_validation import is_true
from kybern.api.cells import at
from kybern.api.core.podspec import validate_pod_template
from kybern.api.field import OMITTED, Errors
from kybern.api.meta import same
from kybern.api.types import Object

_MAX_PARALLELISM = 100_000
_SOFT_LIMIT, _LIMIT_WHEN_HIGH = 100_000, 10_000
_MAX_RULES, _MAX_VALUES, _MAX_PATTERNS, _MAX_TEXT = 20, 255, 20, 64 * 1024
_MANAGED_BY_LENGTH = 63
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_PATH = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", re.ASCII)
_IMMUTABLE = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
           "backoffLimitPerIndex", "maxFailedIndexes")  # fmt: skip


class _Labels(NamedTuple):
    """The labels by which a Job knows its pods; those without a prefix are from before there was one."""

    uid: str = "batch.kubernetes.io/controller-uid"
    name: str = "batch.kubernetes.io/job-name"
    old_uid: str = "controller-uid"
    old_name: str = "job-name"


LABELS = _Labels()


def generated_labels(meta: Object) -> dict[str, str]:
    """The labels that tell one Job's pods from another's."""
    name, uid = str(meta.get("name") or ""), str(meta.get("uid") or "")
    return {LABELS.uid: uid, LABELS.name: name, LABELS.old_uid: uid, LABELS.old_name: name}


def validate_generated_selector(obj: Object, errors: Errors) -> None:
    """A generated selector and the labels of the template must be as generated."""
    spec = obj["spec"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    if not obj["metadata"].get("uid"):
        errors.required("metadata.uid")
    labels, path = at(spec, "template", "metadata", "labels") or {}, "spec.template.metadata.labels"
    wanted = generated_labels(obj["metadata"])
    for key in (LABELS.old_uid, LABELS.old_name, LABELS.uid, LABELS.name):
        if key not in labels:
            errors.required(f"{path}[{key}]", f"must be '{wanted[key]}'")
        elif labels[key] != wanted[key]:
            errors.invalid(f"{path}[{key}]", labels[key], f"must be '{wanted[key]}'")
    try:
        matches = selectors.from_object(spec["selector"]).matches(wanted)
    except selectors.SelectorError:
        return
    if not matches:
        errors.invalid("spec.selector", spec["selector"], "`selector` not auto-generated")


def validate_job(obj: Object, errors: Errors) -> None:
    """A Job's own spec: what validate_job_spec checks, the selector, and that its pods' hostnames will do."""
    spec = obj["spec"]
    _check_spec_and_selector(spec, errors)
    completions, name = spec.get("completions"), obj["metadata"].get("name") or ""
    if spec.get("completionMode") == "Indexed" and completions and completions > 0:
        hostname = f"{name}-{completions - 1}"
        if names.dns_label(hostname):
            detail = f"will not able to create pod with invalid DNS label: {hostname}"
            errors.invalid("metadata.name", name, detail)


def validate_job_update(obj: Object, old: Object, errors: Errors) -> None:
    """What may change in a Job: not much, but more while it is suspended."""
    spec, before = obj["spec"], old["spec"]
    _check_spec_and_selector(spec, errors)
    _check_completions(spec, before, errors)
    validation.unchanged(spec.get("selector"), before.get("selector"), "spec.selector", errors)
    template = spec.get("template") or {}
    if not same(template, _as_far_as_mutable(template, old)):
        errors.invalid("spec.template", template, validation.IMMUTABLE)
    for key in _IMMUTABLE:
        validation.unchanged(spec.get(key), before.get(key), f"spec.{key}", errors)


def validate_job_spec(spec: Object, path: str, errors: Errors) -> None:
    """A JobSpec at `path`, without its selector."""
    validation.all_not_negative(spec, path, _COUNTS, errors)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if spec.get("managedBy") is not None:
        _check_managed_by(spec["managedBy"], f"{path}.managedBy", errors)
    mode = spec.get("completionMode") or "NonIndexed"
    if mode not in ("NonIndexed", "Indexed"):
        errors.unsupported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        _check_indexed(spec, path, errors)
    if mode == "NonIndexed":
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                errors.invalid(f"{path}.{key}", spec[key], "requires indexed completion mode")
    if spec.get("podFailurePolicy") is not None:
        _check_failure_policy(spec, f"{path}.podFailurePolicy.rules", errors)
    if spec.get("successPolicy") is not None:
        if mode != "Indexed":
            errors.invalid(f"{path}.successPolicy", spec["successPolicy"], "requires indexed completion mode")
        else:
            _check_success_policy(spec, f"{path}.successPolicy.rules", errors)
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in allowed:
        errors.unsupported(f"{path}.podReplacementPolicy", replacement, allowed)
    validate_pod_template(spec.get("template") or {}, f"{path}.template", errors)
    _check_restart_policy(spec, f"{path}.template.spec.restartPolicy", errors)


def _check_spec_and_selector(spec: Object, errors: Errors) -> None:
    validate_job_spec(spec, "spec", errors)
    wanted, before = spec.get("selector"), len(errors)
    if wanted is None:
        errors.required("spec.selector")
        return
    selectors.validate_object(wanted, "spec.selector", errors)
    if len(errors) == before:
        validation.template_selected({"spec": spec}, errors)


def _check_restart_policy(spec: Object, path: str, errors: Errors) -> None:
    policy = at(spec, "template", "spec", "restartPolicy")
    if policy in (None, "", "Always"):
        errors.required(path, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        errors.unsupported(path, policy, ("OnFailure", "Never"))
    elif spec.get("podFailurePolicy") is not None and policy != "Never":
        errors.invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified')


def _check_managed_by(value: str, path: str, errors: Errors) -> None:
    """A domain-prefixed path such as `example.com/controller`."""
    domain, slash, rest = value.partition("/")
    if not value:
        errors.required(path)
    elif not slash or not domain or not rest:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errors.invalid(path, value, detail)
    else:
        for problem in names.dns_subdomain(domain):
            errors.invalid(path, domain, problem)
        if not _PATH.fullmatch(rest):
            errors.invalid(path, rest, f"Invalid path (regex used for validation is '{_PATH.pattern}')")
    if len(value) > _MANAGED_BY_LENGTH:
        errors.too_long(path, _MANAGED_BY_LENGTH)


def _check_indexed(spec: Object, path: str, errors: Errors) -> None:
    completions, parallelism, failed = (spec.get(key) for key in ("completions", "parallelism", "maxFailedIndexes"))
    if completions is None:
        errors.required(f"{path}.completions", "when completion mode is Indexed")
    if parallelism is not None and parallelism > _MAX_PARALLELISM:
        detail = f"must be less than or equal to {_MAX_PARALLELISM} when completion mode is Indexed"
        errors.invalid(f"{path}.parallelism", parallelism, detail)
    if failed is not None:
        if completions is not None and failed > completions:
            errors.invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
        if failed > _SOFT_LIMIT:
            errors.invalid(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_SOFT_LIMIT}")
    if completions is None or completions <= _SOFT_LIMIT or spec.get("backoffLimitPerIndex") is None:
        return
    high = f"when completions are above {_SOFT_LIMIT} and used with backoff limit per index"
    if failed is None:
        errors.required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {_SOFT_LIMIT}")
    for key, value in (("parallelism", parallelism), ("maxFailedIndexes", failed)):
        if value is not None and value > _LIMIT_WHEN_HIGH:
            errors.invalid(f"{path}.{key}", value, f"must be less than or equal to {_LIMIT_WHEN_HIGH} {high}")


def _check_failure_policy(spec: Object, path: str, errors: Errors) -> None:
    rules = spec["podFailurePolicy"].get("rules") or []
    if len(rules) > _MAX_RULES:
        errors.too_many(path, len(rules), _MAX_RULES)
    pod = at(spec, "template", "spec") or {}
    containers = {one.get("name") for key in ("containers", "initContainers") for one in pod.get(key) or ()}
    for index, rule in enumerate(rules):
        here, action = f"{path}[{index}]", rule.get("action")
        if not action:
            errors.required(f"{here}.action", 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]')
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            errors.invalid(f"{here}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in _ACTIONS:
            errors.unsupported(f"{here}.action", action, _ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None:
            _check_exit_codes(codes, f"{here}.onExitCodes", containers, errors)
        _check_patterns(conditions, f"{here}.onPodConditions", errors)
        if codes is not None and conditions:
            errors.invalid(here, OMITTED, "specifying both OnExitCodes and OnPodConditions is not supported")
        if codes is None and not conditions:
            errors.invalid(here, OMITTED, "specifying one of OnExitCodes and OnPodConditions is required")


def _check_patterns(patterns: list[Object], path: str, errors: Errors) -> None:
    if len(patterns) > _MAX_PATTERNS:
        errors.too_many(path, len(patterns), _MAX_PATTERNS)
    for index, pattern in enumerate(patterns):
        type = pattern.get("type") or ""
        for problem in names.qualified_name(type):
            errors.invalid(f"{path}[{index}].type", type, problem)
        if pattern.get("status") not in ("True", "False", "Unknown"):
            errors.unsupported(f"{path}[{index}].status", pattern.get("status"), ("False", "True", "Unknown"))


def _check_exit_codes(codes: Object, path: str, containers: set[Any], errors: Errors) -> None:
    operator, values = codes.get("operator"), codes.get("values") or []
    if not operator:
        errors.required(f"{path}.operator", 'valid values: ["In" "NotIn"]')
    elif operator not in ("In", "NotIn"):
        errors.unsupported(f"{path}.operator", operator, ("In", "NotIn"))
    if codes.get("containerName") is not None and codes["containerName"] not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.invalid(f"{path}.containerName", codes["containerName"], detail)
    if not values:
        errors.invalid(f"{path}.values", values, "at least one value is required")
    elif len(values) > _MAX_VALUES:
        errors.too_many(f"{path}.values", len(values), _MAX_VALUES)
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in values[:index]:
            errors.duplicate(f"{path}.values[{index}]", value)
    if values != sorted(values):
        errors.invalid(f"{path}.values", values, "must be ordered")


def _check_success_policy(spec: Object, path: str, errors: Errors) -> None:
    rules, completions = spec["successPolicy"].get("rules") or [], spec.get("completions") or 0
    if not rules:
        errors.required(path, "at least one rules must be specified when the successPolicy is specified")
    if len(rules) > _MAX_RULES:
        errors.too_many(path, len(rules), _MAX_RULES)
    for index, rule in enumerate(rules):
        here, count, text = f"{path}[{index}]", rule.get("succeededCount"), rule.get("succeededIndexes")
        if count is None and text is None:
            errors.required(here, "at least one of succeededCount or succeededIndexes must be specified")
        listed = indexes.IndexSet()
        if text is not None:
            if len(text) > _MAX_TEXT:
                errors.too_long(f"{here}.succeededIndexes", _MAX_TEXT)
            listed, problem = indexes.check(text, completions)
            if problem:
                errors.invalid(f"{here}.succeededIndexes", text, f"error parsing succeededIndexes: {problem}")
        if count is None:
            continue
        validation.not_negative(count, f"{here}.succeededCount", errors)
        if count > completions:
            detail = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.invalid(f"{here}.succeededCount", count, detail)
        if text is not None and count > len(listed):
            what = "(the number of indexes in the specified succeededIndexes field)"
            errors.invalid(f"{here}.succeededCount", count, f"must be less than or equal to {len(listed)} {what}")


def _check_completions(spec: Object, before: Object, errors: Errors) -> None:
    """Indexed Jobs may grow and shrink, completions and parallelism together."""
    completions = spec.get("completions")
    if spec.get("completionMode") != "Indexed":
        validation.unchanged(completions, before.get("completions"), "spec.completions", errors)
    elif completions not in (None, before.get("completions"), spec.get("parallelism")):
        errors.invalid("spec.completions", completions, "can only be modified in tandem with spec.parallelism")


def _as_far_as_mutable(template: Object, old: Object) -> Object:
    """The old template with what may change taken from the new: where its pods go and what they get, while the Job is
    suspended and has no pods."""
    spec: Object = old["spec"]
    before: Object = spec.get("template") or {}
    if not spec.get("suspend"):
        return before
    status = old.get("status") or {}
    if status.get("startTime") and (not is_true(old, "Suspended") or status.get("active")):
        return before
    new, kept = template.get("spec") or {}, dict(before.get("spec") or {})
    for key in ("nodeSelector", "tolerations", "schedulingGates"):
        kept[key] = new.get(key)
    affinity = {**(kept.get("affinity") or {}), "nodeAffinity": at(new, "affinity", "nodeAffinity")}
    kept["affinity"] = affinity
    for key in ("containers", "initContainers"):
        asked = {one.get("name"): one.get("resources") for one in new.get(key) or ()}
        kept[key] = [{**one, "resources": asked.get(one.get("name"))} for one in kept.get(key) or ()]
    given, meta = template.get("metadata") or {}, dict(before.get("metadata") or {})
    meta |= {key: given.get(key) for key in ("annotations", "labels")}
    return {**before, "metadata": meta, "spec": kept}
