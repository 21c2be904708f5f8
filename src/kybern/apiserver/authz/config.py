"""The file of --authorization-config: which authorizers are asked, in order.

Source: API reference, AuthorizationConfiguration (apiserver.config.k8s.io/v1); messages are upstream's.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kybern.api import names
from kybern.api.authorization.variables import condition
from kybern.api.cel.program import ExpressionError, Program
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver import config_files
from kybern.apiserver.authz.webhook import WebhookOptions
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration

FLAG, KIND, VERSIONS = "--authorization-config", "AuthorizationConfiguration", ("v1", "v1beta1", "v1alpha1")
TYPES = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
WEBHOOK = "Webhook"
MAX_TIMEOUT, MAX_CONDITIONS = 30.0, 64
_WEBHOOK = (
    "authorizedTTL", "cacheAuthorizedRequests", "unauthorizedTTL", "cacheUnauthorizedRequests", "timeout",
    "subjectAccessReviewVersion", "matchConditionSubjectAccessReviewVersion", "failurePolicy", "connectionInfo",
    "matchConditions",
)  # fmt: skip
_FILE, _IN_CLUSTER = "KubeConfigFile", "InClusterConfig"


@dataclass(slots=True, frozen=True)
class Entry:
    """One authorizer; `webhook` where it is one."""

    type: str
    name: str
    webhook: WebhookOptions | None = None


def load(path: Path) -> list[Entry]:
    """The authorizers of a file. Raises OperatorError, which names all that is wrong."""
    document = config_files.read(FLAG, path, KIND, VERSIONS)
    errors = Errors()
    config_files.fields(errors, "", document, ("apiVersion", "kind", "authorizers"))
    given = config_files.items(errors, "authorizers", document.get("authorizers"))
    if not given and not errors:
        errors.required("authorizers", "at least one authorization mode must be defined")
    seen: set[str] = set()
    found = [entry for number, one in enumerate(given) if (entry := _entry(errors, number, one, seen)) is not None]
    if errors:
        raise OperatorError(f"{FLAG} {path}: {'; '.join(map(str, errors))}")
    return found


def _entry(errors: Errors, number: int, found: Any, seen: set[str]) -> Entry | None:
    path = f"authorizers[{number}]"
    entry = config_files.fields(errors, path, found, ("type", "name", "webhook"))
    kind = config_files.text(errors, f"{path}.type", entry.get("type"))
    name = config_files.text(errors, f"{path}.name", entry.get("name"))
    if not kind:
        errors.required(f"{path}.type")
        return None
    if kind not in TYPES:
        errors.unsupported(f"{path}.type", kind, TYPES)
        return None
    if f"type {kind}" in seen and kind != WEBHOOK:
        errors.duplicate(f"{path}.type", kind)
        return None
    if not name:
        errors.required(f"{path}.name")
    elif f"name {name}" in seen:
        errors.duplicate(f"{path}.name", name)
    elif problems := names.dns_subdomain(name):
        errors.invalid(f"{path}.name", name, f"authorizer name is invalid: {', '.join(problems)}")
    seen |= {f"type {kind}", f"name {name}"}
    if kind != WEBHOOK:
        if entry.get("webhook") is not None:
            errors.invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook")
        return Entry(kind, name)
    if entry.get("webhook") is None:
        errors.required(f"{path}.webhook", "required when type=Webhook")
        return None
    return Entry(kind, name, _webhook(errors, f"{path}.webhook", name, entry["webhook"]))


def _webhook(errors: Errors, path: str, name: str, found: Any) -> WebhookOptions:
    given = config_files.fields(errors, path, found, _WEBHOOK)
    timeout = _seconds(errors, f"{path}.timeout", given.get("timeout"), None)
    if timeout is not None and not 0 < timeout <= MAX_TIMEOUT:
        errors.invalid(f"{path}.timeout", given["timeout"], "must be > 0s and <= 30s")
    lives = {}
    for field, default in (("authorizedTTL", "5m0s"), ("unauthorizedTTL", "30s")):
        lives[field] = _seconds(errors, f"{path}.{field}", given.get(field, default), None) or 0.0
        if lives[field] < 0:
            errors.invalid(f"{path}.{field}", given[field], "must be > 0s")
        if given.get(f"cache{field[0].upper()}{field[1:-3]}Requests") is False:
            lives[field] = 0.0
    version = given.get("subjectAccessReviewVersion") or ""
    _one_of(errors, f"{path}.subjectAccessReviewVersion", version, ("v1", "v1beta1"))
    policy = given.get("failurePolicy") or ""
    _one_of(errors, f"{path}.failurePolicy", policy, ("NoOpinion", "Deny"))
    conditions = _conditions(errors, path, given)
    return WebhookOptions(
        name,
        _connection(errors, f"{path}.connectionInfo", given.get("connectionInfo")),
        str(version),
        timeout or MAX_TIMEOUT,
        lives["authorizedTTL"],
        lives["unauthorizedTTL"],
        policy == "Deny",
        conditions,
    )


def _one_of(errors: Errors, path: str, value: Any, known: tuple[str, ...]) -> None:
    if not value:
        errors.required(path)
    elif value not in known:
        errors.unsupported(path, value, known)


def _seconds(errors: Errors, path: str, value: Any, default: float | None) -> float | None:
    if value is None:
        errors.required(path)
        return default
    text = str(value)
    try:
        return -duration(text[1:]) if text.startswith("-") else duration(text)
    except argparse.ArgumentTypeError as error:
        errors.invalid(path, text, str(error))
        return default


def _connection(errors: Errors, path: str, found: Any) -> Path:
    given = config_files.fields(errors, path, found, ("type", "kubeConfigFile"))
    kind, file = given.get("type") or "", given.get("kubeConfigFile")
    if kind == _IN_CLUSTER:
        if file is not None:
            errors.invalid(f"{path}.kubeConfigFile", file, "can only be set when type=KubeConfigFile")
        errors.invalid(f"{path}.type", kind, "this server is no pod; name a kubeconfig")
        return Path()
    _one_of(errors, f"{path}.type", kind, (_IN_CLUSTER, _FILE))
    if kind != _FILE:
        return Path()
    where = f"{path}.kubeConfigFile"
    if not file or not isinstance(file, str):
        errors.required(where)
        return Path()
    if not os.path.isabs(file):
        errors.invalid(where, file, "must be an absolute path")
    elif not os.path.exists(file):
        errors.invalid(where, file, f"error loading file: stat {file}: no such file or directory")
    elif not os.path.isfile(file):
        errors.invalid(where, file, "must be a regular file")
    return Path(file)


def _conditions(errors: Errors, path: str, given: Object) -> tuple[Program, ...]:
    conditions = config_files.items(errors, f"{path}.matchConditions", given.get("matchConditions"))
    version = given.get("matchConditionSubjectAccessReviewVersion") or ""
    where = f"{path}.matchConditionSubjectAccessReviewVersion"
    if version and version != "v1":
        errors.unsupported(where, version, ("v1",))
    if conditions and not version:
        errors.required(where, "required if match conditions are specified")
    if len(conditions) > MAX_CONDITIONS:
        errors.too_many(f"{path}.matchConditions", len(conditions), MAX_CONDITIONS)
        return ()
    found: dict[str, Program] = {}
    for number, one in enumerate(conditions):
        at = f"{path}.matchConditions[{number}]"
        text = config_files.text(
            errors, f"{at}.expression", config_files.fields(errors, at, one, ("expression",)).get("expression")
        )
        if not text.strip():
            errors.required(f"{at}.expression")
        elif text in found:
            errors.duplicate(f"{at}.expression", text)
        else:
            try:
                found[text] = condition(text)
            except ExpressionError as error:
                errors.invalid(f"{at}.expression", text, str(error))
    return tuple(found.values())
