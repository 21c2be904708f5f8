"""What the types in validating policies are wrong about is found in their status."""

from __future__ import annotations

import pytest

from kybern.testing.cluster import InProcessCluster

GROUP = "admissionregistration.k8s.io/v1"


@pytest.fixture
async def cluster():
    controllers = "validatingadmissionpolicy-status-controller"
    async with InProcessCluster(nodes=0, scheduler=False, controllers=controllers) as made:
        yield made


async def test_warnings_come_and_go_with_the_policy(cluster):
    rule = {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}
    spec = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "object.spec.replicas > 1"}, {"expression": "object.spec.replica > 1"}],
    }
    body = {"apiVersion": GROUP, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec}
    await cluster.create(body)
    policies = cluster.resource(GROUP, "validatingadmissionpolicies")

    async def checked():
        found = await policies.get("p")
        status = found.get("status") or {}
        return found if status.get("observedGeneration") == found["metadata"]["generation"] else None

    found = await cluster.until(checked)
    [warning] = found["status"]["typeChecking"]["expressionWarnings"]
    assert warning["fieldRef"] == "spec.validations[1].expression"
    assert warning["warning"].startswith("apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replica'")
    await policies.patch("p", {"spec": {"validations": [{"expression": "object.spec.replicas > 1"}]}})
    assert (await cluster.until(checked))["status"]["typeChecking"] == {}
