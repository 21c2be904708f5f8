"""Parameters of writes: dryRun, fieldManager, fieldValidation, force. Source: API reference, CreateOptions and kin."""

from __future__ import annotations

from dataclasses import dataclass

from kybern.api.errors import Invalid
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.request import Request

VALIDATIONS = ("Ignore", "Strict", "Warn")
MAX_MANAGER = 128


@dataclass(slots=True)
class WriteOptions:
    """How a write is to be done. `kind` is its name in the API: CreateOptions, UpdateOptions, PatchOptions."""

    kind: str
    dry_run: bool = False
    manager: str = "unknown"
    validation: str = "Warn"
    force: bool | None = None

    def as_object(self) -> Object:
        """For admission."""
        found: Object = {"kind": self.kind, "apiVersion": "meta.k8s.io/v1", "fieldManager": self.manager}
        if self.dry_run:
            found["dryRun"] = ["All"]
        return found


def read(request: Request, kind: str) -> WriteOptions:
    """The request's options. Raises Invalid."""
    found = WriteOptions(kind, manager=_agent(request.headers.get("user-agent", "")))
    if not request.query:
        return found
    errors = Errors()
    found.dry_run = dry_run(request.args.get("dryRun") or (), errors)
    manager = request.arg("fieldManager")
    if len(manager) > MAX_MANAGER:
        errors.too_long("fieldManager", MAX_MANAGER)
    elif not manager.isprintable():
        errors.invalid("fieldManager", manager, "should only contain printable characters")
    found.manager = manager or found.manager
    validation = request.arg("fieldValidation")
    if validation and validation not in VALIDATIONS:
        errors.unsupported("fieldValidation", validation, VALIDATIONS)
    found.validation = validation or "Warn"
    if request.arg("force"):
        found.force = request.flag("force")
    if errors:
        raise Invalid.of(kind, "meta.k8s.io", "", errors)
    return found


def dry_run(values: list[str] | tuple[str, ...], errors: Errors) -> bool:
    """Whether nothing is to be stored; only "All" is known."""
    if any(value and value != "All" for value in values):
        errors.unsupported("dryRun", list(values), ("All",))
    return "All" in values


def _agent(text: str) -> str:
    name = text.partition("/")[0][:MAX_MANAGER]
    return name if name and name.isprintable() else "unknown"
