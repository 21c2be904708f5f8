"""What an operator did wrong is said in one line, with what to do, and ends the command with code 1."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.integration.commands.conftest import refused, run

NOBODY = ("setpriv", "--reuid", "65534", "--clear-groups")
PROGRAMS = ("runc", "nft", "ip", "mount", "busybox", "catatonit", "containerd")
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def words(line: str, values: dict[str, object]) -> list[str]:
    """A command line's words, with names in braces replaced."""
    return [word.format(**values) for word in line.split()]


@pytest.fixture
def values(tmp_path: Path, kubeconfig: Path, taken: int) -> dict[str, object]:
    """What command lines below name in braces."""
    (tmp_path / "file").write_text("not what was wanted\n")
    return {"dir": tmp_path, "file": tmp_path / "file", "kc": kubeconfig, "taken": taken}


API = "apiserver --data-dir {dir}/data --bind-address 127.0.0.1 --secure-port 0"
KUBELET = "kubelet --root-dir {dir}/kubelet --pod-log-dir {dir}/pods --node-ip 127.0.0.1 --fail-swap-on=false"
KUBELET += " --container-runtime-endpoint unix://{dir}/none.sock"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", 'unknown command "nonsense"; `kybern --help`'),
        ("dns --nonsense", "unrecognized arguments: --nonsense; `kybern dns --help`"),
        # Flags of the API server.
        (f"{API} --event-ttl soon", '--event-ttl: "soon" is no duration; write it like 1h30m'),
        (f"{API} --anonymous-auth=maybe", 'argument --anonymous-auth: "maybe" is neither true nor false'),
        (f"{API} --etcd-servers localhost:2379", "--etcd-servers: write localhost:2379 like https://"),
        (f"{API} --etcd-servers https://127.0.0.1:1 --etcd-cafile /none", "can't read /none"),
        (f"{API} --enable-admission-plugins Nope", "unknown admission plugin Nope; known are "),
        (f"{API} --authorization-mode Nope", '--authorization-mode: "Nope" is not known; known are '),
        (f"{API} --service-cluster-ip-range 10.0.0.0", "--service-cluster-ip-range: '10.0.0.0' has no /prefix"),
        (f"{API} --service-node-port-range 9-5", "--service-node-port-range"),
        (f"{API} --advertise-address nope", "--advertise-address: 'nope' does not appear to be an IPv4"),
        (f"{API} --token-auth-file /none", "cannot read --token-auth-file /none"),
        (f"{API} --token-auth-file {{file}}", "file, line 1: needs token, user name and user uid"),
        (f"{API} --client-ca-file {{file}}", "file has no certificates in PEM form"),
        (f"{API} --service-account-key-file {{file}}", "file holds no RSA or ECDSA key"),
        (f"{API} --tls-cert-file {{file}}", "--tls-cert-file and --tls-private-key-file go together"),
        (f"{API} --service-account-signing-endpoint /x --service-account-key-file {{file}}", "the signer has the keys"),
        (f"{API} --cors-allowed-origins example.com", "does not pin to start/end of host in the origin header"),
        (f"{API} --strict-transport-security-directives x", '"x" is none of max-age=SECONDS'),
        (f"{API} --profiling=true", "--profiling=true can't be: there is no /debug/pprof"),
        ("apiserver --data-dir {file}", "--data-dir {file}: File exists; choose a directory"),
        ("apiserver --data-dir /proc/nope", "--data-dir /proc/nope: No such file or directory; choose"),
        # Flags of the others.
        ("controller-manager --kubeconfig {kc} --controllers nope", '"nope" is not a controller; known are '),
        ("controller-manager --kubeconfig {kc} --node-monitor-period x", '"x" is not a duration like 40s'),
        ("controller-manager --kubeconfig {kc} --cluster-cidr nope", "--cluster-cidr: 'nope'"),
        ("controller-manager --kubeconfig {kc} --allocate-node-cidrs", "--allocate-node-cidrs needs --cluster-cidr"),
        ("controller-manager --kubeconfig {kc} --allocate-node-cidrs --cluster-cidr 10.0.0.0/24 "
         "--node-cidr-mask-size 8",
         "a node's range in 10.0.0.0/24 can be from /24 to /32, not /8; see --node-cidr-mask-size"),
        ("controller-manager --kubeconfig {kc} --root-ca-file {file}", "file has no certificate in PEM form"),
        ("controller-manager --kubeconfig {kc} --concurrent-gc-syncs 0", "--concurrent-gc-syncs must be at least 1"),
        ("controller-manager --kubeconfig {kc} --secure-port 0 --leader-elect-lease-duration 5s",
         "the lease (5s) must last longer than the renew deadline (10s)"),
        ("scheduler --kubeconfig {kc} --secure-port 99999", '"99999" is not a port'),
        ("scheduler", "not inside a pod, and no kubeconfig given; name one with --kubeconfig"),
        (f"{KUBELET} --sync-frequency nope", "--sync-frequency: 'nope' is no duration such as 10s"),
        (f"{KUBELET} --node-ip nope", "--node-ip: 'nope' does not appear to be an IPv4"),
        (f"{KUBELET} --port 99999", "--port=99999 is not a port"),
        (f"{KUBELET} --container-runtime-endpoint nope", "nope is not a socket; write it like unix:///"),
        ("proxy --kubeconfig {kc} --cluster-cidr nope", "--cluster-cidr: 'nope'"),
        ("proxy --kubeconfig {kc} --proxy-mode ipvs", 'no proxy mode "ipvs": use --proxy-mode=nftables'),
        ("dns --kubeconfig {kc} --forward nope", "--forward: 'nope' does not appear to be an IPv4"),
        ("up --cluster-cidr nope", '"nope" is not a range like 10.244.0.0/16'),
        ("up --secure-port nope", '"nope" is not a port'),
        ("cloud-controller-manager --kubeconfig {kc}", "say which cloud: --cloud-provider is one of "),
        ("token --kubeconfig {kc} list", "no answer from https://127.0.0.1"),
        ("token --kubeconfig {kc} create nope", 'the bootstrap token "nope" was not of the form'),
        # Clusters that are not there.
        ("supervise --data-dir {dir}/none", "there is no cluster in {dir}/none; `kybern up` makes one"),
        ("status --data-dir {dir}/none", "there is no cluster in {dir}/none; `kybern up` makes one"),
        ("kubeconfig --data-dir {dir}/none", "there is no cluster in {dir}/none; `kybern up` makes one"),
        ("kubectl --data-dir {dir}/none get pods", "there is no cluster in {dir}/none; `kybern up` makes one"),
        ("token --data-dir {dir}/none list", "there is no cluster in {dir}/none; `kybern up` makes one"),
        ("image --data-dir {dir}/none ls", "no containerd runs for {dir}/none; `kybern up` starts it"),
        ("image --data-dir {dir}/none build {file}", "{file}/layers: Not a directory; check the path"),
        ("down --data-dir {dir}", "{dir} has files but no cluster of kybern's; remove it yourself"),
    ],
)  # fmt: skip
def test_wrong_commands(line: str, said: str, values: dict[str, object]) -> None:
    assert said.format(**values) in refused(*words(line, values))


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        (f"{API} --secure-port {{taken}}", "--secure-port"),
        ("scheduler --kubeconfig {kc} --bind-address 127.0.0.1 --secure-port {taken}", "port"),
        ("controller-manager --kubeconfig {kc} --secure-port {taken}", "port"),
        ("dns --kubeconfig {kc} --bind-address 127.0.0.1 --port {taken}", "--port"),
        ("dns --kubeconfig {kc} --bind-address 127.0.0.1 --port 0 --healthz-port {taken}", "port"),
        pytest.param(f"{KUBELET} --healthz-port 0 --address 127.0.0.1 --port {{taken}}", "--port", marks=root),
        pytest.param("proxy --kubeconfig {kc} --healthz-bind-address 127.0.0.1:{taken}", "address", marks=root),
    ],
)
def test_a_taken_port(line: str, flag: str, values: dict[str, object]) -> None:
    said = refused(*words(line, values))
    assert f"127.0.0.1:{values['taken']}" in said
    assert "taken" in said or "address already in use" in said
    assert "choose another" in said and flag in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (": [", "can't read the kubeconfig"),
        ("hello", "is not a kubeconfig"),
        ("clusters: []", "has no current-context"),
        ("current-context: other\ncontexts: [{name: c}]", 'has no context "other"; see its contexts'),
        ("current-context: c\ncontexts: 5", "contexts is not a list"),
        ("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]", 'has no cluster "k"; see its clusters'),
        ('{server: "https://h:1"}', None),
        ("{server: ftp://h}", "the cluster's server is \"ftp://h\"; write it like https://"),
        ("{server: 5}", "the cluster's server is \"5\"; write it like https://"),
        ('{server: "https://h:1", certificate-authority: /none}', "can't read certificate-authority"),
        ('{server: "https://h:1", certificate-authority-data: "!"}', "can't read certificate-authority"),
        ('{server: "https://h:1", certificate-authority-data: aGVsbG8=}', "the certificates for https://h:1 can't be"),
        ("user {tokenFile: /none}", "can't read the user's tokenFile /none; make it, or name another"),
        ("user {client-certificate-data: aGVsbG8=}", "has a client-certificate but no client-key"),
        ("user {exec: {command: x}}", "exec can't be used here; give the user a certificate or a token"),
        ("user [1]", 'user "u" has no fields'),
    ],
)
def test_kubeconfigs(tmp_path: Path, content: str, said: str | None) -> None:
    cluster = content if content.startswith("{") else '{server: "https://127.0.0.1:1"}'
    user = content.removeprefix("user ") if content.startswith("user ") else "{token: t}"
    if cluster == content or content.startswith("user "):
        content = f"""current-context: c
clusters: [{{name: k, cluster: {cluster}}}]
users: [{{name: u, user: {user}}}]
contexts: [{{name: c, context: {{cluster: k, user: u}}}}]
"""
    file = tmp_path / "config"
    file.write_text(content)
    # A controller that isn't there ends the command after the kubeconfig was read.
    assert (said or "is not a controller") in refused("controller-manager", "--kubeconfig", file, "--controllers", "x")


