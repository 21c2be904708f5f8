"""Write docs/parity.md: what Kubernetes v1.36 has and what of it is here, read from the code itself.

usage: parity.py > docs/parity.md
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import orjson

from kybern.__main__ import COMMANDS
from kybern.api.scheme import Scheme, builtin
from kybern.process import logs


def upstream_names(section: str) -> list[str]:
    """The names below `[section]` in upstream-v1.36.txt."""
    text = Path(__file__).with_name("upstream-v1.36.txt").read_text()
    return text.partition(f"[{section}]\n")[2].partition("[")[0].split()


def upstream_kinds() -> Iterator[tuple[str, str, str]]:
    """(group, version, kind) of everything v1.36 stores or reviews, from its OpenAPI definitions."""
    path = "kubernetes-json-schema/v1.36.0-local/_definitions.json"
    definitions = orjson.loads((resources.files("kubernetes_validate") / path).read_bytes())["$defs"]
    for name, definition in definitions.items():
        gvks = definition.get("x-kubernetes-group-version-kind", [])
        if len(gvks) == 1 and "metadata" in definition.get("properties", {}) and not name.endswith(("List", ".Status")):
            yield gvks[0]["group"], gvks[0]["version"], gvks[0]["kind"]


def stable(version: str) -> bool:
    return "alpha" not in version and "beta" not in version


def mark(here: bool) -> str:
    return "yes" if here else "not yet"


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    for row in (head, ("---",) * len(head), *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")
    sys.stdout.write("\n")


def names_in(package: str) -> set[str]:
    """Plain names of the modules below a package, and of the `name`s their classes give."""
    found: set[str] = set()
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        loaded = importlib.import_module(module.name)
        found.add(plain(module.name.rsplit(".", 1)[1]))
        for value in vars(loaded).values():
            if isinstance(value, type) and isinstance(getattr(value, "name", None), str):
                found.add(plain(value.name))
    return found


def plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").removesuffix("controller")


def served_through(scheme: Scheme) -> set[str]:
    """Kinds that only subresources take and give: Scale, TokenRequest, Eviction."""
    return {part.kind for kind in scheme for part in kind.subresources} | {"Scale"}


def resources_section() -> None:
    scheme = builtin()
    sys.stdout.write("## Resources\n\nStable versions; subresources as served here.\n\n")
    rows = []
    for group, version, kind in sorted(set(upstream_kinds())):
        if not stable(version):
            continue
        found = scheme.kind(f"{group}/{version}" if group else version, kind)
        through = found or kind in served_through(scheme)
        parts = (
            []
            if not found
            else [name for name, on in (("status", found.has_status), ("scale", bool(found.scale))) if on]
        )
        parts += [sub.name for sub in found.subresources] if found else []
        rows.append(
            (f"{group}/{version}" if group else version, kind, mark(bool(through)), ", ".join(dict.fromkeys(parts)))
        )
    table(("group/version", "kind", "here", "subresources"), iter(rows))


def names_section(title: str, *packages: str) -> None:
    sys.stdout.write(f"## {title}\n\n")
    here = set().union(*map(names_in, packages))
    table(("name", "here"), ((name, mark(plain(name) in here)) for name in upstream_names(title.lower())))


def flags_section() -> None:
    sys.stdout.write("## Flags\n\nAny other flag is an error, never ignored.\n\n")
    rows = [("each", flags_of(lambda parser: logs.add_flags(parser.add_argument)))]
    for name, (module, _) in COMMANDS.items():
        rows.append((name, flags_of(importlib.import_module(module).add_flags)))
    table(("command", "flags"), iter(rows))


def flags_of(add: Callable[[argparse.ArgumentParser], None]) -> str:
    parser = argparse.ArgumentParser(add_help=False)
    add(parser)
    flags = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    return " ".join(f"`{flag}`" for flag in sorted(flags))


def main() -> None:
    sys.stdout.write(
        "# Parity with Kubernetes v1.36\n\nMade by `make parity` from the code; `not yet` means not there at all. "
        "What is there but differs is in [differences.md](differences.md).\n\n"
    )
    resources_section()
    names_section("Controllers", "kybern.controllers", "kybern.cloud")
    names_section("Scheduler plugins", "kybern.scheduler.plugins")
    names_section("Admission plugins", "kybern.apiserver.admission")
    flags_section()


if __name__ == "__main__":
    main()
