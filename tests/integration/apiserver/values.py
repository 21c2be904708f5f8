"""Values that the rules of kinds accept, where what the schema alone suggests would not do."""

from __future__ import annotations

from typing import Any

from tests.integration.apiserver import customs, pki

LABELS = {"app": "filled"}
_IQN = "iqn.2001-04.com.example:storage.disk1"

NEVER = frozenset(
    {
        *(f"apiextensions.v1.JSONSchemaProps.{field}" for field in customs.REFUSED),
        "core.v1.PodSpec.ephemeralContainers",  # only through their subresource
        "core.v1.NodeSpec.configSource",  # dropped since v1.24, like what is reported of it
        "core.v1.NodeStatus.config",
        "certificates.v1beta1.PodCertificateRequestSpec.pkixPublicKey",  # the stub request is there instead
        "certificates.v1beta1.PodCertificateRequestSpec.proofOfPossession",
        *(f"events.v1.Event.deprecated{field}" for field in ("Count", "FirstTimestamp", "LastTimestamp", "Source")),
        "flowcontrol.v1.PriorityLevelConfigurationSpec.exempt",  # of the level called so alone
        "certificates.v1.CertificateSigningRequestSpec.extra",  # the server says who asks
        "certificates.v1.CertificateSigningRequestSpec.groups",
        "certificates.v1.CertificateSigningRequestSpec.uid",
        "certificates.v1.CertificateSigningRequestSpec.username",
    }
)
"""Fields that are not filled."""

BY_NAME: dict[str, str] = {
    "status": "True",
    "shareID": "4ad1cb8f-1f8a-4b5e-9a33-d8a3b6a6a0b1",
    "protocol": "TCP",
    "ip": "192.0.2.7",
    "cidr": "192.0.2.0/24",
    "podIP": "192.0.2.7",
    "hostIP": "192.0.2.8",
    "uid": "4ad1cb8f-1f8a-4b5e-9a33-d8a3b6a6a0b1",
    "finalizers": "example.com/more",
    "signerName": "example.com/signer",
    "timeZone": "Europe/Berlin",
    "schedule": "*/5 * * * *",
    "managedBy": "example.com/controller",
    "accessModes": "ReadWriteOnce",
    "extendedResourceName": "example.com/device",
    "driver": "driver.example.com",
    "path": "/path",
    "strategy": "OldestEmulationVersion",
    "preemptionPolicy": "PreemptLowerPriority",
    "disruptionMode": "Pod",
    "allocationMode": "ExactCount",
}
"""By the field's name alone, for strings."""

