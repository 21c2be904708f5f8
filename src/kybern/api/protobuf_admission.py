"""Field numbers of webhook configurations and validating policies; protobuf_fields.py says how to read them."""

from __future__ import annotations

_WEBHOOK = (
    "name clientConfig:WebhookClientConfig rules:*RuleWithOperations failurePolicy namespaceSelector:LabelSelector "
    "sideEffects timeoutSeconds:int? admissionReviewVersions:* matchPolicy"
)

ADMISSION_MESSAGES: dict[str, str] = {
    # webhooks
    "ValidatingWebhookConfiguration": "metadata:ObjectMeta webhooks:*ValidatingWebhook",
    "ValidatingWebhook": f"{_WEBHOOK} objectSelector:LabelSelector matchConditions:*MatchCondition",
    "MutatingWebhookConfiguration": "metadata:ObjectMeta webhooks:*MutatingWebhook",
    "MutatingWebhook": f"{_WEBHOOK} reinvocationPolicy objectSelector:LabelSelector matchConditions:*MatchCondition",
    "WebhookClientConfig": "service:admission.ServiceReference caBundle:bytes url:string?",
    "admission.ServiceReference": "namespace name path:string? port:int?",
    "RuleWithOperations": "operations:* +Rule",
    "Rule": "apiGroups:* apiVersions:* resources:* scope",
    "MatchCondition": "name expression",
    # policies
    "ValidatingAdmissionPolicy": "metadata:ObjectMeta spec:ValidatingAdmissionPolicySpec "
    "status:ValidatingAdmissionPolicyStatus",
    "ValidatingAdmissionPolicySpec": "paramKind:ParamKind matchConstraints:MatchResources validations:*Validation "
    "failurePolicy auditAnnotations:*AuditAnnotation matchConditions:*MatchCondition variables:*Variable",
    "ParamKind": "apiVersion kind",
    "MatchResources": "namespaceSelector:LabelSelector objectSelector:LabelSelector "
    "resourceRules:*NamedRuleWithOperations excludeResourceRules:*NamedRuleWithOperations @7 matchPolicy",
    "NamedRuleWithOperations": "resourceNames:* +RuleWithOperations",
    "Validation": "expression message reason messageExpression",
    "AuditAnnotation": "key valueExpression",
    "Variable": "name expression",
    "ValidatingAdmissionPolicyStatus": "observedGeneration:int typeChecking:TypeChecking conditions:*Condition",
    "TypeChecking": "expressionWarnings:*ExpressionWarning",
    "ExpressionWarning": "@2 fieldRef warning",
    "ValidatingAdmissionPolicyBinding": "metadata:ObjectMeta spec:ValidatingAdmissionPolicyBindingSpec",
    "ValidatingAdmissionPolicyBindingSpec": "policyName paramRef:ParamRef matchResources:MatchResources "
    "validationActions:*",
    "ParamRef": "name namespace selector:LabelSelector parameterNotFoundAction",
}
