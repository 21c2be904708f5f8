"""Field numbers of endpoint slices; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "EndpointSlice": "metadata:ObjectMeta endpoints:*Endpoint ports:*EndpointPort addressType!",
    "Endpoint": "addresses:* conditions:EndpointConditions hostname? targetRef:ObjectReference? deprecatedTopology:{} "
    "nodeName? zone? hints:EndpointHints?",
    "EndpointConditions": "ready:bool? serving:bool? terminating:bool?",
    "EndpointHints": "forZones:*ForZone forNodes:*ForNode",
    "ForZone": "name!",
    "ForNode": "name!",
    "EndpointPort": "name? protocol? port:int? appProtocol?",
}
