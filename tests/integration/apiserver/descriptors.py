"""A few kinds' messages as upstream's .proto files have them, for google.protobuf to read answers by.

Written by hand, on purpose apart from the server's own tables.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, unknown_fields
from google.protobuf.message import Message

PROTO = """
message TypeMeta { string apiVersion = 1; string kind = 2; }
message Unknown { TypeMeta typeMeta = 1; bytes raw = 2; string contentEncoding = 3; string contentType = 4; }
message RawExtension { bytes raw = 1; }
message WatchEvent { string type = 1; RawExtension object = 2; }
message Time { int64 seconds = 1; int32 nanos = 2; }
message MicroTime { int64 seconds = 1; int32 nanos = 2; }
message Quantity { string string = 1; }
message IntOrString { int64 type = 1; int32 intVal = 2; string strVal = 3; }
message FieldsV1 { bytes Raw = 1; }
message ListMeta { string selfLink = 1; string resourceVersion = 2; string continue = 3; int64 remainingItemCount = 4; }
message Status { ListMeta metadata = 1; string status = 2; string message = 3; string reason = 4;
  StatusDetails details = 5; int32 code = 6; }
message StatusDetails { string name = 1; string group = 2; string kind = 3; repeated StatusCause causes = 4;
  int32 retryAfterSeconds = 5; string uid = 6; }
message StatusCause { string reason = 1; string message = 2; string field = 3; }
message ObjectMeta { string name = 1; string generateName = 2; string namespace = 3; string selfLink = 4;
  string uid = 5; string resourceVersion = 6; int64 generation = 7; Time creationTimestamp = 8;
  Time deletionTimestamp = 9; int64 deletionGracePeriodSeconds = 10; map<string> labels = 11;
  map<string> annotations = 12; repeated OwnerReference ownerReferences = 13; repeated string finalizers = 14;
  repeated ManagedFieldsEntry managedFields = 17; }
message OwnerReference { string kind = 1; string name = 3; string uid = 4; string apiVersion = 5; bool controller = 6;
  bool blockOwnerDeletion = 7; }
message ManagedFieldsEntry { string manager = 1; string operation = 2; string apiVersion = 3; Time time = 4;
  string fieldsType = 6; FieldsV1 fieldsV1 = 7; string subresource = 8; }
message PartialObjectMetadata { ObjectMeta metadata = 1; }
message PartialObjectMetadataList { ListMeta metadata = 1; repeated PartialObjectMetadata items = 2; }
message ConfigMap { ObjectMeta metadata = 1; map<string> data = 2; map<bytes> binaryData = 3; bool immutable = 4; }
message ConfigMapList { ListMeta metadata = 1; repeated ConfigMap items = 2; }
message ObjectReference { string kind = 1; string namespace = 2; string name = 3; string uid = 4;
  string apiVersion = 5; string resourceVersion = 6; string fieldPath = 7; }
message Event { ObjectMeta metadata = 1; ObjectReference involvedObject = 2; string reason = 3; string message = 4;
  EventSource source = 5; Time firstTimestamp = 6; Time lastTimestamp = 7; int32 count = 8; string type = 9;
  MicroTime eventTime = 10; EventSeries series = 11; string action = 12; ObjectReference related = 13;
  string reportingComponent = 14; string reportingInstance = 15; }
message EventSource { string component = 1; string host = 2; }
message EventSeries { int32 count = 1; MicroTime lastObservedTime = 2; }
message Service { ObjectMeta metadata = 1; ServiceSpec spec = 2; ServiceStatus status = 3; }
message ServiceSpec { repeated ServicePort ports = 1; map<string> selector = 2; string clusterIP = 3; string type = 4;
  repeated string externalIPs = 5; string sessionAffinity = 7; string loadBalancerIP = 8;
  repeated string loadBalancerSourceRanges = 9; string externalName = 10; string externalTrafficPolicy = 11;
  int32 healthCheckNodePort = 12; bool publishNotReadyAddresses = 13; string ipFamilyPolicy = 17;
  repeated string clusterIPs = 18; repeated string ipFamilies = 19; bool allocateLoadBalancerNodePorts = 20;
  string loadBalancerClass = 21; string internalTrafficPolicy = 22; string trafficDistribution = 23; }
message ServicePort { string name = 1; string protocol = 2; int32 port = 3; IntOrString targetPort = 4;
  int32 nodePort = 5; string appProtocol = 6; }
message ServiceStatus { LoadBalancerStatus loadBalancer = 1; }
message LoadBalancerStatus { repeated LoadBalancerIngress ingress = 1; }
message LoadBalancerIngress { string ip = 1; string hostname = 2; string ipMode = 3; }
message Node { ObjectMeta metadata = 1; NodeSpec spec = 2; NodeStatus status = 3; }
message NodeSpec { string podCIDR = 1; string externalID = 2; string providerID = 3; bool unschedulable = 4;
  repeated Taint taints = 5; repeated string podCIDRs = 7; }
