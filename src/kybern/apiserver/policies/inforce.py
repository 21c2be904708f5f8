"""The policies that are in force: those with bindings, compiled, in the order of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from kybern.api.admissionregistration import variables
from kybern.api.cel.program import ExpressionError, Program, compiled
from kybern.api.cells import at
from kybern.api.types import Object
from kybern.apiserver.admission.matching import Equivalents
from kybern.apiserver.policies.matchers import Matcher
from kybern.apiserver.registry import Registry
from kybern.apiserver.webhooks.configured import EXEMPT

_PREFIX = "variables."


class Binding:
    """One binding."""

    def __init__(self, said: Object) -> None:
        self.said, self.name = said, str(said["metadata"]["name"])
        self.actions = tuple(said["spec"].get("validationActions") or ())
        self.matcher = Matcher(said["spec"].get("matchResources"))


class Policy:
    """One policy with its bindings."""

    def __init__(self, said: Object, bindings: list[Binding]) -> None:
        self.said, self.spec, self.bindings = said, said["spec"], bindings
        self.name = str(said["metadata"]["name"])
        self.uid = str(said["metadata"].get("uid"))
        self.ignores_failure = self.spec.get("failurePolicy") == "Ignore"
        self.matcher = Matcher(self.spec.get("matchConstraints"))
        self.conditions = [one["expression"] for one in self.spec.get("matchConditions") or ()]

    @cached_property
    def variables(self) -> dict[str, Program | ExpressionError]:
        """`variables.x` -> the program of its value, in order. An optional is given as a list of one or none."""
        made: dict[str, Program | ExpressionError] = {}
        known: dict[str, str] = dict(variables.POLICY)
        for one in self.spec.get("variables") or ():
            name, text = f"{_PREFIX}{one['name']}", one["expression"]
            try:
                made[name] = compiled(text, known)
                kind = compiled(text, known).result
                if kind.startswith("optional_type"):
                    made[name] = compiled(f"[?({text}\n)]", known)
            except ExpressionError as error:
                made[name], kind = error, "dyn"
            known[name] = kind
        self._known = known
        return made

    @property
    def known(self) -> Mapping[str, str]:
        """What its expressions may use, name -> type."""
        assert self.variables is not None
        return self._known

    def used(self, programs: Iterable[Program]) -> list[str]:
        """The variables that programs use, and those that these use, in order."""
        wanted = {name for program in programs for name in program.variables if name.startswith(_PREFIX)}
        for name, program in reversed(self.variables.items()):
            if name in wanted and isinstance(program, Program):
                wanted |= {other for other in program.variables if other.startswith(_PREFIX)}
        return [name for name in self.variables if name in wanted]


class InForce:
    """All policies of a kind that have bindings."""

    def __init__(self, registry: Registry, policies: str, bindings: str, changed: Callable[[], None]) -> None:
        self._registry, self._changed = registry, changed
        group = "admissionregistration.k8s.io"
        self._resources = ((group, policies), (group, bindings))
        self._policies, self._bindings = (registry.lister(*one) for one in self._resources)
        self._made: list[Policy] | None = None
        self.equivalents = Equivalents(registry.scheme)
        for lister in (self._policies, self._bindings):
            lister.on_change(self._on_change)

    async def start(self) -> None:
        """Return once they are known. Raises StoreUnavailable."""
        for one in self._resources:
            resource = self._registry.scheme.resource(*one)
            assert resource is not None
            await self._registry.started(resource)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        # The controller that checks types writes status, which decides nothing.
        if old is None or new is None or old["spec"] != new["spec"]:
            self._made = None
            self._changed()

    def __iter__(self) -> Iterator[Policy]:
        if self._made is None:
            self._made = self._make()
        return iter(self._made)

    def _make(self) -> list[Policy]:
        bound: dict[str, list[Binding]] = {}
        for said in sorted(self._bindings.list(), key=_name):
            bound.setdefault(str(at(said, "spec", "policyName")), []).append(Binding(said))
        listed = sorted(self._policies.list(), key=_name)
        return [Policy(said, bound[_name(said)]) for said in listed if _name(said) in bound]

    def wanted(self, operation: str, group: str, plural: str) -> bool:
        """Whether any policy could be about such a write."""
        if (group, plural) in EXEMPT:
            return False
        plurals = {plural, *(one.resource.plural for one in self.equivalents.of(group, plural))}
        return any(policy.matcher.may_want(operation, plurals) for policy in self)


def _name(said: Object) -> str:
    return str(said["metadata"]["name"])
