"""What is asked of an authorizer, as access reviews spell it, and back.

Source: API reference, SubjectAccessReview v1 authorization.k8s.io (ResourceAttributes, NonResourceAttributes).
"""

from __future__ import annotations

from collections.abc import Callable

from kybern.api import selectors
from kybern.api.errors import BadRequest
from kybern.api.types import Object
from kybern.apiserver.request import RequestInfo, UserInfo

_WORDS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
_OPERATORS = {"in": "In", "=": "In", "notin": "NotIn", "!=": "NotIn", "exists": "Exists", "!": "DoesNotExist"}


def spec_of(user: UserInfo, info: RequestInfo) -> Object:
    """The spec of a SubjectAccessReview (v1)."""
    spec: Object = {"user": user.name}
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    if not info.is_resource:
        spec["nonResourceAttributes"] = _given(path=info.path, verb=info.verb)
        return spec
    attributes: Object = _given(
        namespace=info.namespace,
        verb=info.verb,
        group=info.group,
        version=info.version,
        resource=info.resource,
        subresource=info.subresource,
        name=info.name,
    )
    for field, requirements in (
        ("fieldSelector", _field_requirements(info.fields)),
        ("labelSelector", _label_requirements(info.labels)),
    ):
        if requirements:
            attributes[field] = {"requirements": requirements}
    spec["resourceAttributes"] = attributes
    return spec


def info_of(spec: Object) -> RequestInfo:
    """The request that a review's spec asks about. Selectors that can't be read are left out: a wider request is asked
    about then."""
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return RequestInfo(path.get("verb") or "", path.get("path") or "")
    given = spec.get("resourceAttributes") or {}
    names = ("verb", "group", "version", "resource", "subresource", "namespace", "name")
    verb, group, version, resource, subresource, namespace, name = (given.get(one) or "" for one in names)
    return RequestInfo(
        verb, "", True, group, version, resource, subresource, namespace, name,
        fields=_written(given.get("fieldSelector"), _written_field),
        labels=_written(given.get("labelSelector"), _written_label),
    )  # fmt: skip


def ignored(spec: Object) -> str:
    """What of a review's selectors is left out, in upstream's words; "" where nothing is."""
    given = spec.get("resourceAttributes") or {}
    said = []
    for field, parse in (("fieldSelector", selectors.parse_fields), ("labelSelector", selectors.parse)):
        raw = (given.get(field) or {}).get("rawSelector")
        if not raw:
            continue
        try:
            parse(raw)
        except (BadRequest, ValueError):
            said.append(f"spec.resourceAttributes.{field} ignored due to parse error")
    return said[0] if len(said) == 1 else f"[{', '.join(said)}]" if said else ""


def _given(**values: str) -> Object:
    return {name: value for name, value in values.items() if value}


def _field_requirements(text: str) -> list[Object]:
    if not text:
        return []
    try:
        parsed = selectors.parse_fields(text)
    except (BadRequest, ValueError):
        return []
    return [
        {"key": one.field, "operator": "In" if one.equal else "NotIn", "values": [one.value]}
        for one in parsed.requirements
    ]


def _label_requirements(text: str) -> list[Object]:
    if not text:
        return []
    try:
        parsed = selectors.parse(text)
    except (BadRequest, ValueError):
        return []
    found = []
    for one in parsed.requirements:
        operator = _OPERATORS.get(one.operator)
        if operator is not None:
            made: Object = {"key": one.key, "operator": operator}
            found.append({**made, "values": sorted(one.values)} if one.values else made)
    return found


def _written(selector: Object | None, write: Callable[[Object], str]) -> str:
    if not selector:
        return ""
    if selector.get("rawSelector"):
        return str(selector["rawSelector"])
    return ",".join(filter(None, map(write, selector.get("requirements") or ())))


def _written_field(requirement: Object) -> str:
    values, equal = requirement.get("values") or [], {"In": True, "NotIn": False}.get(requirement.get("operator") or "")
    # Fields are compared with one value; a wider condition can't be said.
    if equal is None or len(values) != 1:
        return ""
    return str(selectors.FieldSelector((selectors.FieldRequirement(requirement.get("key") or "", equal, values[0]),)))


def _written_label(requirement: Object) -> str:
    operator = _WORDS.get(requirement.get("operator") or "")
    if operator is None:
        return ""
    values = frozenset(requirement.get("values") or ())
    return str(selectors.Requirement(requirement.get("key") or "", operator, values))
