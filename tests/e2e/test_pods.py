"""What a kubelet does for a pod, seen from outside: volumes, environment, probes, hooks, limits, restarts, endings."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Cluster, eventually, pod


def create(cluster: Cluster, namespace: str, *objects: dict[str, Any]) -> None:
    for obj in objects:
        cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(obj))


def status(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("-n", namespace, "pod", name).get("status", {})
    return found


def container(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    statuses = status(cluster, namespace, name).get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0]
    return found


def ended(cluster: Cluster, namespace: str, name: str, phase: str = "Succeeded") -> str:
    """Wait for the end of a pod; gives its log."""
    eventually(lambda: status(cluster, namespace, name).get("phase") == phase)
    return cluster.kubectl("-n", namespace, "logs", name)


def ready(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=45s")


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def events(cluster: Cluster, namespace: str, name: str) -> dict[str, str]:
    listed = cluster.get("-n", namespace, "events", f"--field-selector=involvedObject.name={name}")["items"]
    return {event["reason"]: event["message"] for event in listed}


def meta(name: str) -> dict[str, Any]:
    return {"name": name}


def settings() -> list[dict[str, Any]]:
    plain = {"COLOUR": "red", "b.txt": "B"}
    secret = {"word": base64.b64encode(b"hush").decode()}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("settings"), "data": plain},
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta("secrets"), "data": secret},
    ]


def test_environment(cluster: Cluster, namespace: str) -> None:
    env = [
        {"name": "PLAIN", "value": "x"},
        {"name": "TWICE", "value": "$(PLAIN)-$(PLAIN)"},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "secrets", "key": "word"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
    ]
    limits = {"limits": {"memory": "64Mi"}}
    more = {"env": env, "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "C_"}], "resources": limits}
    create(cluster, namespace, *settings(), pod("env", ["env"], restartPolicy="Never", container=more))
    said = dict(line.split("=", 1) for line in ended(cluster, namespace, "env").splitlines() if "=" in line)
    found = status(cluster, namespace, "env")
    wanted = {
        "PLAIN": "x", "TWICE": "x-x", "WORD": "hush", "NAME": "env", "C_COLOUR": "red", "MEMORY": "64",
        "NODE_IP": found["hostIP"], "POD_IP": found["podIP"], "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    }  # fmt: skip
    assert {name: said.get(name) for name in wanted} == wanted


def test_volumes(cluster: Cluster, namespace: str) -> None:
    volumes = [
        {"name": "map", "configMap": {"name": "settings", "items": [{"key": "b.txt", "path": "deep/b"}]}},
        {"name": "secret", "secret": {"secretName": "secrets", "defaultMode": 0o400}},
        {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "host", "hostPath": {"path": "/etc/hostname", "type": "File"}},
    ]
    mounts = [{"name": volume["name"], "mountPath": f"/v/{volume['name']}"} for volume in volumes]
    mounts[0]["readOnly"] = True
    script = """
        cat /v/map/deep/b; echo; cat /v/secret/word; echo; stat -Lc %a /v/secret/word; cat /v/info/labels; echo
        touch /v/scratch/a && echo wrote; grep -c ' /v/memory tmpfs ' /proc/mounts; cat /v/host
        touch /v/map/x 2>&1 | grep -o 'Read-only file system'
        cd /var/run/secrets/kubernetes.io/serviceaccount
        test -s token && cat namespace
    """
    made = pod("volumes", sh(script), restartPolicy="Never", volumes=volumes, container={"volumeMounts": mounts})
    create(cluster, namespace, *settings(), made)
    host = Path("/etc/hostname").read_text().strip()
    said = ended(cluster, namespace, "volumes").splitlines()
    wanted = ["B", "hush", "400", 'app="volumes"', "wrote", "1", host, "Read-only file system", namespace]
    assert [line for line in said if line] == wanted


def test_a_changed_config_map_reaches_a_running_pod(cluster: Cluster, namespace: str) -> None:
    volumes = [{"name": "map", "configMap": {"name": "settings"}}]
    mounts = {"volumeMounts": [{"name": "map", "mountPath": "/v"}]}
    create(cluster, namespace, *settings(), pod("reader", sh("sleep 3600"), volumes=volumes, container=mounts))
    ready(cluster, namespace, "reader")
    patch = '{"data":{"COLOUR":"blue"}}'
    cluster.kubectl("-n", namespace, "patch", "configmap", "settings", "--type=merge", "-p", patch)
    # Any change of the pod makes its kubelet look again, as users do who can't wait for the next round.
    cluster.kubectl("-n", namespace, "annotate", "pod", "reader", "look=again")
    read = ["-n", namespace, "exec", "reader", "--", "cat", "/v/COLOUR"]
    eventually(lambda: cluster.kubectl(*read) == "blue", seconds=100)


def test_a_pod_talks_to_the_api_with_its_token(cluster: Cluster, namespace: str) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    script = f"""
import json, ssl, urllib.request
given = "/var/run/secrets/kubernetes.io/serviceaccount/"
headers = {{"Authorization": "Bearer " + open(given + "token").read(), "Content-Type": "application/json"}}
asked = urllib.request.Request("https://kubernetes.default.svc{path}", b"{{}}", headers)
answer = urllib.request.urlopen(asked, context=ssl.create_default_context(cafile=given + "ca.crt"))
print(json.load(answer)["status"]["userInfo"]["username"])
"""
    more = {"image": "kybern.local/kybern:0.1"}
    create(cluster, namespace, pod("caller", ["python3", "-c", script], restartPolicy="Never", container=more))
    assert ended(cluster, namespace, "caller").strip() == f"system:serviceaccount:{namespace}:default"


def test_init_containers_run_in_order_before_the_others(cluster: Cluster, namespace: str) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    image = {"image": "busybox:1.35", **mount}
    inits = [
        {"name": "first", "command": sh("echo 1 >> /v/order"), **image},
        {"name": "side", "command": sh("echo side >> /v/order; sleep 3600"), "restartPolicy": "Always", **image},
        {"name": "second", "command": sh("echo 2 >> /v/order"), **image},
    ]
    volumes = [{"name": "v", "emptyDir": {}}]
    made = pod(
        "inits", sh("cat /v/order"), restartPolicy="Never", initContainers=inits, volumes=volumes, container=mount
    )
    create(cluster, namespace, made)
    assert ended(cluster, namespace, "inits").split() == ["1", "side", "2"]


def test_a_failing_init_container_keeps_the_pod_from_starting(cluster: Cluster, namespace: str) -> None:
    inits = [{"name": "bad", "image": "busybox:1.35", "command": ["false"]}]
    create(cluster, namespace, pod("never", ["true"], restartPolicy="Never", initContainers=inits))
    eventually(lambda: status(cluster, namespace, "never").get("phase") == "Failed")
    assert "Init:Error" in cluster.kubectl("-n", namespace, "get", "pod", "never")


def test_probes(cluster: Cluster, namespace: str) -> None:
    serve = "mkdir -p /w; echo ok > /w/live; httpd -p 8080 -h /w; sleep 3600"
    http = {"httpGet": {"path": "/live", "port": 8080}, "periodSeconds": 1}
    quick = {"periodSeconds": 1, "failureThreshold": 2}
    probes = {
        "startupProbe": {**http, "failureThreshold": 30},
        "livenessProbe": {"exec": {"command": ["test", "-e", "/w/live"]}, **quick},
        "readinessProbe": {"exec": {"command": ["test", "-e", "/w/ready"]}, **quick},
    }
    create(cluster, namespace, pod("probed", sh(serve), container=probes))
    eventually(lambda: container(cluster, namespace, "probed").get("started"))
    assert not container(cluster, namespace, "probed")["ready"]
    cluster.kubectl("-n", namespace, "exec", "probed", "--", "touch", "/w/ready")
    ready(cluster, namespace, "probed")
    cluster.kubectl("-n", namespace, "exec", "probed", "--", "rm", "/w/live")
    eventually(lambda: container(cluster, namespace, "probed").get("restartCount") == 1)
    said = events(cluster, namespace, "probed")
    assert "will be restarted" in said["Killing"]
    assert said["Unhealthy"]


def test_hooks_and_graceful_termination(cluster: Cluster, namespace: str) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    hooks = {
        "postStart": {"exec": {"command": sh("echo started >> /v/log")}},
        "preStop": {"exec": {"command": sh("echo stopping >> /v/log")}},
    }
    volumes = [{"name": "v", "hostPath": {"path": f"/tmp/kybern-e2e-{namespace}", "type": "DirectoryOrCreate"}}]
    main = sh("trap 'echo terminated >> /v/log; exit 0' TERM; while :; do sleep 0.1; done")
    more = {"lifecycle": hooks, **mount}
    create(cluster, namespace, pod("hooked", main, volumes=volumes, container=more, terminationGracePeriodSeconds=20))
    ready(cluster, namespace, "hooked")
    began = time.monotonic()
    cluster.kubectl("-n", namespace, "delete", "pod", "hooked")
    assert time.monotonic() - began < 15
    reader = pod("reader", ["cat", "/v/log"], restartPolicy="Never", volumes=volumes, container=mount)
    create(cluster, namespace, reader)
    assert ended(cluster, namespace, "reader").split() == ["started", "stopping", "terminated"]
    cleaner = pod("cleaner", ["rm", "/v/log"], restartPolicy="Never", volumes=volumes, container=mount)
    create(cluster, namespace, cleaner)
    ended(cluster, namespace, "cleaner")


def test_a_crash_loop_backs_off_and_says_so(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, pod("crashing", sh("echo bye > /dev/termination-log; exit 3")))

    def waits() -> bool:
        found = container(cluster, namespace, "crashing")
        return found.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff"

    eventually(waits)
    last = container(cluster, namespace, "crashing")["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"], last["message"].strip()) == (3, "Error", "bye")
    assert "Back-off restarting failed container main" in eventually(
        lambda: events(cluster, namespace, "crashing").get("BackOff")
    )
    assert cluster.kubectl_process("-n", namespace, "logs", "crashing", "--previous").returncode == 0


def test_restart_policies(cluster: Cluster, namespace: str) -> None:
    create(
        cluster,
        namespace,
        pod("never", ["false"], restartPolicy="Never"),
        pod("done", ["true"], restartPolicy="OnFailure"),
        pod("again", ["false"], restartPolicy="OnFailure"),
    )
    eventually(lambda: status(cluster, namespace, "never").get("phase") == "Failed")
    eventually(lambda: status(cluster, namespace, "done").get("phase") == "Succeeded")
    eventually(lambda: container(cluster, namespace, "again").get("restartCount"))


def test_a_missing_image_is_named(cluster: Cluster, namespace: str) -> None:
    more = {"image": "registry.invalid/none:1", "imagePullPolicy": "IfNotPresent"}
    create(cluster, namespace, pod("imageless", ["true"], container=more))

    def reason() -> str:
        return str(container(cluster, namespace, "imageless").get("state", {}).get("waiting", {}).get("reason"))

    eventually(lambda: reason() in ("ErrImagePull", "ImagePullBackOff"))
    said = cluster.kubectl("-n", namespace, "events", "--for=pod/imageless")
    assert 'Failed to pull image "registry.invalid/none:1"' in said


def test_a_missing_config_map_is_named(cluster: Cluster, namespace: str) -> None:
    more = {"envFrom": [{"configMapRef": {"name": "absent"}}]}
    create(cluster, namespace, pod("waiting", ["true"], container=more))

    def state() -> dict[str, Any]:
        found: dict[str, Any] = container(cluster, namespace, "waiting").get("state", {}).get("waiting", {})
        return found

    eventually(lambda: state().get("reason") == "CreateContainerConfigError")
    assert state()["message"] == 'configmap "absent" not found'


def test_limits_reach_the_kernel(cluster: Cluster, namespace: str) -> None:
    more = {"resources": {"limits": {"memory": "32Mi", "cpu": "100m"}}}
    hog = sh("tail /dev/zero")
    create(cluster, namespace, pod("hog", hog, restartPolicy="Never", container=more))
    eventually(lambda: status(cluster, namespace, "hog").get("phase") == "Failed")
    ended_as = container(cluster, namespace, "hog")["state"]["terminated"]
    assert (ended_as["reason"], ended_as["exitCode"]) == ("OOMKilled", 137)
    assert status(cluster, namespace, "hog")["qosClass"] == "Guaranteed"


def test_security_context(cluster: Cluster, namespace: str) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456}
    more = {
        "securityContext": {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "v", "mountPath": "/v"}],
    }
    script = """
        id -u; id -g; id -G; touch /x 2>&1 | grep -o 'Read-only'; grep CapBnd /proc/self/status
        touch /v/a && stat -c %g /v/a
    """
    made = pod(
        "secured", sh(script), restartPolicy="Never", securityContext=context, container=more,
        volumes=[{"name": "v", "emptyDir": {}}],
    )  # fmt: skip
    create(cluster, namespace, made)
    said = ended(cluster, namespace, "secured").splitlines()
    assert said == ["1234", "2345", "2345 3456", "Read-only", "CapBnd:\t0000000000000000", "3456"]


def test_an_active_deadline_ends_a_pod(cluster: Cluster, namespace: str) -> None:
    create(cluster, namespace, pod("late", sh("sleep 3600"), activeDeadlineSeconds=2))
    eventually(lambda: status(cluster, namespace, "late").get("reason") == "DeadlineExceeded")
    assert status(cluster, namespace, "late")["phase"] == "Failed"


def test_host_network_and_host_name(cluster: Cluster, namespace: str) -> None:
    create(
        cluster,
        namespace,
        pod("host", sh("hostname"), restartPolicy="Never", hostNetwork=True),
        pod("named", sh("hostname; cat /etc/hosts"), restartPolicy="Never", hostname="box", subdomain="sub"),
    )
    assert ended(cluster, namespace, "host").strip() == Path("/proc/sys/kernel/hostname").read_text().strip()
    said = ended(cluster, namespace, "named")
    assert said.splitlines()[0] == "box"
    assert f"box.sub.{namespace}.svc.cluster.local" in said
