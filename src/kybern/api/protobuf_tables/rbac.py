"""Field numbers of roles and bindings; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "ClusterRole": "metadata:ObjectMeta rules:*PolicyRule aggregationRule:AggregationRule?",
    "PolicyRule": "verbs:* apiGroups:* resources:* resourceNames:* nonResourceURLs:*",
    "AggregationRule": "clusterRoleSelectors:*LabelSelector",
    "ClusterRoleBinding": "metadata:ObjectMeta subjects:*Subject roleRef:RoleRef",
    "Subject": "kind! apiGroup name! namespace",
    "RoleRef": "apiGroup! kind! name!",
    "Role": "metadata:ObjectMeta rules:*PolicyRule",
    "RoleBinding": "metadata:ObjectMeta subjects:*Subject roleRef:RoleRef",
}
