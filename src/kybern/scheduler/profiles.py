"""Profiles: which plugins run, in which order, with which weights. Read from a KubeSchedulerConfiguration v1.

Source: https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from kybern.api.types import Object
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration
from kybern.scheduler import framework as fw
from kybern.scheduler.plugins import discover
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.queue import INITIAL_BACKOFF, MAX_BACKOFF

DEFAULT_SCHEDULER = "default-scheduler"

DEFAULT_PLUGINS: dict[str, int] = {
    "SchedulingGates": 0,
    "PrioritySort": 0,
    "NodeUnschedulable": 0,
    "NodeName": 0,
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodePorts": 0,
    "NodeResourcesFit": 1,
    "DefaultPreemption": 0,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
    "DefaultBinder": 0,
}
"""Name -> score weight, in running order."""

POINTS: dict[str, type] = {
    "queueSort": fw.QueueSort,
    "preEnqueue": fw.PreEnqueue,
    "preFilter": fw.PreFilter,
    "filter": fw.Filter,
    "postFilter": fw.PostFilter,
    "preScore": fw.PreScore,
    "score": fw.Score,
    "reserve": fw.Reserve,
    "permit": fw.Permit,
    "preBind": fw.PreBind,
    "bind": fw.Bind,
    "postBind": fw.PostBind,
}
"""Extension points in the order a pod passes them."""


class Profile:
    """The plugins that schedule pods of one schedulerName, sorted by extension point."""

    def __init__(self, name: str, plugins: Mapping[str, fw.Plugin], points: Mapping[str, Mapping[str, int]]) -> None:
        self.name = name
        self.plugins = plugins
        self.queue_sort: fw.QueueSort = self._at(points, "queueSort")[0]
        self.pre_enqueue: list[fw.PreEnqueue] = self._at(points, "preEnqueue")
        self.pre_filters: list[fw.PreFilter] = self._at(points, "preFilter")
        self.filters: list[fw.Filter] = self._at(points, "filter")
        self.post_filters: list[fw.PostFilter] = self._at(points, "postFilter")
        self.pre_scores: list[fw.PreScore] = self._at(points, "preScore")
        self.scores = [(plugins[name], weight) for name, weight in points["score"].items()]
        self.reserves: list[fw.Reserve] = self._at(points, "reserve")
        self.permits: list[fw.Permit] = self._at(points, "permit")
        self.pre_binds: list[fw.PreBind] = self._at(points, "preBind")
        self.binds: list[fw.Bind] = self._at(points, "bind")
        self.post_binds: list[fw.PostBind] = self._at(points, "postBind")
        self.hints = self._hints(name for point in points.values() for name in point)

    def _at(self, points: Mapping[str, Mapping[str, int]], point: str) -> list[Any]:
        return [self.plugins[name] for name in points[point]]

    def _hints(self, enabled: Iterable[str]) -> dict[fw.ClusterEvent, dict[str, fw.Hint | None]]:
        hints: dict[fw.ClusterEvent, dict[str, fw.Hint | None]] = {}
        for name in dict.fromkeys(enabled):
            for event, hint in self.plugins[name].events.items():
                hints.setdefault(event, {})[name] = hint
        return hints

    def sign(self, pod: PodInfo) -> Hashable | None:
        """Equal for pods that every plugin treats alike; None if a plugin can't tell."""
        signs = tuple(plugin.sign(pod) for plugin in self.plugins.values())
        return None if None in signs else (self.name, signs)


LEASE = {"name": "kube-scheduler", "namespace": "kube-system"}
_LEASE_FIELDS = {
    "resourceName": "name",
    "resourceNamespace": "namespace",
    "leaseDuration": "lease_duration",
    "renewDeadline": "renew_deadline",
    "retryPeriod": "retry_period",
}
"""Field of leaderElection -> argument of LeaderElector."""


@dataclass(slots=True)
class Configuration:
    """A whole KubeSchedulerConfiguration, as far as it is known here."""

    profiles: list[Object] = field(default_factory=lambda: [{}])
    kubeconfig: str = ""
    leader_elect: bool | None = None
    lease: dict[str, Any] = field(default_factory=lambda: dict(LEASE))
    """Arguments for the LeaderElector: name, namespace, and durations in seconds where given."""
    initial_backoff: float = INITIAL_BACKOFF
    max_backoff: float = MAX_BACKOFF


_UNKNOWN = "{path}: field {name} is not supported; remove it"


def load(path: str) -> Configuration:
    """Read a configuration file. Raises OperatorError naming the field that is wrong."""
    try:
        data = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OperatorError(f"can't read --config {path}: {' '.join(str(error).split())}") from error
    return parse(data, path)


def parse(data: Any, path: str = "configuration") -> Configuration:
    """A decoded configuration file. Raises OperatorError."""
    wanted = ("kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration")
    if not isinstance(data, dict) or (data.get("apiVersion"), data.get("kind")) != wanted:
        raise OperatorError(f"{path}: expected apiVersion {wanted[0]}, kind {wanted[1]}")
    _only(data, path, "apiVersion", "kind", "profiles", "clientConnection", "leaderElection",
          "percentageOfNodesToScore", "podInitialBackoffSeconds", "podMaxBackoffSeconds")  # fmt: skip
    _check_percentage(data, path)
    connection, election = data.get("clientConnection") or {}, data.get("leaderElection") or {}
    _only(connection, f"{path}: clientConnection", "kubeconfig")
    _only(election, f"{path}: leaderElection", "leaderElect", "resourceLock", *_LEASE_FIELDS)
    if election.get("resourceLock") not in (None, "leases"):
        raise OperatorError(f"{path}: leaderElection.resourceLock can only be leases")
    return Configuration(
        profiles=_entries(data.get("profiles"), f"{path}: profiles") or [{}],
        kubeconfig=connection.get("kubeconfig", ""),
        leader_elect=election.get("leaderElect"),
        lease={**LEASE, **_lease(election, path)},
        initial_backoff=_number(data, "podInitialBackoffSeconds", INITIAL_BACKOFF, path),
        max_backoff=_number(data, "podMaxBackoffSeconds", MAX_BACKOFF, path),
    )


