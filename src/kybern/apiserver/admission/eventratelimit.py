"""EventRateLimit: how many events the server takes: in all, of a namespace, of a user, of one source about one object.

Source: Kubernetes documentation, "Admission Control in Kubernetes", EventRateLimit; API reference, Configuration
(eventratelimit.admission.k8s.io/v1alpha1).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from kybern.api.cells import at
from kybern.api.errors import TooManyRequests
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.admission import config
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

_VERSIONS = ("eventratelimit.admission.k8s.io/v1alpha1",)
_CACHE_SIZE = 4096
_SOURCE = (("source", "component"), ("source", "host"))
_OBJECT = ("kind", "namespace", "name", "uid", "apiVersion")


class EventRateLimit(Plugin):
    """Looks at events, in either group."""

    name = "EventRateLimit"
    handles = frozenset({("", "events"), ("events.k8s.io", "events")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._limits = parse(config.of(app, self.name, "Configuration", _VERSIONS))

    async def validate(self, a: Attributes) -> None:
        if a.dry_run:
            return
        # Every limit counts the event, though one of them refuses it already.
        refusals = [refusal for limit in self._limits if (refusal := limit.refusal(a))]
        if refusals:
            said = refusals[0] if len(refusals) == 1 else f"[{', '.join(refusals)}]"
            raise TooManyRequests(f"Too many requests: {said}")


class Limit:
    """A token bucket for each key; those not used for longest are forgotten beyond `size`."""

    def __init__(self, kind: str, rate: float, burst: int, size: int) -> None:
        self._kind, self._rate, self._burst, self._size = kind, rate, float(burst), size
        self._key = _KEYS[kind]
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What is left, and as of when."""

    def refusal(self, a: Attributes) -> str:
        """Why the event is one too many; empty if it isn't."""
        key, now = self._key(a), monotonic()
        left, since = self._buckets.get(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        allowed = left >= 1
        self._buckets[key] = (left - allowed, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
        return "" if allowed else f"Too many requests: limit reached on type {self._kind} for key {key}"


def _source_and_object(a: Attributes) -> str:
    parts = [at(a.object, *path) for path in _SOURCE]
    parts += [at(a.object, "involvedObject", field) for field in _OBJECT]
    return "".join(str(part or "") for part in parts)


_KEYS: dict[str, Callable[[Attributes], str]] = {
    "Server": lambda a: "",
    "Namespace": lambda a: a.namespace,
    "User": lambda a: a.user.name,
    "SourceAndObject": _source_and_object,
}


def parse(document: Object | None) -> list[Limit]:
    """The limits of a configuration. Raises OperatorError, which names all that is wrong."""
    errors = Errors()
    given = (document or {}).get("limits")
    if not given or not isinstance(given, list):
        errors.invalid("limits", str(given or []), "must not be empty")
        given = []
    limits = [limit for index, one in enumerate(given) if (limit := _limit(one, f"limits[{index}]", errors))]
    if errors:
        raise OperatorError(f"the configuration of EventRateLimit: {'; '.join(map(str, errors))}")
    return limits


def _limit(given: object, path: str, errors: Errors) -> Limit | None:
    before = len(errors)
    if not isinstance(given, dict):
        errors.invalid(path, str(given), "must be a map")
        return None
    kind = str(given.get("type") or "")
    if kind not in _KEYS:
        errors.unsupported(f"{path}.type", kind, sorted(_KEYS))
    for field in ("burst", "qps"):
        number = given.get(field)
        if not isinstance(number, int) or number <= 0:
            errors.invalid(f"{path}.{field}", number or 0, "must be positive")
    size = given.get("cacheSize") or 0
    if not isinstance(size, int) or size < 0:
        errors.invalid(f"{path}.cacheSize", size, "must not be negative")
    if len(errors) > before:
        return None
    return Limit(kind, given["qps"], given["burst"], 1 if kind == "Server" else size or _CACHE_SIZE)
