"""What a CustomResourceDefinition may say in every one of its fields."""

from __future__ import annotations

from typing import Any

_SPEC: dict[str, Any] = {
    "type": "object",
    "title": "Spec",
    "description": "What is wanted.",
    "externalDocs": {"description": "more", "url": "https://example.com/doc"},
    "required": ["size"],
    "minProperties": 1,
    "maxProperties": 20,
    "x-kubernetes-map-type": "granular",
    "x-kubernetes-validations": [
        {
            "rule": "self.size <= oldSelf.size + 10",
            "message": "too large",
            "messageExpression": "string(self.size)",
            "reason": "FieldValueInvalid",
            "fieldPath": ".size",
            "optionalOldSelf": False,
        }
    ],
    "properties": {
        "size": {"type": "integer", "format": "int32", "minimum": 0, "exclusiveMinimum": False, "maximum": 10,
                 "exclusiveMaximum": True, "multipleOf": 1, "default": 1, "example": 3},
        "color": {"type": "string", "enum": ["red", "blue"], "nullable": True},
        "name": {"type": "string", "minLength": 1, "maxLength": 20, "pattern": "^[a-z]+$"},
        "replicas": {"type": "integer"},
        "count": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "object": {"type": "object", "x-kubernetes-embedded-resource": True,
                   "x-kubernetes-preserve-unknown-fields": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "parts": {
            "type": "array", "minItems": 0, "maxItems": 5, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["key"],
            "items": {"type": "object", "required": ["key"], "properties": {"key": {"type": "string"}}},
        },
    },
    "allOf": [{"required": ["size"]}],
    "oneOf": [{"required": ["size"]}],
    "not": {"required": ["nothing"]},
}  # fmt: skip

REFUSED = (
    "$ref", "$schema", "additionalItems", "definitions", "dependencies", "id", "patternProperties", "uniqueItems",
)  # fmt: skip
"""What JSON schemas have, and structural ones may not."""

FIELDS: dict[str, Any] = {
    "apiextensions.v1.CustomResourceDefinitionSpec.group": "filled.example.com",
    "apiextensions.v1.CustomResourceDefinitionSpec.scope": "Namespaced",
    "apiextensions.v1.CustomResourceDefinitionSpec.preserveUnknownFields": False,
    "apiextensions.v1.CustomResourceDefinitionSpec.names": {
        "plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"],
        "categories": ["all"],
    },
    "apiextensions.v1.CustomResourceDefinitionVersion.name": "v1",
    "apiextensions.v1.CustomResourceConversion.strategy": "Webhook",
    "apiextensions.v1.WebhookConversion.conversionReviewVersions": ["v1"],
    "apiextensions.v1.CustomResourceValidation.openAPIV3Schema": {
        "type": "object", "properties": {"spec": _SPEC, "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "selector": {"type": "string"}}}},
    },
    "apiextensions.v1.CustomResourceColumnDefinition.type": "integer",
    "apiextensions.v1.CustomResourceColumnDefinition.format": "int32",
    "apiextensions.v1.CustomResourceColumnDefinition.jsonPath": ".spec.size",
    "apiextensions.v1.CustomResourceSubresourceScale.specReplicasPath": ".spec.replicas",
    "apiextensions.v1.CustomResourceSubresourceScale.statusReplicasPath": ".status.replicas",
    "apiextensions.v1.CustomResourceSubresourceScale.labelSelectorPath": ".status.selector",
    "apiextensions.v1.SelectableField.jsonPath": ".spec.color",
}  # fmt: skip
"""For values.py's table."""
