"""Priority: a pod's class becomes its number, and only one class may be the default for pods without one."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App

_CLASSES = ("scheduling.k8s.io", "priorityclasses")


class Priority(Plugin):
    """Fills in spec.priority and spec.preemptionPolicy."""

    name = "Priority"
    handles = frozenset({("", "pods"), _CLASSES})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._classes = app.registry.lister(*_CLASSES)
        self._version = -1
        self._default: Object | None = None

    async def admit(self, a: Attributes) -> None:
        if a.resource.plural != "pods" or a.subresource or a.object is None:
            return
        spec = a.object["spec"]
        if a.operation == UPDATE:
            old = (a.old or {}).get("spec") or {}
            if spec.get("priority") is None and old.get("priority") is not None:
                spec["priority"] = old["priority"]
            if spec.get("preemptionPolicy") is None and old.get("preemptionPolicy") is not None:
                spec["preemptionPolicy"] = old["preemptionPolicy"]
            return
        name = spec.get("priorityClassName")
        if name:
            found = self._classes.get("", name)
            if found is None:
                raise a.forbidden(f"no PriorityClass with name {name} was found")
        else:
            found = self.default()
            if found:
                spec["priorityClassName"] = found["metadata"]["name"]
        value = found["value"] if found else 0
        policy = (found or {}).get("preemptionPolicy") or "PreemptLowerPriority"
        if spec.get("priority") is not None and spec["priority"] != value:
            raise a.forbidden(
                f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name"
            )
        if spec.get("preemptionPolicy") and spec["preemptionPolicy"] != policy:
            raise a.forbidden(
                f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name"
            )
        spec["priority"], spec["preemptionPolicy"] = value, policy

    async def validate(self, a: Attributes) -> None:
        made = a.object
        if a.resource.plural != "priorityclasses" or made is None or not made.get("globalDefault"):
            return
        default = self.default()
        if default and default["metadata"]["name"] != made["metadata"]["name"]:
            raise a.forbidden(
                f"PriorityClass {default['metadata']['name']} is already marked as default. Only one default can exist"
            )

    def default(self) -> Object | None:
        """The default class: the lowest of those so marked, as two may slip in at once."""
        if self._version != self._classes.version:
            marked = [one for one in self._classes.list() if one.get("globalDefault")]
            self._default = min(marked, key=lambda one: int(one["value"]), default=None)
            self._version = self._classes.version
        return self._default
