"""Rules of what steers a pod's scheduling: affinity, tolerations, topology spread, gates.

Source: API reference, Affinity v1, Toleration v1, TopologySpreadConstraint v1; KEP-3633 (label keys in affinity).
"""

from __future__ import annotations

from kybern.api import names, selectors
from kybern.api.core.podspec_checks import follows, known_if_set, supported
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.process import features

MERGE_SPREAD_KEYS = "MatchLabelKeysInPodTopologySpreadSelectorMerge"
"""The gate that makes matchLabelKeys part of a spread constraint's selector."""
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_NO_SELECTOR = "must not be specified when labelSelector is not set"
_TWICE = "exists in both matchLabelKeys and labelSelector"
_NOT_AN_OPERATOR = "not a valid selector operator"


def validate_affinity(affinity: Object, path: str, errors: Errors) -> None:
    """spec.affinity."""
    node = affinity.get("nodeAffinity")
    if node is not None:
        _node_affinity(node, f"{path}.nodeAffinity", errors)
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        for index, term in enumerate(terms.get(_REQUIRED) or ()):
            _pod_term(term, f"{path}.{kind}.{_REQUIRED}[{index}]", errors)
        for index, weighted in enumerate(terms.get(_PREFERRED) or ()):
            here = f"{path}.{kind}.{_PREFERRED}[{index}]"
            _weight(weighted, here, errors)
            _pod_term(weighted.get("podAffinityTerm") or {}, f"{here}.podAffinityTerm", errors)


def validate_tolerations(tolerations: list[Object], path: str, errors: Errors) -> None:
    """spec.tolerations."""
    for index, toleration in enumerate(tolerations):
        key, operator = toleration.get("key"), toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            follows(names.qualified_name, key, f"{path}[{index}].key", errors)
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.invalid(f"{path}[{index}].operator", operator, detail)
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            errors.invalid(f"{path}[{index}].effect", effect, detail)
        if operator == "Exists":
            if value:
                detail = "value must be empty when `operator` is 'Exists'"
                errors.invalid(f"{path}[{index}].operator", value, detail)
        elif operator in ("Equal", ""):
            problems = names.label_value(value)
            if problems:
                errors.invalid(f"{path}[{index}].operator", value, ";".join(problems))
        else:
            errors.unsupported(f"{path}[{index}].operator", operator, ("Equal", "Exists"))
        if effect and effect not in _EFFECTS:
            errors.unsupported(f"{path}[{index}].effect", effect, _EFFECTS)


