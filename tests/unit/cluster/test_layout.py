"""The data directory, and what operators are told about it."""

from __future__ import annotations

import socket
import stat
import sys
from pathlib import Path

import pytest

from kybern.__main__ import main
from kybern.cluster import containerd, doctor, host
from kybern.cluster.components import components
from kybern.cluster.credentials import prepare
from kybern.cluster.layout import HOME, Layout, Settings
from kybern.process.daemon import OperatorError

SETTINGS = Settings("n1", "127.0.0.1")


def test_settings_survive(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    assert layout.read_settings() is None
    layout.write_settings(SETTINGS)
    assert layout.read_settings() == SETTINGS
    assert stat.S_IMODE((tmp_path / "settings.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["{", '{"node_name": "x"}', '{"unknown": 1}', "[]"])
def test_damaged_settings_are_explained(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(OperatorError, match="is damaged"):
        Layout(tmp_path).read_settings()


def test_commands_without_a_cluster_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("status", "kubeconfig"):
        assert main([name, f"--data-dir={tmp_path}/none"]) == 1
        said = capsys.readouterr().err
        assert "`kybern up` makes one" in said
        assert said.count("\n") == 1
    assert main(["down", f"--data-dir={tmp_path}/none"]) == 0


def test_down_refuses_what_is_not_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("x")
    assert main(["down", f"--data-dir={tmp_path}"]) == 1
    assert (tmp_path / "precious").exists()
    assert "no cluster of kybern's" in capsys.readouterr().err


def test_prepare_gives_every_component_what_its_flags_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containerd, "program", lambda: "/usr/bin/containerd")
    monkeypatch.setattr(containerd, "version", lambda: (1, 6))
    monkeypatch.setattr(containerd, "cni_plugin_dir", lambda: "/usr/lib/cni")
    layout = Layout(tmp_path)
    layout.make()
    prepare(layout, SETTINGS)
    files = (
        "--kubeconfig=",
        "--client-ca-file=",
        "--tls-",
        "--proxy-client-",
        "--requestheader-client-ca",
        "--service-account-key",
        "--service-account-signing",
        "--root-ca",
    )
    for component in components(layout, SETTINGS):
        for flag in component.argv:
            if flag.startswith(files):
                assert Path(flag.partition("=")[2]).exists(), flag
    text = (layout.containerd / "config.toml").read_text()
    assert str(layout.containerd_socket) in text
    assert "netns_mounts_under_state_dir = true" in text


@pytest.mark.parametrize("role", ["", HOME])
def test_a_taken_port_is_named(tmp_path: Path, role: str) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        address = "192.0.2.77" if role else "127.0.0.1"  # several nodes: the address of a bridge still to be made
        settings = Settings("n1", address, secure_port=taken.getsockname()[1], role=role)
        found = [f for f in doctor.examine(Layout(tmp_path), settings) if not f.good and "port" in f.what]
    mine = [f for f in found if f"port {settings.secure_port} for the API server" in f.what]
    assert [f.fatal for f in mine] == [True]


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = [str(f) for f in doctor.examine(Layout(tmp_path), None) if not f.good]
    for program in ("runc", "nft", "containerd"):
        assert any(f"{program} is not installed" in line and "apt-get install" in line for line in said), program


def test_mounts_below_are_innermost_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"1 1 0:1 / {target} rw - tmpfs tmpfs rw" for target in ("/d", "/d/a", "/d/a/b\\040c", "/dd/x")]
    monkeypatch.setattr(host.Path, "read_text", lambda self: "\n".join(lines))
    assert host.mounts_below(Path("/d")) == ["/d/a/b c", "/d/a"]


def test_the_interpreter_is_the_environments_own() -> None:
    assert all(c.argv[0] == sys.executable for c in components(Layout(Path("/x")), SETTINGS) if c.name == "apiserver")