message Taint { string key = 1; string value = 2; string effect = 3; Time timeAdded = 4; }
message NodeStatus { map<Quantity> capacity = 1; map<Quantity> allocatable = 2; string phase = 3;
  repeated NodeCondition conditions = 4; repeated NodeAddress addresses = 5; NodeDaemonEndpoints daemonEndpoints = 6;
  NodeSystemInfo nodeInfo = 7; repeated ContainerImage images = 8; }
message NodeCondition { string type = 1; string status = 2; Time lastHeartbeatTime = 3; Time lastTransitionTime = 4;
  string reason = 5; string message = 6; }
message NodeAddress { string type = 1; string address = 2; }
message NodeDaemonEndpoints { DaemonEndpoint kubeletEndpoint = 1; }
message DaemonEndpoint { int32 Port = 1; }
message NodeSystemInfo { string machineID = 1; string systemUUID = 2; string bootID = 3; string kernelVersion = 4;
  string osImage = 5; string containerRuntimeVersion = 6; string kubeletVersion = 7; string kubeProxyVersion = 8;
  string operatingSystem = 9; string architecture = 10; }
message ContainerImage { repeated string names = 1; int64 sizeBytes = 2; }
message Pod { ObjectMeta metadata = 1; PodSpec spec = 2; PodStatus status = 3; }
message PodList { ListMeta metadata = 1; repeated Pod items = 2; }
message PodSpec { repeated Volume volumes = 1; repeated Container containers = 2; string restartPolicy = 3;
  int64 terminationGracePeriodSeconds = 4; int64 activeDeadlineSeconds = 5; string dnsPolicy = 6;
  map<string> nodeSelector = 7; string serviceAccountName = 8; string serviceAccount = 9; string nodeName = 10;
  bool hostNetwork = 11; bool hostPID = 12; bool hostIPC = 13; PodSecurityContext securityContext = 14;
  string hostname = 16; string subdomain = 17; string schedulerName = 19; bool automountServiceAccountToken = 21;
  repeated Toleration tolerations = 22; string priorityClassName = 24; int32 priority = 25;
  bool enableServiceLinks = 30; string preemptionPolicy = 31; }
message PodSecurityContext { int64 runAsUser = 2; bool runAsNonRoot = 3; repeated int64 supplementalGroups = 4;
  int64 fsGroup = 5; }
message Toleration { string key = 1; string operator = 2; string value = 3; string effect = 4;
  int64 tolerationSeconds = 5; }
message Volume { string name = 1; VolumeSource volumeSource = 2; }
message VolumeSource { EmptyDir emptyDir = 2; ConfigMapVolume configMap = 19; }
message EmptyDir { string medium = 1; Quantity sizeLimit = 2; }
message LocalObjectReference { string name = 1; }
message ConfigMapVolume { LocalObjectReference localObjectReference = 1; repeated KeyToPath items = 2;
  int32 defaultMode = 3; bool optional = 4; }
message KeyToPath { string key = 1; string path = 2; int32 mode = 3; }
message Container { string name = 1; string image = 2; repeated string command = 3; repeated string args = 4;
  string workingDir = 5; repeated ContainerPort ports = 6; repeated EnvVar env = 7; Resources resources = 8;
  repeated VolumeMount volumeMounts = 9; Probe livenessProbe = 10; Probe readinessProbe = 11;
  string terminationMessagePath = 13; string imagePullPolicy = 14; bool stdin = 16; bool stdinOnce = 17;
  bool tty = 18; string terminationMessagePolicy = 20; }
message ContainerPort { string name = 1; int32 hostPort = 2; int32 containerPort = 3; string protocol = 4;
  string hostIP = 5; }
message EnvVar { string name = 1; string value = 2; EnvVarSource valueFrom = 3; }
message EnvVarSource { FieldSelector fieldRef = 1; ConfigMapKey configMapKeyRef = 3; }
message FieldSelector { string apiVersion = 1; string fieldPath = 2; }
message ConfigMapKey { LocalObjectReference localObjectReference = 1; string key = 2; bool optional = 3; }
message Resources { map<Quantity> limits = 1; map<Quantity> requests = 2; }
message VolumeMount { string name = 1; bool readOnly = 2; string mountPath = 3; string subPath = 4;
  string mountPropagation = 5; string subPathExpr = 6; string recursiveReadOnly = 7; }
