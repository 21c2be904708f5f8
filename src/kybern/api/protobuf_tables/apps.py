"""Field numbers of workloads; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "ControllerRevision": "metadata:ObjectMeta data:json revision:int!",
    "DaemonSet": "metadata:ObjectMeta spec:DaemonSetSpec status:DaemonSetStatus",
    "DaemonSetSpec": "selector:LabelSelector? template:PodTemplateSpec updateStrategy:DaemonSetUpdateStrategy "
    "minReadySeconds:int @6 revisionHistoryLimit:int?",
    "DaemonSetUpdateStrategy": "type rollingUpdate:RollingUpdateDaemonSet?",
    "RollingUpdateDaemonSet": "maxUnavailable:intorstring? maxSurge:intorstring?",
    "DaemonSetStatus": "currentNumberScheduled:int! numberMisscheduled:int! desiredNumberScheduled:int! "
    "numberReady:int! observedGeneration:int updatedNumberScheduled:int numberAvailable:int numberUnavailable:int "
    "collisionCount:int? conditions:*DaemonSetCondition",
    "DaemonSetCondition": "type! status! lastTransitionTime:time reason message",
    "Deployment": "metadata:ObjectMeta spec:DeploymentSpec status:DeploymentStatus",
    "DeploymentSpec": "replicas:int? selector:LabelSelector? template:PodTemplateSpec strategy:DeploymentStrategy "
    "minReadySeconds:int revisionHistoryLimit:int? paused:bool @9 progressDeadlineSeconds:int?",
    "DeploymentStrategy": "type rollingUpdate:RollingUpdateDeployment?",
    "RollingUpdateDeployment": "maxUnavailable:intorstring? maxSurge:intorstring?",
    "DeploymentStatus": "observedGeneration:int replicas:int updatedReplicas:int availableReplicas:int "
    "unavailableReplicas:int conditions:*DeploymentCondition readyReplicas:int collisionCount:int? "
    "terminatingReplicas:int?",
    "DeploymentCondition": "type! status! @4 reason message lastUpdateTime:time lastTransitionTime:time",
    "ReplicaSet": "metadata:ObjectMeta spec:ReplicaSetSpec status:ReplicaSetStatus",
    "ReplicaSetSpec": "replicas:int? selector:LabelSelector? template:PodTemplateSpec minReadySeconds:int",
    "ReplicaSetStatus": "replicas:int! fullyLabeledReplicas:int observedGeneration:int readyReplicas:int "
    "availableReplicas:int conditions:*ReplicaSetCondition terminatingReplicas:int?",
    "ReplicaSetCondition": "type! status! lastTransitionTime:time reason message",
    "StatefulSet": "metadata:ObjectMeta spec:StatefulSetSpec status:StatefulSetStatus",
    "StatefulSetSpec": "replicas:int? selector:LabelSelector? template:PodTemplateSpec "
    "volumeClaimTemplates:*PersistentVolumeClaim serviceName! podManagementPolicy "
    "updateStrategy:StatefulSetUpdateStrategy revisionHistoryLimit:int? minReadySeconds:int "
    "persistentVolumeClaimRetentionPolicy:StatefulSetPersistentVolumeClaimRetentionPolicy? "
    "ordinals:StatefulSetOrdinals?",
    "StatefulSetUpdateStrategy": "type rollingUpdate:RollingUpdateStatefulSetStrategy?",
    "RollingUpdateStatefulSetStrategy": "partition:int? maxUnavailable:intorstring?",
    "StatefulSetPersistentVolumeClaimRetentionPolicy": "whenDeleted whenScaled",
    "StatefulSetOrdinals": "start:int!",
    "StatefulSetStatus": "observedGeneration:int replicas:int! readyReplicas:int currentReplicas:int "
    "updatedReplicas:int currentRevision updateRevision @9 collisionCount:int? conditions:*StatefulSetCondition "
    "availableReplicas:int!",
    "StatefulSetCondition": "type! status! lastTransitionTime:time reason message",
}