BY_FIELD: dict[str, Any] = {
    "*.matchLabels": LABELS,
    "meta.v1.LabelSelectorRequirement.key": "app",
    "meta.v1.LabelSelectorRequirement.operator": "In",
    "meta.v1.LabelSelectorRequirement.values": ["filled"],
    "meta.v1.Condition.status": "True",
    "meta.v1.Condition.reason": "Filled",
    "core.v1.PodTemplateSpec.metadata": {"labels": LABELS, "annotations": {"example.com/note": "Any Text"}},
    # config maps, secrets, events, quotas
    "core.v1.ConfigMap.binaryData": {"bytes": "AAEC"},
    "core.v1.Event.type": "Warning",
    "events.v1.Event.type": "Warning",
    "events.v1.EventSeries.count": 2,
    "core.v1.ObjectReference.namespace": "filled",
    "core.v1.ResourceQuotaSpec.scopes": ["NotTerminating"],
    "core.v1.ResourceQuotaSpec.hard": {"pods": "5"},
    "core.v1.ResourceQuotaStatus.hard": {"pods": "5"},
    "core.v1.ResourceQuotaStatus.used": {"pods": "1"},
    "core.v1.LimitRangeItem.type": "Container",
    "core.v1.LimitRangeItem.min": {"cpu": "1"},
    "core.v1.LimitRangeItem.max": {"cpu": "4"},
    "core.v1.LimitRangeItem.default": {"cpu": "3"},
    "core.v1.LimitRangeItem.defaultRequest": {"cpu": "2"},
    "core.v1.LimitRangeItem.maxLimitRequestRatio": {"cpu": "2"},
    "core.v1.ScopedResourceSelectorRequirement.scopeName": "PriorityClass",
    "core.v1.ScopedResourceSelectorRequirement.operator": "In",
    "core.v1.ScopedResourceSelectorRequirement.values": ["low"],
    "core.v1.Secret.stringData": {"text": "text"},
    "core.v1.NamespaceSpec.finalizers": ["example.com/more", "kubernetes"],
    # nodes
    "core.v1.NodeSpec.taints": [
        {"key": "example.com/taint", "value": "text", "effect": "NoExecute", "timeAdded": "2030-01-02T03:04:05Z"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"},
    ],
    "*.effect": "NoExecute",
    "core.v1.ReplicationControllerSpec.selector": LABELS,
    "core.v1.NodeStatus.declaredFeatures": ["Feature"],
    "core.v1.NodeFeatures.supplementalGroupsPolicy": True,
    "core.v1.NodeSpec.podCIDR": "198.51.100.0/24",
    "core.v1.NodeSpec.podCIDRs": ["198.51.100.0/24"],
    "core.v1.NodeSelectorRequirement.operator": "In",
    "core.v1.NodeSelectorRequirement.key": "example.com/zone",
    "core.v1.NodeSelectorTerm.matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a-node"]}],
    # volumes
    "core.v1.PersistentVolumeSpec.capacity": {"storage": "1Gi"},
    "core.v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy": "Retain",
    "core.v1.VolumeResourceRequirements.requests": {"storage": "1Gi"},
    "core.v1.VolumeResourceRequirements.limits": {"storage": "2Gi"},
    "*.volumeMode": "Filesystem",
    "core.v1.AzureDiskVolumeSource.cachingMode": "ReadOnly",
    "core.v1.AzureDiskVolumeSource.kind": "Managed",
    "core.v1.AzureDiskVolumeSource.diskURI": "/subscriptions/s/resourcegroups/g",
    "core.v1.HostPathVolumeSource.type": "Directory",
    "*.iqn": _IQN,
    "*.initiatorName": _IQN,
    "*.registry": "192.0.2.1:7861",
    "*.defaultMode": 420,
    "*.mode": 420,
    "core.v1.ServiceAccountTokenProjection.expirationSeconds": 3600,
    "core.v1.PodCertificateProjection.keyType": "ED25519",
    "core.v1.PodCertificateProjection.maxExpirationSeconds": 3600,
    "*.userAnnotations": {"example.com/note": "text"},
    "*.pullPolicy": "IfNotPresent",
    "*.imagePullPolicy": "Always",
    # pods
    "core.v1.PodSpec.tolerations": [
        {"key": "example.com/taint", "operator": "Equal", "value": "text", "effect": "NoExecute",
         "tolerationSeconds": 5},
        {"operator": "Exists"},
    ],
    "core.v1.PodSpec.dnsPolicy": "ClusterFirst",
    "core.v1.PodSpec.restartPolicy": "Always",
    "core.v1.PodSpec.serviceAccountName": "filled",
    "core.v1.PodSpec.serviceAccount": "filled",
    "core.v1.PodSpec.nodeSelector": {"example.com/zone": "a"},
    "core.v1.PodSpec.overhead": {"cpu": "1"},
    "core.v1.PodSpec.priorityClassName": "filled",
    "core.v1.PodSpec.runtimeClassName": "filled",
    "core.v1.PodSpec.os": {"name": "linux"},
    "*.terminationMessagePolicy": "File",
    "*.mountPropagation": "None",
    "*.recursiveReadOnly": "Disabled",
    "core.v1.ObjectFieldSelector.apiVersion": "v1",
    "core.v1.ObjectFieldSelector.fieldPath": "metadata.name",
    "core.v1.ResourceFieldSelector.resource": "limits.cpu",
    "core.v1.ResourceFieldSelector.containerName": "main",
    "core.v1.Container.name": "main",
    "core.v1.VolumeDevice.name": "name-text-20",
    "core.v1.VolumeDevice.devicePath": "/dev/block",
    "core.v1.ResourceRequirements.limits": {"cpu": "2", "memory": "1Gi"},
    "core.v1.ResourceRequirements.requests": {"cpu": "1", "memory": "1Gi"},
    "core.v1.ResourceRequirements.claims": [{"name": "name-text-0", "request": "one"}],
    "core.v1.ContainerResizePolicy.resourceName": "cpu",
    "core.v1.ContainerResizePolicy.restartPolicy": "NotRequired",
    "core.v1.SecurityContext.procMount": "Default",
    "core.v1.Lifecycle.stopSignal": "SIGTERM",
    "core.v1.Container.restartPolicy": "Never",
    "core.v1.ContainerRestartRule.action": "Restart",
    "core.v1.ContainerRestartRuleOnExitCodes.operator": "In",
    "core.v1.ContainerRestartRuleOnExitCodes.values": [42],
    "*.fsGroupChangePolicy": "OnRootMismatch",
    "*.supplementalGroupsPolicy": "Strict",
    "*.seLinuxChangePolicy": "MountOption",
    "core.v1.PodDNSConfig.nameservers": ["192.0.2.53"],
    # An address that is ready and not ready is not ready, and stands once.
    "core.v1.EndpointSubset.notReadyAddresses": [{"ip": "192.0.2.13"}],
    "*.whenUnsatisfiable": "DoNotSchedule",
    "*.nodeAffinityPolicy": "Honor",
    "*.nodeTaintsPolicy": "Honor",
    "core.v1.Toleration.operator": "Equal",
    "core.v1.ClusterTrustBundleProjection.path": "bundle",
    "core.v1.ServiceAccountTokenProjection.path": "token",
    "*.scheme": "HTTPS",
    "core.v1.FileKeySelector.volumeName": "name-text-8",
    "node.v1.Overhead.podFixed": {"cpu": "1"},
    "rbac.v1.Role.rules": [
        {"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]},
    ],
    "core.v1.ContainerExtendedResourceRequest.containerName": "main",
    "core.v1.ContainerExtendedResourceRequest.resourceName": "cpu",
    "core.v1.ResourceHealth.health": "Healthy",
    "core.v1.PodStatus.qosClass": "Burstable",
    "core.v1.PodStatus.hostIPs": [{"ip": "192.0.2.8"}],
    "core.v1.PodStatus.podIPs": [{"ip": "192.0.2.7"}],
    "core.v1.PodResourceClaimStatus.name": "name-text-0",
    "core.v1.NamespaceStatus.phase": "Active",
    "certificates.v1.CertificateSigningRequestStatus.certificate": pki.CHAIN,
    "core.v1.LoadBalancerIngress.ipMode": "VIP",
    # services
    "core.v1.ServiceSpec.clusterIP": "10.96.77.1",
    "core.v1.ServiceSpec.clusterIPs": ["10.96.77.1"],
    "core.v1.ServiceSpec.externalIPs": ["192.0.2.10"],
    "core.v1.ServiceSpec.ipFamilies": ["IPv4"],
    "core.v1.ServiceSpec.ipFamilyPolicy": "SingleStack",
    "core.v1.ServiceSpec.sessionAffinity": "ClientIP",
    "core.v1.ServiceSpec.trafficDistribution": "PreferClose",
    "*.internalTrafficPolicy": "Local",
    "discovery.v1.EndpointSlice.addressType": "IPv4",
    "discovery.v1.Endpoint.addresses": ["192.0.2.11"],
    "networking.v1.HTTPIngressPath.pathType": "Prefix",
    "networking.v1.IngressClassSpec.controller": "example.com/controller",
    "networking.v1.IngressClassParametersReference.scope": "Namespace",
    "networking.v1.IPBlock.except": ["192.0.2.128/25"],
    "networking.v1.NetworkPolicySpec.policyTypes": ["Egress", "Ingress"],
    "*.cidrs": ["198.51.100.0/24"],
    # rights
    "rbac.v1.RoleRef.apiGroup": "rbac.authorization.k8s.io",
    "rbac.v1.RoleRef.kind": "ClusterRole",
    "*.apiGroup": "example.com",
    "policy.v1.PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy": "AlwaysAllow",
    # workloads
    "apps.v1.StatefulSetSpec.podManagementPolicy": "Parallel",
    "apps.v1.StatefulSetUpdateStrategy.type": "RollingUpdate",
    "apps.v1.DaemonSetUpdateStrategy.type": "RollingUpdate",
    "apps.v1.DeploymentStrategy.type": "RollingUpdate",
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted": "Delete",
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled": "Retain",
    "batch.v1.CronJobSpec.concurrencyPolicy": "Forbid",
    "batch.v1.JobSpec.completionMode": "Indexed",
    "batch.v1.JobSpec.podReplacementPolicy": "Failed",
    "batch.v1.JobSpec.maxFailedIndexes": 1,
    "batch.v1.PodFailurePolicyRule.action": "FailJob",
    "batch.v1.PodFailurePolicyOnExitCodesRequirement.operator": "In",
    "batch.v1.PodFailurePolicyOnExitCodesRequirement.containerName": "main",
    "batch.v1.PodFailurePolicyOnPodConditionsPattern.status": "True",
    "batch.v1.SuccessPolicyRule.succeededIndexes": "0",
    "apps.v1.RollingUpdateDaemonSet.maxUnavailable": 0,
    "apps.v1.DeploymentSpec.progressDeadlineSeconds": 600,
    "core.v1.PersistentVolumeClaim.metadata": {"name": "claim", "labels": LABELS},
    "core.v1.PersistentVolumeClaimTemplate.metadata": {"labels": LABELS},
    "resource.v1.ResourceClaimTemplateSpec.metadata": {"labels": LABELS},
    "resource.v1beta1.ResourceClaimTemplateSpec.metadata": {"labels": LABELS},
    "resource.v1beta2.ResourceClaimTemplateSpec.metadata": {"labels": LABELS},
    "batch.v1.JobTemplateSpec.metadata": {"labels": LABELS},
    "autoscaling.v2.HPAScalingRules.selectPolicy": "Max",
    "autoscaling.v2.HPAScalingPolicy.type": "Percent",
    "autoscaling.v2.ContainerResourceMetricSource.target": {"type": "Utilization", "averageUtilization": 50},
    "autoscaling.v2.ExternalMetricSource.target": {"type": "Value", "value": "5"},
    "autoscaling.v2.ObjectMetricSource.target": {"type": "Value", "value": "5"},
    "autoscaling.v2.PodsMetricSource.target": {"type": "AverageValue", "averageValue": "5"},
    "autoscaling.v2.ResourceMetricSource.target": {"type": "AverageValue", "averageValue": "5"},
    "apiregistration.v1.APIServiceSpec.group": "filled.example.com",
    "apiregistration.v1.APIServiceSpec.version": "v1",
    "apiextensions.v1.CustomResourceDefinitionStatus.storedVersions": ["v1"],
    **customs.FIELDS,
    # certificates
    "certificates.v1.CertificateSigningRequestSpec.request": pki.REQUEST,
    "certificates.v1beta1.PodCertificateRequestSpec.stubPKCS10Request": pki.STUB,
    "certificates.v1beta1.PodCertificateRequestSpec.maxExpirationSeconds": 259200,
    "certificates.v1beta1.PodCertificateRequestSpec.unverifiedUserAnnotations": {"example.com/note": "text"},
    "*.trustBundle": pki.AUTHORITY,
    "certificates.v1.CertificateSigningRequestSpec.usages": ["client auth", "digital signature"],
    "certificates.v1.CertificateSigningRequestSpec.expirationSeconds": 3600,
    # admission and flow control; the webhooks are of what nobody asks for
    "admissionregistration.v1.MutatingWebhook.name": "hook.filled.example.com",
    "admissionregistration.v1.ValidatingWebhook.name": "hook.filled.example.com",
    "*.admissionReviewVersions": ["v1"],
    "*.failurePolicy": "Ignore",
    "*.matchPolicy": "Equivalent",
    "*.reinvocationPolicy": "IfNeeded",
    "*.sideEffects": "NoneOnDryRun",
    "admissionregistration.v1.RuleWithOperations.apiGroups": ["example.com"],
    "admissionregistration.v1.RuleWithOperations.operations": ["CREATE"],
    "admissionregistration.v1.RuleWithOperations.scope": "Namespaced",
    "*.caBundle": pki.CHAIN,
    "*.parameterNotFoundAction": "Allow",
    "*.validationActions": ["Deny"],
    "admissionregistration.v1.Validation.expression": "true",
    "admissionregistration.v1.Validation.messageExpression": "'text'",
    "admissionregistration.v1.Validation.reason": "Invalid",
    "admissionregistration.v1.AuditAnnotation.valueExpression": "'text'",
    **{
        f"admissionregistration.{version}.{field}": value
        for version in ("v1", "v1beta1", "v1alpha1")
        for field, value in {
            "ApplyConfiguration.expression": "Object{}",
            "JSONPatch.expression": "[JSONPatch{op: 'test', path: '/a', value: variables.filled}]",
            "MatchCondition.expression": "true",
            "NamedRuleWithOperations.apiGroups": ["example.com"],
            "NamedRuleWithOperations.operations": ["CREATE"],
            "NamedRuleWithOperations.scope": "Namespaced",
            "ParamKind.apiVersion": "v1",
            "ParamKind.kind": "ConfigMap",
            "Variable.name": "filled",
            "Variable.expression": "1",
        }.items()
    },
    "flowcontrol.v1.FlowSchemaSpec.matchingPrecedence": 500,
    "flowcontrol.v1.FlowDistinguisherMethod.type": "ByUser",
    "flowcontrol.v1.LimitedPriorityLevelConfiguration.borrowingLimitPercent": 10,
    "flowcontrol.v1.QueuingConfiguration.queues": 8,
    "flowcontrol.v1.QueuingConfiguration.handSize": 2,
    "flowcontrol.v1.NonResourcePolicyRule.nonResourceURLs": ["/healthz"],
    "*.verbs": ["get"],
    # devices
    **{f"resource.{version}.DeviceAttribute.version": "1.2.3" for version in ("v1", "v1beta1", "v1beta2")},
    **{f"resource.{version}.DeviceAttribute.versions": ["1.2.3"] for version in ("v1", "v1beta1", "v1beta2")},
    "*.validRange": {"min": "1", "max": "5", "step": "2"},
    "*.validValues": ["1", "3"],
    **{f"resource.{version}.DeviceCapacity.value": "7" for version in ("v1", "v1beta1", "v1beta2")},
    **{f"resource.{version}.CELDeviceSelector.expression": "true" for version in ("v1", "v1beta1", "v1beta2")},
    "*.matchAttribute": "example.com/model",
    "*.distinctAttribute": "example.com/model",
    "*.nodeAllocatableResourceMappings": {"cpu": {"allocationMultiplier": "2", "capacityKey": "key0"}},
    "*.reservedFor": [{"apiGroup": "example.com", "resource": "pods", "name": "one", "uid": "u"}],
    "*.networkData": {"interfaceName": "eth0", "hardwareAddress": "aa:bb", "ips": ["192.0.2.12/24"]},
    # storage
    "*.allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"},
    "*.allocatedResources": {"storage": "1Gi"},
    "apiserverinternal.v1alpha1.ServerStorageVersion.encodingVersion": "v1",
    "apiserverinternal.v1alpha1.ServerStorageVersion.decodableVersions": ["v1", "v2"],
    "apiserverinternal.v1alpha1.ServerStorageVersion.servedVersions": ["v2"],
    "apiserverinternal.v1alpha1.ServerStorageVersion.apiServerID": "one",
    "*.commonEncodingVersion": "v1",
    "scheduling.v1alpha2.PodGroupResourceClaimStatus.name": "name-text-0",
    "storage.v1.CSIDriverSpec.fsGroupPolicy": "File",
    "storage.v1.CSIDriverSpec.volumeLifecycleModes": ["Ephemeral", "Persistent"],
    "storage.v1.TokenRequest.expirationSeconds": 3600,
    "storage.v1.CSIDriverSpec.nodeAllocatableUpdatePeriodSeconds": 60,
    "storage.v1.StorageClass.reclaimPolicy": "Retain",
    "storage.v1.StorageClass.volumeBindingMode": "WaitForFirstConsumer",
    # coordination
    "*.binaryVersion": "1.36.0",
    "*.emulationVersion": "1.35.0",
    "scheduling.v1alpha2.PodGroupSchedulingConstraints.topology": [{"key": "example.com/rack"}],
}
"""By the short name of the definition (`*`: any) and the field."""


