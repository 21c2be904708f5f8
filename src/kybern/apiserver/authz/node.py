"""The Node authorizer: a kubelet may touch its own node and what the pods bound to it refer to, nothing else.

Source: Kubernetes documentation, "Using Node Authorization".
"""

from __future__ import annotations

from kybern.api import selectors
from kybern.api.errors import BadRequest
from kybern.apiserver.app import Decision
from kybern.apiserver.authz.base import NO_OPINION, YES, Rules
from kybern.apiserver.authz.noderefs import NodeRefs
from kybern.apiserver.authz.policy_node import NODE_RULES
from kybern.apiserver.authz.rules import compiled
from kybern.apiserver.request import RequestInfo, UserInfo

NODES = "system:nodes"
PREFIX = "system:node:"

_READ = ("get", "list", "watch")
_CHANGE = ("update", "patch")
_OWN = ("get", "create", "update", "patch", "delete")


def node_name(user: UserInfo) -> str:
    """The node a kubelet's user name speaks for; "" for anyone else."""
    return user.name[len(PREFIX) :] if user.name.startswith(PREFIX) and NODES in user.groups else ""


class NodeAuthorizer:
    """--authorization-mode=Node."""

    label = ("Node", "node")

    def __init__(self, refs: NodeRefs) -> None:
        self._refs = refs
        self._rules = compiled(NODE_RULES)

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        if NODES not in user.groups:
            return NO_OPINION
        node = node_name(user)
        if not node:
            return _no(f'unknown node for user "{user.name}"')
        if info.is_resource:
            decision = self._subdivided(node, info)
            if decision is not None:
                return decision
        return YES if any(rule.allows(info) for rule in self._rules) else NO_OPINION

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        if NODES not in user.groups:
            return Rules([], [])
        return Rules([], [], True, "node authorizer does not support user rule resolution")

    def _subdivided(self, node: str, info: RequestInfo) -> Decision | None:
        """The decision about kinds that the authorizer knows; None where the static rules decide."""
        match (info.group, info.resource):
            case ("", "secrets" | "configmaps"):
                return self._read_one(node, info)
            case ("", "persistentvolumeclaims") if info.subresource == "status":
                return self._linked(node, info) if info.verb in _CHANGE else _no("can only get/update/patch this type")
            case ("", "persistentvolumeclaims" | "persistentvolumes"):
                return self._get_one(node, info)
            case ("resource.k8s.io", "resourceclaims") | ("storage.k8s.io", "volumeattachments"):
                return self._get_one(node, info)
            case ("", "serviceaccounts"):
                return self._get_one(node, info) if info.verb == "get" else self._token(node, info)
            case ("coordination.k8s.io", "leases"):
                return _lease(node, info)
            case ("storage.k8s.io", "csinodes"):
                return _csi_node(node, info)
            case ("resource.k8s.io", "resourceslices"):
                return self._resource_slice(node, info)
            case ("certificates.k8s.io", "podcertificaterequests"):
                return self._certificate_request(node, info)
            case ("", "nodes"):
                return _node(node, info)
            case ("", "pods"):
                return self._pod(node, info)
        return None

    def _read_one(self, node: str, info: RequestInfo) -> Decision:
        if info.verb not in _READ:
            return _no("can only read resources of this type")
        if info.subresource:
            return _no("cannot read subresource")
        if not info.namespace:
            return _no("can only read namespaced object of this type")
        return self._linked(node, info)

    def _get_one(self, node: str, info: RequestInfo) -> Decision:
        if info.verb != "get":
            return _no("can only get individual resources of this type")
        return _no("cannot get subresource") if info.subresource else self._linked(node, info)

    def _token(self, node: str, info: RequestInfo) -> Decision:
        if info.verb != "create" or not info.name:
            return _no("can only create tokens for individual service accounts")
        if info.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return self._linked(node, info)

    def _linked(self, node: str, info: RequestInfo) -> Decision:
        if not info.name:
            return _no("No Object name found")
        if self._refs.linked(node, info.resource, info.namespace, info.name):
            return YES
        return _unrelated(node)

    def _resource_slice(self, node: str, info: RequestInfo) -> Decision:
        if info.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        match info.verb:
            case "create":
                # Whose it is to be, admission (NodeRestriction) looks at.
                return YES
            case "get" | "update" | "patch" | "delete":
                return self._linked(node, info)
            case "list" | "watch" | "deletecollection":
                if _selects(info, "spec.nodeName", node):
                    return YES
                return _no("can only list/watch/deletecollection resourceslices with nodeName field selector")
        return _no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, "
            "delete, deletecollection"
        )

    def _certificate_request(self, node: str, info: RequestInfo) -> Decision | None:
        if info.verb == "get" and not info.subresource:
            return self._linked(node, info)
        if info.verb in ("list", "watch") and not _selects(info, "spec.nodeName", node):
            return _no("can only list/watch podcertificaterequests with spec.nodeName field selector")
        return None

    def _pod(self, node: str, info: RequestInfo) -> Decision | None:
        """Reading one's own; writes are held to the node by admission (NodeRestriction)."""
        if info.subresource or info.verb not in _READ:
            return None
        if info.verb != "get" and _selects(info, "spec.nodeName", node):
            return YES
        if not info.name:
            return _no("can only list/watch pods with spec.nodeName field selector")
        # A pod that is gone gives away nothing, and its kubelet wants to hear that it is gone.
        return _unrelated(node) if self._refs.elsewhere(node, info.namespace, info.name) else YES


def _no(why: str) -> Decision:
    return Decision(None, why)


def _unrelated(node: str) -> Decision:
    return _no(f"no relationship found between node '{node}' and this object")


def _selects(info: RequestInfo, field: str, value: str) -> bool:
    """Whether the request's field selector holds it to one value of a field."""
    try:
        return bool(info.fields) and selectors.parse_fields(info.fields).exact(field) == value
    except (BadRequest, ValueError):
        return False


def _node(node: str, info: RequestInfo) -> Decision | None:
    if info.subresource or info.verb not in _READ:
        return None
    if info.name == node:
        return YES
    which = f"'{info.name}'" if info.name else "all nodes"
    return _no(f"node '{node}' cannot read {which}, only its own Node object")


def _lease(node: str, info: RequestInfo) -> Decision:
    if info.verb not in _OWN:
        return _no("can only get, create, update, patch, or delete a node lease")
    if info.namespace != "kube-node-lease":
        return _no('can only access leases in the "kube-node-lease" system namespace')
    if info.verb != "create" and info.name != node:
        return _no("can only access node lease with the same name as the requesting node")
    return YES


def _csi_node(node: str, info: RequestInfo) -> Decision:
    if info.verb not in _OWN:
        return _no("can only get, create, update, patch, or delete a CSINode")
    if info.subresource:
        return _no("cannot authorize CSINode subresources")
    if info.verb != "create" and info.name != node:
        return _no("can only access CSINode with the same name as the requesting node")
    return YES
