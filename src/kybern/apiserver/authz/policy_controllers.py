"""The ClusterRoles of controllers, `system:controller:<name>`: the least each loop needs."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.authz.policy_rules import READ, events, rule

APPS, BATCH, POLICY, AUTOSCALING = "apps", "batch", "policy", "autoscaling"
OLD = "extensions apps"
CERTIFICATES = "certificates.k8s.io"
DISCOVERY = "discovery.k8s.io"
NETWORKING = "networking.k8s.io"
RBAC = "rbac.authorization.k8s.io"
RESOURCE = "resource.k8s.io"
STORAGE = "storage.k8s.io"
_OWN_PODS = rule("create delete list patch watch", resources="pods")

CONTROLLER_ROLES: dict[str, list[Object]] = {
    "attachdetach-controller": [
        rule("list watch", resources="persistentvolumeclaims persistentvolumes"),
        rule("get list watch", resources="nodes"),
        rule("patch update", resources="nodes/status"),
        rule("list watch", resources="pods"),
        events(),
        rule("create delete get list watch", group=STORAGE, resources="volumeattachments"),
        rule(READ, group=STORAGE, resources="csidrivers csinodes"),
    ],
    "certificate-controller": [
        rule("delete get list watch", group=CERTIFICATES, resources="certificatesigningrequests"),
        rule(
            "update",
            group=CERTIFICATES,
            resources="certificatesigningrequests/approval certificatesigningrequests/status",
        ),
        rule(
            "approve", group=CERTIFICATES, resources="signers", names=["kubernetes.io/kube-apiserver-client-kubelet"]
        ),
        rule(
            "sign",
            group=CERTIFICATES,
            resources="signers",
            names=[
                "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kube-apiserver-client",
                "kubernetes.io/kubelet-serving", "kubernetes.io/legacy-unknown",
            ],
        ),
        rule("create", group="authorization.k8s.io", resources="subjectaccessreviews"),
        events(),
    ],
    "clusterrole-aggregation-controller": [
        rule("escalate get list patch update watch", group=RBAC, resources="clusterroles")
    ],
    "cronjob-controller": [
        rule("get list update watch", group=BATCH, resources="cronjobs"),
        rule("create delete get list patch update watch", group=BATCH, resources="jobs"),
        rule("update", group=BATCH, resources="cronjobs/status"),
        rule("update", group=BATCH, resources="cronjobs/finalizers"),
        rule("delete list watch", resources="pods"),
        events(),
    ],
    "daemon-set-controller": [
        rule("get list watch", group=OLD, resources="daemonsets"),
        rule("update", group=OLD, resources="daemonsets/status"),
        rule("update", group=OLD, resources="daemonsets/finalizers"),
        rule("list watch", resources="nodes"),
        _OWN_PODS,
        rule("create", resources="pods/binding"),
        rule("create delete get list patch update watch", group=APPS, resources="controllerrevisions"),
        events(),
    ],
    "deployment-controller": [
        rule("get list update watch", group=OLD, resources="deployments"),
        rule("update", group=OLD, resources="deployments/status"),
        rule("update", group=OLD, resources="deployments/finalizers"),
        rule("create delete get list patch update watch", group=OLD, resources="replicasets"),
        rule("get list update watch", resources="pods"),
        events(),
    ],
    "device-taint-eviction-controller": [
        rule("delete get list watch", resources="pods"),
        rule("patch update", resources="pods/status"),
        rule(READ, group=RESOURCE, resources="deviceclasses devicetaintrules resourceclaims resourceslices"),
        rule("patch update", group=RESOURCE, resources="devicetaintrules/status"),
        events(),
    ],
    "disruption-controller": [
        rule(READ, group=OLD, resources="deployments replicasets"),
        rule(READ, resources="replicationcontrollers"),
        rule(READ, group=POLICY, resources="poddisruptionbudgets"),
        rule(READ, group=APPS, resources="statefulsets"),
        rule("update", group=POLICY, resources="poddisruptionbudgets/status"),
        rule("get list patch watch", resources="pods"),
        rule("patch update", resources="pods/status"),
        rule("get", group="*", resources="*/scale"),
        events(),
    ],
    "endpoint-controller": [
        rule(READ, resources="pods services"),
        rule("create delete get list update watch", resources="endpoints"),
        rule("create", resources="endpoints/restricted"),
        events(),
    ],
    "endpointslice-controller": [
        rule(READ, resources="nodes pods services"),
        rule("update", resources="services/finalizers"),
        rule("create delete get list update watch", group=DISCOVERY, resources="endpointslices"),
        events(),
    ],
    "endpointslicemirroring-controller": [
        rule(READ, resources="endpoints services"),
        rule("update", resources="services/finalizers"),
        rule("update", resources="endpoints/finalizers"),
        rule("create delete get list update watch", group=DISCOVERY, resources="endpointslices"),
        events(),
    ],
    "ephemeral-volume-controller": [
        rule("update", resources="pods/finalizers"),
        rule(READ, resources="pods"),
        rule("create get list watch", resources="persistentvolumeclaims"),
        events(),
    ],
    "expand-controller": [
        rule("get list patch update watch", resources="persistentvolumes"),
        rule("patch update", resources="persistentvolumeclaims/status"),
        rule(READ, resources="persistentvolumeclaims"),
        rule("get", resources="services"),
        events(),
    ],
    "generic-garbage-collector": [
        rule("delete get list patch update watch", group="*", resources="*"),
        events(),
    ],
    "horizontal-pod-autoscaler": [
        rule(READ, group=AUTOSCALING, resources="horizontalpodautoscalers"),
        rule("update", group=AUTOSCALING, resources="horizontalpodautoscalers/status"),
        rule("get update", group="*", resources="*/scale"),
        rule("list watch", resources="pods"),
        rule("list watch", group="metrics.k8s.io", resources="pods"),
        rule(READ, group="custom.metrics.k8s.io", resources="*"),
        rule(READ, group="external.metrics.k8s.io", resources="*"),
        events(),
    ],
    "job-controller": [
        rule("get list patch update watch", group=BATCH, resources="jobs"),
        rule("update", group=BATCH, resources="jobs/status"),
        rule("update", group=BATCH, resources="jobs/finalizers"),
        _OWN_PODS,
        events(),
    ],
    "legacy-service-account-token-cleaner": [
        rule("get", resources="configmaps", names=["kube-apiserver-legacy-service-account-token-tracking"]),
        rule("delete patch", resources="secrets"),
    ],
    "namespace-controller": [
        rule("delete get list watch", resources="namespaces"),
        rule("update", resources="namespaces/finalize namespaces/status"),
        rule("delete deletecollection get list watch", group="*", resources="*"),
    ],
    "node-controller": [
        rule("delete get list patch update watch", resources="nodes"),
        rule("patch update", resources="nodes/status"),
        rule("patch update", resources="pods/status"),
        rule("delete get list watch", resources="pods"),
        events(),
    ],
    "persistent-volume-binder": [
        rule("create delete get list update watch", resources="persistentvolumes"),
        rule("update", resources="persistentvolumes/status"),
        rule("get list update watch", resources="persistentvolumeclaims"),
        rule("update", resources="persistentvolumeclaims/status"),
        rule("create delete get list watch", resources="pods"),
        rule(READ, group=STORAGE, resources="storageclasses"),
        rule("list watch", resources="nodes"),
        rule("watch", resources="events"),
        rule("get", resources="services"),
        events(),
    ],
    "pod-garbage-collector": [
        rule("delete list watch", resources="pods"),
        rule(READ, resources="nodes"),
        rule("patch", resources="pods/status"),
    ],
    "pv-protection-controller": [rule("get list update watch", resources="persistentvolumes"), events()],
    "pvc-protection-controller": [
        rule("get list update watch", resources="persistentvolumeclaims"),
        rule(READ, resources="pods"),
        events(),
    ],
    "replicaset-controller": [
        rule("get list update watch", group=OLD, resources="replicasets"),
        rule("update", group=OLD, resources="replicasets/status"),
        rule("update", group=OLD, resources="replicasets/finalizers"),
        _OWN_PODS,
        events(),
    ],
    "replication-controller": [
        rule("get list update watch", resources="replicationcontrollers"),
        rule("update", resources="replicationcontrollers/status"),
        rule("update", resources="replicationcontrollers/finalizers"),
        _OWN_PODS,
        events(),
    ],
    "resource-claim-controller": [
        rule("update", resources="pods/finalizers"),
        rule(READ, resources="pods"),
        rule("patch update", resources="pods/status"),
        rule("create delete get list watch", group=RESOURCE, resources="resourceclaims"),
        rule("patch update", group=RESOURCE, resources="resourceclaims resourceclaims/status"),
        rule("patch update", group=RESOURCE, resources="resourceclaims/binding"),
        events(),
    ],
    "resourcequota-controller": [
        rule("list watch", group="*", resources="*"),
        rule("update", resources="resourcequotas/status"),
        events(),
    ],
    "root-ca-cert-publisher": [rule("create update", resources="configmaps"), events()],
    "route-controller": [rule("list watch", resources="nodes"), rule("patch", resources="nodes/status"), events()],
    "selinux-warning-controller": [
        rule(READ, resources="persistentvolumeclaims persistentvolumes pods"),
        rule(READ, group=STORAGE, resources="csidrivers"),
        events(),
    ],
    "service-account-controller": [rule("create", resources="serviceaccounts"), events()],
    "service-cidrs-controller": [
        rule("get list patch update watch", group=NETWORKING, resources="servicecidrs"),
        rule("patch update", group=NETWORKING, resources="servicecidrs/finalizers servicecidrs/status"),
        rule(READ, group=NETWORKING, resources="ipaddresses"),
        events(),
    ],
    "service-controller": [
        rule(READ, resources="services"),
        rule("patch update", resources="services/status"),
        rule("list watch", resources="nodes"),
        events(),
    ],
    "statefulset-controller": [
        rule("list watch", resources="pods"),
        rule(READ, group=APPS, resources="statefulsets"),
        rule("update", group=APPS, resources="statefulsets/status"),
        rule("update", group=APPS, resources="statefulsets/finalizers"),
        rule("create delete get patch update", resources="pods"),
        rule("create delete get list patch update watch", group=APPS, resources="controllerrevisions"),
        rule("create get list watch", resources="persistentvolumeclaims"),
        rule("delete update", resources="persistentvolumeclaims"),
        rule("update", resources="pods/finalizers"),
        events(),
    ],
    "storage-version-migrator-controller": [
        rule("list patch", group="*", resources="*"),
        rule(READ, group="storagemigration.k8s.io", resources="storageversionmigrations"),
        rule("update", group="storagemigration.k8s.io", resources="storageversionmigrations/status"),
        rule("get", group="apiextensions.k8s.io", resources="customresourcedefinitions"),
        rule("patch", group="apiextensions.k8s.io", resources="customresourcedefinitions/status"),
    ],
    "ttl-after-finished-controller": [rule("delete get list watch", group=BATCH, resources="jobs"), events()],
    "ttl-controller": [rule("list patch update watch", resources="nodes"), events()],
    "validatingadmissionpolicy-status-controller": [
        rule(READ, group="admissionregistration.k8s.io", resources="validatingadmissionpolicies"),
        rule(
            "get patch update",
            group="admissionregistration.k8s.io",
            resources="validatingadmissionpolicies/status",
        ),
        events(),
    ],
    "volumeattributesclass-protection-controller": [
        rule(READ, resources="persistentvolumeclaims persistentvolumes"),
        rule("get list update watch", group=STORAGE, resources="volumeattributesclasses"),
        events(),
    ],
}  # fmt: skip
"""Controller -> rules. Each is bound to the controller's service account in kube-system."""
