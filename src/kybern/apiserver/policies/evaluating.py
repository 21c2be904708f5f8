"""One policy's expressions over one write: conditions, variables, and the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kybern.api.admissionregistration import policies, variables
from kybern.api.cel.instants import outward
from kybern.api.cel.program import ExpressionError, OutOfBudget, Program
from kybern.api.types import Object
from kybern.apiserver.admission import matching
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.admission.expressions import Conditions, Write
from kybern.apiserver.app import App
from kybern.apiserver.policies.inforce import Policy
from kybern.apiserver.webhooks import review, views
from kybern.apiserver.webhooks.views import Target
from kybern.process.clock import new_uid

_METADATA = (
    "name", "generateName", "namespace", "labels", "annotations", "uid", "creationTimestamp",
    "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "resourceVersion", "finalizers",
)  # fmt: skip


async def write_of(app: App, a: Attributes, target: Target) -> Write:
    """A write as expressions see it, as one of `target`. Raises NotFound (its namespace isn't there)."""
    obj, old = await views.shown(a, a.object, target), await views.shown(a, a.old, target)
    write = Write(app, a, review.request(a, new_uid(), views.kind_of(a, target), target.named, obj, old))
    write.bind({"namespaceObject": await _namespace(app, a)})
    return write


async def _namespace(app: App, a: Attributes) -> Object | None:
    """The namespace of a write with the fields that expressions see; None of cluster-scoped kinds."""
    if not a.namespace or (a.resource.group, a.resource.plural) == ("", "namespaces"):
        return None
    found = await matching.namespace(app.registry, a.namespace)
    metadata = {key: found["metadata"][key] for key in _METADATA if key in found["metadata"]}
    return {"metadata": metadata} | {key: found[key] for key in ("spec", "status") if key in found}


async def is_met(
    policy: Policy, write: Write, params: Object | None, conditions: Conditions, operation: str
) -> bool:
    """Whether the policy's conditions hold. Raises ExpressionError."""
    write.bind({"params": params})
    known = policies.with_params(variables.CONDITION, policy.spec)
    return not policy.conditions or await conditions.hold(policy.name, policy.conditions, write, operation, known)


async def bind_variables(policy: Policy, write: Write, programs: Iterable[Program]) -> None:
    """Give the variables that programs use their values. One that can't be evaluated fails what uses it."""
    write.forget()
    for name in policy.used(programs):
        program = policy.variables[name]
        short = name.partition(".")[2]
        try:
            if isinstance(program, ExpressionError):
                raise program
            write.bind({name: outward(await write.evaluate(program))})
        except OutOfBudget as error:
            write.failures[name] = error
        except ExpressionError as error:
            write.failures[name] = ExpressionError(f'composited variable "{short}" fails to evaluate: {error}')


async def value(program: Program, write: Write) -> Any:
    """The value of an expression of a policy. Raises ExpressionError, in upstream's words; OutOfBudget."""
    try:
        return await write.evaluate(program)
    except OutOfBudget:
        raise
    except ExpressionError as error:
        raise ExpressionError(f"expression '{program.text}' resulted in error: {error}") from None
