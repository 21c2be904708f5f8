"""The default ClusterRoles other than those of controllers, and who they are bound to.

Source: Kubernetes documentation, "Default roles and role bindings".
"""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.authz.policy_node import NODE_RULES
from kybern.apiserver.authz.policy_rules import READ, READ_WRITE, WRITE, events, rule, urls

APPS = "apps"
EXTENSIONS = "extensions"
AUTHN, AUTHZ = "authentication.k8s.io", "authorization.k8s.io"
BATCH, AUTOSCALING, POLICY = "batch", "autoscaling", "policy"
CERTIFICATES = "certificates.k8s.io"
COORDINATION = "coordination.k8s.io"
DISCOVERY = "discovery.k8s.io"
METRICS = "metrics.k8s.io"
NETWORKING = "networking.k8s.io"
RBAC = "rbac.authorization.k8s.io"
RESOURCE = "resource.k8s.io"
STORAGE = "storage.k8s.io"

HEALTH = "/livez /readyz /healthz"
PUBLIC = f"{HEALTH} /version /version/"
OPENID = "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks /openid/v1/jwks/"
WORKLOADS = "daemonsets deployments deployments/rollback deployments/scale replicasets replicasets/scale"
OLD_WORKLOADS = f"{WORKLOADS} ingresses networkpolicies replicationcontrollers/scale"

AGGREGATED = {
    "admin": ("admin", ""),
    "edit": ("edit", "admin"),
    "view": ("view", "edit"),
}
"""ClusterRole -> (which label's roles it is made of, which label it carries itself)."""

AGGREGATE_TO = {f"system:aggregate-to-{name}": name for name in AGGREGATED}
"""ClusterRole -> the label that has it aggregated."""


def aggregation_label(role: str) -> str:
    """The label of roles that the role is made of."""
    return f"rbac.authorization.k8s.io/aggregate-to-{role}"


_ADMIN = [
    rule("create", group=AUTHZ, resources="localsubjectaccessreviews"),
    rule(READ_WRITE, group=RBAC, resources="rolebindings roles"),
]

_EDIT = [
    rule(READ, resources="pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"),
    rule("impersonate", resources="serviceaccounts"),
    rule(WRITE, resources="pods pods/attach pods/exec pods/portforward pods/proxy"),
    rule("create", resources="pods/eviction"),
    rule(
        WRITE,
        resources="configmaps events persistentvolumeclaims replicationcontrollers replicationcontrollers/scale "
        "secrets serviceaccounts services services/proxy",
    ),
    rule("create", resources="serviceaccounts/token"),
    rule(WRITE, group=APPS, resources=f"{WORKLOADS} statefulsets statefulsets/scale"),
    rule(WRITE, group=AUTOSCALING, resources="horizontalpodautoscalers"),
    rule(WRITE, group=BATCH, resources="cronjobs jobs"),
    rule(WRITE, group=EXTENSIONS, resources=OLD_WORKLOADS),
    rule(WRITE, group=POLICY, resources="poddisruptionbudgets"),
    rule(WRITE, group=NETWORKING, resources="ingresses networkpolicies"),
    rule(READ_WRITE, group=COORDINATION, resources="leases"),
    rule(WRITE, group=RESOURCE, resources="resourceclaims resourceclaimtemplates"),
]

