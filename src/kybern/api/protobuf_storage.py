"""Field numbers of volumes, claims and what drivers say of themselves; protobuf_fields.py says how to read them."""

from __future__ import annotations

_ISCSI = (
    "targetPortal iqn lun:int? iscsiInterface fsType readOnly:bool portals:* chapAuthDiscovery:bool @10 "
    "secretRef:{reference} chapAuthSession:bool initiatorName"
)
_FLEX = "driver fsType secretRef:{reference} readOnly:bool options:{{}}"

STORAGE_MESSAGES: dict[str, str] = {
    # claims
    "PersistentVolumeClaim": "metadata:ObjectMeta spec:PersistentVolumeClaimSpec status:PersistentVolumeClaimStatus",
    "PersistentVolumeClaimSpec": "accessModes:* resources:VolumeResourceRequirements volumeName selector:LabelSelector "
    "storageClassName:string? volumeMode dataSource:TypedLocalObjectReference dataSourceRef:TypedObjectReference "
    "volumeAttributesClassName:string?",
    "VolumeResourceRequirements": "limits:{quantity} requests:{quantity}",
    "PersistentVolumeClaimStatus": "phase accessModes:* capacity:{quantity} conditions:*PersistentVolumeClaimCondition "
    "allocatedResources:{quantity} @7 allocatedResourceStatuses:{} currentVolumeAttributesClassName "
    "modifyVolumeStatus:ModifyVolumeStatus",
    "PersistentVolumeClaimCondition": "type status lastProbeTime:time lastTransitionTime:time reason message",
    "ModifyVolumeStatus": "targetVolumeAttributesClassName status",
    # volumes
    "PersistentVolume": "metadata:ObjectMeta spec:PersistentVolumeSpec status:PersistentVolumeStatus",
    "PersistentVolumeSpec": "capacity:{quantity} +PersistentVolumeSource accessModes:* claimRef:ObjectReference "
    "persistentVolumeReclaimPolicy storageClassName mountOptions:* volumeMode nodeAffinity:VolumeNodeAffinity "
    "volumeAttributesClassName",
    "PersistentVolumeSource": "@3 hostPath:HostPathVolumeSource @5 nfs:NFSVolumeSource @7 "
    "iscsi:ISCSIPersistentVolumeSource @10 fc:FCVolumeSource @12 flexVolume:FlexPersistentVolumeSource @20 "
    "local:LocalVolumeSource @22 csi:CSIPersistentVolumeSource",
    "ISCSIVolumeSource": _ISCSI.format(reference="LocalObjectReference"),
    "ISCSIPersistentVolumeSource": _ISCSI.format(reference="SecretReference"),
    "FCVolumeSource": "targetWWNs:* lun:int? fsType readOnly:bool wwids:*",
    "FlexVolumeSource": _FLEX.format(reference="LocalObjectReference"),
    "FlexPersistentVolumeSource": _FLEX.format(reference="SecretReference"),
    "GitRepoVolumeSource": "repository revision directory",
    "LocalVolumeSource": "path fsType",
    "CSIPersistentVolumeSource": "driver volumeHandle readOnly:bool fsType volumeAttributes:{} "
    "controllerPublishSecretRef:SecretReference nodeStageSecretRef:SecretReference "
    "nodePublishSecretRef:SecretReference controllerExpandSecretRef:SecretReference "
    "nodeExpandSecretRef:SecretReference",
    "SecretReference": "name namespace",
    "VolumeNodeAffinity": "required:NodeSelector",
    "PersistentVolumeStatus": "phase message reason lastPhaseTransitionTime:time",
    # classes
    "StorageClass": "metadata:ObjectMeta provisioner parameters:{} reclaimPolicy mountOptions:* "
    "allowVolumeExpansion:bool? volumeBindingMode allowedTopologies:*TopologySelectorTerm",
    "TopologySelectorTerm": "matchLabelExpressions:*TopologySelectorLabelRequirement",
    "TopologySelectorLabelRequirement": "key values:*",
    "VolumeAttributesClass": "metadata:ObjectMeta driverName parameters:{}",
    # attachments
    "VolumeAttachment": "metadata:ObjectMeta spec:VolumeAttachmentSpec status:VolumeAttachmentStatus",
    "VolumeAttachmentSpec": "attacher source:VolumeAttachmentSource nodeName",
    "VolumeAttachmentSource": "persistentVolumeName inlineVolumeSpec:PersistentVolumeSpec",
    "VolumeAttachmentStatus": "attached:bool? attachmentMetadata:{} attachError:VolumeError detachError:VolumeError",
    "VolumeError": "time:time message errorCode:int?",
    # drivers
    "CSIDriver": "metadata:ObjectMeta spec:CSIDriverSpec",
    "CSIDriverSpec": "attachRequired:bool? podInfoOnMount:bool? volumeLifecycleModes:* storageCapacity:bool? "
    "fsGroupPolicy tokenRequests:*storage.TokenRequest requiresRepublish:bool? seLinuxMount:bool? "
    "nodeAllocatableUpdatePeriodSeconds:int? serviceAccountTokenInSecrets:bool?",
    "storage.TokenRequest": "audience:string? expirationSeconds:int?",
    "CSINode": "metadata:ObjectMeta spec:CSINodeSpec",
    "CSINodeSpec": "drivers:*CSINodeDriver",
    "CSINodeDriver": "name nodeID topologyKeys:* allocatable:VolumeNodeResources",
    "VolumeNodeResources": "count:int?",
    "CSIStorageCapacity": "metadata:ObjectMeta nodeTopology:LabelSelector storageClassName capacity:quantity "
    "maximumVolumeSize:quantity",
}
