"""Field numbers of devices and claims on them; protobuf_fields.py says how to read them."""

from __future__ import annotations

_REQUEST = "deviceClassName selectors:*DeviceSelector allocationMode count:int"

DEVICE_MESSAGES: dict[str, str] = {
    # classes
    "DeviceClass": "metadata:ObjectMeta spec:DeviceClassSpec",
    "DeviceClassSpec": "selectors:*DeviceSelector config:*DeviceClassConfiguration @4 extendedResourceName:string?",
    "DeviceSelector": "cel:CELDeviceSelector",
    "CELDeviceSelector": "expression",
    "DeviceClassConfiguration": "+DeviceConfiguration",
    "DeviceConfiguration": "opaque:OpaqueDeviceConfiguration",
    "OpaqueDeviceConfiguration": "driver parameters:json",
    # claims
    "resource.ResourceClaim": "metadata:ObjectMeta spec:ResourceClaimSpec status:ResourceClaimStatus",
    "ResourceClaimTemplate": "metadata:ObjectMeta spec:ResourceClaimTemplateSpec",
    "ResourceClaimTemplateSpec": "metadata:ObjectMeta spec:ResourceClaimSpec",
    "ResourceClaimSpec": "devices:DeviceClaim",
    "DeviceClaim": "requests:*DeviceRequest constraints:*DeviceConstraint config:*DeviceClaimConfiguration",
    "DeviceRequest": "name exactly:ExactDeviceRequest firstAvailable:*DeviceSubRequest",
    "ExactDeviceRequest": f"{_REQUEST} adminAccess:bool? tolerations:*DeviceToleration capacity:CapacityRequirements",
    "DeviceSubRequest": f"name {_REQUEST} tolerations:*DeviceToleration capacity:CapacityRequirements",
    "DeviceToleration": "key operator value effect tolerationSeconds:int?",
    "CapacityRequirements": "requests:{quantity}",
    "DeviceConstraint": "requests:* matchAttribute:string? distinctAttribute:string?",
    "DeviceClaimConfiguration": "requests:* +DeviceConfiguration",
    # what claims were given
    "ResourceClaimStatus": "allocation:AllocationResult reservedFor:*ResourceClaimConsumerReference @4 "
    "devices:*AllocatedDeviceStatus",
    "ResourceClaimConsumerReference": "apiGroup @3 resource name uid",
    "AllocationResult": "devices:DeviceAllocationResult @3 nodeSelector:NodeSelector @5 allocationTimestamp:time",
    "DeviceAllocationResult": "results:*DeviceRequestAllocationResult config:*DeviceAllocationConfiguration",
    "DeviceAllocationConfiguration": "source requests:* +DeviceConfiguration",
    "DeviceRequestAllocationResult": "request driver pool device adminAccess:bool? tolerations:*DeviceToleration "
    "bindingConditions:* bindingFailureConditions:* shareID:string? consumedCapacity:{quantity}",
    "AllocatedDeviceStatus": "driver pool device conditions:*Condition data:json networkData:NetworkDeviceData "
    "shareID:string?",
    "NetworkDeviceData": "interfaceName ips:* hardwareAddress",
    # devices
    "ResourceSlice": "metadata:ObjectMeta spec:ResourceSliceSpec",
    "ResourceSliceSpec": "driver pool:ResourcePool nodeName:string? nodeSelector:NodeSelector allNodes:bool? "
    "devices:*Device perDeviceNodeSelection:bool? sharedCounters:*CounterSet",
    "ResourcePool": "name generation:int? resourceSliceCount:int?",
    "Device": "name attributes:{DeviceAttribute} capacity:{DeviceCapacity} consumesCounters:*DeviceCounterConsumption "
    "nodeName:string? nodeSelector:NodeSelector allNodes:bool? taints:*DeviceTaint bindsToNode:bool? "
    "bindingConditions:* bindingFailureConditions:* allowMultipleAllocations:bool?",
    "DeviceAttribute": "@2 int:int? bool:bool? string:string? version:string?",
    "DeviceCapacity": "value:quantity requestPolicy:CapacityRequestPolicy",
    "CapacityRequestPolicy": "default:quantity @3 validValues:*quantity validRange:CapacityRequestPolicyRange",
    "CapacityRequestPolicyRange": "min:quantity max:quantity step:quantity",
    "DeviceCounterConsumption": "counterSet counters:{Counter}",
    "CounterSet": "name counters:{Counter}",
    "Counter": "value:quantity",
    "DeviceTaint": "key value effect timeAdded:time",
}
