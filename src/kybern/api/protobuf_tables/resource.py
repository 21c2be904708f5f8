"""Field numbers of devices and claims on them; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "DeviceClass": "metadata:ObjectMeta spec:DeviceClassSpec",
    "DeviceClassSpec": "selectors:*DeviceSelector config:*DeviceClassConfiguration @4 extendedResourceName?",
    "DeviceSelector": "cel:CELDeviceSelector?",
    "CELDeviceSelector": "expression!",
    "DeviceClassConfiguration": "+DeviceConfiguration",
    "DeviceConfiguration": "opaque:OpaqueDeviceConfiguration?",
    "OpaqueDeviceConfiguration": "driver! parameters:json",
    "ResourceClaim": "metadata:ObjectMeta spec:ResourceClaimSpec status:ResourceClaimStatus",
    "ResourceClaimSpec": "devices:DeviceClaim",
    "DeviceClaim": "requests:*DeviceRequest constraints:*DeviceConstraint config:*DeviceClaimConfiguration",
    "DeviceRequest": "name! exactly:ExactDeviceRequest? firstAvailable:*DeviceSubRequest",
    "v1beta1/DeviceRequest": "name! deviceClassName! selectors:*DeviceSelector allocationMode count:int "
    "adminAccess:bool? firstAvailable:*DeviceSubRequest tolerations:*DeviceToleration capacity:CapacityRequirements?",
    "ExactDeviceRequest": "deviceClassName! selectors:*DeviceSelector allocationMode count:int adminAccess:bool? "
    "tolerations:*DeviceToleration capacity:CapacityRequirements?",
    "DeviceToleration": "key operator value effect tolerationSeconds:int?",
    "CapacityRequirements": "requests:{quantity}",
    "DeviceSubRequest": "name! deviceClassName! selectors:*DeviceSelector allocationMode count:int "
    "tolerations:*DeviceToleration capacity:CapacityRequirements?",
    "v1beta1/DeviceSubRequest": "name! deviceClassName! selectors:*DeviceSelector allocationMode count:int @7 "
    "tolerations:*DeviceToleration capacity:CapacityRequirements?",
    "DeviceConstraint": "requests:* matchAttribute? distinctAttribute?",
    "DeviceClaimConfiguration": "requests:* +DeviceConfiguration",
    "ResourceClaimStatus": "allocation:AllocationResult? reservedFor:*ResourceClaimConsumerReference @4 "
    "devices:*AllocatedDeviceStatus",
    "AllocationResult": "devices:DeviceAllocationResult @3 nodeSelector:NodeSelector? @5 allocationTimestamp:time?",
    "DeviceAllocationResult": "results:*DeviceRequestAllocationResult config:*DeviceAllocationConfiguration",
    "DeviceRequestAllocationResult": "request! driver! pool! device! adminAccess:bool? tolerations:*DeviceToleration "
    "bindingConditions:* bindingFailureConditions:* shareID? consumedCapacity:{quantity}",
    "DeviceAllocationConfiguration": "source! requests:* +DeviceConfiguration",
    "ResourceClaimConsumerReference": "apiGroup @3 resource! name! uid!",
    "AllocatedDeviceStatus": "driver! pool! device! conditions:*Condition data:json? networkData:NetworkDeviceData? "
    "shareID?",
    "NetworkDeviceData": "interfaceName ips:* hardwareAddress",
    "ResourceClaimTemplate": "metadata:ObjectMeta spec:ResourceClaimTemplateSpec",
    "ResourceClaimTemplateSpec": "metadata:ObjectMeta spec:ResourceClaimSpec",
    "ResourceSlice": "metadata:ObjectMeta spec:ResourceSliceSpec",
    "ResourceSliceSpec": "driver! pool:ResourcePool nodeName? nodeSelector:NodeSelector? allNodes:bool? "
    "devices:*Device perDeviceNodeSelection:bool? sharedCounters:*CounterSet",
    "v1beta1/ResourceSliceSpec": "driver! pool:ResourcePool nodeName nodeSelector:NodeSelector? allNodes:bool "
    "devices:*Device perDeviceNodeSelection:bool? sharedCounters:*CounterSet",
    "ResourcePool": "name! generation:int! resourceSliceCount:int!",
    "Device": "name! attributes:{DeviceAttribute} capacity:{DeviceCapacity} consumesCounters:*DeviceCounterConsumption "
    "nodeName? nodeSelector:NodeSelector? allNodes:bool? taints:*DeviceTaint bindsToNode:bool? bindingConditions:* "
    "bindingFailureConditions:* allowMultipleAllocations:bool? "
    "nodeAllocatableResourceMappings:{NodeAllocatableResourceMapping}",
    "v1beta1/Device": "name! basic:BasicDevice?",
    "DeviceAttribute": "@2 int:int? bool:bool? string? version? ints:*int bools:*bool strings:* versions:*",
    "DeviceCapacity": "value:quantity requestPolicy:CapacityRequestPolicy?",
    "CapacityRequestPolicy": "default:quantity? @3 validValues:*quantity validRange:CapacityRequestPolicyRange?",
    "CapacityRequestPolicyRange": "min:quantity? max:quantity? step:quantity?",
    "DeviceCounterConsumption": "counterSet! counters:{Counter}",
    "Counter": "value:quantity",
    "DeviceTaint": "key! value effect! timeAdded:time?",
    "NodeAllocatableResourceMapping": "capacityKey? allocationMultiplier:quantity?",
    "CounterSet": "name! counters:{Counter}",
    "DeviceTaintRule": "metadata:ObjectMeta spec:DeviceTaintRuleSpec status:DeviceTaintRuleStatus",
    "DeviceTaintRuleSpec": "deviceSelector:DeviceTaintSelector? taint:DeviceTaint",
    "DeviceTaintSelector": "@2 driver? pool? device?",
    "DeviceTaintRuleStatus": "conditions:*Condition",
    "BasicDevice": "attributes:{DeviceAttribute} capacity:{DeviceCapacity} consumesCounters:*DeviceCounterConsumption "
    "nodeName? nodeSelector:NodeSelector? allNodes:bool? taints:*DeviceTaint bindsToNode:bool? bindingConditions:* "
    "bindingFailureConditions:* allowMultipleAllocations:bool? "
    "nodeAllocatableResourceMappings:{NodeAllocatableResourceMapping}",
    "ResourcePoolStatusRequest": "metadata:ObjectMeta spec:ResourcePoolStatusRequestSpec "
    "status:ResourcePoolStatusRequestStatus?",
    "ResourcePoolStatusRequestSpec": "driver! poolName? limit:int?",
    "ResourcePoolStatusRequestStatus": "@2 pools:*PoolStatus conditions:*Condition @6 poolCount:int?",
    "PoolStatus": "driver poolName nodeName? totalDevices:int? allocatedDevices:int? availableDevices:int? "
    "unavailableDevices:int? resourceSliceCount:int? generation:int! validationError?",
}
