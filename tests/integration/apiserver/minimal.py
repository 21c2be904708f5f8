"""The least that makes a valid object of each built-in kind; metadata aside."""

from __future__ import annotations

import base64
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

POD = {"containers": [{"name": "c", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD}
SELECTOR = {"matchLabels": {"app": "a"}}
RULES = {"role": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
DEVICES = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "d"}}]}}
ASKED = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
ADD_A = '[JSONPatch{op: "add", path: "/metadata/labels/a", value: "b"}]'
JOB = {"template": {"spec": {**POD, "restartPolicy": "Never"}}}


def _request() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(ec.generate_private_key(ec.SECP256R1()),
                                                                           hashes.SHA256())  # fmt: skip
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


def contents(kind: str, namespace: str) -> dict[str, Any]:
    """What an object of the kind needs besides kind, apiVersion and metadata."""
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    made: dict[str, dict[str, Any]] = {
        "APIService": spec(group="away.example", version="v1", groupPriorityMinimum=1, versionPriority=1,
                           insecureSkipTLSVerify=True, service={"name": "s", "namespace": "default"}),
        "CSIDriver": spec(),
        "CSINode": spec(drivers=[]),
        "CSIStorageCapacity": {"storageClassName": "s"},
        "CertificateSigningRequest": spec(request=_request(), signerName="example.com/s", usages=["client auth"]),
        "ClusterRoleBinding": {"roleRef": RULES["role"]},
        "ControllerRevision": {"revision": 1, "data": {}},
        "CronJob": spec(schedule="* * * * *", jobTemplate={"spec": JOB}),
        "CustomResourceDefinition": spec(
            group="zoo.example", scope="Namespaced", names={"plural": "apes", "kind": "Ape"},
            versions=[{"name": "v1", "served": True, "storage": True,
                       "schema": {"openAPIV3Schema": {"type": "object"}}}],
        ),
        "DaemonSet": spec(selector=SELECTOR, template=TEMPLATE),
        "Deployment": spec(selector=SELECTOR, template=TEMPLATE),
        "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
        "FlowSchema": spec(priorityLevelConfiguration={"name": "catch-all"}),
        "HorizontalPodAutoscaler": spec(maxReplicas=2, scaleTargetRef={"kind": "Deployment", "name": "d"}),
        "IPAddress": spec(parentRef={"resource": "services", "name": "s", "namespace": "default"}),
        "Ingress": spec(defaultBackend={"service": {"name": "s", "port": {"number": 80}}}),
        "IngressClass": spec(controller="example.com/c"),
        "Job": spec(**JOB),
        "LocalSubjectAccessReview": spec(user="u", resourceAttributes={**ASKED["resourceAttributes"],
                                                                       "namespace": namespace}),
        "NetworkPolicy": spec(podSelector={}),
        "PersistentVolume": spec(capacity={"storage": "1Gi"}, accessModes=["ReadWriteOnce"],
                                 hostPath={"path": "/x"}),
        "PersistentVolumeClaim": {"spec": CLAIM},
        "Pod": {"spec": POD},
        "PodTemplate": {"template": TEMPLATE},
        "PriorityClass": {"value": 1},
        "PriorityLevelConfiguration": spec(type="Limited", limited={"limitResponse": {"type": "Reject"}}),
        "ReplicaSet": spec(selector=SELECTOR, template=TEMPLATE),
        "ReplicationController": spec(selector={"app": "a"}, template=TEMPLATE),
        "ResourceClaim": {"spec": DEVICES},
        "ResourceClaimTemplate": spec(spec=DEVICES),
        "ResourceSlice": spec(driver="d.example", nodeName="n", pool={"name": "p", "generation": 1,
                                                                     "resourceSliceCount": 1}),
        "RoleBinding": {"roleRef": RULES["role"]},
        "RuntimeClass": {"handler": "h"},
        "SelfSubjectAccessReview": {"spec": ASKED},
        "SelfSubjectRulesReview": spec(namespace="default"),
        "Service": spec(ports=[{"port": 80}]),
        "ServiceCIDR": spec(cidrs=["10.55.0.0/24"]),
        "StatefulSet": spec(selector=SELECTOR, template=TEMPLATE, serviceName="s"),
        "StorageClass": {"provisioner": "p.example"},
        "SubjectAccessReview": spec(user="u", **ASKED),
        "TokenReview": spec(token="t"),
        "VolumeAttachment": spec(attacher="a", nodeName="n", source={"persistentVolumeName": "v"}),
        "VolumeAttributesClass": {"driverName": "d.example", "parameters": {"a": "b"}},
        "ValidatingAdmissionPolicy": spec(
            matchConstraints={"resourceRules": [{"apiGroups": ["none.example"], "apiVersions": ["v1"],
                                                 "operations": ["CREATE"], "resources": ["nones"]}]},
            validations=[{"expression": "true"}],
        ),
        "ValidatingAdmissionPolicyBinding": spec(policyName="p", validationActions=["Deny"]),
        "MutatingAdmissionPolicy": spec(
            matchConstraints={"resourceRules": [{"apiGroups": ["none.example"], "apiVersions": ["v1"],
                                                 "operations": ["CREATE"], "resources": ["nones"]}]},
            reinvocationPolicy="Never",
            mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": ADD_A}}],
        ),
        "MutatingAdmissionPolicyBinding": spec(policyName="p"),
        "core/Event": {"involvedObject": about, "reason": "Why", "message": "so", "type": "Normal"},
        "events.k8s.io/Event": {
            "regarding": about, "reason": "Why", "action": "Do", "type": "Normal",
            "reportingController": "c.example/c", "reportingInstance": "i", "eventTime": "2024-01-01T00:00:00.000000Z",
        },
    }  # fmt: skip
    return made.get(kind, {})


NAMES = {
    "APIService": "v1.away.example",
    "CustomResourceDefinition": "apes.zoo.example",
    "IPAddress": "10.96.0.77",
}
"""Where the name isn't free to choose."""


def minimal(group: str, version: str, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    """An object; `namespace` is empty for what has none."""
    metadata = {"name": NAMES.get(kind, name), **({"namespace": namespace} if namespace else {})}
    key = f"{group or 'core'}/Event" if kind == "Event" else kind
    head = {"apiVersion": f"{group}/{version}" if group else version, "kind": kind, "metadata": metadata}
    return {**head, **contents(key, namespace or "default")}
