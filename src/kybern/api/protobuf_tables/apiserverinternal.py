"""Field numbers of storage versions; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "StorageVersion": "metadata:ObjectMeta spec:StorageVersionSpec status:StorageVersionStatus",
    "StorageVersionSpec": "",
    "StorageVersionStatus": "storageVersions:*ServerStorageVersion commonEncodingVersion? "
    "conditions:*StorageVersionCondition",
    "ServerStorageVersion": "apiServerID encodingVersion decodableVersions:* servedVersions:*",
    "StorageVersionCondition": "type! status! observedGeneration:int lastTransitionTime:time reason! message",
}
