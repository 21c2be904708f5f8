"""The file of --admission-control-config-file: configurations of plugins, by their names.

A plugin asks for its own with `of`. Source: API reference, AdmissionConfiguration (apiserver.config.k8s.io/v1).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.process.daemon import OperatorError

KIND, VERSIONS = "AdmissionConfiguration", ("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1")
SERVICE = "admission_configuration"
"""Where App.services has them."""
_FLAG = "--admission-control-config-file"


def load(path: Path) -> Mapping[str, Object]:
    """Each plugin's configuration. A path in it counts from the file's own directory. Raises OperatorError."""
    document = read(path, _FLAG)
    if document.get("kind") != KIND or document.get("apiVersion") not in VERSIONS:
        raise OperatorError(f"{_FLAG} {path}: it must be of kind {KIND} in {VERSIONS[0]}")
    found: dict[str, Object] = {}
    for number, plugin in enumerate(document.get("plugins") or ()):
        if not isinstance(plugin, dict) or not isinstance(plugin.get("name"), str):
            raise OperatorError(f"{_FLAG} {path}: plugins[{number}] has no name")
        if unknown := plugin.keys() - {"name", "path", "configuration"}:
            raise OperatorError(f"{_FLAG} {path}: plugins[{number}] has the unknown field {sorted(unknown)[0]}")
        configuration = plugin.get("configuration")
        if configuration is None and plugin.get("path"):
            configuration = read(path.parent / plugin["path"], f"{_FLAG} {path}: {plugin['name']}:")
        if configuration is not None and not isinstance(configuration, dict):
            raise OperatorError(f"{_FLAG} {path}: plugins[{number}].configuration must be a map")
        if configuration:
            found.setdefault(plugin["name"], configuration)
    return found


def read(path: Path, said: str) -> Object:
    """A YAML file of one map; `said` begins what is wrong with it. Raises OperatorError."""
    import yaml

    try:
        document: Any = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{said} can't read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise OperatorError(f"{said} {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise OperatorError(f"{said} {path} must hold a map")
    return document


def of(app: App, plugin: str, kind: str = "", versions: tuple[str, ...] = ()) -> Object | None:
    """The plugin's configuration, None without one. `kind` and `versions` are what it may be. Raises OperatorError."""
    found: Object | None = app.services.get(SERVICE, {}).get(plugin)
    if found is None or not kind:
        return found
    if found.get("kind") != kind or found.get("apiVersion") not in versions:
        has = f"{found.get('kind')} in {found.get('apiVersion')}"
        raise OperatorError(f"{_FLAG}: the configuration of {plugin} is {has}, but must be {kind} in {versions[0]}")
    return found
