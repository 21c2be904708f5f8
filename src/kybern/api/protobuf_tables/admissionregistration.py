"""Field numbers of webhook configurations and admission policies; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "MutatingAdmissionPolicy": "metadata:ObjectMeta spec:MutatingAdmissionPolicySpec",
    "MutatingAdmissionPolicySpec": "paramKind:ParamKind? matchConstraints:MatchResources? variables:*Variable "
    "mutations:*Mutation failurePolicy? matchConditions:*MatchCondition reinvocationPolicy",
    "ParamKind": "apiVersion kind",
    "MatchResources": "namespaceSelector:LabelSelector? objectSelector:LabelSelector? "
    "resourceRules:*NamedRuleWithOperations excludeResourceRules:*NamedRuleWithOperations @7 matchPolicy?",
    "NamedRuleWithOperations": "resourceNames:* +RuleWithOperations",
    "RuleWithOperations": "operations:* +Rule",
    "Rule": "apiGroups:* apiVersions:* resources:* scope?",
    "Variable": "name! expression!",
    "Mutation": "@2 patchType! applyConfiguration:ApplyConfiguration? jsonPatch:JSONPatch?",
    "ApplyConfiguration": "expression",
    "JSONPatch": "expression",
    "MatchCondition": "name! expression!",
    "MutatingAdmissionPolicyBinding": "metadata:ObjectMeta spec:MutatingAdmissionPolicyBindingSpec",
    "MutatingAdmissionPolicyBindingSpec": "policyName paramRef:ParamRef? matchResources:MatchResources?",
    "ParamRef": "name namespace selector:LabelSelector? parameterNotFoundAction?",
    "MutatingWebhookConfiguration": "metadata:ObjectMeta webhooks:*MutatingWebhook",
    "MutatingWebhook": "name! clientConfig:WebhookClientConfig rules:*RuleWithOperations failurePolicy? "
    "namespaceSelector:LabelSelector? sideEffects? timeoutSeconds:int? admissionReviewVersions:* matchPolicy? "
    "reinvocationPolicy? objectSelector:LabelSelector? matchConditions:*MatchCondition",
    "WebhookClientConfig": "service:ServiceReference? caBundle:bytes url?",
    "ServiceReference": "namespace! name! path? port:int?",
    "ValidatingAdmissionPolicy": "metadata:ObjectMeta spec:ValidatingAdmissionPolicySpec "
    "status:ValidatingAdmissionPolicyStatus",
    "ValidatingAdmissionPolicySpec": "paramKind:ParamKind? matchConstraints:MatchResources? validations:*Validation "
    "failurePolicy? auditAnnotations:*AuditAnnotation matchConditions:*MatchCondition variables:*Variable",
    "Validation": "expression! message reason? messageExpression",
    "AuditAnnotation": "key! valueExpression!",
    "ValidatingAdmissionPolicyStatus": "observedGeneration:int typeChecking:TypeChecking? conditions:*Condition",
    "TypeChecking": "expressionWarnings:*ExpressionWarning",
    "ExpressionWarning": "@2 fieldRef! warning!",
    "ValidatingAdmissionPolicyBinding": "metadata:ObjectMeta spec:ValidatingAdmissionPolicyBindingSpec",
    "ValidatingAdmissionPolicyBindingSpec": "policyName paramRef:ParamRef? matchResources:MatchResources? "
    "validationActions:*",
    "ValidatingWebhookConfiguration": "metadata:ObjectMeta webhooks:*ValidatingWebhook",
    "ValidatingWebhook": "name! clientConfig:WebhookClientConfig rules:*RuleWithOperations failurePolicy? "
    "namespaceSelector:LabelSelector? sideEffects? timeoutSeconds:int? admissionReviewVersions:* matchPolicy? "
    "objectSelector:LabelSelector? matchConditions:*MatchCondition",
}
