"""Field numbers of runtime classes; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "RuntimeClass": "metadata:ObjectMeta handler! overhead:Overhead? scheduling:Scheduling?",
    "Overhead": "podFixed:{quantity}",
    "Scheduling": "nodeSelector:{} tolerations:*Toleration",
}
