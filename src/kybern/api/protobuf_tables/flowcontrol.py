"""Field numbers of flow schemas and priority levels; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "FlowSchema": "metadata:ObjectMeta spec:FlowSchemaSpec status:FlowSchemaStatus",
    "FlowSchemaSpec": "priorityLevelConfiguration:PriorityLevelConfigurationReference matchingPrecedence:int! "
    "distinguisherMethod:FlowDistinguisherMethod? rules:*PolicyRulesWithSubjects",
    "PriorityLevelConfigurationReference": "name!",
    "FlowDistinguisherMethod": "type!",
    "PolicyRulesWithSubjects": "subjects:*Subject resourceRules:*ResourcePolicyRule "
    "nonResourceRules:*NonResourcePolicyRule",
    "Subject": "kind! user:UserSubject? group:GroupSubject? serviceAccount:ServiceAccountSubject?",
    "UserSubject": "name!",
    "GroupSubject": "name!",
    "ServiceAccountSubject": "namespace! name!",
    "ResourcePolicyRule": "verbs:* apiGroups:* resources:* clusterScope:bool namespaces:*",
    "NonResourcePolicyRule": "verbs:* @6 nonResourceURLs:*",
    "FlowSchemaStatus": "conditions:*FlowSchemaCondition",
    "FlowSchemaCondition": "type status lastTransitionTime:time reason message",
    "PriorityLevelConfiguration": "metadata:ObjectMeta spec:PriorityLevelConfigurationSpec "
    "status:PriorityLevelConfigurationStatus",
    "PriorityLevelConfigurationSpec": "type! limited:LimitedPriorityLevelConfiguration? "
    "exempt:ExemptPriorityLevelConfiguration?",
    "LimitedPriorityLevelConfiguration": "nominalConcurrencyShares:int? limitResponse:LimitResponse "
    "lendablePercent:int? borrowingLimitPercent:int?",
    "LimitResponse": "type! queuing:QueuingConfiguration?",
    "QueuingConfiguration": "queues:int! handSize:int! queueLengthLimit:int!",
    "ExemptPriorityLevelConfiguration": "nominalConcurrencyShares:int? lendablePercent:int?",
    "PriorityLevelConfigurationStatus": "conditions:*PriorityLevelConfigurationCondition",
    "PriorityLevelConfigurationCondition": "type status lastTransitionTime:time reason message",
}