def test_a_missing_kubeconfig() -> None:
    said = refused("scheduler", "--kubeconfig", "/none")
    assert "there is no kubeconfig at /none; name one with --kubeconfig" in said


KIND = {
    "kubelet": "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n",
    "scheduler": "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n",
}


@pytest.mark.parametrize(
    ("command", "content", "said"),
    [
        ("kubelet", ": [", "can't read --config"),
        ("kubelet", "[]", "is not a KubeletConfiguration"),
        ("kubelet", "maxPods: many", "maxPods: invalid literal"),
        ("kubelet", "syncFrequency: soon", "syncFrequency: 'soon' is no duration such as 10s"),
        ("kubelet", "nope: 1", "unknown or unsupported field nope"),
        ("scheduler", ": [", "can't read --config"),
        ("scheduler", "[]", "expected apiVersion kubescheduler.config.k8s.io/v1, kind KubeSchedulerConfiguration"),
        ("scheduler", "profiles: 5", "profiles is not a list"),
        ("scheduler", "profiles: [5]", "should have fields, but is 5"),
        ("scheduler", "clientConnection: 5", "clientConnection should have fields, but is 5"),
        ("scheduler", "podInitialBackoffSeconds: x", "podInitialBackoffSeconds: 'x' is not a number"),
        ("scheduler", "leaderElection: {leaseDuration: soon}", '"soon" is not a duration like 40s'),
        ("scheduler", "profiles: [{plugins: {score: {enabled: [{name: Nope}]}}}]", "unknown plugin Nope; there are "),
        ("scheduler", "profiles: [{pluginConfig: [{name: ImageLocality, args: 5}]}]", "should have fields, but is 5"),
        ("scheduler", "nope: 1", "field nope is not supported; remove it"),
    ],
)
def test_configuration_files(tmp_path: Path, kubeconfig: Path, command: str, content: str, said: str) -> None:
    file = tmp_path / "configuration"
    file.write_text(content if content[0] in ":[" else KIND[command] + content)
    assert said in refused(command, "--kubeconfig", kubeconfig, "--config", file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no database " * 20,
         "is not a SQLite file, so not a kybern store; move it away, or use another path"),
        (None, "is another program's SQLite file; use another path"),
        (b"", "is damaged (database disk image is malformed); it was not changed: restore a backup"),
    ],
)  # fmt: skip
def test_stores_that_are_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "store.db"
    if content:
        file.write_bytes(content)
    elif content is None:
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE other (x)")
        connection.close()
    else:
        from kybern.store.sqlite_file import SqliteFile

        SqliteFile(str(file)).close()
        file.write_bytes(file.read_bytes()[:6000])
    before = file.read_bytes()
    assert said in refused("apiserver", "--data-dir", tmp_path, "--bind-address", "127.0.0.1", "--secure-port", "0")
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", ["{", "[]", '{"nope": 1}'])
@pytest.mark.parametrize("command", ["up", "status", "supervise"])
def test_damaged_settings(tmp_path: Path, command: str, content: str) -> None:
    (tmp_path / "settings.json").write_text(content)
    said = refused(command, "--data-dir", tmp_path)
    assert f"{tmp_path}/settings.json is damaged" in said and "`kybern down` clears this cluster away" in said


def without(program: str, directory: Path) -> dict[str, str]:
    """An environment whose PATH has all that is asked for but one program."""
    directory.mkdir()
    for name in PROGRAMS:
        if name != program:
            (directory / name).symlink_to("/bin/true")
    return {"PATH": str(directory)}


@root
@pytest.mark.parametrize("program", PROGRAMS)
def test_up_without_a_program(tmp_path: Path, program: str) -> None:
    said = refused("up", "--data-dir", tmp_path / "data", env=without(program, tmp_path / "bin"))
    assert f"{program} is not installed; run `apt-get install " in said
    assert not (tmp_path / "data").exists()


@root
def test_up_without_network_plugins(tmp_path: Path) -> None:
    hide = 'for d in /usr/lib/cni /opt/cni/bin; do [ ! -d $d ] || mount -t tmpfs none $d; done; exec "$@"'
    said = refused("up", "--data-dir", tmp_path / "data", prefix=("unshare", "-m", "sh", "-c", hide, "sh"))
    assert "no CNI plugins in /usr/lib/cni or /opt/cni/bin; run `apt-get install " in said


@root
def test_up_on_a_small_disk(small_disk: Path) -> None:
    said = refused("up", "--data-dir", small_disk)
    assert "MiB free at" in said and "free 1024 MiB or use another --data-dir" in said


@root
def test_a_full_disk_at_the_start(small_disk: Path) -> None:
    with pytest.raises(OSError), (small_disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 65536)
    assert "No space left on device" in refused("apiserver", "--data-dir", small_disk, "--secure-port", "0")


def test_other_programs_that_are_missing(tmp_path: Path, kubeconfig: Path) -> None:
    nowhere = {"PATH": str(tmp_path)}
    assert "kubectl is not installed; run `apt-get install" in refused("kubectl", "get", "pods", env=nowhere)
    assert "nft is not installed; install" in refused("proxy", "--kubeconfig", kubeconfig, env=nowhere)
    assert "is not installed; run `apt-get install" in refused("image", "build", tmp_path / "images", env=nowhere)


def can_be_nobody() -> bool:
    """Whether the tests' interpreter may be run by others: it may be in a home that is closed to them."""
    if os.geteuid() or not shutil.which("setpriv"):
        return False
    return not run("--help", prefix=NOBODY).returncode


nobody = pytest.mark.skipif(not can_be_nobody(), reason="needs root, setpriv and an interpreter that all may run")


@nobody
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("up --data-dir /nowhere/data", "not running as root; run it as root (sudo)"),
        ("kubelet", "run it as root"),
        ("proxy --kubeconfig {kc}", "run the proxy as root"),
        ("proxy --cleanup", "run it as root"),
        ("apiserver --data-dir {closed}/data", "--data-dir {closed}/data: Permission denied; choose a directory"),
        ("image build {closed}", "Permission denied; run it as root (sudo)"),
        ("up --data-dir {closed}", "Permission denied; run it as root (sudo)"),
        ("down --data-dir {closed}", "Permission denied; run it as root (sudo)"),
        ("status --data-dir {closed}", "Permission denied; run it as root (sudo)"),
        ("supervise --data-dir {closed}", "Permission denied; run it as root (sudo)"),
        ("kubeconfig --data-dir {closed}", "Permission denied; run it as root (sudo)"),
        ("kubectl --data-dir {closed} get pods", "Permission denied; run it as root (sudo)"),
        ("token --data-dir {closed} list", "Permission denied; run it as root (sudo)"),
    ],
)
def test_commands_of_nobody(line: str, said: str, open_kubeconfig: Path, closed: Path) -> None:
    values: dict[str, object] = {"kc": open_kubeconfig, "closed": closed}
    assert said.format(**values) in refused(*words(line, values), prefix=NOBODY)


