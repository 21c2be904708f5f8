"""What kubectl makes of the workloads: it compares revisions itself, and sends some kinds in protobuf."""

import asyncio
import os
import shutil

import pytest
import yaml

from kybern.controllers.options import Options
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


@pytest.fixture
async def kubectl(tmp_path):
    async with InProcessCluster(nodes=2, options=Options(node_monitor_grace_period=1e6)) as cluster:
        environment = {**os.environ, "KUBECONFIG": str(await cluster.serve(tmp_path)), "HOME": str(tmp_path)}

        async def run(*arguments, stdin=""):
            process = await asyncio.create_subprocess_exec(
                "kubectl",
                *arguments,
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate(stdin.encode())
            assert process.returncode == 0, err.decode()
            return out.decode()

        yield run


def workload(kind, **spec):
    labels = {"app": "web"}
    body = {"selector": {"matchLabels": labels}, "template": builders.template(labels, image="app:1"), **spec}
    return yaml.safe_dump({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": body})


async def image(kubectl, target):
    return await kubectl("get", target, "-o", "jsonpath={.spec.template.spec.containers[0].image}")


@pytest.mark.parametrize(("kind", "spec"), [("DaemonSet", {}), ("StatefulSet", {"replicas": 2, "serviceName": "web"})])
async def test_rollouts(kubectl, kind, spec):
    target = f"{kind.lower()}/web"
    await kubectl("create", "-f", "-", stdin=workload(kind, **spec))
    await kubectl("rollout", "status", target, "--timeout=20s")
    await kubectl("set", "image", target, "app=app:2")
    await kubectl("rollout", "status", target, "--timeout=20s")
    history = await kubectl("rollout", "history", target)
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    assert "app:1" in await kubectl("rollout", "history", target, "--revision=1")
    await kubectl("rollout", "undo", target)
    await kubectl("rollout", "status", target, "--timeout=20s")
    assert await image(kubectl, target) == "app:1"
    await kubectl("rollout", "restart", target)
    await kubectl("rollout", "status", target, "--timeout=20s")


async def test_scaling_a_stateful_set(kubectl):
    await kubectl("create", "-f", "-", stdin=workload("StatefulSet", replicas=1, serviceName="web"))
    await kubectl("scale", "statefulset", "web", "--replicas=3")
    await kubectl("rollout", "status", "statefulset/web", "--timeout=20s")
    assert (await kubectl("get", "pods", "-o", "name")).split() == [f"pod/web-{number}" for number in range(3)]


async def test_making_jobs(kubectl):
    await kubectl("create", "job", "once", "--image=app:1", "--", "date", "-u")
    await kubectl("create", "cronjob", "often", "--image=app:1", "--schedule=*/5 * * * *", "--restart=Never")
    await kubectl("create", "job", "now", "--from=cronjob/often")
    found = await kubectl(
        "get", "jobs", "-o", "jsonpath={.items[*].metadata.name} {.items[*].spec.template.spec..command}"
    )
    assert found == 'now once ["date","-u"]'
    assert "CronJob/often" in await kubectl("describe", "job", "now")
    await kubectl("delete", "cronjob/often", "job/once", "--cascade=foreground", "--timeout=20s")
    assert await kubectl("get", "jobs,cronjobs,pods", "-o", "name") == ""


async def test_waiting_for_a_job(kubectl):
    spec = {"template": builders.template({}, restartPolicy="Never")}
    spec["template"]["metadata"] = {"annotations": {"testing.kybern.dev/outcome": "Succeeded"}}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "short"}, "spec": spec}
    await kubectl("create", "-f", "-", stdin=yaml.safe_dump(job))
    await kubectl("wait", "--for=condition=Complete", "job/short", "--timeout=20s")
    table = (await kubectl("get", "job", "short")).splitlines()
    assert table[0].split() == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    assert table[1].split()[:3] == ["short", "Complete", "1/1"]
