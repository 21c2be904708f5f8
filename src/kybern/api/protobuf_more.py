"""Field numbers of kinds around services, nodes and scaling; protobuf_fields.py says how to read them."""

from __future__ import annotations

MORE_MESSAGES: dict[str, str] = {
    # networking
    "IPAddress": "metadata:ObjectMeta spec:IPAddressSpec",
    "IPAddressSpec": "parentRef:ParentReference",
    "ParentReference": "group resource namespace name",
    "ServiceCIDR": "metadata:ObjectMeta spec:ServiceCIDRSpec status:ServiceCIDRStatus",
    "ServiceCIDRSpec": "cidrs:*",
    "ServiceCIDRStatus": "conditions:*Condition",
    # endpoints
    "Endpoints": "metadata:ObjectMeta subsets:*EndpointSubset",
    "EndpointSubset": "addresses:*EndpointAddress notReadyAddresses:*EndpointAddress ports:*core.EndpointPort",
    "EndpointAddress": "ip targetRef:ObjectReference hostname nodeName",
    "core.EndpointPort": "name port:int protocol appProtocol",
    # nodes
    "Node": "metadata:ObjectMeta spec:NodeSpec status:NodeStatus",
    "NodeSpec": "podCIDR externalID providerID unschedulable:bool taints:*Taint @7 podCIDRs:*",
    "Taint": "key value effect timeAdded:time",
    "NodeStatus": "capacity:{quantity} allocatable:{quantity} phase conditions:*NodeCondition addresses:*NodeAddress "
    "daemonEndpoints:NodeDaemonEndpoints nodeInfo:NodeSystemInfo images:*ContainerImage volumesInUse:* "
    "volumesAttached:*AttachedVolume @12 runtimeHandlers:*NodeRuntimeHandler features:NodeFeatures declaredFeatures:*",
    "NodeCondition": "type status lastHeartbeatTime:time lastTransitionTime:time reason message",
    "NodeAddress": "type address",
    "NodeDaemonEndpoints": "kubeletEndpoint:DaemonEndpoint",
    "DaemonEndpoint": "Port:int?",
    "NodeSystemInfo": "machineID systemUUID bootID kernelVersion osImage containerRuntimeVersion kubeletVersion "
    "kubeProxyVersion operatingSystem architecture swap:NodeSwapStatus",
    "NodeSwapStatus": "capacity:int?",
    "ContainerImage": "names:* sizeBytes:int",
    "AttachedVolume": "name devicePath",
    "NodeRuntimeHandler": "name features:NodeRuntimeHandlerFeatures",
    "NodeRuntimeHandlerFeatures": "recursiveReadOnlyMounts:bool? userNamespaces:bool?",
    "NodeFeatures": "supplementalGroupsPolicy:bool?",
    "RuntimeClass": "metadata:ObjectMeta handler overhead:Overhead scheduling:Scheduling",
    "Overhead": "podFixed:{quantity}",
    "Scheduling": "nodeSelector:{} tolerations:*Toleration",
    # limits, templates
    "LimitRange": "metadata:ObjectMeta spec:LimitRangeSpec",
    "LimitRangeSpec": "limits:*LimitRangeItem",
    "LimitRangeItem": "type max:{quantity} min:{quantity} default:{quantity} defaultRequest:{quantity} "
    "maxLimitRequestRatio:{quantity}",
    "PodTemplate": "metadata:ObjectMeta template:PodTemplateSpec",
    "ReplicationController": "metadata:ObjectMeta spec:ReplicationControllerSpec status:ReplicationControllerStatus",
    "ReplicationControllerSpec": "replicas:int? selector:{} template:PodTemplateSpec minReadySeconds:int",
    "ReplicationControllerStatus": "replicas:int? fullyLabeledReplicas:int observedGeneration:int readyReplicas:int "
    "availableReplicas:int conditions:*ReplicaSetCondition",
    # scaling
    "autoscaling.v2.HPA": "metadata:ObjectMeta spec:autoscaling.v2.HPASpec status:autoscaling.v2.HPAStatus",
    "autoscaling.v2.HPASpec": "scaleTargetRef:CrossVersionObjectReference minReplicas:int? maxReplicas:int "
    "metrics:*MetricSpec behavior:HorizontalPodAutoscalerBehavior",
    "MetricSpec": "type object:ObjectMetricSource pods:PodsMetricSource resource:ResourceMetricSource "
    "external:PodsMetricSource @7 containerResource:ContainerResourceMetricSource",
    "ObjectMetricSource": "describedObject:CrossVersionObjectReference target:MetricTarget metric:MetricIdentifier",
    "PodsMetricSource": "metric:MetricIdentifier target:MetricTarget",
    "ResourceMetricSource": "name target:MetricTarget",
    "ContainerResourceMetricSource": "name target:MetricTarget container",
    "MetricIdentifier": "name selector:LabelSelector",
    "MetricTarget": "type value:quantity averageValue:quantity averageUtilization:int?",
    "HorizontalPodAutoscalerBehavior": "scaleUp:HPAScalingRules scaleDown:HPAScalingRules",
    "HPAScalingRules": "selectPolicy policies:*HPAScalingPolicy stabilizationWindowSeconds:int? tolerance:quantity",
    "HPAScalingPolicy": "type value:int? periodSeconds:int?",
    "autoscaling.v2.HPAStatus": "observedGeneration:int? lastScaleTime:time currentReplicas:int desiredReplicas:int? "
    "currentMetrics:*MetricStatus conditions:*ReplicaSetCondition",
    "MetricStatus": "type object:ObjectMetricStatus pods:PodsMetricStatus resource:ResourceMetricStatus "
    "external:PodsMetricStatus @7 containerResource:ContainerResourceMetricStatus",
    "ObjectMetricStatus": "metric:MetricIdentifier current:MetricValueStatus "
    "describedObject:CrossVersionObjectReference",
    "PodsMetricStatus": "metric:MetricIdentifier current:MetricValueStatus",
    "ResourceMetricStatus": "name current:MetricValueStatus",
    "ContainerResourceMetricStatus": "name current:MetricValueStatus container",
    "MetricValueStatus": "value:quantity averageValue:quantity averageUtilization:int?",
    # API services
    "APIService": "metadata:ObjectMeta spec:APIServiceSpec status:APIServiceStatus",
    "APIServiceSpec": "service:ServiceReference group version insecureSkipTLSVerify:bool caBundle:bytes @7 "
    "groupPriorityMinimum:int? versionPriority:int?",
    "ServiceReference": "namespace name port:int?",
    "APIServiceStatus": "conditions:*ReplicaSetCondition",
}
