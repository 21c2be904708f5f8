"""eviction: delete a pod, unless that would disrupt what a PodDisruptionBudget protects.

Source: Kubernetes documentation, "API-initiated Eviction"; API reference, Eviction v1 policy.
"""

from __future__ import annotations

from kybern.api import codec, decoding, selectors
from kybern.api.errors import BadRequest, Forbidden, InternalError, MethodNotSupported, TooManyRequests
from kybern.api.field import Errors
from kybern.api.policy import eviction
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import deletion, options
from kybern.apiserver.admission.base import CREATE, Attributes
from kybern.apiserver.answers import success
from kybern.apiserver.app import App
from kybern.apiserver.deleting import delete
from kybern.apiserver.request import Request, Response
from kybern.apiserver.types import type_named
from kybern.process.clock import clock

RETRY_SECONDS = 10
MAX_DISRUPTED = 2000

_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_DISRUPTS = "Cannot evict pod as it would violate the pod's disruption budget."


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, TooManyRequests (a budget forbids it now), BadRequest."""
    info = request.info
    if info.verb != "create":
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    asked = options.read(request, "CreateOptions")
    body = _read(request)
    errors = Errors()
    how = deletion.from_object(eviction.delete_options(body), errors)
    how.dry_run = how.dry_run or asked.dry_run
    if app.admission is not None:
        attributes = Attributes(
            CREATE, resource, info.namespace, info.name, request.user, body, None, "eviction", how.dry_run,
            asked.as_object(), request.warnings, request,
        )  # fmt: skip
        await app.admission.admit(attributes)
        await app.admission.validate(attributes)
    pod = await app.registry.get(resource, info.namespace, info.name)
    if not _unprotected(pod):
        await _spend(app, pod, dry_run=how.dry_run)
    await delete(app, request, resource, info.namespace, info.name, how, admitted=True)
    return success(request, code=201)


def _read(request: Request) -> Object:
    info = request.info
    body = codec.decode(request.body, request.headers.get("content-type", ""))
    decoding.check(type_named("policy/v1", eviction.KIND), body)
    name = (body.get("metadata") or {}).get("name") or info.name
    if name != info.name:
        raise BadRequest(f"name in URL does not match name in Eviction object: name in URL: {info.name}")
    body["metadata"] = {**(body.get("metadata") or {}), "name": name, "namespace": info.namespace}
    return body


def _unprotected(pod: Object) -> bool:
    """Pods that no budget counts: finished, not begun, or going already."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


async def _spend(app: App, pod: Object, *, dry_run: bool) -> None:
    """Take one disruption from the budget that protects the pod. Raises TooManyRequests, InternalError."""
    budgets = app.registry.scheme.resource("policy", "poddisruptionbudgets")
    if budgets is None:
        return
    await app.registry.started(budgets)
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    lister = app.registry.lister("policy", "poddisruptionbudgets")
    found = [budget for budget in lister.list(namespace) if _protects(budget, pod)]
    if not found:
        return
    if len(found) > 1:
        raise InternalError(_SEVERAL)
    budget = found[0]
    if not _ready(pod) and _evicts_unhealthy(budget):
        return

    def spend(now: Object) -> Object:
        check(now)
        status = now.setdefault("status", {})
        status["disruptionsAllowed"] -= 1
        status.setdefault("disruptedPods", {})[name] = clock.stamp()
        return now

    if dry_run:
        check(budget)
    else:
        await app.registry.guaranteed_update(budgets, namespace, budget["metadata"]["name"], spend)


def check(budget: Object) -> None:
    """Raises TooManyRequests if the budget has no disruption left, or isn't up to date."""
    status, metadata = budget.get("status") or {}, budget["metadata"]
    name = metadata["name"]
    if (status.get("observedGeneration") or 0) < (metadata.get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.", RETRY_SECONDS)
    allowed = status.get("disruptionsAllowed") or 0
    if allowed < 0:
        raise Forbidden.on("poddisruptionbudget", "policy", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > MAX_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise Forbidden.on("poddisruptionbudget", "policy", name, why)
    if allowed == 0:
        raise _refused(_exhausted(name, status))


def _exhausted(name: str, status: Object) -> str:
    """Why a budget has no disruption left."""
    conditions = status.get("conditions") or ()
    said: Object = next((one for one in conditions if one.get("type") == "DisruptionAllowed"), {})
    message = said.get("message") if said.get("status") == "False" else ""
    reason, none = said.get("reason"), f"The disruption budget {name} does not allow evicting pods currently"
    needs, has = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
    if message and reason == "SyncFailed":
        # What it needs and has is not known then.
        return f"{none} because it failed sync: {message}"
    if has <= needs:
        return f"The disruption budget {name} needs {needs} healthy pods and has {has} currently"
    return f"{none} ({reason}): {message}" if message else none


def _refused(why: str, retry_seconds: int = 0) -> TooManyRequests:
    details: Object = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_seconds:
        details["retryAfterSeconds"] = retry_seconds
    return TooManyRequests(_DISRUPTS, details=details)


def _protects(budget: Object, pod: Object) -> bool:
    selector = (budget.get("spec") or {}).get("selector")
    return selectors.from_object(selector).matches(pod["metadata"].get("labels"))


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _evicts_unhealthy(budget: Object) -> bool:
    """Whether a pod that isn't ready may go without spending: the policy says so, or enough others are healthy."""
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    wanted = status.get("desiredHealthy") or 0
    return wanted > 0 and (status.get("currentHealthy") or 0) >= wanted
