"""Maintains the flow schemas and priority levels of every cluster: the mandatory ones always as they must be, the
suggested ones for as long as nobody took them over.

Source: Kubernetes documentation, "API Priority and Fairness", "Maintenance of the mandatory and suggested objects".
"""

from __future__ import annotations

import asyncio

from kybern.api import meta
from kybern.api.flowcontrol import bootstrap
from kybern.api.types import Object
from kybern.apiserver.bootstrap_rbac import Ensure


async def ensure(ensure_all: Ensure) -> None:
    """Make or mend them all; `ensure_all(group, plural, wanted, mend)` does the writing."""
    await asyncio.gather(
        ensure_all(bootstrap.GROUP, "prioritylevelconfigurations", bootstrap.priority_levels(), mend),
        ensure_all(bootstrap.GROUP, "flowschemas", bootstrap.flow_schemas(), mend),
    )


def mend(found: Object, wanted: Object) -> Object | None:
    """What the object should become; None where it is well."""
    metadata = found["metadata"]
    annotations = metadata.get("annotations") or {}
    said = annotations.get(bootstrap.AUTOUPDATE)
    ours = metadata["name"] in bootstrap.MANDATORY or said == "true"
    if not ours and said is None:
        # Nobody said so, but nobody changed it either.
        ours = metadata.get("generation", 1) == 1
    same = not ours or _same(found, wanted)
    mark = "true" if ours else said or "false"
    if same and said == mark:
        return None
    mended = {**metadata, "annotations": {**annotations, bootstrap.AUTOUPDATE: mark}}
    if same:
        return {**found, "metadata": mended}
    return {**found, "metadata": {**mended, "generation": metadata.get("generation", 1) + 1}, "spec": wanted["spec"]}


def _same(found: Object, wanted: Object) -> bool:
    spec, want = found.get("spec") or {}, wanted["spec"]
    if wanted["kind"] == "PriorityLevelConfiguration" and wanted["metadata"]["name"] == bootstrap.EXEMPT:
        # What the exempt level lends is the administrator's to say.
        want = {**want, "exempt": spec.get("exempt")} if spec.get("exempt") else want
    return meta.same(spec, want)