_VIEW = [
    rule(
        READ,
        resources="configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods "
        "replicationcontrollers replicationcontrollers/scale serviceaccounts services services/status",
    ),
    rule(
        READ,
        resources="bindings events limitranges namespaces/status pods/log pods/status replicationcontrollers/status "
        "resourcequotas resourcequotas/status",
    ),
    rule(READ, resources="namespaces"),
    rule(READ, group=DISCOVERY, resources="endpointslices"),
    rule(
        READ,
        group=APPS,
        resources="controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status "
        "replicasets replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    ),
    rule(READ, group=AUTOSCALING, resources="horizontalpodautoscalers horizontalpodautoscalers/status"),
    rule(READ, group=BATCH, resources="cronjobs cronjobs/status jobs jobs/status"),
    rule(
        READ,
        group=EXTENSIONS,
        resources="daemonsets daemonsets/status deployments deployments/scale deployments/status ingresses "
        "ingresses/status networkpolicies replicasets replicasets/scale replicasets/status "
        "replicationcontrollers/scale",
    ),
    rule(READ, group=POLICY, resources="poddisruptionbudgets poddisruptionbudgets/status"),
    rule(READ, group=NETWORKING, resources="ingresses ingresses/status networkpolicies"),
    rule(READ, group=RESOURCE, resources="resourceclaims resourceclaims/status resourceclaimtemplates"),
]

_REVIEWS = [
    rule("create", group=AUTHN, resources="tokenreviews"),
    rule("create", group=AUTHZ, resources="subjectaccessreviews"),
]

_CONTROLLER_MANAGER = [
    events(),
    rule("create", group=COORDINATION, resources="leases"),
    rule("get update", group=COORDINATION, resources="leases", names=["kube-controller-manager"]),
    rule("create", resources="secrets serviceaccounts"),
    rule("delete", resources="secrets"),
    rule("get", resources="configmaps namespaces secrets serviceaccounts"),
    rule("update", resources="secrets serviceaccounts"),
    *_REVIEWS,
    rule("list watch", group="*", resources="*"),
    rule("create", resources="serviceaccounts/token"),
]

_SCHEDULER = [
    events(),
    rule("create", group=COORDINATION, resources="leases"),
    rule("get list update watch", group=COORDINATION, resources="leases", names=["kube-scheduler"]),
    rule(READ, resources="nodes"),
    rule("delete get list watch", resources="pods"),
    rule("create", resources="bindings pods/binding"),
    rule("patch update", resources="pods/status"),
    rule(READ, resources="replicationcontrollers services"),
    rule(READ, group=f"{APPS} {EXTENSIONS}", resources="replicasets"),
    rule(READ, group=APPS, resources="statefulsets"),
    rule(READ, group=POLICY, resources="poddisruptionbudgets"),
    rule(READ, resources="persistentvolumeclaims persistentvolumes"),
    *_REVIEWS,
    rule(READ, group=STORAGE, resources="csinodes"),
    rule(READ, resources="namespaces"),
    rule(READ, group=STORAGE, resources="csidrivers csistoragecapacities volumeattachments"),
    rule(READ, group=RESOURCE, resources="deviceclasses resourceslices"),
    rule("get list patch update watch", group=RESOURCE, resources="resourceclaims"),
    rule("patch update", group=RESOURCE, resources="resourceclaims/status"),
    rule("patch update", group=RESOURCE, resources="resourceclaims/binding"),
    rule("patch update", resources="pods/finalizers"),
]

_PROVISIONER = [
    rule("create delete get list watch", resources="persistentvolumes"),
    rule("get list update watch", resources="persistentvolumeclaims"),
    rule(READ, group=STORAGE, resources="storageclasses"),
    rule("watch", resources="events"),
    events(),
]

_NODE_PROXIER = [
    rule("list watch", resources="endpoints services"),
    rule(READ, resources="nodes"),
    events(),
    rule("list watch", group=DISCOVERY, resources="endpointslices"),
    rule("list watch", group=NETWORKING, resources="servicecidrs"),
]

_SIGN = "approve"


def _approver(signer: str) -> list[Object]:
    return [rule(_SIGN, group=CERTIFICATES, resources="signers", names=[signer])]


CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [rule("*", group="*", resources="*"), urls("*", "*")],
    "system:discovery": [urls("get", f"{PUBLIC} /openapi /openapi/* /api /api/* /apis /apis/*")],
    "system:monitoring": [
        urls("get", f"/metrics /metrics/slis {HEALTH} /livez/* /readyz/* /healthz/* /statusz /flagz"),
    ],
    "system:basic-user": [
        rule("create", group=AUTHZ, resources="selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", group=AUTHN, resources="selfsubjectreviews"),
    ],
    "system:public-info-viewer": [urls("get", PUBLIC)],
    "system:aggregate-to-admin": _ADMIN,
    "system:aggregate-to-edit": _EDIT,
    "system:aggregate-to-view": _VIEW,
    "system:heapster": [
        rule(READ, resources="events namespaces nodes pods"),
        rule(READ, group=EXTENSIONS, resources="deployments"),
    ],
    "system:node": NODE_RULES,
    "system:node-problem-detector": [rule("get", resources="nodes"), rule("patch", resources="nodes/status"), events()],
    "system:node-proxier": _NODE_PROXIER,
    "system:node-bootstrapper": [
        rule("create get list watch", group=CERTIFICATES, resources="certificatesigningrequests")
    ],
    "system:kubelet-api-admin": [
        rule(READ, resources="nodes"),
        rule("*", resources="nodes"),
        rule(
            "*",
            resources="nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/spec "
            "nodes/stats",
        ),
    ],
    "system:auth-delegator": _REVIEWS,
    "system:kube-aggregator": [rule(READ, resources="endpoints services")],
    "system:kube-controller-manager": _CONTROLLER_MANAGER,
    "system:kube-dns": [rule("list watch", resources="endpoints services")],
    "system:kube-scheduler": _SCHEDULER,
    "system:persistent-volume-provisioner": _PROVISIONER,
    "system:volume-scheduler": [
        rule("get list patch update watch", resources="persistentvolumes"),
        rule(READ, group=STORAGE, resources="storageclasses"),
        rule("get list patch update watch", resources="persistentvolumeclaims"),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        rule("create", group=CERTIFICATES, resources="certificatesigningrequests/nodeclient")
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        rule("create", group=CERTIFICATES, resources="certificatesigningrequests/selfnodeclient")
    ],
    "system:certificates.k8s.io:legacy-unknown-approver": _approver("kubernetes.io/legacy-unknown"),
    "system:certificates.k8s.io:kubelet-serving-approver": _approver("kubernetes.io/kubelet-serving"),
    "system:certificates.k8s.io:kube-apiserver-client-approver": _approver("kubernetes.io/kube-apiserver-client"),
    "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver": _approver(
        "kubernetes.io/kube-apiserver-client-kubelet"
    ),
    "system:service-account-issuer-discovery": [urls("get", OPENID)],
}

CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group/system:masters",),
    "system:monitoring": ("Group/system:monitoring",),
    "system:discovery": ("Group/system:authenticated",),
    "system:basic-user": ("Group/system:authenticated",),
    "system:public-info-viewer": ("Group/system:authenticated", "Group/system:unauthenticated"),
    "system:node-proxier": ("User/system:kube-proxy",),
    "system:kube-controller-manager": ("User/system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount/kube-system/kube-dns",),
    "system:kube-scheduler": ("User/system:kube-scheduler",),
    "system:volume-scheduler": ("User/system:kube-scheduler",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("Group/system:serviceaccounts",),
}
"""ClusterRole -> subjects; the binding has the role's name."""
