"""Field numbers of access reviews; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "LocalSubjectAccessReview": "metadata:ObjectMeta spec:SubjectAccessReviewSpec status:SubjectAccessReviewStatus",
    "SubjectAccessReviewSpec": "resourceAttributes:ResourceAttributes? nonResourceAttributes:NonResourceAttributes? "
    "user groups:* extra:{strings} uid",
    "ResourceAttributes": "namespace verb group version resource subresource name "
    "fieldSelector:FieldSelectorAttributes? labelSelector:LabelSelectorAttributes?",
    "FieldSelectorAttributes": "rawSelector requirements:*FieldSelectorRequirement",
    "LabelSelectorAttributes": "rawSelector requirements:*LabelSelectorRequirement",
    "NonResourceAttributes": "path verb",
    "SubjectAccessReviewStatus": "allowed:bool! reason evaluationError denied:bool",
    "SelfSubjectAccessReview": "metadata:ObjectMeta spec:SelfSubjectAccessReviewSpec status:SubjectAccessReviewStatus",
    "SelfSubjectAccessReviewSpec": "resourceAttributes:ResourceAttributes? "
    "nonResourceAttributes:NonResourceAttributes?",
    "SelfSubjectRulesReview": "metadata:ObjectMeta spec:SelfSubjectRulesReviewSpec status:SubjectRulesReviewStatus",
    "SelfSubjectRulesReviewSpec": "namespace",
    "SubjectRulesReviewStatus": "resourceRules:*ResourceRule nonResourceRules:*NonResourceRule incomplete:bool! "
    "evaluationError",
    "ResourceRule": "verbs:* apiGroups:* resources:* resourceNames:*",
    "NonResourceRule": "verbs:* nonResourceURLs:*",
    "SubjectAccessReview": "metadata:ObjectMeta spec:SubjectAccessReviewSpec status:SubjectAccessReviewStatus",
}
