"""FlowSchema, flowcontrol.apiserver.k8s.io/v1: which requests go to which priority level, and as which flows.

Source: API reference, FlowSchema v1 flowcontrol.apiserver.k8s.io; KEP-1040.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kybern.api import meta, names, validation
from kybern.api.cells import at, text
from kybern.api.field import Errors
from kybern.api.flowcontrol import bootstrap
from kybern.api.resource import AGE, METADATA, Column, Resource
from kybern.api.types import Object

MAX_PRECEDENCE = 10_000
VERBS = frozenset(("get", "list", "create", "update", "delete", "deletecollection", "patch", "watch", "proxy"))
SUBJECTS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}
DANGLING = "Dangling"


def _dangling(obj: Object) -> str:
    for condition in at(obj, "status", "conditions") or ():
        if condition.get("type") == DANGLING:
            return str(condition.get("status") or "")
    return "?"


class FlowSchema(Resource):
    group, kind, plural = bootstrap.GROUP, "FlowSchema", "flowschemas"
    namespaced = False
    has_status = True
    status_keeps = METADATA
    columns = (
        Column("PriorityLevel", "string", text("spec", "priorityLevelConfiguration", "name")),
        Column("MatchingPrecedence", "string", lambda o: str(at(o, "spec", "matchingPrecedence") or 0)),
        Column("DistinguisherMethod", "string", text("spec", "distinguisherMethod", "type", default="<none>")),
        AGE,
        Column("MissingPL", "string", _dangling),
    )

    def default(self, obj: Object) -> None:
        spec = obj.get("spec")
        if isinstance(spec, dict) and not spec.get("matchingPrecedence"):
            spec["matchingPrecedence"] = 1000

    def validate(self, obj: Object, errors: Errors) -> None:
        name, spec = obj["metadata"].get("name") or "", obj.get("spec") or {}
        _precedence(name, spec.get("matchingPrecedence") or 0, errors)
        method = spec.get("distinguisherMethod")
        if method is not None and method.get("type") not in (bootstrap.BY_NAMESPACE, bootstrap.BY_USER):
            known = (bootstrap.BY_NAMESPACE, bootstrap.BY_USER)
            errors.unsupported("spec.distinguisherMethod.type", method, known)
        level, path = at(spec, "priorityLevelConfiguration", "name"), "spec.priorityLevelConfiguration.name"
        if level:
            validation.name(level, path, errors)
        else:
            errors.required(path, "must reference a priority level")
        for number, rule in enumerate(spec.get("rules") or ()):
            _rules(rule, f"spec.rules[{number}]", errors)
        if name in bootstrap.MANDATORY and not meta.same(spec, _MANDATORY[name]):
            errors.invalid("spec", spec, f"spec of '{name}' must equal the fixed value")

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        conditions(obj, errors)


def conditions(obj: Object, errors: Errors) -> None:
    """The conditions of a status: each of a type of its own."""
    seen: set[str] = set()
    for number, condition in enumerate(at(obj, "status", "conditions") or ()):
        path, type_ = f"status.conditions[{number}].type", condition.get("type") or ""
        if type_ in seen:
            errors.duplicate(path, type_)
        seen.add(type_)
        if not type_:
            errors.required(path, "must not be empty")


_MANDATORY = {obj["metadata"]["name"]: obj["spec"] for obj in bootstrap.flow_schemas()}


def _precedence(name: str, value: int, errors: Errors) -> None:
    path = "spec.matchingPrecedence"
    if value <= 0:
        errors.invalid(path, value, "must be a positive value")
    if value > MAX_PRECEDENCE:
        errors.invalid(path, value, f"must not be greater than {MAX_PRECEDENCE}")
    if value == 1 and name != bootstrap.EXEMPT:
        errors.invalid(path, value, "only the schema named 'exempt' may have matchingPrecedence 1")


def _rules(rule: Object, path: str, errors: Errors) -> None:
    subjects = rule.get("subjects") or ()
    if not subjects:
        errors.required(f"{path}.subjects", "subjects must contain at least one value")
    for number, subject in enumerate(subjects):
        _subject(subject, f"{path}.subjects[{number}]", errors)
    resources, paths = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not paths:
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for number, each in enumerate(resources):
        _resource_rule(each, f"{path}.resourceRules[{number}]", errors)
    for number, each in enumerate(paths):
        _path_rule(each, f"{path}.nonResourceRules[{number}]", errors)


def _subject(subject: Object, path: str, errors: Errors) -> None:
    kind = subject.get("kind") or ""
    own = SUBJECTS.get(kind)
    if own is None:
        errors.unsupported(f"{path}.kind", kind, SUBJECTS)
        return
    value = subject.get(own)
    if value is None:
        errors.required(f"{path}.{own}", f"{own} is required when subject kind is '{kind}'")
    elif not value.get("name"):
        errors.required(f"{path}.{own}.name")
    elif kind == "ServiceAccount" and value["name"] != "*":
        validation.name(value["name"], f"{path}.{own}.name", errors)
    if value is not None and kind == "ServiceAccount":
        namespace = value.get("namespace")
        if not namespace:
            errors.required(f"{path}.{own}.namespace", "must specify namespace for service account")
        else:
            validation.name(namespace, f"{path}.{own}.namespace", errors, "dns_label")
    for other, field in SUBJECTS.items():
        if field != own and subject.get(field) is not None:
            errors.forbidden(f"{path}.{field}", f"{field} is forbidden when subject kind is not '{other}'")


def _resource_rule(rule: Object, path: str, errors: Errors) -> None:
    _verbs(rule.get("verbs") or [], path, errors)
    for field, one, many in (("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")):
        values = rule.get(field) or []
        if not values:
            errors.required(f"{path}.{field}", f"resource rules must supply at least one {one}")
        elif len(values) > 1 and "*" in values:
            errors.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {many}")
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        errors.required(f"{path}.namespaces", detail)
    elif "*" in namespaces:
        if len(namespaces) > 1:
            errors.invalid(f"{path}.namespaces", namespaces, "if '*' is present, must not specify other namespaces")
        return
    for number, namespace in enumerate(namespaces):
        for problem in names.dns_label(namespace):
            detail = f"each member of this list must be '*' or a DNS-1123 label; {problem}"
            errors.invalid(f"{path}.namespaces[{number}]", namespace, detail)


def _path_rule(rule: Object, path: str, errors: Errors) -> None:
    _verbs(rule.get("verbs") or [], path, errors)
    urls, path = rule.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not urls:
        errors.required(path, "nonResourceURLs must contain at least one value")
    elif "*" in urls:
        if len(urls) > 1:
            errors.invalid(path, urls, "if '*' is present, must not specify other non-resource URLs")
    else:
        for number, url in enumerate(urls):
            for problem in _url_problems(url):
                errors.invalid(f"{path}[{number}]", url, problem)


def _verbs(verbs: Sequence[str], path: str, errors: Errors) -> None:
    path = f"{path}.verbs"
    if not verbs:
        errors.required(path, "verbs must contain at least one value")
    elif "*" in verbs:
        if len(verbs) > 1:
            errors.invalid(path, verbs, "if '*' is present, must not specify other verbs")
    elif not VERBS.issuperset(verbs):
        errors.unsupported(path, verbs, VERBS)


def _url_problems(url: str) -> Iterable[str]:
    """What is wrong with a path of a rule: the first thing only."""
    if not url:
        return ("must not be empty",)
    if url == "/":
        return ()
    if not url.startswith("/"):
        return ("must start with slash",)
    if " " in url:
        return ("must not contain white-space",)
    if "//" in url:
        return ("must not contain double slash",)
    stars = url.count("*")
    if stars > 1 or (stars == 1 and not url.endswith("/*")):
        return ("wildcard can only do suffix matching",)
    return ()