def _no_deadline(made: dict[str, Any], variant: int) -> None:
    made["template"]["spec"].pop("activeDeadlineSeconds", None)


def _job_status(made: dict[str, Any], variant: int) -> None:
    """Running, or complete."""
    made |= {"completedIndexes": "0", "failedIndexes": ""}
    made["uncountedTerminatedPods"] = {"succeeded": ["a"], "failed": ["b"]}
    if variant % 2:
        made |= {"active": 0, "ready": 0, "terminating": 0, "succeeded": 1, "failed": 0, "uncountedTerminatedPods": {}}
        met, done = ({**made["conditions"][0], "type": kind} for kind in ("SuccessCriteriaMet", "Complete"))
        made["conditions"] = [met, done]
    else:
        made["conditions"][0]["type"] = "Suspended"
        made.pop("completionTime")


def _certificate_status(made: dict[str, Any], variant: int) -> None:
    made["conditions"][0]["type"] = "Issued"
    made |= pki.issued()


def _claim_status(made: dict[str, Any], variant: int) -> None:
    for one in (*made["allocation"]["devices"]["results"], *made["devices"]):
        one |= {"pool": "pool", "device": "device"}
    for one in made["allocation"]["devices"]["results"]:
        one["request"] = "name-text-0"
    for one in made["allocation"]["devices"]["config"]:
        one |= {"requests": ["name-text-0"], "source": "FromClaim"}


