"""What mutating and validating webhook configurations have in common: defaults and rules.

An update forgives what the object had before: side effects, review versions and names that are refused today.
Source: API reference, ValidatingWebhookConfiguration v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from kybern.api import names, selectors
from kybern.api.admissionregistration import clients, conditions, rules
from kybern.api.cells import size
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

VERSIONS = ("v1", "v1beta1")
"""Of AdmissionReview, that this server speaks."""
NO_EFFECTS = ("None", "NoneOnDryRun")
_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
_CHOICES = (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact")))


class WebhookConfiguration(Resource):
    """The base of both kinds."""

    group, namespaced = "admissionregistration.k8s.io", False
    categories = ("api-extensions",)
    columns = (Column("Webhooks", "integer", size("webhooks")), AGE)

    def default(self, obj: Object) -> None:
        for hook in obj.get("webhooks") or ():
            self.default_hook(hook)

    def default_hook(self, hook: Object) -> None:
        """Fill in what one webhook leaves out."""
        hook["failurePolicy"] = hook.get("failurePolicy") or "Fail"
        hook["matchPolicy"] = hook.get("matchPolicy") or "Equivalent"
        for field in ("namespaceSelector", "objectSelector"):
            if hook.get(field) is None:
                hook[field] = {}
        if hook.get("timeoutSeconds") is None:
            hook["timeoutSeconds"] = 10
        clients.default(hook.get("clientConfig"))
        for rule in hook.get("rules") or ():
            rules.default(rule)

    def validate(self, obj: Object, errors: Errors) -> None:
        self._validate(obj, None, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        self._validate(obj, old, errors)

    def _validate(self, obj: Object, old: Object | None, errors: Errors) -> None:
        before = (old or {}).get("webhooks") or []
        said = [hook.get("name") for hook in before]
        unique = len(set(said)) == len(said)
        seen: set[str] = set()
        for index, hook in enumerate(obj.get("webhooks") or ()):
            path = f"webhooks[{index}]"
            self.validate_hook(hook, before, path, errors)
            name = hook.get("name") or ""
            if unique and name in seen:
                errors.duplicate(f"{path}.name", name)
            seen.add(name)

    def validate_hook(self, hook: Object, before: list[Object], path: str, errors: Errors) -> None:
        """The rules of one webhook, given those that the configuration had."""
        _validate_name(hook.get("name") or "", f"{path}.name", errors)
        for index, rule in enumerate(hook.get("rules") or ()):
            rules.validate(rule, f"{path}.rules[{index}]", errors)
        for field, allowed in _CHOICES:
            if hook.get(field) is not None and hook[field] not in allowed:
                errors.unsupported(f"{path}.{field}", hook[field], allowed)
        effects, had_some = hook.get("sideEffects"), any(one.get("sideEffects") not in NO_EFFECTS for one in before)
        if effects is None:
            words = ", ".join(_EFFECTS if had_some else NO_EFFECTS)
            errors.required(f"{path}.sideEffects", f"must specify one of {words}")
        elif effects not in (_EFFECTS if had_some else NO_EFFECTS):
            errors.unsupported(f"{path}.sideEffects", effects, _EFFECTS if had_some else NO_EFFECTS)
        seconds = hook.get("timeoutSeconds")
        if seconds is not None and not 1 <= seconds <= 30:
            detail = "the timeout value must be between 1 and 30 seconds"
            errors.invalid(f"{path}.timeoutSeconds", seconds, detail)
        for field in ("namespaceSelector", "objectSelector"):
            selectors.validate_object(hook.get(field), f"{path}.{field}", errors)
        clients.validate(hook.get("clientConfig") or {}, f"{path}.clientConfig", errors)
        had = [one.get("matchConditions") for one in before]
        if hook.get("matchConditions") not in had:
            conditions.validate(hook.get("matchConditions") or [], f"{path}.matchConditions", errors)
        known = all(set(VERSIONS) & set(one.get("admissionReviewVersions") or VERSIONS) for one in before)
        _validate_versions(hook.get("admissionReviewVersions") or [], known, f"{path}.admissionReviewVersions", errors)


def _validate_name(name: str, path: str, errors: Errors) -> None:
    if not name:
        errors.required(path)
    elif problems := names.dns_subdomain(name):
        errors.invalid(path, name, ",".join(problems))
    elif name.count(".") < 2:
        errors.invalid(path, name, "should be a domain with at least three segments separated by dots")


def _validate_versions(versions: list[str], known: bool, path: str, errors: Errors) -> None:
    if not versions:
        errors.required(path, f"must specify one of {', '.join(VERSIONS)}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        for problem in names.dns1035_label(version):
            errors.invalid(f"{path}[{index}]", version, problem)
    if known and not set(versions) & set(VERSIONS):
        errors.invalid(path, versions, f"must include at least one of {', '.join(VERSIONS)}")
