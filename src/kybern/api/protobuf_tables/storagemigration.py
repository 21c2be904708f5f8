"""Field numbers of migrations of what is stored; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "StorageVersionMigration": "metadata:ObjectMeta spec:StorageVersionMigrationSpec "
    "status:StorageVersionMigrationStatus",
    "StorageVersionMigrationSpec": "resource:GroupResource",
    "StorageVersionMigrationStatus": "conditions:*Condition resourceVersion",
}
