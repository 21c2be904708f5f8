"""Field numbers of custom resource definitions and their schemas; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "CustomResourceDefinition": "metadata:ObjectMeta spec:CustomResourceDefinitionSpec "
    "status:CustomResourceDefinitionStatus",
    "CustomResourceDefinitionSpec": "group! @3 names:CustomResourceDefinitionNames scope! @7 "
    "versions:*CustomResourceDefinitionVersion @9 conversion:CustomResourceConversion? preserveUnknownFields:bool",
    "CustomResourceDefinitionNames": "plural! singular shortNames:* kind! listKind categories:*",
    "CustomResourceDefinitionVersion": "name! served:bool! storage:bool! schema:CustomResourceValidation? "
    "subresources:CustomResourceSubresources? additionalPrinterColumns:*CustomResourceColumnDefinition deprecated:bool "
    "deprecationWarning? selectableFields:*SelectableField",
    "CustomResourceValidation": "openAPIV3Schema:JSONSchemaProps?",
    "JSONSchemaProps": "id $schema $ref? description type format title default:json? maximum:double? "
    "exclusiveMaximum:bool minimum:double? exclusiveMinimum:bool maxLength:int? minLength:int? pattern maxItems:int? "
    "minItems:int? uniqueItems:bool multipleOf:double? enum:*json maxProperties:int? minProperties:int? required:* "
    "items:schemaorarray? allOf:*JSONSchemaProps oneOf:*JSONSchemaProps anyOf:*JSONSchemaProps not:JSONSchemaProps? "
    "properties:{JSONSchemaProps} additionalProperties:schemaorbool? patternProperties:{JSONSchemaProps} "
    "dependencies:{schemaorstrings} additionalItems:schemaorbool? definitions:{JSONSchemaProps} "
    "externalDocs:ExternalDocumentation? example:json? nullable:bool x-kubernetes-preserve-unknown-fields:bool? "
    "x-kubernetes-embedded-resource:bool x-kubernetes-int-or-string:bool x-kubernetes-list-map-keys:* "
    "x-kubernetes-list-type? x-kubernetes-map-type? x-kubernetes-validations:*ValidationRule",
    "ExternalDocumentation": "description url",
    "ValidationRule": "rule! message messageExpression reason? fieldPath optionalOldSelf:bool?",
    "CustomResourceSubresources": "status:CustomResourceSubresourceStatus? scale:CustomResourceSubresourceScale?",
    "CustomResourceSubresourceStatus": "",
    "CustomResourceSubresourceScale": "specReplicasPath! statusReplicasPath! labelSelectorPath?",
    "CustomResourceColumnDefinition": "name! type! format description priority:int jsonPath!",
    "SelectableField": "jsonPath!",
    "CustomResourceConversion": "strategy! webhook:WebhookConversion?",
    "WebhookConversion": "@2 clientConfig:WebhookClientConfig? conversionReviewVersions:*",
    "WebhookClientConfig": "service:ServiceReference? caBundle:bytes url?",
    "ServiceReference": "namespace! name! path? port:int?",
    "CustomResourceDefinitionStatus": "conditions:*CustomResourceDefinitionCondition "
    "acceptedNames:CustomResourceDefinitionNames storedVersions:* observedGeneration:int",
    "CustomResourceDefinitionCondition": "type! status! lastTransitionTime:time reason message observedGeneration:int",
}
