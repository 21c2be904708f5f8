from __future__ import annotations

from typing import Any

import pytest

from kybern.api.apps.deployment import Deployment
from kybern.api.core.pod_warnings import of_pod, of_template
from kybern.api.resource import Preparation
from kybern.api.types import Object

NONE = "a null labelSelector results in matching no pod"


def container(**fields: Any) -> Object:
    return {"containers": [{"name": "c", "image": "i", **fields}]}


def ported(*ports: Object) -> Object:
    return container(ports=[{"protocol": "TCP", "containerPort": 80, **port} for port in ports])


def projected(*sources: Object) -> Object:
    token = {"serviceAccountToken": {"path": "token"}}
    return {"volumes": [{"name": "v", "projected": {"sources": [token, *sources]}}]}


SECOND = "spec.containers[0].ports[1]"
FIRST = "spec.containers[0].ports[0]"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"nodeSelector": {"beta.kubernetes.io/os": "linux", "disk": "ssd"}},
            'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        ),
        (
            {"topologySpreadConstraints": [{"topologyKey": "zone"}]},
            f"spec.topologySpreadConstraints[0].labelSelector: {NONE}",
        ),
        (
            {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}},
            "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector: " + NONE,
        ),
        ({"volumes": [{"name": "v", "gitRepo": {}}]}, "spec.volumes[0].gitRepo: deprecated in v1.11"),
        (
            projected({"secret": {"items": [{"path": "token"}]}}),
            'spec.volumes[0].projected.sources.secrets[0]: has duplicated path with ServiceAccountToken "token"',
        ),
        (
            {"hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
            'spec.hostAliases[1].ip: duplicate ip "10.0.0.1"',
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {"name": "a"}]},
            'spec.imagePullSecrets[1].name: duplicate name "a"',
        ),
        ({"imagePullSecrets": [{}]}, 'spec.imagePullSecrets[0].name: invalid empty name ""'),
        (
            container(resources={"limits": {"memory": "1500m"}}),
            'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
        ),
        (
            container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
            'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply',
        ),
        (ported({}, {}), f"{SECOND}: duplicate port definition with {FIRST}"),
        (ported({"hostPort": 80}, {}), f"{SECOND}: overlapping port definition with {FIRST}"),
        (
            ported({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}),
            f"{SECOND}: dangerously ambiguous port definition with {FIRST}",
        ),
        (
            ported({"hostIP": "10.0.0.1"}),
            f"{FIRST}: hostIP set without hostPort: "
            "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ),
    ],
)
def test_each(spec: Object, said: str) -> None:
    assert of_pod({"metadata": {"name": "p"}, "spec": {**container(), **spec}}) == [said]


def test_what_is_well() -> None:
    built = [{"name": "A", "value": "1"}, {"name": "A", "value": "$(A)2"}]
    spec = {
        **container(env=built, ports=[{"containerPort": 80, "protocol": p} for p in ("TCP", "UDP")]),
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {}}]}},
        **projected({"secret": {"items": [{"path": "other"}]}}),
    }
    assert of_pod({"metadata": {"name": "p", "annotations": {"a": "b"}}, "spec": spec}) == []


def test_annotations_and_names() -> None:
    annotations = {
        "container.apparmor.security.beta.kubernetes.io/c": "runtime/default",
        "seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
    }
    assert of_template({"metadata": {"annotations": annotations}, "spec": container()}, "spec.template") == [
        "spec.template.metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; "
        'use the "seccompProfile" field instead',
        "spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since "
        'v1.30; use the "appArmorProfile" field instead',
    ]
    assert of_pod({"metadata": {"name": "a.b"}, "spec": container()})[0].startswith(
        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is"
    )


def test_templates_warn_when_they_are_made_and_when_they_change() -> None:
    def deployment(**metadata: Any) -> Object:
        template = {"spec": {**container(), "nodeSelector": {"beta.kubernetes.io/arch": "amd64"}}}
        return {"metadata": {"name": "d", **metadata}, "spec": {"replicas": 1, "template": template}}

    def warned(new: Object, old: Object | None = None, subresource: str = "") -> int:
        prep, kind = Preparation(subresource=subresource), Deployment()
        if old is None:
            kind.prepare_create(new, prep)
        else:
            kind.prepare_update(new, old, prep)
        return len(prep.warnings)

    changed = deployment()
    changed["spec"]["replicas"] = 2
    assert warned(deployment()) == 1
    assert warned(changed, deployment()) == 1
    assert warned(deployment(labels={"a": "b"}), deployment()) == 0
    assert warned(changed, deployment(), "status") == 0
