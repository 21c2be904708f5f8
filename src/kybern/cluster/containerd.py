"""The cluster's own containerd: the machine's program with a root, state, socket and configuration of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from kybern.cluster.layout import Layout
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

NAMESPACE = "k8s.io"
PAUSE = "kybern.local/pause:1"
"""The image of the container that holds a pod's namespaces."""
CNI_PLUGIN_DIRS = ("/usr/lib/cni", "/opt/cni/bin")


def program() -> str:
    """Path of containerd. Raises OperatorError."""
    found = shutil.which("containerd")
    if not found:
        raise OperatorError("containerd is not installed; run `apt-get install containerd` (or `make install`)")
    return found


def cni_plugin_dir() -> str:
    """Where the CNI reference plugins are. Raises OperatorError."""
    for directory in CNI_PLUGIN_DIRS:
        if Path(directory, "host-local").exists():
            return directory
    where = " or ".join(CNI_PLUGIN_DIRS)
    raise OperatorError(f"no CNI plugins in {where}; run `apt-get install containernetworking-plugins`")


def version() -> tuple[int, int]:
    """containerd's version: its configuration differs from 2.0 on."""
    text = subprocess.run([program(), "--version"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"\bv?(\d+)\.(\d+)\.\d+", text)
    if not match:
        raise OperatorError(f"can't read containerd's version from {text.strip()!r}; is {program()} containerd?")
    return int(match[1]), int(match[2])


def oom_score_is_restricted() -> bool:
    """Whether this process lacks CAP_SYS_RESOURCE and so may not lower oom_score_adj, as sandboxes do by default."""
    effective = re.search(r"^CapEff:\s+([0-9a-f]+)", Path("/proc/self/status").read_text(), re.M)
    cap_sys_resource = 24
    return not effective or not int(effective[1], 16) >> cap_sys_resource & 1


def write_config(layout: Layout) -> Path:
    """Write config.toml and give its path."""
    path = layout.containerd / "config.toml"
    path.write_text(_v3(layout) if version() >= (2, 0) else _v2(layout))
    return path


def _head(layout: Layout, config_version: int) -> str:
    return f"""version = {config_version}
root = "{layout.containerd}/root"
state = "{layout.run}/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "{layout.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "{layout.containerd}/opt"
"""


def _runtime(plugin: str) -> str:
    return f"""
[plugins."{plugin}".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."{plugin}".containerd.runtimes.runc.options]
SystemdCgroup = false
"""


def _restricted() -> str:
    return str(oom_score_is_restricted()).lower()


def _cni(layout: Layout) -> str:
    return f'bin_dir = "{cni_plugin_dir()}"\nconf_dir = "{cni_conf_dir(layout)}"\n'


def _v2(layout: Layout) -> str:
    plugin = "io.containerd.grpc.v1.cri"
    return (
        _head(layout, 2)
        + f"""
[plugins."{plugin}"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = {_restricted()}
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
enable_selinux = false
max_concurrent_downloads = 3

[plugins."{plugin}".containerd]
snapshotter = "overlayfs"
{_runtime(plugin)}
[plugins."{plugin}".cni]
{_cni(layout)}"""
    )


def _v3(layout: Layout) -> str:
    runtime, images = "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"
    return (
        _head(layout, 3)
        + f"""
[plugins."{runtime}"]
restrict_oom_score_adj = {_restricted()}
netns_mounts_under_state_dir = true
{_runtime(runtime)}
[plugins."{runtime}".cni]
{_cni(layout)}
[plugins."{images}"]
snapshotter = "overlayfs"
[plugins."{images}".pinned_images]
sandbox = "{PAUSE}"

[plugins."io.containerd.grpc.v1.cri"]
stream_server_address = "127.0.0.1"
stream_server_port = "0"
"""
    )


def cni_conf_dir(layout: Layout) -> Path:
    """Where the kubelet writes the node's CNI configuration."""
    return layout.root / "cni" / "net.d"


def ctr(socket: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run containerd's `ctr` in the cluster's namespace; the caller looks at the return code."""
    command = ["ctr", "--address", str(socket), "--namespace", NAMESPACE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})


def import_image(socket: Path, archive: Path) -> list[str]:
    """Import an image archive; gives the names it carried. Raises OperatorError."""
    if not archive.is_file():
        raise OperatorError(f"there is no image archive {archive}")
    done = ctr(socket, "images", "import", "--all-platforms", str(archive))
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise OperatorError(f"containerd can't import {archive}: {reason}")
    return re.findall(r"^unpacking (\S+)", done.stdout, re.M)


def image_names(socket: Path, patience: float = 30.0) -> set[str]:
    """Names of the images containerd has; waits for it to answer. Blocking. Raises OperatorError."""
    began = monotonic()
    while (done := ctr(socket, "images", "list", "--quiet")).returncode:
        if monotonic() - began > patience:
            said = "`kybern up` starts it, its log says why it ended"
            raise OperatorError(f"containerd does not answer at {socket}; {said}")
        time.sleep(0.05)
    return set(done.stdout.split())


def wait(socket: Path, child: subprocess.Popen[bytes], patience: float = 30.0) -> None:
    """Until a containerd that was just started answers. Blocking. Raises OperatorError."""
    began = monotonic()
    while ctr(socket, "version").returncode:
        if child.poll() is not None or monotonic() - began > patience:
            raise OperatorError(f"containerd did not start (exit code {child.poll()})")
        time.sleep(0.02)
