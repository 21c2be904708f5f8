"""Field numbers of priority classes, workloads and pod groups; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "PriorityClass": "metadata:ObjectMeta value:int! globalDefault:bool description preemptionPolicy?",
    "PodGroup": "metadata:ObjectMeta spec:PodGroupSpec status:PodGroupStatus",
    "PodGroupSpec": "podGroupTemplateRef:PodGroupTemplateReference? schedulingPolicy:PodGroupSchedulingPolicy "
    "schedulingConstraints:PodGroupSchedulingConstraints? resourceClaims:*PodGroupResourceClaim disruptionMode? "
    "priorityClassName priority:int?",
    "PodGroupTemplateReference": "workload:WorkloadPodGroupTemplateReference?",
    "WorkloadPodGroupTemplateReference": "workloadName! podGroupTemplateName!",
    "PodGroupSchedulingPolicy": "basic:BasicSchedulingPolicy? gang:GangSchedulingPolicy?",
    "BasicSchedulingPolicy": "",
    "GangSchedulingPolicy": "minCount:int!",
    "PodGroupSchedulingConstraints": "topology:*TopologyConstraint",
    "TopologyConstraint": "key!",
    "PodGroupResourceClaim": "name! resourceClaimName? resourceClaimTemplateName?",
    "PodGroupStatus": "conditions:*Condition resourceClaimStatuses:*PodGroupResourceClaimStatus",
    "PodGroupResourceClaimStatus": "name! resourceClaimName?",
    "Workload": "metadata:ObjectMeta spec:WorkloadSpec",
    "WorkloadSpec": "controllerRef:TypedLocalObjectReference? podGroupTemplates:*PodGroupTemplate",
    "TypedLocalObjectReference": "apiGroup kind! name!",
    "PodGroupTemplate": "name! schedulingPolicy:PodGroupSchedulingPolicy "
    "schedulingConstraints:PodGroupSchedulingConstraints? resourceClaims:*PodGroupResourceClaim disruptionMode? "
    "priorityClassName priority:int?",
}
