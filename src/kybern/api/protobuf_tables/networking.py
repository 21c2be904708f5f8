"""Field numbers of ingresses, network policies and addresses; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "IPAddress": "metadata:ObjectMeta spec:IPAddressSpec",
    "IPAddressSpec": "parentRef:ParentReference?",
    "ParentReference": "group resource namespace name",
    "Ingress": "metadata:ObjectMeta spec:IngressSpec status:IngressStatus",
    "IngressSpec": "defaultBackend:IngressBackend? tls:*IngressTLS rules:*IngressRule ingressClassName?",
    "IngressBackend": "@3 resource:TypedLocalObjectReference? service:IngressServiceBackend?",
    "IngressServiceBackend": "name! port:ServiceBackendPort",
    "ServiceBackendPort": "name number:int",
    "IngressTLS": "hosts:* secretName",
    "IngressRule": "host +IngressRuleValue",
    "IngressRuleValue": "http:HTTPIngressRuleValue?",
    "HTTPIngressRuleValue": "paths:*HTTPIngressPath",
    "HTTPIngressPath": "path backend:IngressBackend pathType?",
    "IngressStatus": "loadBalancer:IngressLoadBalancerStatus",
    "IngressLoadBalancerStatus": "ingress:*IngressLoadBalancerIngress",
    "IngressLoadBalancerIngress": "ip hostname @4 ports:*IngressPortStatus",
    "IngressPortStatus": "port:int! protocol! error?",
    "IngressClass": "metadata:ObjectMeta spec:IngressClassSpec",
    "IngressClassSpec": "controller parameters:IngressClassParametersReference?",
    "IngressClassParametersReference": "apiGroup? kind! name! scope? namespace?",
    "NetworkPolicy": "metadata:ObjectMeta spec:NetworkPolicySpec",
    "NetworkPolicySpec": "podSelector:LabelSelector ingress:*NetworkPolicyIngressRule egress:*NetworkPolicyEgressRule "
    "policyTypes:*",
    "NetworkPolicyIngressRule": "ports:*NetworkPolicyPort from:*NetworkPolicyPeer",
    "NetworkPolicyPort": "protocol? port:intorstring? endPort:int?",
    "NetworkPolicyPeer": "podSelector:LabelSelector? namespaceSelector:LabelSelector? ipBlock:IPBlock?",
    "IPBlock": "cidr! except:*",
    "NetworkPolicyEgressRule": "ports:*NetworkPolicyPort to:*NetworkPolicyPeer",
    "ServiceCIDR": "metadata:ObjectMeta spec:ServiceCIDRSpec status:ServiceCIDRStatus",
    "ServiceCIDRSpec": "cidrs:*",
    "ServiceCIDRStatus": "conditions:*Condition",
}