message Probe { ProbeHandler handler = 1; int32 initialDelaySeconds = 2; int32 timeoutSeconds = 3;
  int32 periodSeconds = 4; int32 successThreshold = 5; int32 failureThreshold = 6;
  int64 terminationGracePeriodSeconds = 7; }
message ProbeHandler { Exec exec = 1; HTTPGet httpGet = 2; }
message Exec { repeated string command = 1; }
message HTTPGet { string path = 1; IntOrString port = 2; string host = 3; string scheme = 4; }
message PodStatus { string phase = 1; repeated PodCondition conditions = 2; string message = 3; string reason = 4;
  string hostIP = 5; string podIP = 6; Time startTime = 7; string qosClass = 9; string nominatedNodeName = 11;
  string resize = 14; int64 observedGeneration = 17; }
message PodCondition { string type = 1; string status = 2; Time lastProbeTime = 3; Time lastTransitionTime = 4;
  string reason = 5; string message = 6; int64 observedGeneration = 7; }
"""
EMBEDDED = ("volumeSource", "localObjectReference", "handler")
"""Fields whose own fields JSON shows in their place."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _Field.TYPE_STRING, "bytes": _Field.TYPE_BYTES, "bool": _Field.TYPE_BOOL,
            "int32": _Field.TYPE_INT32, "int64": _Field.TYPE_INT64}  # fmt: skip


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="by_hand.proto", package="k", syntax="proto2")
    for part in re.split(r"^message ", PROTO, flags=re.M)[1:]:
        name, _, body = part.partition(" {")
        message = file.message_type.add(name=name)
        for line in body.replace("}", "").split(";"):
            if line.strip():
                _add(message, line.split())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return pool


def _add(message: descriptor_pb2.DescriptorProto, words: list[str]) -> None:
    *label, kind, name, _, number = words
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if label:
        field.label = _Field.LABEL_REPEATED
    if kind.startswith("map<"):
        entry = message.nested_type.add(name=f"{name[0].upper()}{name[1:]}Entry")
        entry.options.map_entry = True
        _add(entry, ["string", "key", "=", "1"])
        _add(entry, [kind[4:-1], "value", "=", "2"])
        field.label, kind = _Field.LABEL_REPEATED, f"{message.name}.{entry.name}"
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".k.{kind}"


def parsed(kind: str, data: bytes) -> Any:
    """The message; nothing in it may be unknown."""
    made = message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"k.{kind}"))()
    made.ParseFromString(data)
    _known(made)
    return made


def _known(message: Message) -> None:
    fields = unknown_fields.UnknownFieldSet(message)
    assert not len(fields), (message.DESCRIPTOR.name, [field.field_number for field in fields])
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            value = [one for one in value.values() if isinstance(one, Message)]
        for one in value if field.is_repeated else [value]:
            _known(one)


def unwrapped(body: bytes) -> tuple[str, str, Any]:
    """apiVersion, kind and message of a body."""
    assert body.startswith(b"k8s\0")
    envelope = parsed("Unknown", body[4:])
    assert envelope.HasField("contentType") and not (envelope.contentType or envelope.contentEncoding)
    kind = envelope.typeMeta.kind
    return envelope.typeMeta.apiVersion, kind, parsed(kind, envelope.raw)


def shown(message: Any) -> Any:
    """The JSON of an object without what is zero or empty."""
    return without_zeroes(_plain(message))


def _plain(message: Any) -> Any:
    name = message.DESCRIPTOR.name
    if name in ("Time", "MicroTime"):
        if not message.HasField("seconds"):
            return None
        stamp = datetime.fromtimestamp(message.seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{stamp}.{message.nanos // 1000:06d}Z" if name == "MicroTime" else f"{stamp}Z"
    if name == "Quantity":
        return message.string
    if name == "IntOrString":
        return message.strVal if message.type else message.intVal
    if name == "FieldsV1":
        return json.loads(message.Raw)
    made: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found: Any = {key: _value(one) for key, one in value.items()}
        elif field.is_repeated:
            found = [_value(one) for one in value]
        else:
            found = _value(value)
        if field.name in EMBEDDED:
            made |= found
        else:
            made[field.name] = found
    return made


_SET = ("automountServiceAccountToken", "optional", "controller", "terminationGracePeriodSeconds", "emptyDir")
"""Pointers, whose zeroes are said."""


def _value(value: Any) -> Any:
    if isinstance(value, Message):
        return _plain(value)
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def without_zeroes(obj: Any) -> Any:
    """JSON without what Go leaves away, or shows as it likes."""
    if isinstance(obj, dict):
        kept = {key: without_zeroes(value) for key, value in obj.items()}
        return {key: value for key, value in kept.items() if value or key in _SET}
    return [without_zeroes(item) for item in obj] if isinstance(obj, list) else obj
