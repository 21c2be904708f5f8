"""Which fields can be selected by, kind by kind, as upstream has it; and that each has a value to compare."""

from __future__ import annotations

import pytest

from kybern.api.scheme import builtin

INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
SELECTABLE = {
    "pods": "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.host spec.hostNetwork "
    "status.phase status.podIP status.podIPs status.nominatedNodeName",
    "nodes": "spec.unschedulable",
    "namespaces": "name status.phase",
    "secrets": "type",
    "services": "spec.clusterIP spec.type",
    "replicationcontrollers": "status.replicas",
    "replicasets.apps": "status.replicas",
    "jobs.batch": "status.successful",
    "certificatesigningrequests.certificates.k8s.io": "spec.signerName",
    "clustertrustbundles.certificates.k8s.io": "spec.signerName",
    "podcertificaterequests.certificates.k8s.io": "spec.signerName spec.podName spec.nodeName",
    "resourceslices.resource.k8s.io": "spec.nodeName spec.driver",
    "events": " ".join((*(f"involvedObject.{name}" for name in INVOLVED), "reason reportingComponent source type")),
    "events.events.k8s.io": " ".join((*(f"regarding.{name}" for name in INVOLVED), "reason reportingController type")),
}
UNSET = {"status.podIPs"}
"""Taken, and never equal to anything: upstream doesn't fill it in either."""


def test_what_can_be_selected_by() -> None:
    found = {kind.group_resource: set(kind.selectable_fields) for kind in builtin() if kind.selectable_fields}
    assert found == {name: set(fields.split()) for name, fields in SELECTABLE.items()}


@pytest.mark.parametrize("name", SELECTABLE)
def test_each_has_a_value(name: str) -> None:
    kind = next(one for one in builtin() if one.group_resource == name)
    values = kind.selectable({"metadata": {"name": "x", "namespace": "y"}})
    assert set(kind.selectable_fields) - UNSET <= values.keys()
    assert all(isinstance(value, str) for value in values.values())