def test_the_doctor_names_every_check(tmp_path: Path) -> None:
    done = run("doctor", "--data-dir", tmp_path / "data", env={"PATH": str(tmp_path)})
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, "")
    assert {line.split()[0] for line in lines} <= {"ok", "note", "FAIL"}
    missing = [line for line in lines if "is not installed" in line]
    assert {line.split()[1] for line in missing if line.startswith("FAIL")} == {*PROGRAMS}
    assert {line.split()[1] for line in missing if line.startswith("note")} == {"kubectl", "iptables", "conntrack"}
    assert all(" — run `apt-get install " in line for line in missing)


def test_the_doctor_looks_at_a_data_directory_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("doctor", "--data-dir", tmp_path / "file")
    assert done.returncode == 1
    assert f"FAIL  {tmp_path}/file is not a directory — remove it or use another --data-dir" in done.stdout


@pytest.mark.skipif(not shutil.which("containerd"), reason="needs containerd")
def test_the_status_of_a_partly_dead_cluster(tmp_path: Path, kubeconfig: Path) -> None:
    import psutil

    (tmp_path / "run").mkdir()
    (tmp_path / "settings.json").write_text('{"node_name": "n", "node_ip": "127.0.0.1"}')
    (tmp_path / "kubeconfig-dir").mkdir()
    kubeconfig.rename(tmp_path / "kubeconfig-dir" / "admin.conf")
    (tmp_path / "kubeconfig-dir").rename(tmp_path / "kubeconfig")
    child = subprocess.Popen(["sleep", "60"])
    try:
        began = psutil.Process(child.pid).create_time()
        (tmp_path / "run" / "scheduler.json").write_text(f'{{"pid": {child.pid}, "started": {began}}}')
        # A process of the machine's former life: the pid is somebody else's by now.
        (tmp_path / "run" / "proxy.json").write_text(f'{{"pid": {child.pid}, "started": {began - 1000}}}')
        done = run("status", "--data-dir", tmp_path)
    finally:
        child.kill()
        child.wait()
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert (done.returncode, done.stderr) == (1, "")
    assert f"{child.pid}" in lines["scheduler"] and "MiB" in lines["scheduler"]
    dead = {name for name, line in lines.items() if line.endswith("not running")}
    assert dead >= {"supervisor", "apiserver", "proxy"}
    assert "the API server does not answer: no answer from https://127.0.0.1" in done.stdout