def _stateful_set(made: dict[str, Any], variant: int) -> None:
    _no_deadline(made, variant)
    for claim in made["volumeClaimTemplates"]:
        claim |= {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}


def _job(made: dict[str, Any], variant: int) -> None:
    made["template"]["spec"]["restartPolicy"] = "Never"


def _job_template(made: dict[str, Any], variant: int) -> None:
    for field in ("selector", "manualSelector"):
        made["spec"].pop(field)


def _claim(made: dict[str, Any], variant: int) -> None:
    """Constraints and configurations are of requests that there are; both effects of taints are tolerated."""
    devices = made["devices"]
    for one in (*devices["constraints"], *devices["config"]):
        one["requests"] = [devices["requests"][0]["name"]]


def _slice(made: dict[str, Any], variant: int) -> None:
    """Devices say where they are only where the slice leaves it to them, and then in one way."""
    kept = ("nodeName", "nodeSelector", "allNodes")[variant % 3] if made.get("perDeviceNodeSelection") else ""
    for device in made.get("devices") or ():
        for field in {"nodeName", "nodeSelector", "allNodes"} - {kept}:
            device.get("basic", device).pop(field)


def _service(made: dict[str, Any], variant: int) -> None:
    for port in made["ports"]:
        if made["type"] != "LoadBalancer":
            port.pop("nodePort")


