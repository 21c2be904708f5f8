"""What kubectl sends in protobuf without having asked whether it may, and what it asks for in protobuf."""

from __future__ import annotations

import json
import subprocess

from tests.integration.apiserver.conftest import TOKEN, Kubectl


def test_kubectl_makes_what_it_sends_in_protobuf(kubectl: Kubectl) -> None:
    kubectl.run("create", "ingress", "web", "--class=nginx", "--rule=a.example.com/x*=web:80,tls=cert")
    made = kubectl.get("ingress", "web")["spec"]
    assert made["ingressClassName"] == "nginx" and made["tls"] == [{"hosts": ["a.example.com"], "secretName": "cert"}]
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    assert made["rules"] == [
        {"host": "a.example.com", "http": {"paths": [{"path": "/x", "pathType": "Prefix", "backend": backend}]}}
    ]
    kubectl.run("create", "deployment", "web", "--image=i")
    kubectl.run("autoscale", "deployment", "web", "--min=2", "--max=5", "--cpu-percent=70")
    spec = kubectl.get("hpa", "web")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    assert "10.96.0.0/12" in kubectl.out("get", "servicecidr", "kubernetes")
    assert "services/default/kubernetes" in kubectl.out("get", "ip")


def test_kubectl_describes_what_it_got_in_protobuf(kubectl: Kubectl) -> None:
    node = f"node-{kubectl.namespace}"
    kubectl.run("create", "serviceaccount", "default")
    container = {"name": "c", "image": "i", "args": ["--one"], "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
                 "livenessProbe": {"httpGet": {"path": "/live", "port": "web"}},
                 "env": [{"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}],
                 "ports": [{"containerPort": 8080, "name": "web"}]}  # fmt: skip
    meta, more = {"name": "p", "labels": {"app": "x"}}, {"nodeName": node, "tolerations": [{"operator": "Exists"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container], **more}}
    kubectl.run("apply", "-f", "-", stdin=[{"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}, pod])
    status = {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}], "startTime": "2030-01-02T03:04:05Z",
              "conditions": [{"type": "Ready", "status": "True"}]}  # fmt: skip
    kubectl.run("patch", "pod", "p", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    done = kubectl.run("describe", "pod", "p", "-v=9")
    assert "Content-Type: application/vnd.kubernetes.protobuf" in done.stderr
    told = dict(line.strip().split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    expected = {
        "Node": f"{node}/", "Labels": "app=x", "IP": "10.0.0.1", "HOST": "(v1:status.hostIP)", "memory": "1Gi",
        "Port": "8080/TCP", "Start Time": "Wed, 02 Jan 2030 03:04:05 +0000", "QoS Class": "Guaranteed",
        "Liveness": "http-get http://:web/live delay=0s timeout=1s period=10s #success=1 #failure=3",
    }  # fmt: skip
    assert {name: told[name].strip() for name in expected} == expected
    described = kubectl.run("describe", "node", node, "-v=9")
    assert "Content-Type: application/vnd.kubernetes.protobuf" in described.stderr
    assert any(kubectl.namespace in line and "1Gi" in line for line in described.stdout.splitlines())
    assert kubectl.out("auth", "can-i", "get", "pods") == "yes"
    assert kubectl.out("create", "token", "default").count(".") == 2
    kubectl.run("drain", node, "--force", "--grace-period=0", "--timeout=20s", "--ignore-daemonsets")
    kubectl.run("delete", "node", node)


def test_an_informer_of_client_go_follows_a_watch(kubectl: Kubectl) -> None:
    """`kubectl run --attach` has an informer wait until the pod runs, or is over."""
    kubectl.run("create", "serviceaccount", "default")
    command = ["kubectl", "--server", kubectl.server, "--token", TOKEN, "--insecure-skip-tls-verify", "-v=9"]
    command += ["-n", kubectl.namespace, "run", "x", "--image=i", "--restart=Never", "--attach"]
    command += ["--pod-running-timeout=60s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as waiting:
        assert waiting.stdout is not None
        watched = "Content-Type: application/vnd.kubernetes.protobuf;stream=watch"
        assert any(watched in line for line in waiting.stdout)
        over = {"name": "x", "ready": False, "restartCount": 0, "image": "i", "imageID": "",
                "state": {"terminated": {"exitCode": 0}}}  # fmt: skip
        status = json.dumps({"status": {"phase": "Succeeded", "containerStatuses": [over]}})
        kubectl.run("patch", "pod", "x", "--subresource=status", "--type=merge", "-p", status)
        rest = waiting.communicate(timeout=60)[0]
    assert "/pods/x/log" in rest, rest[-2000:]  # it is over, so what it said is asked for
