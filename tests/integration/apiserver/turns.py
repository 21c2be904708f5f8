"""Fields that exclude each other, or have to be of certain values together: the choices there are, each as the fields
that it sets. `...` leaves the value to the schema."""

from __future__ import annotations

from typing import Any

Turns = list[dict[str, Any]]


def one_of(*fields: str) -> Turns:
    """One of these at a time."""
    return [{field: ...} for field in fields]


_VOLUMES = """
    awsElasticBlockStore azureDisk azureFile cephfs cinder configMap csi downwardAPI emptyDir ephemeral fc flexVolume
    flocker gcePersistentDisk gitRepo glusterfs hostPath image iscsi nfs persistentVolumeClaim photonPersistentDisk
    portworxVolume projected quobyte rbd scaleIO secret storageos vsphereVolume
""".split()  # noqa: SIM905
_PERSISTENT = """
    awsElasticBlockStore azureDisk azureFile cephfs cinder fc flexVolume flocker gcePersistentDisk glusterfs hostPath
    iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume
""".split()  # noqa: SIM905
_SERVICE: dict[str, Any] = dict.fromkeys(
    ("clusterIP", "clusterIPs", "externalIPs", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy",
     "sessionAffinity"), ...
)  # fmt: skip
_EXACTLY = ("deviceClassName", "selectors", "allocationMode", "count", "adminAccess", "tolerations", "capacity")
_CLAIM = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "other"}