def _service_status(made: dict[str, Any], variant: int) -> None:
    if made["spec"]["type"] != "LoadBalancer":
        made["status"].pop("loadBalancer")


def _container(made: dict[str, Any], variant: int) -> None:
    made["readinessProbe"].pop("terminationGracePeriodSeconds", None)


def _pod_spec(made: dict[str, Any], variant: int) -> None:
    """A pod is of one system, and is either on the host's network or has a name of its own."""
    for container in made["initContainers"]:
        container |= {"name": "init", "restartPolicy": "Always"}
        del container["restartPolicyRules"]
    made["resources"] = {"limits": {"cpu": "9"}, "requests": {"cpu": "9", "memory": "9Gi"}}
    holders = [made, *made["containers"], *made["initContainers"]]
    if variant % 2:
        for container in (*made["containers"], *made["initContainers"]):
            container["lifecycle"].pop("stopSignal")
        for field in ("os", "hostnameOverride", "shareProcessNamespace", "schedulingGates"):
            del made[field]
        return
    for holder in holders:
        holder["securityContext"].pop("windowsOptions")
    for field in ("hostNetwork", "hostPID", "setHostnameAsFQDN", "nodeName"):
        del made[field]


def _pod_status(made: dict[str, Any], variant: int) -> None:
    """Ephemeral containers are given no devices, and pods with a node (see _pod_spec) are nominated for none."""
    if variant % 2:
        del made["nominatedNodeName"]
    for one in made["ephemeralContainerStatuses"]:
        del one["allocatedResourcesStatus"]


AFTERWARDS = {
    "core.v1.Container": _container,
    "core.v1.PodSpec": _pod_spec,
    "core.v1.PodStatus": _pod_status,
    "core.v1.Service": _service_status,
    "core.v1.ServiceSpec": _service,
    "batch.v1.JobSpec": _job,
    "batch.v1.JobStatus": _job_status,
    "certificates.v1beta1.PodCertificateRequestStatus": _certificate_status,
    "batch.v1.JobTemplateSpec": _job_template,
    **{f"apps.v1.{kind}Spec": _no_deadline for kind in ("DaemonSet", "Deployment", "ReplicaSet")},
    "apps.v1.StatefulSetSpec": _stateful_set,
    **{f"resource.{version}.ResourceClaimStatus": _claim_status for version in ("v1", "v1beta1", "v1beta2")},
    "core.v1.ReplicationControllerSpec": _no_deadline,
    **{f"resource.{version}.ResourceClaimSpec": _claim for version in ("v1", "v1beta1", "v1beta2")},
    **{f"resource.{version}.ResourceSliceSpec": _slice for version in ("v1", "v1beta1", "v1beta2")},
}
"""What is left to do to an object of the definition, by its variant."""
