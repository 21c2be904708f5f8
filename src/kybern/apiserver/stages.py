"""How far the server's start is: a health check for each part, under upstream's names for the hooks that do it there.

    begun = Stages(app.checks, (CACHES, TRUST))
    begun.done(TRUST)                  # its checks are well from now on

Source: Kubernetes documentation, "Kubernetes API health endpoints".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

HOOK = "poststarthook/"

Stage = tuple[str, ...]
"""The names of its checks."""

ADMISSION = (f"{HOOK}start-apiserver-admission-initializer",)
CACHES = ("informer-sync", f"{HOOK}generic-apiserver-start-informers", f"{HOOK}storage-object-count-tracker-hook")
CUSTOM_KINDS = tuple(
    f"{HOOK}{name}"
    for name in ("start-apiextensions-informers", "start-apiextensions-controllers", "crd-informer-synced")
)
BOOTSTRAP = tuple(
    f"{HOOK}{name}"
    for name in ("start-system-namespaces-controller", "rbac/bootstrap-roles",
                 "scheduling/bootstrap-system-priority-classes", "priority-and-fairness-config-producer",
                 "bootstrap-controller")
)  # fmt: skip
FLOWS = (f"{HOOK}priority-and-fairness-config-consumer", f"{HOOK}priority-and-fairness-filter")
TRUST = (f"{HOOK}start-cluster-authentication-info-controller",)
TOKENS = (f"{HOOK}start-legacy-token-tracking-controller",)
SERVICES = (f"{HOOK}start-service-ip-repair-controllers", f"{HOOK}start-kubernetes-service-cidr-controller")
AGGREGATION = (
    *(
        f"{HOOK}{name}"
        for name in ("start-kube-aggregator-informers", "apiservice-status-local-available-controller",
                     "apiservice-status-remote-available-controller", "apiservice-registration-controller",
                     "apiservice-discovery-controller", "kube-apiserver-autoregistration")
    ),
    "autoregister-completion",
    f"{HOOK}apiservice-openapi-controller",
    f"{HOOK}apiservice-openapiv3-controller",
)  # fmt: skip


class Stages:
    """See the module. What is expected is red until it is done."""

    def __init__(self, checks: dict[str, Callable[[], str]], expected: Iterable[Stage]) -> None:
        self._done: set[str] = set()
        for stage in expected:
            for name in stage:
                checks[name] = self._check(name)

    def done(self, *stages: Stage) -> None:
        """Note the end of stages."""
        self._done.update(*stages)

    def _check(self, name: str) -> Callable[[], str]:
        return lambda: "" if name in self._done else "not finished"
