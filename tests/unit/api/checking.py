"""What a kind complains of."""

from __future__ import annotations

import copy

from kybern.api.field import Errors
from kybern.api.resource import Preparation, Resource
from kybern.api.types import Object


def problems(kind: Resource, obj: Object, old: Object | None = None, subresource: str = "") -> list[str]:
    """Complaints about an object that is created, or changed from `old`, after its defaults."""
    new, errors = copy.deepcopy(obj), Errors()
    new.setdefault("metadata", {"name": "one"})
    kind.default(new)
    if old is None:
        kind.validate(new, errors)
        return [str(error) for error in errors]
    before = copy.deepcopy(old)
    before.setdefault("metadata", {"name": "one"})
    kind.default(before)
    kind.prepare_update(new, before, Preparation(subresource=subresource))
    if subresource == "status":
        kind.validate_status(new, before, errors)
    else:
        kind.validate_changed(new, before, errors)
    return [str(error) for error in errors]


def changed(obj: Object, path: str, value: object) -> Object:
    """A copy with another value at a dotted path; None takes it away."""
    made = copy.deepcopy(obj)
    *parents, last = path.split(".")
    here = made
    for key in parents:
        here = here[int(key)] if isinstance(here, list) else here.setdefault(key, {})
    if value is None:
        del here[last]
    elif isinstance(here, list):
        here[int(last)] = value
    else:
        here[last] = value
    return made
