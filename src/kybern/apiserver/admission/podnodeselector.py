"""PodNodeSelector: a namespace, or the cluster, says on which nodes its pods may run.

Source: Kubernetes documentation, "Admission Control in Kubernetes", PodNodeSelector.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api.names import label_value, qualified_name
from kybern.apiserver.admission import config
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin
from kybern.apiserver.admission.namespaces import Namespaces
from kybern.apiserver.app import App
from kybern.process.daemon import OperatorError

ANNOTATION = "scheduler.alpha.kubernetes.io/node-selector"
_DEFAULT = "clusterDefaultNodeSelector"
_SECTION = "podNodeSelectorPluginConfig"


class PodNodeSelector(Plugin):
    """Looks at pods that are made."""

    name = "PodNodeSelector"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE,))

    def __init__(self, app: App) -> None:
        self._namespaces = Namespaces(app)
        self._selectors = _configured(app)
        """The labels that each namespace's pods may select; and those that are everybody's default."""

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        wanted = await self._of(a)
        spec = a.object["spec"]
        own = spec.get("nodeSelector") or {}
        _check_conflict(a, wanted, own)
        if wanted:
            spec["nodeSelector"] = {**wanted, **own}

    async def validate(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        selector = a.object["spec"].get("nodeSelector") or {}
        _check_conflict(a, await self._of(a), selector)
        allowed = self._selectors.get(a.namespace)
        if allowed and any(allowed.get(key) != value for key, value in selector.items()):
            raise a.forbidden("pod node label selector labels conflict with its namespace whitelist")

    async def _of(self, a: Attributes) -> Mapping[str, str]:
        """What the namespace says, else the cluster. Raises Forbidden for what is no list of labels."""
        text = (await self._namespaces.annotations(a.namespace)).get(ANNOTATION)
        if text is None:
            return self._selectors.get(_DEFAULT, {})
        try:
            return labels(text)
        except ValueError as error:
            raise a.forbidden(f"namespace {a.namespace}: annotation {ANNOTATION}: {error}") from error


def _check_conflict(a: Attributes, wanted: Mapping[str, str], own: Mapping[str, str]) -> None:
    if any(own.get(key, value) != value for key, value in wanted.items()):
        raise a.forbidden("pod node label selector conflicts with its namespace node label selector")


def labels(text: str) -> dict[str, str]:
    """Of `a=b,c=d`. Raises ValueError."""
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise ValueError(f"invalid selector: [{part}]")
        if problems := [*qualified_name(key), *label_value(value)]:
            raise ValueError(f"{part}: {'; '.join(problems)}")
        found[key] = value
    return found


def _configured(app: App) -> dict[str, dict[str, str]]:
    section = (config.of(app, PodNodeSelector.name) or {}).get(_SECTION) or {}
    try:
        if not isinstance(section, dict):
            raise ValueError("it must be a map")
        return {str(namespace): labels(str(text or "")) for namespace, text in section.items()}
    except ValueError as error:
        raise OperatorError(f"the configuration of PodNodeSelector: {_SECTION}: {error}") from error