def _number(data: Object, name: str, default: float, path: str) -> float:
    try:
        return float(data.get(name) or default)
    except (TypeError, ValueError) as error:
        raise OperatorError(f"{path}: {name}: {data[name]!r} is not a number") from error


def _lease(election: Object, path: str) -> dict[str, Any]:
    lease = {argument: election[name] for name, argument in _LEASE_FIELDS.items() if election.get(name)}
    for name in lease.keys() - LEASE.keys():
        try:
            lease[name] = duration(lease[name])
        except (ArgumentTypeError, TypeError) as error:
            raise OperatorError(f"{path}: leaderElection: {error}") from error
    return lease


def _check_percentage(data: Object, where: str) -> None:
    if data.get("percentageOfNodesToScore") not in (None, 0, 100):
        raise OperatorError(f"{where}: percentageOfNodesToScore can only be 100: every node is always scored")


def build(configuration: Configuration, handle: fw.Handle) -> dict[str, Profile]:
    """Scheduler name -> profile. Raises OperatorError."""
    classes = discover()
    profiles: dict[str, Profile] = {}
    for data in configuration.profiles:
        name = data.get("schedulerName") or DEFAULT_SCHEDULER
        where = f"profile {name}"
        if name in profiles:
            raise OperatorError(f"{where} is configured twice")
        _only(data, where, "schedulerName", "plugins", "pluginConfig", "percentageOfNodesToScore")
        _check_percentage(data, where)
        points = _points(data.get("plugins") or {}, classes, where)
        configured = _entries(data.get("pluginConfig"), f"{where}: pluginConfig")
        arguments = {entry.get("name", ""): entry.get("args") or {} for entry in configured}
        enabled = dict.fromkeys(name for point in points.values() for name in point)
        if strangers := arguments.keys() - classes.keys():
            raise OperatorError(f"{where}: pluginConfig names unknown plugin {min(map(str, strangers))}")
        for plugin, given in arguments.items():
            _check_section(given, f"{where}: args of {plugin}")
        plugins = {plugin: classes[plugin](handle, arguments.get(plugin, {})) for plugin in enabled}
        if len(points["queueSort"]) != 1:
            raise OperatorError(f"{where}: exactly one queueSort plugin must be enabled")
        if not points["bind"]:
            raise OperatorError(f"{where}: at least one bind plugin must be enabled")
        profiles[name] = Profile(name, plugins, points)
    return profiles


def _points(data: Object, classes: Mapping[str, type[fw.Plugin]], where: str) -> dict[str, dict[str, int]]:
    """Extension point -> plugin -> weight, in running order."""
    _only(data, f"{where}: plugins", "multiPoint", *POINTS)
    everywhere = _changed(DEFAULT_PLUGINS, data.get("multiPoint") or {}, classes, f"{where}: plugins.multiPoint")
    return {
        point: _changed(
            {name: weight for name, weight in everywhere.items() if _implements(classes[name], protocol)},
            data.get(point) or {},
            classes,
            f"{where}: plugins.{point}",
            protocol,
        )
        for point, protocol in POINTS.items()
    }


def _changed(
    base: Mapping[str, int],
    change: Object,
    classes: Mapping[str, type[fw.Plugin]],
    where: str,
    protocol: type | None = None,
) -> dict[str, int]:
    _only(change, where, "enabled", "disabled")
    disabled = {entry.get("name", "") for entry in _entries(change.get("disabled"), f"{where}.disabled")}
    result = {} if "*" in disabled else {name: weight for name, weight in base.items() if name not in disabled}
    for entry in _entries(change.get("enabled"), f"{where}.enabled"):
        name = entry.get("name", "")
        if name not in classes:
            raise OperatorError(f"{where}: unknown plugin {name}; there are {', '.join(sorted(classes))}")
        if protocol and not _implements(classes[name], protocol):
            raise OperatorError(f"{where}: plugin {name} does not implement this extension point")
        result[name] = int(_number(entry, "weight", base.get(name) or 1, where))
    return result


def _implements(cls: type[fw.Plugin], protocol: type) -> bool:
    return all(hasattr(cls, method) for method in vars(protocol) if not method.startswith("_"))


def _entries(data: Any, where: str) -> list[Object]:
    if not isinstance(data or [], list):
        raise OperatorError(f"{where} is not a list")
    for entry in data or ():
        _check_section(entry, f"an entry of {where}")
    return data or []


def _check_section(data: Any, where: str) -> None:
    if not isinstance(data, dict):
        raise OperatorError(f"{where} should have fields, but is {data!r}")


def _only(data: Mapping[str, Any], where: str, *known: str) -> None:
    _check_section(data, where)
    if unknown := sorted(data.keys() - set(known)):
        raise OperatorError(_UNKNOWN.format(path=where, name=unknown[0]))
