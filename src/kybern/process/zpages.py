"""/statusz and /flagz: what a component is, since when it runs, with which flags; as text, or as JSON for who asks so.

Source: Kubernetes documentation, "Kubernetes z-pages"; KEP-4827, KEP-4828.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from kybern.process.clock import clock, format_time
from kybern.process.version import VERSION

TEXT, JSON = "text/plain; charset=utf-8", "application/json"
VERSIONS = ("v1beta1", "v1alpha1")
GROUP = "config.k8s.io"
_WARNING = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)
_UNACCEPTABLE = b"406 Not Acceptable: only text/plain and application/json with g, v and as are\n"


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: bytes


class ZPages:
    """A component's. `paths` are what else there is to see."""

    def __init__(self, component: str, flags: Mapping[str, str], paths: Iterable[str]) -> None:
        self._component, self._flags, self._paths = component, dict(flags), sorted(paths)
        self._started = clock.time()

    def statusz(self, accept: str) -> Page:
        """Its version and its time."""
        up = int(clock.time() - self._started)
        version, emulated = VERSION["gitVersion"], f"{VERSION['emulationMajor']}.{VERSION['emulationMinor']}"
        least = f"{VERSION['minCompatibilityMajor']}.{VERSION['minCompatibilityMinor']}"
        text = [
            f"Started: {format_time(self._started)}",
            f"Up: {up // 3600} hr {up // 60 % 60:02} min {up % 60:02} sec",
            f"Go version: {VERSION['goVersion']}",
            f"Binary version: {version}",
            f"Emulation version: {emulated}",
            f"Minimum Compatibility version: {least}",
            f"Paths: {' '.join(self._paths)}",
        ]
        fields = {
            "startTime": format_time(self._started),
            "uptimeSeconds": up,
            "goVersion": VERSION["goVersion"],
            "binaryVersion": version,
            "emulationVersion": emulated,
            "minimumCompatibilityVersion": least,
            "paths": self._paths,
        }
        return self._page(accept, "Statusz", f"{self._component} statusz", text, fields)

    def flagz(self, accept: str) -> Page:
        """Its flags."""
        text = [f"{name}={value}" for name, value in sorted(self._flags.items())]
        return self._page(accept, "Flagz", f"{self._component} flags", text, {"flags": self._flags})

    def _page(self, accept: str, kind: str, title: str, text: list[str], fields: Mapping[str, Any]) -> Page:
        for clause in (accept or "*/*").split(","):
            media, *parameters = [part.strip() for part in clause.split(";")]
            if media in ("*/*", "text/*", "text/plain"):
                return Page(200, TEXT, "\n".join([title, _WARNING, "", *text, ""]).encode())
            asked = dict(part.partition("=")[::2] for part in parameters)
            if media == JSON and asked.get("g") == GROUP and asked.get("as") == kind and asked.get("v") in VERSIONS:
                head = {"kind": kind, "apiVersion": f"{GROUP}/{asked['v']}", "metadata": {"name": self._component}}
                return Page(200, JSON, orjson.dumps({**head, **fields}))
        return Page(406, TEXT, _UNACCEPTABLE)


def flags_of(args: argparse.Namespace) -> dict[str, str]:
    """Flags as they are written, with their values as Go shows them."""
    return {name.replace("_", "-"): _shown(value) for name, value in vars(args).items()}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_shown, value))}]"
    return "" if value is None else str(value)
