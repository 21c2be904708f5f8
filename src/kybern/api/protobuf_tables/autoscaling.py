"""Field numbers of autoscalers and scales; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "HorizontalPodAutoscaler": "metadata:ObjectMeta spec:HorizontalPodAutoscalerSpec "
    "status:HorizontalPodAutoscalerStatus",
    "HorizontalPodAutoscalerSpec": "scaleTargetRef:CrossVersionObjectReference minReplicas:int? maxReplicas:int! "
    "metrics:*MetricSpec behavior:HorizontalPodAutoscalerBehavior?",
    "v1/HorizontalPodAutoscalerSpec": "scaleTargetRef:CrossVersionObjectReference minReplicas:int? maxReplicas:int! "
    "targetCPUUtilizationPercentage:int?",
    "CrossVersionObjectReference": "kind! name! apiVersion",
    "MetricSpec": "type! object:ObjectMetricSource? pods:PodsMetricSource? resource:ResourceMetricSource? "
    "external:ExternalMetricSource? @7 containerResource:ContainerResourceMetricSource?",
    "ObjectMetricSource": "describedObject:CrossVersionObjectReference target:MetricTarget metric:MetricIdentifier",
    "MetricTarget": "type! value:quantity? averageValue:quantity? averageUtilization:int?",
    "MetricIdentifier": "name! selector:LabelSelector?",
    "PodsMetricSource": "metric:MetricIdentifier target:MetricTarget",
    "ResourceMetricSource": "name! target:MetricTarget",
    "ExternalMetricSource": "metric:MetricIdentifier target:MetricTarget",
    "ContainerResourceMetricSource": "name! target:MetricTarget container!",
    "HorizontalPodAutoscalerBehavior": "scaleUp:HPAScalingRules? scaleDown:HPAScalingRules?",
    "HPAScalingRules": "selectPolicy? policies:*HPAScalingPolicy stabilizationWindowSeconds:int? tolerance:quantity?",
    "HPAScalingPolicy": "type! value:int! periodSeconds:int!",
    "HorizontalPodAutoscalerStatus": "observedGeneration:int? lastScaleTime:time? currentReplicas:int "
    "desiredReplicas:int! currentMetrics:*MetricStatus conditions:*HorizontalPodAutoscalerCondition",
    "v1/HorizontalPodAutoscalerStatus": "observedGeneration:int? lastScaleTime:time? currentReplicas:int! "
    "desiredReplicas:int! currentCPUUtilizationPercentage:int?",
    "MetricStatus": "type! object:ObjectMetricStatus? pods:PodsMetricStatus? resource:ResourceMetricStatus? "
    "external:ExternalMetricStatus? @7 containerResource:ContainerResourceMetricStatus?",
    "ObjectMetricStatus": "metric:MetricIdentifier current:MetricValueStatus "
    "describedObject:CrossVersionObjectReference",
    "MetricValueStatus": "value:quantity? averageValue:quantity? averageUtilization:int?",
    "PodsMetricStatus": "metric:MetricIdentifier current:MetricValueStatus",
    "ResourceMetricStatus": "name! current:MetricValueStatus",
    "ExternalMetricStatus": "metric:MetricIdentifier current:MetricValueStatus",
    "ContainerResourceMetricStatus": "name! current:MetricValueStatus container!",
    "HorizontalPodAutoscalerCondition": "type! status! lastTransitionTime:time reason message",
    "Scale": "metadata:ObjectMeta spec:ScaleSpec status:ScaleStatus",
    "ScaleSpec": "replicas:int",
    "ScaleStatus": "replicas:int! selector",
}
