"""The file of --encryption-provider-config: read, checked, and made into ciphers.

Source: API reference, EncryptionConfiguration (apiserver.config.k8s.io/v1); messages are upstream's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.flags import seconds
from kybern.process.daemon import OperatorError
from kybern.store.encryption import PLAIN, AesCbc, AesGcm, Cipher, Prefixed, Secretbox

KIND, VERSION = "EncryptionConfiguration", "apiserver.config.k8s.io/v1"
AES_SIZES, BOX_SIZES = (16, 24, 32), (32,)
KMS_SECONDS = 3.0
WITHOUT_API = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")

Kind = tuple[str, str]
"""Group and plural of a resource; either may be `*`."""
EVERYTHING: Kind = ("*", "*")
_LOCAL: Mapping[str, tuple[Callable[[bytes], Cipher], tuple[int, ...], str]] = {
    "aesgcm": (AesGcm, AES_SIZES, "AES"),
    "aescbc": (AesCbc, AES_SIZES, "AES"),
    "secretbox": (Secretbox, BOX_SIZES, "Secretbox"),
}


@dataclass(slots=True, frozen=True)
class Kms:
    """A KMS provider as the file has it; `timeout` in seconds."""

    name: str
    endpoint: str
    timeout: float


@dataclass(slots=True)
class Configuration:
    """Which resources are encrypted by what: for each the ciphers with their prefixes, or a KMS provider in place of
    one."""

    ciphers: dict[Kind, list[tuple[bytes, Cipher] | Kms]] = field(default_factory=dict)
    providers: list[Kms] = field(default_factory=list)

    def finished(self, made: Mapping[str, tuple[bytes, Cipher]]) -> Callable[[Kind], Cipher]:
        """What names a resource's cipher. `made` has those of KMS providers, by name."""
        whole = {
            kind: Prefixed([made[part.name] if isinstance(part, Kms) else part for part in parts])
            for kind, parts in self.ciphers.items()
        }

        def cipher_of(kind: Kind) -> Cipher:
            return whole.get(kind) or whole.get((kind[0], "*")) or whole.get(EVERYTHING) or PLAIN

        return cipher_of


def load(path: Path) -> Configuration:
    """Raises OperatorError."""
    import yaml

    try:
        content = path.read_bytes()
    except OSError as error:
        raise OperatorError(
            f'error opening encryption provider configuration file "{path}": {error.strerror}'
        ) from error
    if not content.strip():
        raise OperatorError(f'encryption provider configuration file "{path}" is empty')
    try:
        return parse(yaml.safe_load(content))
    except yaml.YAMLError as error:
        raise OperatorError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise OperatorError(f"{path}: {error}") from error


def parse(document: Any) -> Configuration:
    """Of the decoded file. Raises ValueError, which names all that is wrong but shows no secret."""
    if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (VERSION, KIND):
        raise ValueError(f"it must be of kind {KIND} in {VERSION}")
    errors = Errors()
    _known(errors, "", document, ("apiVersion", "kind", "resources"))
    configuration = Configuration()
    resources = _list(errors, "resources", document)
    if not resources and not errors:
        errors.required("resources", "at least one resources is required")
    for number, entry in enumerate(resources):
        path = f"resources[{number}]"
        _known(errors, f"{path}.", entry, ("resources", "providers"))
        kinds = _kinds(errors, f"{path}.resources", _list(errors, f"{path}.resources", entry))
        parts: list[tuple[bytes, Cipher] | Kms] = []
        providers = _list(errors, f"{path}.providers", entry)
        if not providers:
            errors.required(f"{path}.providers", f"at least one {path}.providers is required")
        for at, provider in enumerate(providers):
            part = _provider(errors, f"{path}.providers[{at}]", provider, configuration)
            if part is not None:
                parts.append(part)
        for kind in kinds:
            # What an earlier entry covers with a wildcard stays with that entry.
            if not {(kind[0], "*"), EVERYTHING} & configuration.ciphers.keys():
                configuration.ciphers.setdefault(kind, []).extend(parts)
    if errors:
        raise ValueError("; ".join(map(str, errors)))
    return configuration


def _known(errors: Errors, path: str, found: Any, names: Sequence[str]) -> None:
    if not isinstance(found, dict):
        errors.invalid(path.rstrip("."), type(found).__name__, "must be a map")
        return
    for name in found:
        if name not in names:
            errors.invalid(f"{path}{name}", "REDACTED", "unknown field")


def _list(errors: Errors, path: str, found: Any) -> list[Any]:
    value = found.get(path.rpartition(".")[2]) if isinstance(found, dict) else None
    if value is not None and not isinstance(value, list):
        errors.invalid(path, type(value).__name__, "must be a list")
        return []
    return value or []


def _kinds(errors: Errors, path: str, names: Sequence[Any]) -> list[Kind]:
    if not names:
        errors.required(path, f"at least one {path} is required")
    kinds: list[Kind] = []
    for number, name in enumerate(names):
        plural, _, group = str(name).partition(".")
        if problem := _problem_of(str(name), plural, group):
            errors.invalid(f"{path}[{number}]", name, problem)
        kinds.append((group, plural))
    if len(set(kinds)) < len(kinds):
        errors.invalid(path, list(names), "the same resource cannot be specified multiple times")
    distinct = set(kinds)
    wide = {group for group, plural in distinct if plural == "*"}
    if (EVERYTHING in distinct and len(distinct) > 1) or any(p != "*" and group in wide for group, p in distinct):
        errors.invalid(
            path,
            list(names),
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they "
            "will be masked",
        )
    return kinds


