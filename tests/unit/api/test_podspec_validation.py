"""What validation says of pods: nothing about a good one, and upstream's words about each mistake."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from kybern.api.core import capabilities
from kybern.api.core.podspec import default_pod, default_pod_template, validate_pod_spec, validate_pod_template
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.process import features

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)

SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def good_pod() -> Object:
    """A pod with something in most fields."""
    probe = {"httpGet": {"port": "http", "httpHeaders": [{"name": "X-Probe", "value": "1"}]}}
    node_term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}],
                 "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}  # fmt: skip
    pod_term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}, "namespaces": ["other"]}
    wanted, liked = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
    spec: Object = {
        "serviceAccountName": "builder",
        "nodeSelector": {"arch": "arm64"},
        "hostname": "web-0",
        "subdomain": "web",
        "priorityClassName": "high",
        "activeDeadlineSeconds": 3600,
        "os": {"name": "linux"},
        "overhead": {"cpu": "10m"},
        "preemptionPolicy": "Never",
        "imagePullSecrets": [{"name": "registry"}],
        "readinessGates": [{"conditionType": "example.com/ready"}],
        "schedulingGates": [{"name": "example.com/wait"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db.example.com"]}],
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.10"], "searches": ["_tcp.example.com.", "."], "options": [{"name": "a"}]},
        "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                        {"key": "a", "value": "b", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
                                       "minDomains": 2, "labelSelector": {}, "matchLabelKeys": ["hash"]}],
        "affinity": {
            "nodeAffinity": {wanted: {"nodeSelectorTerms": [node_term]},
                             liked: [{"weight": 5, "preference": node_term}]},
            "podAffinity": {wanted: [pod_term]},
            "podAntiAffinity": {liked: [{"weight": 100, "podAffinityTerm": pod_term}]},
        },
        "securityContext": {"runAsUser": 1000, "fsGroup": 2000, "supplementalGroups": [1, 2],
                            "seccompProfile": {"type": "RuntimeDefault"},
                            "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
                            "sysctls": [{"name": "net.core.somaxconn", "value": "1"}]},
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu-1"}],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "cm", "configMap": {"name": "conf", "items": [{"key": "a", "path": "b/c", "mode": 256}]}},
            {"name": "pvc", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "all", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}}, {"secret": {"name": "s"}},
                {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}},
            {"name": "host", "hostPath": {"path": "/dev", "type": "Directory"}},
            {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}},
            {"name": "oci", "image": {"reference": "example.com/data:1"}},
        ],
        "containers": [{
            "name": "web", "image": "nginx:1",
            "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080}],
            "env": [{"name": "A", "value": "b"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                    {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "envFrom": [{"prefix": "X_", "configMapRef": {"name": "conf"}}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "1", "hugepages-2Mi": "4Mi"},
                          "requests": {"cpu": "500m"}, "claims": [{"name": "gpu"}]},
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
            "livenessProbe": probe, "readinessProbe": {"grpc": {"port": 9}},
            "startupProbe": {"exec": {"command": ["a"]}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}, "postStart": {"tcpSocket": {"port": 80}}},
            "volumeMounts": [{"name": "cm", "mountPath": "/cm", "subPath": "b", "readOnly": True,
                              "recursiveReadOnly": "IfPossible"}],
            "volumeDevices": [{"name": "pvc", "devicePath": "/dev/xvda"}],
            "securityContext": {"privileged": True, "capabilities": {"add": ["NET_ADMIN"]}},
            "restartPolicy": "OnFailure",
            "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
        }],
        "initContainers": [
            {"name": "init", "image": "busybox"},
            {"name": "sidecar", "image": "proxy", "restartPolicy": "Always",
             "readinessProbe": {"tcpSocket": {"port": 1}}, "restartPolicyRules": [
                 {"action": "RestartAllContainers", "exitCodes": {"operator": "NotIn", "values": [0]}}]},
        ],
    }  # fmt: skip
    pod: Object = {"metadata": {"name": "web-0", "labels": {"app": "web"}}, "spec": spec}
    default_pod(pod)
    return pod


def plain_pod() -> Object:
    pod: Object = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    default_pod(pod)
    return pod


def complaints(pod: Object) -> list[str]:
    errors = Errors()
    validate_pod_spec(pod["spec"], "spec", errors, metadata=pod["metadata"])
    return [str(error) for error in errors]


def test_a_good_pod_is_valid() -> None:
    assert complaints(good_pod()) == []


def test_validation_changes_nothing() -> None:
    pod = good_pod()
    before = copy.deepcopy(pod)
    complaints(pod)
    assert pod == before


def in_spec(**fields: Any) -> Object:
    """The plain pod with these fields of its spec."""
    pod = plain_pod()
    pod["spec"].update(fields)
    return pod


def in_container(**fields: Any) -> Object:
    """The plain pod with these fields of its container."""
    pod = plain_pod()
    pod["spec"]["containers"][0].update(fields)
    return pod


def volume(source: str, **fields: Any) -> Object:
    return in_spec(volumes=[{"name": "v", source: fields}])


def affinity(kind: str, strength: str, value: Any) -> Object:
    return in_spec(affinity={kind: {f"{strength}DuringSchedulingIgnoredDuringExecution": value}})


def probe(**fields: Any) -> Object:
    return in_container(livenessProbe={"exec": {"command": ["a"]}, "successThreshold": 1, **fields})


def init(**fields: Any) -> Object:
    container = {**plain_pod()["spec"]["containers"][0], "name": "i", **fields}
    return in_spec(initContainers=[container])


def env(**source: Any) -> Object:
    return in_container(env=[{"name": "E", "valueFrom": source}])


def resources(**fields: Any) -> Object:
    return in_container(resources=fields)


C = "spec.containers[0]"
V = "spec.volumes[0]"
NODE = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
POD = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]"
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}

SPEC_RULES = [
    (in_spec(containers=[]), "spec.containers: Required value"),
    (in_spec(terminationGracePeriodSeconds=None), "spec.terminationGracePeriodSeconds: Required value"),
    (in_spec(restartPolicy="x"),
     'spec.restartPolicy: Unsupported value: "x": supported values: "Always", "Never", "OnFailure"'),
    (in_spec(dnsPolicy=""), "spec.dnsPolicy: Required value"),
    (in_spec(dnsPolicy="None"), "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    (in_spec(dnsPolicy="None", dnsConfig={"searches": ["a"]}), "spec.dnsConfig.nameservers: Required value: "
     "must provide at least one DNS nameserver when `dnsPolicy` is None"),
    (in_spec(dnsConfig={"nameservers": ["x"]}), 'spec.dnsConfig.nameservers[0]: Invalid value: "x": '
     "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
    (in_spec(dnsConfig={"nameservers": ["::1"] * 4}), 'spec.dnsConfig.nameservers: Invalid value: '
     '["::1","::1","::1","::1"]: must not have more than 3 nameservers'),
    (in_spec(dnsConfig={"options": [{}]}), "spec.dnsConfig.options[0]: Required value: must not be empty"),
    (in_spec(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds: Invalid value: 0: "
     "must be between 1 and 2147483647, inclusive"),
    (in_spec(hostname="A"), f'spec.hostname: Invalid value: "A": {LABEL}'),
    (in_spec(readinessGates=[{"conditionType": "/x"}]),
     'spec.readinessGates[0].conditionType: Invalid value: "/x": prefix part must be non-empty'),
    (in_spec(schedulingGates=[{"name": "a"}, {"name": "a"}]), 'spec.schedulingGates[1]: Duplicate value: "a"'),
    (in_spec(schedulingGates=[{"name": "a"}], nodeName="n"),
     "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
    (in_spec(os={"name": "plan9"}), 'spec.os: Unsupported value: "plan9": supported values: "linux", "windows"'),
    (in_spec(os={}), "spec.os.name: Required value: cannot be empty"),
    (in_spec(os={"name": "windows"}, hostPID=True), "spec.hostPID: Forbidden: cannot be set for a windows pod"),
    (in_spec(preemptionPolicy="x"), 'spec.preemptionPolicy: Unsupported value: "x": '
     'supported values: "Never", "PreemptLowerPriority"'),
    (in_spec(hostUsers=False, hostNetwork=True), "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
    (in_spec(hostnameOverride="a", setHostnameAsFQDN=True),
     "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true"),
    (in_spec(hostnameOverride="a" * 65), "spec.hostnameOverride: Too long: may not be more than 64 bytes"),
    (in_spec(overhead={"cpu": "-1"}), 'spec.overhead.limits[cpu]: Invalid value: "-1": '
     "must be greater than or equal to 0"),
    (in_spec(nodeSelector={"a": "b c"}), 'spec.nodeSelector: Invalid value: "b c": a valid label must be an '
     "empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
     "alphanumeric character "
     "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
     "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"),
    *((in_spec(**{field: "A_"}), f'spec.{field}: Invalid value: "A_": {SUBDOMAIN}')
      for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName")),
    (in_spec(subdomain="a.b"), f'spec.subdomain: Invalid value: "a.b": {LABEL}'),
    (in_spec(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["A_"]}]),
     f'spec.hostAliases[0].hostnames[0]: Invalid value: "A_": {SUBDOMAIN}'),
    (in_spec(schedulingGroup={}), "spec.schedulingGroup.podGroupName: Required value"),
    (in_spec(hostNetwork=True, containers=[{**plain_pod()["spec"]["containers"][0], "ports": [
        {"containerPort": 80, "hostPort": 81, "protocol": "TCP"}]}]),
     f"{C}.ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"),
    (in_spec(tolerations=[{"operator": "Equal", "value": "a"}]), 'spec.tolerations[0].operator: '
     'Invalid value: "Equal": '
     'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
    (in_spec(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
     'spec.tolerations[0].operator: Invalid value: "b": value must be empty when `operator` is \'Exists\''),
    (in_spec(tolerations=[{"key": "a", "tolerationSeconds": 1}]), 'spec.tolerations[0].effect: Invalid value: "": '
     "effect must be 'NoExecute' when `tolerationSeconds` is set"),
    (in_spec(tolerations=[{"key": "a", "effect": "x"}]), 'spec.tolerations[0].effect: Unsupported value: "x": '
     'supported values: "NoExecute", "NoSchedule", "PreferNoSchedule"'),
    (in_spec(tolerations=[{"key": "a", "operator": "In"}]), 'spec.tolerations[0].operator: Unsupported value: "In": '
     'supported values: "Equal", "Exists"'),
    (in_spec(topologySpreadConstraints=[{**SPREAD, "maxSkew": 0}]),
     "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"),
    (in_spec(topologySpreadConstraints=[SPREAD, SPREAD]), "spec.topologySpreadConstraints[0]."
     '{topologyKey, whenUnsatisfiable}: Duplicate value: "{zone, ScheduleAnyway}"'),
    (in_spec(topologySpreadConstraints=[{**SPREAD, "minDomains": 1}]), "spec.topologySpreadConstraints[0].minDomains: "
     "Invalid value: 1: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"),
    (affinity("nodeAffinity", "required", {}),
     f"{NODE}: Required value: must have at least one node selector term"),
    (affinity("nodeAffinity", "required",
              {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "x"}]}]}),
     f'{NODE}[0].matchExpressions[0].operator: Invalid value: "x": not a valid selector operator'),
    (affinity("nodeAffinity", "preferred", [{"weight": 101, "preference": {}}]), "spec.affinity.nodeAffinity."
     "preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100"),
    (in_spec(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
        "matchLabelKeys": ["a"], "labelSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["b"]}]}}]),
     'spec.topologySpreadConstraints[0][0]: Invalid value: "a": exists in both matchLabelKeys and labelSelector'),
    (affinity("podAffinity", "required", [{"topologyKey": "z", "matchLabelKeys": ["a"]}]),
     f"{POD}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"),
    (in_spec(securityContext={"runAsUser": -1}),
     "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"),
    (in_spec(securityContext={"seccompProfile": {"type": "Localhost"}}), "spec.securityContext.seccompProfile."
     "localhostProfile: Required value: must be set when seccomp type is Localhost"),
    (in_spec(securityContext={"sysctls": [{"name": "net.a"}]}, hostNetwork=True), "spec.securityContext.sysctls[0]."
     "name: Invalid value: \"net.a\": may not be specified when 'hostNetwork' is true"),
    (in_spec(resourceClaims=[{"name": "a"}]), 'spec.resourceClaims[0]: Invalid value: {"name":"a"}: '
     "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
    (in_spec(resources={"requests": {"cpu": "1"}, "limits": {"ephemeral-storage": "1"}}),
     'spec.resources.limits[ephemeral-storage]: Unsupported value: "ephemeral-storage": '
     'supported values: "cpu", "hugepages-", "memory"'),
]  # fmt: skip

CONTAINER_RULES = [
    (in_container(name=""), f"{C}.name: Required value"),
    (in_container(name="A"), f'{C}.name: Invalid value: "A": {LABEL}'),
    (in_container(image=""), f"{C}.image: Required value"),
    (in_container(image=" i"), f'{C}.image: Invalid value: " i": must not have leading or trailing whitespace'),
    (in_spec(containers=plain_pod()["spec"]["containers"] * 2), 'spec.containers[1].name: Duplicate value: "c"'),
    (in_container(imagePullPolicy="x"),
     f'{C}.imagePullPolicy: Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"'),
    (in_container(terminationMessagePolicy="x"), f'{C}.terminationMessagePolicy: Unsupported value: "x": '
     'supported values: "FallbackToLogsOnError", "File"'),
    (in_container(ports=[{"containerPort": 0, "protocol": "TCP"}]), f"{C}.ports[0].containerPort: Required value"),
    (in_container(ports=[{"containerPort": 65536, "protocol": "TCP"}]),
     f"{C}.ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive"),
    (in_container(ports=[{"containerPort": 1, "protocol": "x"}]),
     f'{C}.ports[0].protocol: Unsupported value: "x": supported values: "SCTP", "TCP", "UDP"'),
    (in_container(ports=[{"name": "a", "containerPort": n, "protocol": "TCP"} for n in (1, 2)]),
     f'{C}.ports[1].name: Duplicate value: "a"'),
    (in_container(ports=[{"containerPort": n, "hostPort": 9, "protocol": "TCP"} for n in (1, 2)]),
     f'{C}.ports[1].hostPort: Duplicate value: "TCP//9"'),
    (in_container(env=[{"value": "a"}]), f"{C}.env[0].name: Required value"),
    (in_container(env=[{"name": "a=b"}]), f'{C}.env[0].name: Invalid value: "a=b": a valid environment variable name '
     "must consist only of printable ASCII characters other than '='"),
    (env(), f'{C}.env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, '
     "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"),
    (env(secretKeyRef={"name": "a"}), f"{C}.env[0].valueFrom.secretKeyRef.key: Required value"),
    (env(fieldRef={"apiVersion": "v1", "fieldPath": "spec.x"}), f'{C}.env[0].valueFrom.fieldRef.fieldPath: '
     'Invalid value: "spec.x": error converting fieldPath: field label not supported: spec.x'),
    (env(resourceFieldRef={"resource": "limits.cpu", "divisor": "1Mi"}), f"{C}.env[0].valueFrom.resourceFieldRef."
     'divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 are supported with the cpu resource'),
    (env(fileKeyRef={"volumeName": "v", "path": "p", "key": "k"}),
     f'{C}.env[0].valueFrom.fileKeyRef.volumeName: Not found: "v"'),
    (in_container(envFrom=[{}]),
     f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`'),
    (in_container(volumeMounts=[{"name": "vol", "mountPath": "/a"}]), f'{C}.volumeMounts[0].name: Not found: "vol"'),
    (probe(successThreshold=2), f"{C}.livenessProbe.successThreshold: Invalid value: 2: must be 1"),
    (probe(periodSeconds=-1),
     f"{C}.livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0"),
    (probe(exec=None), f"{C}.livenessProbe: Required value: must specify a handler type"),
    (probe(tcpSocket={"port": 1}), f"{C}.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"),
    (probe(exec={}), f"{C}.livenessProbe.exec.command: Required value"),
    (probe(exec=None, httpGet={"path": "/", "port": 0, "scheme": "HTTP"}),
     f"{C}.livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive"),
    (probe(terminationGracePeriodSeconds=0),
     f"{C}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0"),
    (in_container(lifecycle={"preStop": {"sleep": {"seconds": 31}}}), f"{C}.lifecycle.preStop.sleep: "
     "Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"),
    (in_container(lifecycle={"stopSignal": "SIGTERM"}),
     f"{C}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`"),
    (in_container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
     f'{C}.securityContext: Invalid value: {{"privileged":true,"allowPrivilegeEscalation":false}}: '
     "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
    (in_container(securityContext={"procMount": "Unmasked"}),
     f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'),
    (in_container(restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In"}}]),
     f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"),
    (init(restartPolicyRules=[{"action": "Restart", "exitCodes": {"operator": "In"}}]),
     "spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used"),
    (init(restartPolicy="Always", restartPolicyRules=[{"action": "Stop", "exitCodes": {"operator": "In"}}]),
     'spec.initContainers[0].restartPolicyRules[0].action: Unsupported value: "Stop": supported values: "Restart", '
     '"RestartAllContainers"'),
    (in_spec(hostAliases=[{"ip": "::ffff:10.0.0.1"}]),
     'spec.hostAliases[0].ip: Invalid value: "::ffff:10.0.0.1": must not be an IPv4-mapped IPv6 address'),
    (in_spec(dnsConfig={"nameservers": ["010.0.0.1"]}),
     'spec.dnsConfig.nameservers[0]: Invalid value: "010.0.0.1": must not have leading 0s'),
    (in_container(resizePolicy=[{"resourceName": "gpu", "restartPolicy": "NotRequired"}]),
     f'{C}.resizePolicy: Unsupported value: "gpu": supported values: "cpu", "memory"'),
    (init(livenessProbe={"exec": {"command": ["a"]}}), "spec.initContainers[0].livenessProbe: Forbidden: "
     "may not be set for init containers without restartPolicy=Always"),
    (init(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]),
     'spec.initContainers[0].resizePolicy[0].restartPolicy: Invalid value: "RestartContainer": '
     "must not be set to 'RestartContainer' for non-sidecar initContainers"),
    (init(name="c"), 'spec.initContainers[0].name: Duplicate value: "c"'),
    (in_spec(ephemeralContainers=[{**plain_pod()["spec"]["containers"][0], "name": "e", "targetContainerName": "x"}]),
     'spec.ephemeralContainers[0].targetContainerName: Not found: "x"'),
]  # fmt: skip

RESOURCE_RULES = [
    (resources(requests={"cpu": "2"}, limits={"cpu": "1"}),
     f'{C}.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'),
    (resources(requests={"a.com/gpu": "1"}, limits={"a.com/gpu": "2"}),
     f'{C}.resources.requests: Invalid value: "1": must be equal to a.com/gpu limit of 2'),
    (resources(requests={"a.com/gpu": "1"}),
     f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources"),
    (resources(limits={"a.com/gpu": "1500m"}),
     f'{C}.resources.limits[a.com/gpu]: Invalid value: "1500m": must be an integer'),
    (resources(limits={"cpu": "-1"}),
     f'{C}.resources.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0'),
    (resources(limits={"pods": "1"}),
     f'{C}.resources.limits[pods]: Invalid value: "pods": must be a standard resource for containers'),
    (resources(limits={"hugepages-2Mi": "2Mi"}), f"{C}.resources: Forbidden: HugePages require cpu or memory"),
    (resources(limits={"cpu": "1", "hugepages-2Mi": "3Mi"}), f'{C}.resources.limits[hugepages-2Mi]: '
     'Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi'),
    (resources(claims=[{"name": "x"}]), f'{C}.resources.claims[0]: Not found: "x": '
     "must be one of the names in pod.spec.resourceClaims which is empty"),
]  # fmt: skip

VOLUME_RULES = [
    (in_spec(volumes=[{"name": "v"}]), f"{V}: Required value: must specify a volume type"),
    (in_spec(volumes=[{"emptyDir": {}}]), f"{V}.name: Required value"),
    (in_spec(volumes=[{"name": "v", "emptyDir": {}}] * 2), 'spec.volumes[1].name: Duplicate value: "v"'),
    (in_spec(volumes=[{"name": "v", "secret": {"secretName": "s"}, "emptyDir": {}}]),
     f"{V}.secret: Forbidden: may not specify more than 1 volume type"),
    (volume("hostPath"), f"{V}.hostPath.path: Required value"),
    (volume("hostPath", path="/a/../b"), f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"),
    (volume("secret"), f"{V}.secret.secretName: Required value"),
    (volume("secret", secretName="a", defaultMode=512), f"{V}.secret.defaultMode: Invalid value: 512: "
     "must be a number between 0 and 0777 (octal), both inclusive"),
    (volume("configMap", name="a", items=[{"key": "k", "path": "/p"}]),
     f'{V}.configMap.items[0].path: Invalid value: "/p": must be a relative path'),
    (volume("persistentVolumeClaim"), f"{V}.persistentVolumeClaim.claimName: Required value"),
    (volume("nfs", server="s", path="p"), f'{V}.nfs.path: Invalid value: "p": must be an absolute path'),
    (volume("projected", sources=[{"secret": {"name": "a"}, "configMap": {"name": "a"}}]),
     f"{V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"),
    (volume("projected", sources=[{"secret": {"name": "a", "items": [{"key": "k", "path": "p"}] * 2}}]),
     f'{V}.projected: Invalid value: "a": conflicting duplicate paths'),
    (volume("projected", sources=[{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}]),
     f"{V}.projected.sources[0].serviceAccountToken: Forbidden: "
     "must not be specified when serviceAccountName is not set"),
    (volume("downwardAPI", items=[{"path": "p"}]),
     f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"),
    (volume("csi"), f"{V}.csi.driver: Required value"),
    (volume("ephemeral"), f"{V}.ephemeral.volumeClaimTemplate: Required value"),
    (volume("image", pullPolicy="Always"), f"{V}.image.reference: Required value"),
    (volume("image", reference="a"), f"{V}.image.pullPolicy: Required value"),
    (volume("emptyDir", sizeLimit="-1"),
     f"{V}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"),
    (volume("gitRepo", repository="r", directory="../a"),
     f"{V}.gitRepo.directory: Invalid value: \"../a\": must not contain '..'"),
    (volume("gcePersistentDisk", pdName="d", partition=256),
     f"{V}.persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive"),
    (volume("iscsi", targetPortal="t", iqn="x"),
     f'{V}.iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa'),
    (volume("iscsi", targetPortal="t", iqn="iqn.x"), f'{V}.iscsi.iqn: Invalid value: "iqn.x": must be valid format'),
    (volume("flocker"), f"{V}.flocker: Required value: one of datasetName and datasetUUID is required"),
    (volume("cinder", volumeID="a", secretRef={}), f"{V}.cinder.secretRef.name: Required value"),
    (volume("quobyte", registry="host", volume="v"), f'{V}.quobyte.registry: Invalid value: "host": '
     "must be a host:port pair or multiple pairs separated by commas"),
    (volume("fc", targetWWNs=["a"]), f"{V}.fc.lun: Required value: lun is required if targetWWNs is specified"),
    (volume("flexVolume", driver="d", options={"a.k8s.io/b": "c"}), f'{V}.flexVolume.options[a.k8s.io/b]: '
     'Invalid value: "a.k8s.io/b": kubernetes.io and k8s.io namespaces are reserved'),
    (volume("azureDisk", diskName="d", diskURI="u", cachingMode="None", kind="x"),
     f'{V}.azureDisk.kind: Unsupported value: "x": supported values: "Dedicated", "Managed", "Shared"'),
    (volume("storageos", volumeName="A"), f'{V}.storageos.volumeName: Invalid value: "A": {LABEL}'),
    *((volume(kind), f"{V}.{kind}.{field}: Required value") for kind, field in (
        ("awsElasticBlockStore", "volumeID"), ("glusterfs", "endpoints"), ("rbd", "monitors"), ("cephfs", "monitors"),
        ("azureFile", "shareName"), ("vsphereVolume", "volumePath"), ("photonPersistentDisk", "pdID"),
        ("portworxVolume", "volumeID"), ("scaleIO", "gateway"))),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "text"), [*SPEC_RULES, *CONTAINER_RULES, *RESOURCE_RULES, *VOLUME_RULES])
def test_mistakes_are_named(pod: Object, text: str) -> None:
    assert text in complaints(pod)


def test_an_ephemeral_claim_is_checked_where_it_stands() -> None:
    pod = volume("ephemeral", volumeClaimTemplate={"metadata": {"name": "x"}, "spec": {}})
    here = f"{V}.ephemeral.volumeClaimTemplate"
    assert f"{here}.metadata.name: Forbidden: cannot be set" in complaints(pod)
    assert any(text.startswith(f"{here}.spec.accessModes: Required value") for text in complaints(pod))


def test_pod_resources_cover_the_containers() -> None:
    pod = in_container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "3"}})
    pod["spec"]["resources"] = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    assert complaints(pod) == [
        'spec.resources.requests[cpu]: Invalid value: "1": '
        "must be greater than or equal to aggregate container requests of 2",
        'spec.resources.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2',
    ]


def test_mirrors_and_deletion_costs() -> None:
    pod = plain_pod()
    pod["metadata"]["annotations"] = {
        "kubernetes.io/config.mirror": "x",
        "controller.kubernetes.io/pod-deletion-cost": "+1",
    }
    assert complaints(pod) == [
        'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": '
        "must set spec.nodeName if mirror pod annotation is set",
        'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": '
        "must be a 32bit integer",
    ]


def template_complaints(template: Object) -> list[str]:
    default_pod_template(template)
    errors = Errors()
    validate_pod_template(template, "spec.template", errors)
    return [str(error) for error in errors]


def test_templates_are_laxer_than_pods() -> None:
    """Blanks around images, and host ports left out on the host's network: a pod's defaults mend the latter."""
    container = {"name": "c", "image": " i ", "ports": [{"containerPort": 80}]}
    assert template_complaints({"spec": {"hostNetwork": True, "containers": [container]}}) == []


def test_mistakes_in_templates_have_the_whole_path() -> None:
    template: Object = {"metadata": {"labels": {"/a": "b"}}, "spec": {"containers": [{"name": "c"}]}}
    assert template_complaints(template) == [
        'spec.template.metadata.labels: Invalid value: "/a": prefix part must be non-empty',
        "spec.template.spec.containers[0].image: Required value",
    ]


def test_a_cluster_may_forbid_privileged_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "allow_privileged", False)
    pod = in_container(securityContext={"privileged": True})
    assert complaints(pod) == [f"{C}.securityContext.privileged: Forbidden: disallowed by cluster policy"]
    assert complaints(in_container(securityContext={"privileged": False})) == []
    on_host = {"windowsOptions": {"hostProcess": True}}
    assert complaints(in_spec(os={"name": "windows"}, hostNetwork=True, securityContext=on_host)) == [
        "spec: Forbidden: hostProcess containers are disallowed by cluster policy"
    ]


@pytest.fixture
def switched() -> Iterator[None]:
    features.switch({"RestartAllContainersOnContainerExits": False, "UserNamespacesHostNetworkSupport": True})
    yield
    features.switch({})


@pytest.mark.usefixtures("switched")
def test_feature_gates_decide_what_a_pod_may_ask_for() -> None:
    assert complaints(in_spec(hostNetwork=True, hostUsers=False)) == []
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}
    assert complaints(init(restartPolicy="Always", restartPolicyRules=[rule])) == [
        "spec.initContainers[0].restartPolicyRules: Forbidden: "
        "restartPolicyRules are not allowed for init containers with restart policy Always"
    ]
    assert complaints(in_container(restartPolicy="Never", restartPolicyRules=[rule])) == [
        f'{C}.restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": supported values: "Restart"'
    ]
