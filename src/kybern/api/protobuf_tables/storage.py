"""Field numbers of storage classes, drivers and attachments; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "CSIDriver": "metadata:ObjectMeta spec:CSIDriverSpec",
    "CSIDriverSpec": "attachRequired:bool? podInfoOnMount:bool? volumeLifecycleModes:* storageCapacity:bool? "
    "fsGroupPolicy? tokenRequests:*TokenRequest requiresRepublish:bool? seLinuxMount:bool? "
    "nodeAllocatableUpdatePeriodSeconds:int? serviceAccountTokenInSecrets:bool? preventPodSchedulingIfMissing:bool?",
    "TokenRequest": "audience! expirationSeconds:int?",
    "CSINode": "metadata:ObjectMeta spec:CSINodeSpec",
    "CSINodeSpec": "drivers:*CSINodeDriver",
    "CSINodeDriver": "name! nodeID! topologyKeys:* allocatable:VolumeNodeResources?",
    "VolumeNodeResources": "count:int?",
    "CSIStorageCapacity": "metadata:ObjectMeta nodeTopology:LabelSelector? storageClassName! capacity:quantity? "
    "maximumVolumeSize:quantity?",
    "StorageClass": "metadata:ObjectMeta provisioner! parameters:{} reclaimPolicy? mountOptions:* "
    "allowVolumeExpansion:bool? volumeBindingMode? allowedTopologies:*TopologySelectorTerm",
    "VolumeAttachment": "metadata:ObjectMeta spec:VolumeAttachmentSpec status:VolumeAttachmentStatus",
    "VolumeAttachmentSpec": "attacher! source:VolumeAttachmentSource nodeName!",
    "VolumeAttachmentSource": "persistentVolumeName? inlineVolumeSpec:PersistentVolumeSpec?",
    "VolumeAttachmentStatus": "attached:bool! attachmentMetadata:{} attachError:VolumeError? detachError:VolumeError?",
    "VolumeError": "time:time message errorCode:int?",
    "VolumeAttributesClass": "metadata:ObjectMeta driverName! parameters:{}",
}
