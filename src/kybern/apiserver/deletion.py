"""What deleting an object means: at once, after a grace period, or when its finalizers are gone. Decides, does nothing.

Source: API concepts, "Resource deletion"; Kubernetes documentation, "Finalizers", "Garbage Collection".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from kybern.api import codec, decoding, schema
from kybern.api.errors import BadRequest, Conflict, Invalid
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.schema import Type
from kybern.api.types import Object
from kybern.apiserver import options as write_options
from kybern.apiserver.request import Request
from kybern.process.clock import clock, format_time, parse_time

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
POLICIES = ("Background", "Foreground", "Orphan")
ORPHANS = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_TERMINATING = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
    "automatically be purged by the system."
)


@dataclass(slots=True)
class DeleteOptions:
    """metav1.DeleteOptions. `grace` in seconds; None leaves it to the object."""

    grace: int | None = None
    policy: str = ""
    orphan: bool | None = None
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False

    def as_object(self) -> Object:
        """For admission."""
        found: Object = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if self.grace is not None:
            found["gracePeriodSeconds"] = self.grace
        if self.policy:
            found["propagationPolicy"] = self.policy
        if self.dry_run:
            found["dryRun"] = ["All"]
        return found


@dataclass(slots=True)
class Outcome:
    """What to do: remove the object, or store `object`; neither if it is being deleted already."""

    remove: bool = False
    object: Object | None = None


def read(request: Request) -> DeleteOptions:
    """The options in the body, else in the parameters. Raises BadRequest, Invalid."""
    errors = Errors()
    if request.body:
        found = from_object(codec.decode(request.body, request.headers.get("content-type", "")), errors)
    else:
        found = DeleteOptions()
        if request.query:
            found.grace = _seconds(request.arg("gracePeriodSeconds"))
            found.policy = request.arg("propagationPolicy")
            found.dry_run = write_options.dry_run(request.args.get("dryRun") or (), errors)
            if request.arg("orphanDependents"):
                found.orphan = request.flag("orphanDependents")
    if found.policy and found.policy not in POLICIES:
        errors.unsupported("propagationPolicy", found.policy, (*POLICIES, "nil"))
    if found.policy and found.orphan is not None:
        errors.invalid("propagationPolicy", found.policy, "orphanDependents and deletionPropagation cannot be both set")
    if errors:
        raise Invalid.of("DeleteOptions", "meta.k8s.io", "", errors)
    return found


def from_object(body: Object, errors: Errors) -> DeleteOptions:
    """DeleteOptions as clients send them. Raises BadRequest."""
    if body.get("kind") not in (None, "", "DeleteOptions"):
        raise BadRequest(
            f'{body.get("kind")} in version "{body.get("apiVersion")}" cannot be handled as a DeleteOptions'
        )
    body["kind"] = "DeleteOptions"
    decoding.check(_type(), body)
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        body.get("gracePeriodSeconds"),
        body.get("propagationPolicy", ""),
        body.get("orphanDependents"),
        preconditions.get("uid", ""),
        preconditions.get("resourceVersion", ""),
        write_options.dry_run(body.get("dryRun") or [], errors),
    )


@lru_cache
def _type() -> Type:
    return schema.builtin().named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")


def _seconds(text: str) -> int | None:
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def check_preconditions(resource: Resource, obj: Object, asked: DeleteOptions) -> None:
    """Raises Conflict if it isn't the object the client means."""
    metadata = obj["metadata"]
    if asked.uid and asked.uid != metadata.get("uid"):
        why = (
            f"the UID in the precondition ({asked.uid}) does not match the UID in record ({metadata.get('uid')}). "
            "The object might have been deleted and then recreated"
        )
        raise Conflict.of(resource.kind, resource.group, metadata["name"], why)
    version = metadata.get("resourceVersion")
    if asked.resource_version and asked.resource_version != version:
        why = (
            f"the ResourceVersion in the precondition ({asked.resource_version}) does not match the ResourceVersion "
            f"in record ({version}). The object might have been modified"
        )
        raise Conflict.of(resource.kind, resource.group, metadata["name"], why)


def decide(resource: Resource, obj: Object, asked: DeleteOptions) -> Outcome:
    """What becomes of `obj` (as stored, with resourceVersion; not changed). Raises Conflict."""
    check_preconditions(resource, obj, asked)
    if resource.plural == "namespaces" and not resource.group:
        return _namespace(resource, obj, asked)
    metadata = obj["metadata"]
    grace = _grace(resource, obj, asked)
    if grace is None:
        return Outcome()
    finalizers = _finalizers(metadata.get("finalizers") or [], asked, orphans=resource.orphans_by_default)
    if not finalizers and not grace:
        return Outcome(remove=True)
    new = dict(metadata)
    _set_finalizers(new, finalizers)
    if grace > 0 or "deletionTimestamp" not in metadata or grace < (metadata.get("deletionGracePeriodSeconds") or 0):
        _mark(new, grace)
    return Outcome(object={**obj, "metadata": new}) if new != metadata else Outcome()


def _grace(resource: Resource, obj: Object, asked: DeleteOptions) -> int | None:
    """The seconds to grant from now; None if its deletion goes on as it was."""
    if not resource.grace_period:
        return 0
    metadata = obj["metadata"]
    current = metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp"):
        if current is None:
            return 0
        if asked.grace is None or asked.grace >= current:
            return None if current or metadata.get("finalizers") else 0
        return max(asked.grace, 0) if asked.grace >= 0 else 1
    return resource.grace_seconds(obj, asked.grace)


def _mark(metadata: Object, grace: int) -> None:
    before = metadata.get("deletionTimestamp")
    if before:
        started = parse_time(before) - (metadata.get("deletionGracePeriodSeconds") or 0)
        metadata["deletionTimestamp"] = format_time(started + grace)
    else:
        metadata["deletionTimestamp"] = format_time(clock.time() + grace)
        if metadata.get("generation"):
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = grace


def _set_finalizers(metadata: Object, finalizers: list[str]) -> None:
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _finalizers(present: list[str], asked: DeleteOptions, *, orphans: bool = False) -> list[str]:
    """The finalizers the object must have so that the garbage collector does as asked. `orphans`: what is done where
    nobody asks."""
    policy = asked.policy
    if not policy and asked.orphan is not None:
        policy = "Orphan" if asked.orphan else "Background"
    if not policy and orphans and not {ORPHAN, FOREGROUND}.intersection(present):
        policy = "Orphan"
    if not policy:
        return present
    kept = [name for name in present if name not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        return [*kept, ORPHAN]
    return [*kept, FOREGROUND] if policy == "Foreground" else kept


def _namespace(resource: Resource, obj: Object, asked: DeleteOptions) -> Outcome:
    """A namespace first terminates; the namespace controller empties it and takes away spec.finalizers."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata:
        new = dict(metadata)
        _set_finalizers(new, _finalizers(metadata.get("finalizers") or [], asked))
        _mark(new, 0)
        new.pop("deletionGracePeriodSeconds", None)
        status = {**(obj.get("status") or {}), "phase": "Terminating"}
        return Outcome(object={**obj, "metadata": new, "status": status})
    if (obj.get("spec") or {}).get("finalizers"):
        raise Conflict.of(resource.plural, resource.group, metadata["name"], _TERMINATING)
    if metadata.get("finalizers"):
        return Outcome()
    return Outcome(remove=True)


def is_due(resource: Resource, obj: Object) -> bool:
    """Whether an update leaves nothing for the deletion of `obj` to wait for."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if resource.plural == "namespaces" and not resource.group:
        return not (obj.get("spec") or {}).get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")