def validate_topology_spread(constraints: list[Object], path: str, errors: Errors) -> None:
    """spec.topologySpreadConstraints."""
    for index, constraint in enumerate(constraints):
        here = f"{path}[{index}]"
        skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
        action, domains = constraint.get("whenUnsatisfiable") or "", constraint.get("minDomains")
        if skew <= 0:
            errors.invalid(f"{here}.maxSkew", skew, "must be greater than zero")
        if not key:
            errors.required(f"{here}.topologyKey", "can not be empty")
        supported(action, _ACTIONS, f"{here}.whenUnsatisfiable", errors)
        if any((other.get("topologyKey") or "", other.get("whenUnsatisfiable") or "") == (key, action)
               for other in constraints[index + 1 :]):  # fmt: skip
            errors.duplicate(f"{here}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
        if domains is not None:
            if domains <= 0:
                errors.invalid(f"{here}.minDomains", domains, "must be greater than zero")
            if action != "DoNotSchedule":
                detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                errors.invalid(f"{here}.minDomains", domains, detail)
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            known_if_set(constraint.get(policy), ("Honor", "Ignore"), f"{here}.{policy}", errors)
        if features.enabled(MERGE_SPREAD_KEYS):
            _label_keys(constraint, here, errors)
        else:
            _spread_keys(constraint, f"{here}.matchLabelKeys", errors)
        selectors.validate_object(constraint.get("labelSelector"), f"{here}.labelSelector", errors)


def validate_gates(gates: list[Object], path: str, errors: Errors) -> None:
    """spec.schedulingGates."""
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        follows(names.qualified_name, name, f"{path}[{index}]", errors)
        if name in seen:
            errors.duplicate(f"{path}[{index}]", name)
        seen.add(name)


def _spread_keys(constraint: Object, path: str, errors: Errors) -> None:
    keys, selector = constraint.get("matchLabelKeys") or [], constraint.get("labelSelector")
    if not keys:
        return
    if selector is None:
        errors.forbidden(path, _NO_SELECTOR)
    used = {*((selector or {}).get("matchLabels") or ()), *_expression_keys(selector)}
    for index, key in enumerate(keys):
        follows(names.qualified_name, key, f"{path}[{index}]", errors)
        if key in used:
            errors.invalid(f"{path}[{index}]", key, _TWICE)


def _expression_keys(selector: Object | None) -> list[str]:
    return [expression.get("key") or "" for expression in (selector or {}).get("matchExpressions") or ()]


def validate_node_selector(selector: Object, path: str, errors: Errors) -> None:
    """A NodeSelector: what a pod, a volume or a device needs of a node."""
    here, terms = f"{path}.nodeSelectorTerms", selector.get("nodeSelectorTerms") or []
    if not terms:
        errors.required(here, "must have at least one node selector term")
    for index, term in enumerate(terms):
        _node_term(term, f"{here}[{index}]", errors, check_values=True)


def _node_affinity(affinity: Object, path: str, errors: Errors) -> None:
    needed = affinity.get(_REQUIRED)
    if needed is not None:
        validate_node_selector(needed, f"{path}.{_REQUIRED}", errors)
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        here = f"{path}.{_PREFERRED}[{index}]"
        _weight(weighted, here, errors)
        # Upstream lets bad label values pass in preferences.
        _node_term(weighted.get("preference") or {}, f"{here}.preference", errors, check_values=False)


def _weight(weighted: Object, path: str, errors: Errors) -> None:
    weight = weighted.get("weight") or 0
    if not 1 <= weight <= 100:
        errors.invalid(f"{path}.weight", weight, "must be in the range 1-100")


def _node_term(term: Object, path: str, errors: Errors, *, check_values: bool) -> None:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        _node_expression(requirement, f"{path}.matchExpressions[{index}]", errors, check_values=check_values)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        _node_field(requirement, f"{path}.matchFields[{index}]", errors)


def _node_expression(requirement: Object, path: str, errors: Errors, *, check_values: bool) -> None:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            errors.required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        errors.invalid(f"{path}.operator", operator, _NOT_AN_OPERATOR)
    follows(names.qualified_name, requirement.get("key") or "", f"{path}.key", errors)
    if check_values:
        for index, value in enumerate(values):
            follows(names.label_value, value, f"{path}.values[{index}]", errors)


def _node_field(requirement: Object, path: str, errors: Errors) -> None:
    operator, values = requirement.get("operator") or "", requirement.get("values") or []
    if operator not in ("In", "NotIn"):
        errors.invalid(f"{path}.operator", operator, _NOT_AN_OPERATOR)
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.required(f"{path}.values", detail)
    if requirement.get("key") != "metadata.name":
        errors.invalid(f"{path}.key", requirement.get("key") or "", "not a valid field selector key")
        return
    for index, value in enumerate(values):
        follows(names.dns_subdomain, value, f"{path}.values[{index}]", errors)


def _pod_term(term: Object, path: str, errors: Errors) -> None:
    selectors.validate_object(term.get("labelSelector"), f"{path}.labelSelector", errors)
    selectors.validate_object(term.get("namespaceSelector"), f"{path}.namespaceSelector", errors)
    for namespace in term.get("namespaces") or ():
        follows(names.dns_label, namespace, f"{path}.namespace", errors)
    if term.get("matchLabelKeys") or term.get("mismatchLabelKeys"):
        _label_keys(term, path, errors)
    key = term.get("topologyKey") or ""
    if not key:
        errors.required(f"{path}.topologyKey", "can not be empty")
    follows(names.qualified_name, key, f"{path}.topologyKey", errors)


def _label_keys(term: Object, path: str, errors: Errors) -> None:
    keys, others = term.get("matchLabelKeys") or [], term.get("mismatchLabelKeys") or []
    selector = term.get("labelSelector")
    for field, listed in (("matchLabelKeys", keys), ("mismatchLabelKeys", others)):
        if listed and selector is None:
            errors.forbidden(f"{path}.{field}", _NO_SELECTOR)
            continue
        for index, key in enumerate(listed):
            follows(names.qualified_name, key, f"{path}.{field}[{index}]", errors)
    # The server itself has added one expression per key by now; any other mention is the user's.
    used = set((selector or {}).get("matchLabels") or ())
    for key in _expression_keys(selector):
        if key in keys and key in used:
            errors.invalid(f"{path}[{keys.index(key)}]", key, _TWICE)
        used.add(key)
    for index, key in enumerate(keys):
        if key in others:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.invalid(f"{path}.matchLabelKeys[{index}]", key, detail)