TURNS: dict[str, Turns] = {
    "core.v1.Volume": one_of(*_VOLUMES),
    "core.v1.PersistentVolumeSpec": [*one_of(*_PERSISTENT), {"csi": ..., "volumeAttributesClassName": ...}],
    "core.v1.PersistentVolumeClaimSpec": [
        {"dataSource": _CLAIM, "dataSourceRef": _CLAIM},
        {"dataSourceRef": {"apiGroup": "example.com", "kind": "Backup", "name": "one", "namespace": "elsewhere"}},
    ],
    "core.v1.VolumeProjection": [
        *one_of("clusterTrustBundle", "configMap", "downwardAPI", "podCertificate", "serviceAccountToken"),
        {"secret": {"name": "a-secret", "items": [{"key": "k", "path": "secret", "mode": 256}], "optional": True}},
    ],
    "core.v1.LifecycleHandler": one_of("exec", "httpGet", "sleep", "tcpSocket"),
    "core.v1.Probe": one_of("exec", "grpc", "httpGet", "tcpSocket"),
    "core.v1.EnvVar": one_of("value", "valueFrom"),
    "core.v1.EnvVarSource": one_of("configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"),
    "core.v1.EnvFromSource": one_of("configMapRef", "secretRef"),
    "core.v1.DownwardAPIVolumeFile": [{"fieldRef": ..., "path": "field"}, {"resourceFieldRef": ..., "path": "cpu"}],
    "core.v1.KeyToPath": [{"path": "from-key"}],
    "core.v1.VolumeMount": [
        {"name": "name-text-8", "mountPath": "/one", "subPath": ...},
        {"name": "name-text-8", "mountPath": "/two", "subPathExpr": ...},
        {"name": "name-text-8", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
    ],
    "core.v1.PodResourceClaim": one_of("resourceClaimName", "resourceClaimTemplateName"),
    "core.v1.FlockerVolumeSource": one_of("datasetName", "datasetUUID"),
    "core.v1.FCVolumeSource": [{"targetWWNs": ..., "lun": 1}, {"wwids": ...}],
    "core.v1.ClusterTrustBundleProjection": [{"name": ...}, {"signerName": ..., "labelSelector": ...}],
    "core.v1.ContainerState": one_of("running", "terminated", "waiting"),
    "core.v1.SeccompProfile": [{"type": "Localhost", "localhostProfile": ...}, {"type": "RuntimeDefault"}],
    "core.v1.AppArmorProfile": [{"type": "Localhost", "localhostProfile": ...}, {"type": "RuntimeDefault"}],
    "core.v1.ServiceSpec": [
        {"type": "ClusterIP", **_SERVICE, "sessionAffinityConfig": ...},
        {"type": "LoadBalancer", **_SERVICE, "allocateLoadBalancerNodePorts": ..., "externalTrafficPolicy": "Local",
         "healthCheckNodePort": 31999, "loadBalancerClass": "example.com/class", "loadBalancerIP": "192.0.2.9",
         "loadBalancerSourceRanges": ["192.0.2.0/24"], "sessionAffinityConfig": ...},
        {"type": "ExternalName", "externalName": "example.com", "sessionAffinity": "None"},
    ],
    "core.v1.ServicePort": [{"nodePort": 31000}],
    "autoscaling.v2.MetricSpec": [
        {"type": "ContainerResource", "containerResource": ...},
        {"type": "External", "external": ...},
        {"type": "Object", "object": ...},
        {"type": "Pods", "pods": ...},
        {"type": "Resource", "resource": ...},
    ],
    "autoscaling.v2.MetricStatus": [
        {"type": "ContainerResource", "containerResource": ...},
        {"type": "External", "external": ...},
        {"type": "Object", "object": ...},
        {"type": "Pods", "pods": ...},
        {"type": "Resource", "resource": ...},
    ],
    "batch.v1.PodFailurePolicyRule": one_of("onExitCodes", "onPodConditions"),
    "networking.v1.IngressBackend": [
        {"resource": ...},
        {"service": {"name": "a-service", "port": {"name": "http"}}},
        {"service": {"name": "a-service", "port": {"number": 80}}},
    ],
    "networking.v1.NetworkPolicyPeer": [{"ipBlock": ...}, {"podSelector": ..., "namespaceSelector": ...}],
    "policy.v1.PodDisruptionBudgetSpec": one_of("minAvailable", "maxUnavailable"),
    "rbac.v1.Subject": [
        {"kind": "User", "apiGroup": "rbac.authorization.k8s.io"},
        {"kind": "ServiceAccount", "namespace": "filled", "apiGroup": ""},
    ],
    "rbac.v1.PolicyRule": [{"resources": ..., "resourceNames": ..., "apiGroups": ...}, {"nonResourceURLs": ["/path"]}],
    "storage.v1.VolumeAttachmentSource": [
        {"persistentVolumeName": ...},
        {"inlineVolumeSpec": {
            "accessModes": ["ReadWriteOnce"], "csi": {"driver": "driver.example.com", "volumeHandle": "handle"},
            "mountOptions": ["ro"], "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}},
    ],
    "flowcontrol.v1.PriorityLevelConfigurationSpec": [{"type": "Limited", "limited": ...}],
    "flowcontrol.v1.LimitResponse": [{"type": "Queue", "queuing": ...}, {"type": "Reject"}],
    "flowcontrol.v1.Subject": [
        {"kind": "User", "user": ...},
        {"kind": "Group", "group": ...},
        {"kind": "ServiceAccount", "serviceAccount": ...},
    ],
    "flowcontrol.v1.ResourcePolicyRule": [{"clusterScope": ..., "namespaces": ["filled"]}],
    "scheduling.v1alpha2.PodGroupSchedulingPolicy": one_of("basic", "gang"),
    "scheduling.v1alpha2.PodGroupResourceClaim": one_of("resourceClaimName", "resourceClaimTemplateName"),
    "apiregistration.v1.APIServiceSpec": one_of("caBundle", "insecureSkipTLSVerify"),
    "apiextensions.v1.WebhookClientConfig": [{"service": ...}, {"url": "https://example.com/hook"}],
    "admissionregistration.v1.WebhookClientConfig": [{"service": ...}, {"url": "https://example.com/hook"}],
    **{
        f"admissionregistration.{version}.{name}": turns
        for version in ("v1", "v1beta1", "v1alpha1")
        for name, turns in {
            "ParamRef": [{"name": ...}, {"selector": ...}],
            "Mutation": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": ...},
                {"patchType": "JSONPatch", "jsonPatch": ...},
            ],
        }.items()
    },
    "resource.v1.DeviceRequest": one_of("exactly", "firstAvailable"),
    "resource.v1beta2.DeviceRequest": one_of("exactly", "firstAvailable"),
    "resource.v1beta1.DeviceRequest": [
        dict.fromkeys(_EXACTLY, ...),
        {"firstAvailable": ...},
    ],
}
_VERSIONS = ("v1", "v1beta1", "v1beta2")
_ATTRIBUTES = ("bool", "bools", "int", "ints", "string", "strings", "version", "versions")
for _version in _VERSIONS:
    TURNS[f"resource.{_version}.DeviceConstraint"] = one_of("matchAttribute", "distinctAttribute")
    TURNS[f"resource.{_version}.DeviceAttribute"] = one_of(*_ATTRIBUTES)
    TURNS[f"resource.{_version}.CapacityRequestPolicy"] = one_of("validValues", "validRange")
    TURNS[f"resource.{_version}.DeviceToleration"] = [{"operator": "Equal", "value": ...}, {"operator": "Exists"}]
    TURNS[f"resource.{_version}.ResourceSliceSpec"] = [
        {"nodeName": ..., "devices": ...},
        {"nodeSelector": ..., "devices": ...},
        {"allNodes": ..., "sharedCounters": ...},
        *[{"perDeviceNodeSelection": ..., "devices": ...}] * 3,
    ]
