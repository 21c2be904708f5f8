"""The Node authorizer: a kubelet may touch its own node and what the pods bound to it refer to, nothing else.

The graph is not kept: pods of a node are few and come from the pod lister's view, indexed by node when pods change.
Source: Kubernetes documentation, "Using Node Authorization".
"""

from __future__ import annotations

from kybern.apiserver.app import Decision
from kybern.apiserver.authz.base import NO_OPINION, Rules
from kybern.apiserver.authz.noderefs import NodeRefs
from kybern.apiserver.authz.policy_node import NODE_RULES
from kybern.apiserver.authz.rules import compiled
from kybern.apiserver.request import RequestInfo, UserInfo

NODES = "system:nodes"
PREFIX = "system:node:"

_READ = ("get", "list", "watch")


def node_name(user: UserInfo) -> str:
    """The node a kubelet's user name speaks for; "" for anyone else."""
    return user.name[len(PREFIX) :] if user.name.startswith(PREFIX) and NODES in user.groups else ""


class NodeAuthorizer:
    """--authorization-mode=Node."""

    def __init__(self, refs: NodeRefs) -> None:
        self._refs = refs
        self._rules = compiled(NODE_RULES)

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        if NODES not in user.groups:
            return NO_OPINION
        node = node_name(user)
        if not node:
            return Decision(None, f'unknown node for user "{user.name}"')
        if info.is_resource:
            refused = self._refused(node, info)
            if refused is not None:
                return Decision(None, refused) if refused else Decision(True)
        if any(rule.allows(info) for rule in self._rules):
            return Decision(True)
        return NO_OPINION

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules([], [], incomplete=NODES in user.groups)

    def _refused(self, node: str, info: RequestInfo) -> str | None:
        """Why not; "" for yes; None where the static rules decide."""
        match (info.group, info.resource):
            case ("", "secrets" | "configmaps" as resource):
                return self._read_one(node, info, resource)
            case ("", "persistentvolumeclaims"):
                if info.subresource == "status" and info.verb in ("update", "patch"):
                    return self._linked(node, "persistentvolumeclaims", info)
                return self._read_one(node, info, "persistentvolumeclaims")
            case ("", "persistentvolumes"):
                return self._read_one(node, info, "persistentvolumes")
            case ("", "serviceaccounts") if info.subresource == "token":
                if info.verb != "create":
                    return "can only create tokens for service accounts of its pods"
                return self._linked(node, "serviceaccounts", info)
            case ("", "nodes") | ("", "pods"):
                return self._own(node, info)
            case ("coordination.k8s.io", "leases"):
                return _lease(node, info)
            case ("storage.k8s.io", "csinodes"):
                return "" if info.name == node or info.verb == "create" else _only("CSINode", info, node)
            case ("storage.k8s.io", "volumeattachments"):
                return self._read_one(node, info, "volumeattachments")
            case ("resource.k8s.io", "resourceclaims"):
                return self._read_one(node, info, "resourceclaims")
            case ("resource.k8s.io", "resourceslices"):
                return "" if info.verb in ("create", *_READ, "update", "patch", "delete", "deletecollection") else None
        return None

    def _read_one(self, node: str, info: RequestInfo, resource: str) -> str:
        if info.verb not in _READ:
            return f"can only get/list/watch individual resources of this type: {resource}"
        if not info.name:
            return "No Object name found"
        if info.subresource:
            return "cannot get subresource"
        return self._linked(node, resource, info)

    def _linked(self, node: str, resource: str, info: RequestInfo) -> str:
        if self._refs.linked(node, resource, info.namespace, info.name):
            return ""
        return f"no relationship found between node '{node}' and this object"

    def _own(self, node: str, info: RequestInfo) -> str | None:
        """Nodes and pods: reading one's own; writes are held to the node by admission (NodeRestriction)."""
        if info.resource == "pods" and info.verb in ("list", "watch", "deletecollection"):
            if f"spec.nodeName={node}" in (term.strip().replace("==", "=") for term in info.fields.split(",")):
                return None
            return "can only list/watch pods with spec.nodeName field selector"
        if info.resource == "nodes":
            if info.verb in _READ and not info.subresource and info.name != node:
                return f"node '{node}' cannot read '{info.name}', only its own Node object"
            return None
        if info.verb == "get" and not info.subresource and self._refs.elsewhere(node, info.namespace, info.name):
            return f"no relationship found between node '{node}' and this object"
        return None


def _lease(node: str, info: RequestInfo) -> str:
    if info.namespace != "kube-node-lease":
        return f"can only access leases in the \"kube-node-lease\" system namespace, not {info.namespace!r}"
    if info.verb == "create" or info.name == node:
        return ""
    return "can only access node lease with the same name as the requesting node"


def _only(kind: str, info: RequestInfo, node: str) -> str:
    return f"can only access {kind} with the same name as the requesting node: {info.name!r} is not {node!r}"


