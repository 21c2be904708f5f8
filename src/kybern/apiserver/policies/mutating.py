"""What a mutating policy makes of an object: its mutations in order, each over what the one before left.

Source: API reference, MutatingAdmissionPolicy v1 admissionregistration.k8s.io; KEP-3962.
"""

from __future__ import annotations

from typing import Any

from kybern.api import apply, decoding, patch
from kybern.api.admissionregistration.mutations import mutation
from kybern.api.cel.budget import Budget
from kybern.api.cel.program import ExpressionError
from kybern.api.errors import APIError
from kybern.api.patch import clone
from kybern.api.schema import Type
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.admission.expressions import Write
from kybern.apiserver.policies import evaluating
from kybern.apiserver.policies.inforce import Policy
from kybern.apiserver.types import type_named, type_of
from kybern.apiserver.webhooks import views
from kybern.apiserver.webhooks.views import Target


class MutationFailed(Exception):
    """A mutation that could not be evaluated or applied; the message says why."""


async def mutated(policy: Policy, write: Write, one: Object, a: Attributes, target: Target) -> Object:
    """The object after one mutation of the policy. Raises MutationFailed."""
    seen: Object = write.values["object"]
    kind = one["patchType"]
    text = one["jsonPatch" if kind == "JSONPatch" else "applyConfiguration"]["expression"]
    try:
        program = mutation(text, policy.known)
    except ExpressionError as error:
        raise MutationFailed(f"compilation error: {error}") from None
    write.budget = Budget()
    try:
        await evaluating.bind_variables(policy, write, [program])
        made = await evaluating.value(program, write)
    except ExpressionError as error:
        raise MutationFailed(str(error)) from None
    try:
        if kind == "JSONPatch":
            return patch.json_patch(seen, made)
        return _applied(seen, made, _type(a, target, seen))
    except APIError as error:
        said = error.message if kind == "JSONPatch" else f"error applying patch: {error.message}"
        raise MutationFailed(said) from None


def _type(a: Attributes, target: Target, seen: Object) -> Type:
    named = views.kind_of(a, target)
    own = type_of(target.resource, target.version) if named.name == target.resource.kind else None
    return own or type_named(seen["apiVersion"], seen["kind"])


def _applied(seen: Object, made: Any, typ: Type) -> Object:
    """The object with a configuration laid over it; nobody owns what that sets."""
    config: Object = {**made, "apiVersion": seen["apiVersion"], "kind": seen["kind"]}
    unknown = decoding.check(typ, clone(config))
    if unknown:
        raise apply.undeclared_fields(config, unknown)
    whole = sorted(_atomic(typ, {key: part for key, part in config.items() if key not in ("apiVersion", "kind")}, ""))
    if whole:
        raise MutationFailed(
            f"error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
            f"{', '.join(whole)}"
        )
    return apply.overlaid(seen, config, typ)


def _atomic(typ: Type, value: Any, path: str) -> list[str]:
    """The paths of what would be replaced as a whole."""
    if not isinstance(value, (dict, list)):
        return []
    found = [path] if path and typ.atomic else []
    if isinstance(value, dict):
        for name, part in value.items():
            found += _atomic(typ.child(name), part, f"{path}.{name}")
    else:
        for index, part in enumerate(value):
            if typ.items is not None:
                found += _atomic(typ.items, part, f"{path}[{index}]")
    return found
