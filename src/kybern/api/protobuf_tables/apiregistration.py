"""Field numbers of API services; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "APIService": "metadata:ObjectMeta spec:APIServiceSpec status:APIServiceStatus",
    "APIServiceSpec": "service:ServiceReference? group version insecureSkipTLSVerify:bool caBundle:bytes @7 "
    "groupPriorityMinimum:int! versionPriority:int!",
    "ServiceReference": "namespace name port:int?",
    "APIServiceStatus": "conditions:*APIServiceCondition",
    "APIServiceCondition": "type! status! lastTransitionTime:time reason message",
}
