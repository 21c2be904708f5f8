"""kubectl, every subcommand: one row each, against a server without nodes and controllers.

What needs running pods has its rows in tests/e2e/test_kubectl.py; ELSEWHERE names those.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kybern.testing import builders
from tests.integration.apiserver.conftest import TOKEN, Kubectl
from tests.integration.apiserver.minimal import minimal

ELSEWHERE = frozenset(("attach", "cp", "exec", "logs", "port-forward", "proxy"))
"""Of these only the refusals are here."""


class Row(NamedTuple):
    """`says` is a pattern of what it prints; `input` stands at its standard input; `fails` is what it then says."""

    line: str
    says: str
    input: Any = None
    fails: bool = False


MAP = minimal("", "v1", "ConfigMap", "applied")
CSR = minimal("certificates.k8s.io", "v1", "CertificateSigningRequest", "asked")
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
    "metadata": {"name": "reconciled", "namespace": "kubectl-rows"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
}  # fmt: skip
NEW = (
    ("clusterrole cr --verb=get --resource=pods", "clusterrole.rbac.authorization.k8s.io"),
    ("clusterrolebinding crb --clusterrole=view --user=u", "clusterrolebinding.rbac.authorization.k8s.io"),
    ("configmap cm --from-literal=a=b", "configmap"),
    ("cronjob cj --image=i --schedule='* * * * *' -- date", "cronjob.batch"),
    ("deployment dep --image=i --replicas=2 --port=80", "deployment.apps"),
    ("ingress ing --rule=a.example/x=svc:80", "ingress.networking.k8s.io"),
    ("job jo --image=i -- date", "job.batch"),
    ("job from --from=cronjob/given", "job.batch"),
    ("namespace kubectl-new-ns", "namespace"),
    ("poddisruptionbudget pdb --selector=a=b --min-available=1", "poddisruptionbudget.policy"),
    ("priorityclass pc --value=5", "priorityclass.scheduling.k8s.io"),
    ("quota q --hard=pods=9", "resourcequota"),
    ("role ro --verb=get,list --resource=pods", "role.rbac.authorization.k8s.io"),
    ("rolebinding rb --role=given --serviceaccount=x:y", "rolebinding.rbac.authorization.k8s.io"),
    ("secret generic gen --from-literal=a=b", "secret"),
    ("secret docker-registry reg --docker-username=u --docker-password=p", "secret"),
    ("service clusterip ci --tcp=80", "service"),
    ("service externalname en --external-name=a.example", "service"),
    ("service loadbalancer lb --tcp=80", "service"),
    ("service nodeport np --tcp=80", "service"),
    ("serviceaccount sa", "serviceaccount"),
)
ROWS = (
    *(Row(f"create {line}", rf"{kind}/[a-z-]+ created") for line, kind in NEW),
    Row("create token default --duration=1h", r"^[\w-]+\.[\w-]+\.[\w-]+$"),
    Row("create -f -", "configmap/piped created", minimal("", "v1", "ConfigMap", "piped")),
    Row("run ran --image=i --labels=a=b", "pod/ran created"),
    Row("expose deployment given --port=80 --name=exposed", "service/exposed exposed"),
    Row("annotate configmap given note=x", "configmap/given annotated"),
    Row("label configmap given tier=web --overwrite", "configmap/given labeled"),
    Row("api-resources --namespaced=false --verbs=list -o name", "(?m)^nodes$"),
    Row("api-versions", "(?m)^apps/v1$"),
    Row("apply -f -", "configmap/applied created", MAP),
    Row("apply -f -", "configmap/applied configured", {**MAP, "data": {"a": "b"}}),
    Row(
        "apply --server-side --field-manager=other --force-conflicts -f -", "configmap/applied serverside-applied", MAP
    ),
    Row("apply set-last-applied -f - --create-annotation", "configmap/applied configured", {**MAP, "data": {"c": "d"}}),
    Row("apply edit-last-applied configmap/applied", "configmap/applied edited"),
    Row("diff -f -", "e: f", {**MAP, "data": {"e": "f"}}, fails=True),
    Row("auth can-i create pods", "yes"),
    Row("auth can-i --list", r"\*\.\*"),
    Row("auth whoami", "tester"),
    Row("auth reconcile -f -", "role.rbac.authorization.k8s.io/reconciled reconciled", ROLE),
    Row("autoscale deployment given --min=1 --max=3", "horizontalpodautoscaler.autoscaling/given autoscaled"),
    Row("create -f -", "certificatesigningrequest.certificates.k8s.io/asked created", CSR),
    Row("certificate approve asked", "certificatesigningrequest.certificates.k8s.io/asked approved"),
    Row("delete certificatesigningrequest asked", "deleted"),
    Row("create -f -", "created", CSR),
    Row("certificate deny asked", "certificatesigningrequest.certificates.k8s.io/asked denied"),
    Row("cluster-info", "control plane.* is running at"),
    Row("cluster-info dump --namespaces=default", '"kind": "NodeList"'),
    Row("completion bash", "bash completion"),
    Row("config view", "kind: Config"),
    Row("cordon kubectl-node", "node/kubectl-node cordoned"),
    Row("uncordon kubectl-node", "node/kubectl-node uncordoned"),
    Row("drain kubectl-node --ignore-daemonsets --force --delete-emptydir-data", "node/kubectl-node drained"),
    Row("taint nodes kubectl-node dedicated=x:NoSchedule", "node/kubectl-node tainted"),
    Row("debug given-pod --image=i --attach=false -c dbg", "profile=|^$"),
    Row("describe deployment given", r"Replicas:\s+1 desired"),
    Row("describe pod given-pod", r"Name:\s+given-pod"),
    Row("describe node kubectl-node", r"Taints:"),
    Row("describe service given", r"Type:\s+ClusterIP"),
    Row("edit configmap given", "configmap/given edited"),
    Row("events", "No events found|LAST SEEN"),
    Row("explain pod.spec.containers", "(?s)KIND:\\s+Pod.*FIELDS:"),
    Row("get all", "deployment.apps/given"),
    Row("get configmaps -o wide --show-labels --sort-by=.metadata.name", "given"),
    Row("get pods -o jsonpath='{.items[*].metadata.name}'", "given-pod"),
    Row("get deployment given -o yaml", "kind: Deployment"),
    Row("get configmaps --chunk-size=1 -o name", "configmap/given"),
    Row("get --raw /version", '"major"'),
    Row("kustomize .", "name: kustomized"),
    Row("apply -k .", "configmap/kustomized created"),
    Row("options", "can be passed to any command"),
    Row('patch configmap given --type=merge -p \'{"data":{"x":"y"}}\'', "configmap/given patched"),
    Row(
        'patch deployment given -p \'{"spec":{"paused":false}}\'',
        r"deployment.apps/given patched \(no change\)|patched",
    ),
    Row('patch deployment given --subresource=scale --type=merge -p \'{"spec":{"replicas":1}}\'', "patched"),
    Row("plugin list", "unable to find any kubectl plugins", fails=True),
    Row("replace -f -", "configmap/given replaced", minimal("", "v1", "ConfigMap", "given")),
    Row("rollout history deployment given", "No rollout history found"),
    Row("rollout pause deployment given", "deployment.apps/given paused"),
    Row("rollout resume deployment given", "deployment.apps/given resumed"),
    Row("rollout restart deployment given", "deployment.apps/given restarted"),
    Row("rollout status deployment given --watch=false", "Waiting for deployment"),
    Row("rollout undo deployment given", "no rollout history found", fails=True),
    Row("scale deployment given --replicas=3 --current-replicas=1", "deployment.apps/given scaled"),
    Row("set env deployment/given A=B", "deployment.apps/given env updated"),
    Row("set image deployment/given c=new", "deployment.apps/given image updated"),
    Row("set resources deployment given --limits=cpu=1", "deployment.apps/given resource requirements updated"),
    Row("set selector service given a=b", "service/given selector updated"),
    Row("set serviceaccount deployment given default", "deployment.apps/given serviceaccount updated"),
    Row("set subject rolebinding rb --user=v", "rolebinding.rbac.authorization.k8s.io/rb subjects updated"),
    Row("top node", "Metrics API not available", fails=True),
    Row("top pod", "Metrics API not available", fails=True),
    Row("version", "Server Version: v1.36"),
    Row("wait --for=jsonpath='{.metadata.name}'=given configmap/given", "condition met"),
    Row("wait --for=delete configmap/never", "^$"),
    Row("logs given-pod", "^$|Defaulted container"),  # of no node: nothing to show
    Row("exec given-pod -- true", "does not have a host assigned", fails=True),
    Row("attach given-pod", "does not have a host assigned|not running|timed out|cannot attach", fails=True),
    Row("cp given-pod:/x y", "does not have a host assigned", fails=True),
    Row("port-forward given-pod 0:80", "is not running|unable to forward port because pod is not running", fails=True),
    Row("delete configmap given", 'configmap "given" deleted'),
    Row("delete pods --all --force", "deleted"),
)


class Shop:
    """A namespace with a few objects, and a directory for files."""

    def __init__(self, kubectl: Kubectl, directory: Path, environment: dict[str, str]) -> None:
        self.kubectl, self.directory, self.environment = kubectl, directory, environment


@pytest.fixture(scope="module")
def shop(apiserver: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("kubectl")
    kubectl = Kubectl(apiserver.server, directory, "kubectl-rows")
    apiserver.run("create", "namespace", kubectl.namespace)
    given = builders.deployment("given", kubectl.namespace, replicas=1)
    given["spec"]["template"]["spec"]["containers"][0]["name"] = "c"
    pod = minimal("", "v1", "Pod", "given-pod")
    objects = [
        minimal("", "v1", "ServiceAccount", "default"), minimal("", "v1", "ConfigMap", "given"), pod, given,
        minimal("", "v1", "Service", "given"), minimal("batch", "v1", "CronJob", "given"),
        {**ROLE, "metadata": {"name": "given"}}, minimal("", "v1", "Node", "kubectl-node"),
    ]  # fmt: skip
    kubectl.run("create", "-f", "-", stdin=objects)
    (directory / "kustomization.yaml").write_text("configMapGenerator:\n- name: kustomized\n  literals: [a=b]\n"
                                                  "generatorOptions: {disableNameSuffixHash: true}\n")  # fmt: skip
    editor = directory / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/^metadata:/data: {edited: "yes"}\\nmetadata:/\' "$1"\n')
    editor.chmod(0o755)
    yield Shop(kubectl, directory, {"EDITOR": str(editor), "KUBECONFIG": "/dev/null"})
    apiserver.run("delete", "namespace", kubectl.namespace, "--wait=false")
    apiserver.run("delete", "node,clusterrole,clusterrolebinding,priorityclass,csr", "kubectl-node", "cr", "crb", "pc",
                  "asked", "--ignore-not-found", ok=None)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[f"{number:02}-{row.line[:40]}" for number, row in enumerate(ROWS)])
def test_a_subcommand(shop: Shop, row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(shop.directory)
    words = [quoted or bare for quoted, bare in re.findall(r"((?:[^\s']*'[^']*')+[^\s']*)|(\S+)", row.line)]
    done = shop.kubectl.run(*(word.replace("'", "") for word in words), stdin=row.input, ok=not row.fails)
    assert re.search(row.says, done.stdout + done.stderr if row.fails else done.stdout or done.stderr), (
        done.stdout, done.stderr,
    )  # fmt: skip


def test_no_subcommand_is_left_out() -> None:
    """What this kubectl has, the table has (plugins and help aside)."""
    listed = subprocess.run(["kubectl", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"(?m)^  ([a-z-]+) {2,}\S", listed)) - {"help", "alpha"}
    assert known - {row.line.split()[0] for row in ROWS} - ELSEWHERE == set()
    created = subprocess.run(["kubectl", "create", "--help"], capture_output=True, text=True, check=True).stdout
    kinds = set(re.findall(r"(?m)^  ([a-z-]+) {2,}\S", created))
    assert kinds - {row.line.split()[1] for row in ROWS if row.line.startswith("create ")} == set()


def test_proxy(shop: Shop) -> None:
    """`kubectl proxy` lets a client without credentials in, and passes watches on."""
    kubectl = shop.kubectl
    command = ["kubectl", "--server", kubectl.server, "--token", TOKEN, "--insecure-skip-tls-verify"]
    command += ["proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split()[-1]
            maps = f"http://{address}/api/v1/namespaces/{kubectl.namespace}/configmaps"
            with urllib.request.urlopen(maps, timeout=10) as answer:
                listed = json.load(answer)
            version = listed["metadata"]["resourceVersion"]
            watch = f"{maps}?watch=1&resourceVersion={version}&timeoutSeconds=10"
            with urllib.request.urlopen(watch, timeout=10) as told:
                kubectl.run("create", "configmap", "told")
                event = json.loads(told.readline())
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "told")
        finally:
            process.terminate()
