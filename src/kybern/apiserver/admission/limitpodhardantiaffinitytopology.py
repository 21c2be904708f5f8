"""LimitPodHardAntiAffinityTopology: pods may insist to be apart by node only, not by zone or what else nodes have.

Source: Kubernetes documentation, "Admission Control in Kubernetes", LimitPodHardAntiAffinityTopology.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin

_ALLOWED = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology(Plugin):
    """Looks at pods."""

    name = "LimitPodHardAntiAffinityTopology"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    async def validate(self, a: Attributes) -> None:
        if a.subresource:
            return
        terms = at(a.object, "spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        for term in terms or ():
            key = term.get("topologyKey") or ""
            if key != _ALLOWED:
                raise a.forbidden(
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} "
                    f"but only key {_ALLOWED} is allowed"
                )
