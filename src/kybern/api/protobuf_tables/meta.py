"""Field numbers of what all groups share; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "APIGroup": "name! versions:*GroupVersionForDiscovery preferredVersion:GroupVersionForDiscovery "
    "serverAddressByClientCIDRs:*ServerAddressByClientCIDR",
    "GroupVersionForDiscovery": "groupVersion! version!",
    "ServerAddressByClientCIDR": "clientCIDR! serverAddress!",
    "APIGroupList": "groups:*APIGroup",
    "APIResourceList": "groupVersion! resources:*APIResource",
    "APIResource": "name! namespaced:bool! kind! verbs:strings shortNames:* singularName! categories:* group version "
    "storageVersionHash",
    "APIVersions": "versions:* serverAddressByClientCIDRs:*ServerAddressByClientCIDR",
    "CreateOptions": "dryRun:* @3 fieldManager fieldValidation",
    "DeleteOptions": "gracePeriodSeconds:int? preconditions:Preconditions? orphanDependents:bool? propagationPolicy? "
    "dryRun:* ignoreStoreReadErrorWithClusterBreakingPotential:bool?",
    "Preconditions": "uid? resourceVersion?",
    "GetOptions": "resourceVersion",
    "List": "metadata:ListMeta items:*json",
    "ListMeta": "selfLink resourceVersion continue remainingItemCount:int? shardInfo:ShardInfo?",
    "ShardInfo": "selector!",
    "ListOptions": "labelSelector fieldSelector watch:bool resourceVersion timeoutSeconds:int? @7 limit:int continue "
    "allowWatchBookmarks:bool resourceVersionMatch sendInitialEvents:bool? @15 shardSelector",
    "PartialObjectMetadata": "metadata:ObjectMeta",
    "ObjectMeta": "name generateName namespace selfLink uid resourceVersion generation:int creationTimestamp:time "
    "deletionTimestamp:time? deletionGracePeriodSeconds:int? labels:{} annotations:{} ownerReferences:*OwnerReference "
    "finalizers:* @17 managedFields:*ManagedFieldsEntry",
    "OwnerReference": "kind! @3 name! uid! apiVersion! controller:bool? blockOwnerDeletion:bool?",
    "ManagedFieldsEntry": "manager operation apiVersion time:time? @6 fieldsType fieldsV1:json? subresource",
    "PatchOptions": "dryRun:* force:bool? fieldManager fieldValidation",
    "Status": "metadata:ListMeta status message reason details:StatusDetails? code:int",
    "StatusDetails": "name group kind causes:*StatusCause retryAfterSeconds:int uid",
    "StatusCause": "reason message field",
    "UpdateOptions": "dryRun:* fieldManager fieldValidation",
    "WatchEvent": "type! object:json",
    "Condition": "type! status! observedGeneration:int lastTransitionTime:time reason! message!",
    "FieldSelectorRequirement": "key! operator! values:*",
    "GroupResource": "group! resource!",
    "GroupVersionKind": "group! version! kind!",
    "LabelSelector": "matchLabels:{} matchExpressions:*LabelSelectorRequirement",
    "LabelSelectorRequirement": "key! operator! values:*",
    "v1beta1/PartialObjectMetadataList": "items:*PartialObjectMetadata metadata:ListMeta",
}
