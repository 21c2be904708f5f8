"""The rules that keep the tree true; each names the file that breaks it."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "kybern"
COMPONENTS = {"controllers", "cloud", "scheduler", "kubelet", "proxy", "dns", "network"}
ALLOWED = {
    "process": set(),
    "streaming": {"process"},
    "api": {"process"},
    "store": {"process"},
    "client": {"api", "process"},
    "apiserver": {"api", "store", "process", "streaming", "client"},
    **{name: {"api", "client", "process", "streaming", "network"} for name in COMPONENTS},
}
"""What each package may import besides itself. `cluster` and `testing` put the parts together and may import all."""
LATER = {
    "cel_expr_python", "croniter", "cryptography.x509", "google.protobuf", "grpc", "jwt", "kubernetes_validate", "nacl",
    "numpy", "opentelemetry", "re2", "wsproto", "yaml",
}  # fmt: skip
"""What the API server loads only once it has to."""


@cache
def modules() -> dict[Path, ast.Module]:
    files = [path for path in SOURCE.rglob("*.py") if "_generated" not in path.parts]
    return {path: ast.parse(path.read_text()) for path in files}


def package_of(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else ""


def imported(tree: ast.Module) -> set[str]:
    """Names of kybern's packages that a module imports, anywhere in it."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name.split(".")[1] for name in names if name.startswith("kybern.")}


def test_imports_point_one_way() -> None:
    packages = {path.name for path in SOURCE.iterdir() if path.is_dir()}
    wrong = []
    for path, tree in modules().items():
        package = package_of(path)
        if package in ALLOWED:
            used = imported(tree) & packages
            wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in used - ALLOWED[package] - {package}]
    assert not wrong


def test_every_package_says_what_flows_through_it() -> None:
    wanted = ["reads:", "writes:", "start here:", "to add one:"]
    wrong = []
    for init in SOURCE.glob("*/__init__.py"):
        text = ast.get_docstring(ast.parse(init.read_text())) or ""
        if [word for word in wanted if not re.search(rf"^{word} \S", text, re.M)]:
            wrong.append(str(init.relative_to(ROOT)))
    assert not wrong


def test_every_module_has_a_docstring() -> None:
    assert not [str(path.relative_to(ROOT)) for path, tree in modules().items() if not ast.get_docstring(tree)]


def test_no_file_is_over_600_lines() -> None:
    assert not [str(p.relative_to(ROOT)) for p in modules() if len(p.read_text().splitlines()) > 600]


def test_no_function_is_over_60_lines() -> None:
    wrong = []
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or 0) - node.lineno + 1
                if length > 60:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines")
    assert not wrong


def test_time_is_asked_of_the_clock_only() -> None:
    asks = re.compile(r"\b(time\.time|datetime\.(?:utc)?now|uuid\.uuid4|time\.monotonic)\(|^import random\b", re.M)
    # The sample app runs in a pod and loads nothing of the rest.
    exempt = {SOURCE / "process" / "clock.py", SOURCE / "cluster" / "sample_app.py"}
    found = {str(path): asks.findall(path.read_text()) for path in modules() if path not in exempt}
    assert not {path: calls for path, calls in found.items() if calls}


def test_every_command_loads_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    from kybern.__main__ import COMMANDS, main

    for name, (module, text) in COMMANDS.items():
        loaded = importlib.import_module(module)
        assert callable(loaded.add_flags), name
        assert inspect.iscoroutinefunction(loaded.run), name
        assert text, name
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        assert f"kybern {name}" in capsys.readouterr().out


def test_the_api_server_loads_what_a_start_needs() -> None:
    """Every library loaded is time until it is ready, and memory; what few requests need comes with the first."""
    said = subprocess.run(
        [sys.executable, "-c", "import sys, kybern.apiserver.command as c; c.builtin(); print(*sys.modules)"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(SOURCE.parent)},
    )  # fmt: skip
    assert not LATER & set(said.stdout.split())


def test_the_readme_names_real_make_targets_and_files() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:`|^ +)make ([a-z-]+)", readme, re.M))
    assert {"up", "test"} <= named <= targets
    links = re.findall(r"\]\(([^)#:]+)\)", readme)
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_flow_names_real_files() -> None:
    named = re.findall(r"`([a-z0-9_/]+(?:\.py|/))`", (ROOT / "docs" / "flow.md").read_text())
    assert len(named) > 30
    assert not [path for path in named if not (ROOT / "src" / "kybern" / path).exists() and not (ROOT / path).exists()]
