"""DefaultTolerationSeconds: pods stay for five minutes on a node that doesn't answer, unless they say otherwise."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
DEFAULT_SECONDS = 300
SERVICE = "default_toleration_seconds"
"""Where App.services has the seconds by taint, where they are others."""


class DefaultTolerationSeconds(Plugin):
    """Adds the two tolerations where the pod has none for the taint."""

    name = "DefaultTolerationSeconds"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._seconds: dict[str, int] = app.services.get(SERVICE) or dict.fromkeys(
            (NOT_READY, UNREACHABLE), DEFAULT_SECONDS
        )

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        spec = a.object["spec"]
        tolerations: list[Object] = spec.get("tolerations") or []
        missing = [key for key in self._seconds if not any(_covers(t, key) for t in tolerations)]
        if missing:
            spec["tolerations"] = [
                *tolerations,
                *(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": self._seconds[key],
                    }
                    for key in missing
                ),
            ]


def _covers(toleration: Object, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
