"""What match conditions of authorization webhooks see: `request`, the spec of a SubjectAccessReview.

Source: API reference, AuthorizationConfiguration v1 (WebhookMatchCondition).
"""

from __future__ import annotations

from functools import lru_cache

from kybern.api.cel.messages import Messages
from kybern.api.cel.program import Program, compiled
from kybern.api.types import Object

_TEXT: Object = {"type": "string"}
_TEXTS: Object = {"type": "array", "items": _TEXT}


def _texts(*names: str, **more: Object) -> Object:
    return {"type": "object", "properties": {**{name: dict(_TEXT) for name in names}, **more}}


def _selector() -> Object:
    requirement = _texts("key", "operator", values=dict(_TEXTS))
    return {"type": "object", "properties": {"requirements": {"type": "array", "items": requirement}}}


@lru_cache(maxsize=1)
def _messages() -> Messages:
    attributes = _texts(
        "namespace", "verb", "group", "version", "resource", "subresource", "name",
        fieldSelector=_selector(), labelSelector=_selector(),
    )  # fmt: skip
    return Messages(
        _texts(
            "user",
            "uid",
            groups=dict(_TEXTS),
            extra={"type": "object", "additionalProperties": dict(_TEXTS)},
            resourceAttributes=attributes,
            nonResourceAttributes=_texts("path", "verb"),
        ),
        whole=False,
        verbatim=True,
    )


def condition(text: str) -> Program:
    """The program of a condition. Raises ExpressionError."""
    messages = _messages()
    return compiled(text, {"request": messages.root}, messages, ("bool",))
