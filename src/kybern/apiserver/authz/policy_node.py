"""What any kubelet may do before the Node authorizer looks at names: the rules of the `system:node` ClusterRole."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.authz.policy_rules import rule

NODE_RULES: list[Object] = [
    rule("create", group="authentication.k8s.io", resources="tokenreviews"),
    rule("create", group="authorization.k8s.io", resources="localsubjectaccessreviews subjectaccessreviews"),
    rule("get list watch", resources="services"),
    rule("create get list watch", resources="nodes"),
    rule("patch update", resources="nodes/status"),
    rule("patch update", resources="nodes"),
    rule("create patch update", resources="events"),
    rule("get list watch", resources="pods"),
    rule("create delete", resources="pods"),
    rule("patch update", resources="pods/status"),
    rule("create", resources="pods/eviction"),
    rule("get list watch", resources="configmaps secrets"),
    rule("get", resources="persistentvolumeclaims persistentvolumes"),
    rule("get", resources="endpoints"),
    rule("create get list watch", group="certificates.k8s.io", resources="certificatesigningrequests"),
    rule("create delete get patch update", group="coordination.k8s.io", resources="leases"),
    rule("get", group="storage.k8s.io", resources="volumeattachments"),
    rule("create", resources="serviceaccounts/token"),
    rule("get", resources="serviceaccounts"),
    rule("get patch update", resources="persistentvolumeclaims/status"),
    rule("get list watch", group="storage.k8s.io", resources="csidrivers"),
    rule("create delete get patch update", group="storage.k8s.io", resources="csinodes"),
    rule("get list watch", group="node.k8s.io", resources="runtimeclasses"),
    rule("create patch update", group="events.k8s.io", resources="events"),
    rule("get", group="resource.k8s.io", resources="resourceclaims"),
    rule("deletecollection", group="resource.k8s.io", resources="resourceslices"),
    rule("create delete get list patch update watch", group="resource.k8s.io", resources="resourceslices"),
    rule("create get list watch", group="certificates.k8s.io", resources="podcertificaterequests"),
    rule("get list watch", group="certificates.k8s.io", resources="clustertrustbundles"),
]
