"""What kubectl sends in protobuf without having asked whether it may."""

from __future__ import annotations

from tests.integration.apiserver.conftest import Kubectl


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
