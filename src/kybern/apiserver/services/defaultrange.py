"""The ServiceCIDR `kubernetes`: the range of --service-cluster-ip-range, made by whichever server is first.

Source: KEP-1880 Multiple Service CIDRs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kybern.api.cells import at
from kybern.api.errors import AlreadyExists, NotFound
from kybern.api.networking.servicecidr import DEFAULT_NAME, READY
from kybern.api.types import Object
from kybern.apiserver.events import Recorder
from kybern.apiserver.registry import Registry
from kybern.process.clock import clock

log = logging.getLogger(__name__)

COMPONENT = "kubernetes-service-cidr-controller"


async def ensure(registry: Registry, cidrs: Sequence[str]) -> None:
    """Make it, make it ready, or say that it isn't what this server was told. Raises StoreUnavailable."""
    kind = registry.scheme.resource("networking.k8s.io", "servicecidrs")
    if kind is None:
        raise LookupError("the scheme has no servicecidrs")
    wanted = list(cidrs)
    try:
        found = await registry.get(kind, "", DEFAULT_NAME)
    except NotFound:
        made = {"metadata": {"name": DEFAULT_NAME}, "spec": {"cidrs": wanted}, "status": {"conditions": [_ready()]}}
        try:
            await registry.create(kind, made)
        except AlreadyExists:
            log.debug("the service range was made by another server")
        return
    if "deletionTimestamp" in found["metadata"]:
        return
    has = at(found, "spec", "cidrs") or []
    if has == wanted or (len(wanted) == 2 and has == wanted[:1]):
        await registry.guaranteed_update(kind, "", DEFAULT_NAME, lambda now: _mended(now, wanted))
    else:
        said = f"[{' '.join(has)}] does not match the flag configurations {','.join(wanted)}"
        log.warning("the default ServiceCIDR %s", said)
        await Recorder(registry, COMPONENT).warn(
            found, "KubernetesDefaultServiceCIDRInconsistent", f"The default ServiceCIDR {said}"
        )


def _mended(now: Object, wanted: list[str]) -> Object | None:
    conditions = at(now, "status", "conditions") or []
    ready = any(one.get("type") == READY for one in conditions)
    if ready and now["spec"]["cidrs"] == wanted:
        return None
    kept = conditions if ready else [*conditions, _ready()]
    return {**now, "spec": {"cidrs": wanted}, "status": {**(now.get("status") or {}), "conditions": kept}}


def _ready() -> Object:
    return {
        "type": READY,
        "status": "True",
        "lastTransitionTime": clock.stamp(),
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
    }
