"""Field numbers of what a server serves; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "APIGroupDiscovery": "metadata:ObjectMeta versions:*APIVersionDiscovery",
    "APIVersionDiscovery": "version! resources:*APIResourceDiscovery freshness",
    "APIResourceDiscovery": "resource! responseKind:GroupVersionKind? scope! singularResource! verbs:* shortNames:* "
    "categories:* subresources:*APISubresourceDiscovery",
    "APISubresourceDiscovery": "subresource! responseKind:GroupVersionKind? acceptedTypes:*GroupVersionKind verbs:*",
}
