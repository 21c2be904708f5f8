"""Field numbers of the messages that clients send in protobuf.

A message is written as its fields in the order of their numbers, from 1; `@n` continues at n. A field is `name:kind`,
where the kind is nothing (string), `int` and `bool` (all left out when zero, as JSON's omitempty has it), `string?`,
`int?` and `bool?` (kept), `bytes`, `time`, `microtime`, `json`, `strings` (a message that wraps a list), or a message's
name; `*` before it is a list, `{kind}` a map, and `+Message` a message whose fields are the holder's own in JSON.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kybern.api.protobuf_admission import ADMISSION_MESSAGES
from kybern.api.protobuf_devices import DEVICE_MESSAGES
from kybern.api.protobuf_more import MORE_MESSAGES
from kybern.api.protobuf_pod import POD_MESSAGES
from kybern.api.protobuf_storage import STORAGE_MESSAGES


class Field(NamedTuple):
    """One field. `shape` is "one", "list", "map" or "inline"."""

    name: str
    kind: str
    shape: str


MESSAGES: dict[str, str] = {
    "ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation:int creationTimestamp:time "
    "deletionTimestamp:time deletionGracePeriodSeconds:int? labels:{} annotations:{} ownerReferences:*OwnerReference "
    "finalizers:* @17 managedFields:*ManagedFieldsEntry",
    "ManagedFieldsEntry": "manager operation apiVersion time:time @6 fieldsType fieldsV1:json subresource",
    "OwnerReference": "kind @3 name uid apiVersion controller:bool? blockOwnerDeletion:bool?",
    "LabelSelector": "matchLabels:{} matchExpressions:*LabelSelectorRequirement",
    "LabelSelectorRequirement": "key operator values:*",
    "DeleteOptions": "gracePeriodSeconds:int? preconditions:Preconditions orphanDependents:bool? propagationPolicy "
    "dryRun:* ignoreStoreReadErrorWithClusterBreakingPotential:bool?",
    "Preconditions": "uid resourceVersion",
    "Condition": "type status observedGeneration:int lastTransitionTime:time reason message",
    # core
    "Namespace": "metadata:ObjectMeta spec:NamespaceSpec status:NamespaceStatus",
    "NamespaceSpec": "finalizers:*",
    "NamespaceStatus": "phase conditions:*NamespaceCondition",
    "NamespaceCondition": "type status @4 lastTransitionTime:time reason message",
    "ConfigMap": "metadata:ObjectMeta data:{} binaryData:{bytes} immutable:bool?",
    "Secret": "metadata:ObjectMeta data:{bytes} type stringData:{} immutable:bool?",
    "ServiceAccount": "metadata:ObjectMeta secrets:*ObjectReference imagePullSecrets:*LocalObjectReference "
    "automountServiceAccountToken:bool?",
    "ObjectReference": "kind namespace name uid apiVersion resourceVersion fieldPath",
    "LocalObjectReference": "name",
    "TypedLocalObjectReference": "apiGroup kind name",
    "TypedObjectReference": "apiGroup kind name namespace",
    "Binding": "metadata:ObjectMeta target:ObjectReference",
    "Service": "metadata:ObjectMeta spec:ServiceSpec status:ServiceStatus",
    "ServiceSpec": "ports:*ServicePort selector:{} clusterIP type externalIPs:* @7 sessionAffinity loadBalancerIP "
    "loadBalancerSourceRanges:* externalName externalTrafficPolicy healthCheckNodePort:int "
    "publishNotReadyAddresses:bool sessionAffinityConfig:SessionAffinityConfig @17 ipFamilyPolicy clusterIPs:* "
    "ipFamilies:* allocateLoadBalancerNodePorts:bool? loadBalancerClass internalTrafficPolicy trafficDistribution",
    "ServicePort": "name protocol port:int targetPort:intorstring nodePort:int appProtocol",
    "SessionAffinityConfig": "clientIP:ClientIPConfig",
    "ClientIPConfig": "timeoutSeconds:int?",
    "ServiceStatus": "loadBalancer:LoadBalancerStatus conditions:*Condition",
    "LoadBalancerStatus": "ingress:*LoadBalancerIngress",
    "LoadBalancerIngress": "ip hostname ipMode ports:*PortStatus",
    "PortStatus": "port:int protocol error",
    "ResourceQuota": "metadata:ObjectMeta spec:ResourceQuotaSpec status:ResourceQuotaStatus",
    "ResourceQuotaSpec": "hard:{quantity} scopes:* scopeSelector:ScopeSelector",
    "ScopeSelector": "matchExpressions:*ScopedResourceSelectorRequirement",
    "ScopedResourceSelectorRequirement": "scopeName operator values:*",
    "ResourceQuotaStatus": "hard:{quantity} used:{quantity}",
    # events
    "Event": "metadata:ObjectMeta involvedObject:ObjectReference reason message source:EventSource "
    "firstTimestamp:time lastTimestamp:time count:int type eventTime:microtime series:EventSeries action "
    "related:ObjectReference reportingComponent reportingInstance",
    "EventSource": "component host",
    "EventSeries": "count:int lastObservedTime:microtime",
    "events.Event": "metadata:ObjectMeta eventTime:microtime series:EventSeries reportingController reportingInstance "
    "action reason regarding:ObjectReference related:ObjectReference note type deprecatedSource:EventSource "
    "deprecatedFirstTimestamp:time deprecatedLastTimestamp:time deprecatedCount:int",
    # apps
    "Deployment": "metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus",
    "DeploymentSpec": "replicas:int? selector:LabelSelector template:PodTemplateSpec strategy:DeploymentStrategy "
    "minReadySeconds:int revisionHistoryLimit:int? paused:bool @9 progressDeadlineSeconds:int?",
    "DeploymentStrategy": "type rollingUpdate:RollingUpdateDeployment",
    "RollingUpdateDeployment": "maxUnavailable:intorstring maxSurge:intorstring",
    "DeploymentStatus": "observedGeneration:int replicas:int updatedReplicas:int availableReplicas:int "
    "unavailableReplicas:int conditions:*DeploymentCondition readyReplicas:int collisionCount:int? "
    "terminatingReplicas:int?",
    "DeploymentCondition": "type status @4 reason message lastUpdateTime:time lastTransitionTime:time",
    "ReplicaSet": "metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus",
    "ReplicaSetSpec": "replicas:int? selector:LabelSelector template:PodTemplateSpec minReadySeconds:int",
    "ReplicaSetStatus": "replicas:int fullyLabeledReplicas:int observedGeneration:int readyReplicas:int "
    "availableReplicas:int conditions:*ReplicaSetCondition terminatingReplicas:int?",
    "ReplicaSetCondition": "type status lastTransitionTime:time reason message",
    "DaemonSet": "metadata:ObjectMeta spec:DaemonSetSpec status:DaemonSetStatus",
    "DaemonSetSpec": "selector:LabelSelector template:PodTemplateSpec updateStrategy:DaemonSetUpdateStrategy "
    "minReadySeconds:int @6 revisionHistoryLimit:int?",
    "DaemonSetUpdateStrategy": "type rollingUpdate:RollingUpdateDaemonSet",
    "RollingUpdateDaemonSet": "maxUnavailable:intorstring maxSurge:intorstring",
    "DaemonSetStatus": "currentNumberScheduled:int? numberMisscheduled:int? desiredNumberScheduled:int? "
    "numberReady:int? observedGeneration:int updatedNumberScheduled:int numberAvailable:int numberUnavailable:int "
    "collisionCount:int? conditions:*DaemonSetCondition",
    "DaemonSetCondition": "type status lastTransitionTime:time reason message",
    "StatefulSet": "metadata:ObjectMeta spec:StatefulSetSpec status:StatefulSetStatus",
    "StatefulSetSpec": "replicas:int? selector:LabelSelector template:PodTemplateSpec "
    "volumeClaimTemplates:*PersistentVolumeClaim serviceName podManagementPolicy "
    "updateStrategy:StatefulSetUpdateStrategy revisionHistoryLimit:int? minReadySeconds:int "
    "persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy "
    "ordinals:StatefulSetOrdinals",
    "StatefulSetUpdateStrategy": "type rollingUpdate:RollingUpdateStatefulSetStrategy",
    "RollingUpdateStatefulSetStrategy": "partition:int? maxUnavailable:intorstring",
    "StatefulSetPersistentVolumeClaimRetentionPolicy": "whenDeleted whenScaled",
    "StatefulSetOrdinals": "start:int?",
    "StatefulSetStatus": "observedGeneration:int replicas:int? readyReplicas:int currentReplicas:int "
    "updatedReplicas:int currentRevision updateRevision @9 collisionCount:int? conditions:*StatefulSetCondition "
    "availableReplicas:int?",
    "StatefulSetCondition": "type status lastTransitionTime:time reason message",
    "ControllerRevision": "metadata:ObjectMeta data:json revision:int?",
    # batch
    "Job": "metadata:ObjectMeta spec:JobSpec status:JobStatus",
    "JobSpec": "parallelism:int? completions:int? activeDeadlineSeconds:int? selector:LabelSelector "
    "manualSelector:bool? template:PodTemplateSpec backoffLimit:int? ttlSecondsAfterFinished:int? completionMode "
    "suspend:bool? podFailurePolicy:PodFailurePolicy backoffLimitPerIndex:int? maxFailedIndexes:int? "
    "podReplacementPolicy managedBy successPolicy:SuccessPolicy",
    "PodFailurePolicy": "rules:*PodFailurePolicyRule",
    "PodFailurePolicyRule": "action onExitCodes:PodFailurePolicyOnExitCodesRequirement "
    "onPodConditions:*PodFailurePolicyOnPodConditionsPattern",
    "PodFailurePolicyOnExitCodesRequirement": "containerName operator values:*int",
    "PodFailurePolicyOnPodConditionsPattern": "type status",
    "SuccessPolicy": "rules:*SuccessPolicyRule",
    "SuccessPolicyRule": "succeededIndexes succeededCount:int?",
    "JobStatus": "conditions:*JobCondition startTime:time completionTime:time active:int succeeded:int failed:int "
    "completedIndexes uncountedTerminatedPods:UncountedTerminatedPods ready:int? failedIndexes terminating:int?",
    "JobCondition": "type status lastProbeTime:time lastTransitionTime:time reason message",
    "UncountedTerminatedPods": "succeeded:* failed:*",
    "CronJob": "metadata:ObjectMeta spec:CronJobSpec status:CronJobStatus",
    "CronJobSpec": "schedule startingDeadlineSeconds:int? concurrencyPolicy suspend:bool? "
    "jobTemplate:JobTemplateSpec successfulJobsHistoryLimit:int? failedJobsHistoryLimit:int? timeZone",
    "JobTemplateSpec": "metadata:ObjectMeta spec:JobSpec",
    "CronJobStatus": "active:*ObjectReference @4 lastScheduleTime:time lastSuccessfulTime:time",
    # autoscaling
    "autoscaling.v1.HPA": "metadata:ObjectMeta spec:autoscaling.v1.HPASpec status:autoscaling.v1.HPAStatus",
    "autoscaling.v1.HPASpec": "scaleTargetRef:CrossVersionObjectReference minReplicas:int? maxReplicas:int "
    "targetCPUUtilizationPercentage:int?",
    "autoscaling.v1.HPAStatus": "observedGeneration:int? lastScaleTime:time currentReplicas:int desiredReplicas:int "
    "currentCPUUtilizationPercentage:int?",
    "Scale": "metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus",
    "ScaleSpec": "replicas:int",
    "ScaleStatus": "replicas:int? selector",
    "CrossVersionObjectReference": "kind name apiVersion",
    # networking, discovery
    "Ingress": "metadata:ObjectMeta spec:IngressSpec status:IngressStatus",
    "IngressSpec": "defaultBackend:IngressBackend tls:*IngressTLS rules:*IngressRule ingressClassName",
    "IngressBackend": "@3 resource:TypedLocalObjectReference service:IngressServiceBackend",
    "IngressServiceBackend": "name port:ServiceBackendPort",
    "ServiceBackendPort": "name number:int",
    "IngressTLS": "hosts:* secretName",
    "IngressRule": "host +IngressRuleValue",
    "IngressRuleValue": "http:HTTPIngressRuleValue",
    "HTTPIngressRuleValue": "paths:*HTTPIngressPath",
    "HTTPIngressPath": "path backend:IngressBackend pathType",
    "IngressStatus": "loadBalancer:IngressLoadBalancerStatus",
    "IngressLoadBalancerStatus": "ingress:*IngressLoadBalancerIngress",
    "IngressLoadBalancerIngress": "ip hostname @4 ports:*PortStatus",
    "IngressClass": "metadata:ObjectMeta spec:IngressClassSpec",
    "IngressClassSpec": "controller parameters:IngressClassParametersReference",
    "IngressClassParametersReference": "apiGroup kind name scope namespace",
    "NetworkPolicy": "metadata:ObjectMeta spec:NetworkPolicySpec",
    "NetworkPolicySpec": "podSelector:LabelSelector ingress:*NetworkPolicyIngressRule egress:*NetworkPolicyEgressRule "
    "policyTypes:*",
    "NetworkPolicyIngressRule": "ports:*NetworkPolicyPort from:*NetworkPolicyPeer",
    "NetworkPolicyEgressRule": "ports:*NetworkPolicyPort to:*NetworkPolicyPeer",
    "NetworkPolicyPort": "protocol port:intorstring endPort:int?",
    "NetworkPolicyPeer": "podSelector:LabelSelector namespaceSelector:LabelSelector ipBlock:IPBlock",
    "IPBlock": "cidr except:*",
    "EndpointSlice": "metadata:ObjectMeta endpoints:*Endpoint ports:*EndpointPort addressType",
    "Endpoint": "addresses:* conditions:EndpointConditions hostname targetRef:ObjectReference deprecatedTopology:{} "
    "nodeName zone hints:EndpointHints",
    "EndpointConditions": "ready:bool? serving:bool? terminating:bool?",
    "EndpointHints": "forZones:*ForZone forNodes:*ForNode",
    "ForZone": "name",
    "ForNode": "name",
    "EndpointPort": "name protocol port:int? appProtocol",
    # coordination, policy, scheduling
    "Lease": "metadata:ObjectMeta spec:LeaseSpec",
    "LeaseSpec": "holderIdentity:string? leaseDurationSeconds:int? acquireTime:microtime renewTime:microtime "
    "leaseTransitions:int? strategy preferredHolder",
    "Eviction": "metadata:ObjectMeta deleteOptions:DeleteOptions",
    "PodDisruptionBudget": "metadata:ObjectMeta spec:PodDisruptionBudgetSpec status:PodDisruptionBudgetStatus",
    "PodDisruptionBudgetSpec": "minAvailable:intorstring selector:LabelSelector maxUnavailable:intorstring "
    "unhealthyPodEvictionPolicy",
    "PodDisruptionBudgetStatus": "observedGeneration:int disruptedPods:{time} disruptionsAllowed:int "
    "currentHealthy:int desiredHealthy:int expectedPods:int conditions:*Condition",
    "PriorityClass": "metadata:ObjectMeta value:int? globalDefault:bool description preemptionPolicy",
    # rbac
    "Role": "metadata:ObjectMeta rules:*PolicyRule",
    "ClusterRole": "metadata:ObjectMeta rules:*PolicyRule aggregationRule:AggregationRule",
    "AggregationRule": "clusterRoleSelectors:*LabelSelector",
    "PolicyRule": "verbs:* apiGroups:* resources:* resourceNames:* nonResourceURLs:*",
    "RoleBinding": "metadata:ObjectMeta subjects:*Subject roleRef:RoleRef",
    "Subject": "kind apiGroup name namespace",
    "RoleRef": "apiGroup kind name",
    # certificates
    "CertificateSigningRequest": "metadata:ObjectMeta spec:CertificateSigningRequestSpec "
    "status:CertificateSigningRequestStatus",
    "CertificateSigningRequestSpec": "request:bytes username uid groups:* usages:* extra:{strings} signerName "
    "expirationSeconds:int?",
    "CertificateSigningRequestStatus": "conditions:*CertificateSigningRequestCondition certificate:bytes",
    "CertificateSigningRequestCondition": "type reason message lastUpdateTime:time lastTransitionTime:time status",
    # authentication, authorization
    "TokenRequest": "metadata:ObjectMeta spec:TokenRequestSpec status:TokenRequestStatus",
    "TokenRequestSpec": "audiences:* @3 boundObjectRef:BoundObjectReference expirationSeconds:int?",
    "TokenRequestStatus": "token expirationTimestamp:time",
    "BoundObjectReference": "kind apiVersion name uid",
    "TokenReview": "metadata:ObjectMeta spec:TokenReviewSpec status:TokenReviewStatus",
    "TokenReviewSpec": "token audiences:*",
    "TokenReviewStatus": "authenticated:bool user:UserInfo error audiences:*",
    "UserInfo": "username uid groups:* extra:{strings}",
    "SelfSubjectReview": "metadata:ObjectMeta status:SelfSubjectReviewStatus",
    "SelfSubjectReviewStatus": "userInfo:UserInfo",
    "SubjectAccessReview": "metadata:ObjectMeta spec:SubjectAccessReviewSpec status:SubjectAccessReviewStatus",
    "SubjectAccessReviewSpec": "resourceAttributes:ResourceAttributes nonResourceAttributes:NonResourceAttributes user "
    "groups:* extra:{strings} uid",
    "SubjectAccessReviewStatus": "allowed:bool reason evaluationError denied:bool",
    "SelfSubjectAccessReview": "metadata:ObjectMeta spec:SelfSubjectAccessReviewSpec status:SubjectAccessReviewStatus",
    "SelfSubjectAccessReviewSpec": "resourceAttributes:ResourceAttributes nonResourceAttributes:NonResourceAttributes",
    "SelfSubjectRulesReview": "metadata:ObjectMeta spec:SelfSubjectRulesReviewSpec status:SubjectRulesReviewStatus",
    "SelfSubjectRulesReviewSpec": "namespace",
    "SubjectRulesReviewStatus": "resourceRules:*PolicyRule nonResourceRules:*PolicyRule incomplete:bool "
    "evaluationError",
    "ResourceAttributes": "namespace verb group version resource subresource name "
    "fieldSelector:FieldSelectorAttributes labelSelector:LabelSelectorAttributes",
    "FieldSelectorAttributes": "rawSelector requirements:*LabelSelectorRequirement",
    "LabelSelectorAttributes": "rawSelector requirements:*LabelSelectorRequirement",
    "NonResourceAttributes": "path verb",
}

ROOTS: dict[str, str] = {
    "v1": "Namespace ConfigMap Secret ServiceAccount Binding Service ResourceQuota PersistentVolumeClaim Event Pod "
    "Endpoints LimitRange Node PersistentVolume PodTemplate ReplicationController",
    "admissionregistration.k8s.io/v1": "ValidatingWebhookConfiguration MutatingWebhookConfiguration "
    "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    "apps/v1": "Deployment ReplicaSet DaemonSet StatefulSet ControllerRevision",
    "apiregistration.k8s.io/v1": "APIService",
    "autoscaling/v2": "HorizontalPodAutoscaler=autoscaling.v2.HPA",
    "autoscaling/v1": "HorizontalPodAutoscaler=autoscaling.v1.HPA Scale",
    "batch/v1": "Job CronJob",
    "certificates.k8s.io/v1": "CertificateSigningRequest",
    "coordination.k8s.io/v1": "Lease",
    "discovery.k8s.io/v1": "EndpointSlice",
    "networking.k8s.io/v1": "Ingress IngressClass NetworkPolicy IPAddress ServiceCIDR",
    "networking.k8s.io/v1beta1": "IPAddress ServiceCIDR",
    "node.k8s.io/v1": "RuntimeClass",
    "events.k8s.io/v1": "Event=events.Event",
    "policy/v1": "Eviction PodDisruptionBudget",
    "policy/v1beta1": "Eviction",
    "resource.k8s.io/v1": "DeviceClass ResourceClaim=resource.ResourceClaim ResourceClaimTemplate ResourceSlice",
    "scheduling.k8s.io/v1": "PriorityClass",
    "storage.k8s.io/v1": "StorageClass VolumeAttributesClass VolumeAttachment CSIDriver CSINode CSIStorageCapacity",
    "authentication.k8s.io/v1": "TokenRequest TokenReview SelfSubjectReview",
    "authorization.k8s.io/v1": "SubjectAccessReview LocalSubjectAccessReview=SubjectAccessReview "
    "SelfSubjectAccessReview SelfSubjectRulesReview",
    "rbac.authorization.k8s.io/v1": "Role ClusterRole RoleBinding ClusterRoleBinding=RoleBinding",
}
"""apiVersion -> kinds that are decoded, with the message where it is named otherwise."""


@lru_cache(maxsize=256)
def root(api_version: str, kind: str) -> str:
    """The message of a kind; "" if there is no table for it. Typed clients send DeleteOptions in their own version."""
    if kind == "DeleteOptions":
        return kind
    for entry in ROOTS.get(api_version, "").split():
        name, _, message = entry.partition("=")
        if name == kind:
            return message or name
    return ""


ALL_MESSAGES = {
    **MESSAGES,
    **POD_MESSAGES,
    **MORE_MESSAGES,
    **STORAGE_MESSAGES,
    **ADMISSION_MESSAGES,
    **DEVICE_MESSAGES,
}


@lru_cache(maxsize=512)
def fields(message: str) -> dict[int, Field]:
    """A message's fields by number. Raises KeyError for a message without a table."""
    made: dict[int, Field] = {}
    number = 1
    for entry in ALL_MESSAGES[message].split():
        if entry.startswith("@"):
            number = int(entry[1:])
            continue
        name, _, kind = entry.partition(":")
        if name.startswith("+"):
            made[number] = Field("", name[1:], "inline")
        elif kind.startswith("*"):
            made[number] = Field(name, kind[1:] or "string", "list")
        elif kind.startswith("{"):
            made[number] = Field(name, kind[1:-1] or "string", "map")
        else:
            made[number] = Field(name, kind or "string", "one")
        number += 1
    return made