def _problem_of(name: str, plural: str, group: str) -> str:
    if name.lower() != name:
        return "resource name should not contain capital letters"
    if name == "*":
        return "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
    if name in WITHOUT_API:
        return "resources which do not have REST API/s cannot be encrypted"
    if group == "events.k8s.io":
        return (
            "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the "
            "config file"
        )
    if group == "extensions":
        return "'extensions' group has been removed and cannot be used for encryption"
    if group == "*" and plural != "*":
        return "encrypting the same resource across groups is not supported"
    return ""


def _provider(
    errors: Errors, path: str, provider: Any, configuration: Configuration
) -> tuple[bytes, Cipher] | Kms | None:
    names = (*_LOCAL, "identity", "kms")
    _known(errors, f"{path}.", provider, names)
    given = [name for name in names if isinstance(provider, dict) and provider.get(name) is not None]
    if len(given) != 1:
        errors.invalid(
            path,
            given,
            "more than one provider specified in a single element, should split into different list elements"
            if given
            else "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity",
        )
        return None
    name = given[0]
    if name == "identity":
        return b"", PLAIN
    if name == "kms":
        return _kms(errors, f"{path}.kms", provider["kms"], configuration)
    make, sizes, called = _LOCAL[name]
    _known(errors, f"{path}.{name}.", provider[name], ("keys",))
    keys = _keys(errors, f"{path}.{name}.keys", _list(errors, f"{path}.{name}.keys", provider[name]), sizes)
    if not keys:
        return None
    ciphers = [(f"{key_name}:".encode(), make(key)) for key_name, key in keys]
    otherwise = f"no matching key was found for the provided {called} transformer"
    return f"k8s:enc:{name}:v1:".encode(), Prefixed(ciphers, otherwise)


def _keys(errors: Errors, path: str, keys: Sequence[Any], sizes: Sequence[int]) -> list[tuple[str, bytes]]:
    """Names and secrets of the keys that are well."""
    if not keys:
        errors.required(path, "at least one keys is required")
    found = []
    for number, key in enumerate(keys):
        here = f"{path}[{number}]"
        _known(errors, f"{here}.", key, ("name", "secret"))
        given: Object = key if isinstance(key, dict) else {}
        if not given.get("name"):
            errors.required(f"{here}.name", "name is a mandatory field for a key")
        if not given.get("secret"):
            errors.required(f"{here}.secret", "secret is a mandatory field for a key")
            continue
        try:
            secret = base64.b64decode(str(given["secret"]), validate=True)
        except (binascii.Error, ValueError):
            errors.invalid(f"{here}.secret", "REDACTED", "secrets must be base64 encoded")
            continue
        if len(secret) not in sizes:
            expected = " ".join(map(str, sizes))
            errors.invalid(
                f"{here}.secret",
                "REDACTED",
                f"secret is not of the expected length, got {len(secret)}, expected one of [{expected}]",
            )
            continue
        found.append((str(given.get("name")), secret))
    return found


def _kms(errors: Errors, path: str, given: Any, configuration: Configuration) -> Kms | None:
    _known(errors, f"{path}.", given, ("apiVersion", "name", "endpoint", "timeout", "cachesize"))
    if not isinstance(given, dict):
        return None
    count = len(errors)
    name, endpoint, version = str(given.get("name") or ""), str(given.get("endpoint") or ""), given.get("apiVersion")
    if version in (None, "", "v1"):
        errors.forbidden(
            f"{path}.apiVersion",
            "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.",
        )
    elif version != "v2":
        errors.invalid(
            f"{path}.apiVersion",
            version,
            "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported",
        )
    elif given.get("cachesize") is not None:
        errors.invalid(f"{path}.cachesize", given["cachesize"], "cachesize is not supported in v2")
    if not name:
        errors.required(f"{path}.name", "name is a mandatory field for a provider")
    if ":" in name:
        errors.invalid(f"{path}.name", name, f"invalid KMS provider name {name}, must not contain ':'")
    if any(name == other.name for other in configuration.providers):
        errors.invalid(f"{path}.name", name, f"duplicate KMS provider name {name}, names must be unique")
    if not endpoint:
        errors.invalid(f"{path}.endpoint", "", "endpoint is a mandatory field for a kms")
    elif (scheme := urlsplit(endpoint).scheme) != "unix":
        errors.invalid(
            f"{path}.endpoint", endpoint, f'unsupported scheme "{scheme}" for KMS provider, only unix is supported'
        )
    timeout = KMS_SECONDS
    if given.get("timeout") is not None:
        try:
            timeout = seconds(f"{path}.timeout", str(given["timeout"]))
        except OperatorError as error:
            errors.invalid(f"{path}.timeout", given["timeout"], str(error))
        if timeout <= 0:
            errors.invalid(f"{path}.timeout", given["timeout"], "timeout should be a positive value")
    if len(errors) > count:
        return None
    made = Kms(name, endpoint, timeout)
    configuration.providers.append(made)
    return made
