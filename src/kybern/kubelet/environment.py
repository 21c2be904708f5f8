"""A container's environment: literals, references, whole ConfigMaps and Secrets, and the services of its namespace."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Iterable, Mapping
from typing import Protocol

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.kubelet import downward

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\)|.|$)", re.DOTALL)


class ConfigError(Exception):
    """A container can't be configured (CreateContainerConfigError); the message is upstream's."""


class ObjectSource(Protocol):
    """Where ConfigMaps and Secrets come from. Both raise NotFound."""

    def config_map(self, namespace: str, name: str) -> Awaitable[Object]: ...

    def secret(self, namespace: str, name: str) -> Awaitable[Object]: ...


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; `$$` is a dollar, and what is not known stays as it is."""

    def replacement(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        if match[2] is None:
            return match[0]
        return values.get(match[2], match[0])

    return _REFERENCE.sub(replacement, text) if "$" in text else text


def expand_all(texts: Iterable[str], values: Mapping[str, str]) -> list[str]:
    """For command and args."""
    return [expand(text, values) for text in texts]


def service_variables(services: Iterable[Object]) -> dict[str, str]:
    """`NAME_SERVICE_HOST`, `NAME_SERVICE_PORT` and the older link-style variables of services with a cluster IP."""
    result: dict[str, str] = {}
    for service in services:
        spec, ports = service["spec"], service["spec"].get("ports") or []
        ip = spec.get("clusterIP") or "None"
        if ip == "None" or not ports:
            continue
        prefix = _variable(service["metadata"]["name"])
        result[f"{prefix}_SERVICE_HOST"] = ip
        result[f"{prefix}_SERVICE_PORT"] = str(ports[0]["port"])
        for port in ports:
            if port.get("name"):
                result[f"{prefix}_SERVICE_PORT_{_variable(port['name'])}"] = str(port["port"])
        host = f"[{ip}]" if ":" in ip else ip
        for index, port in enumerate(ports):
            protocol = (port.get("protocol") or "TCP").upper()
            url = f"{protocol.lower()}://{host}:{port['port']}"
            if index == 0:
                result[f"{prefix}_PORT"] = url
            stem = f"{prefix}_PORT_{port['port']}_{protocol}"
            result |= {stem: url, f"{stem}_PROTO": protocol.lower()}
            result |= {f"{stem}_PORT": str(port["port"]), f"{stem}_ADDR": ip}
    return result


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()


def visible_services(services: Iterable[Object], namespace: str, links: bool) -> list[Object]:
    """The services a pod gets variables for: `kubernetes` of namespace default, and with `links` its namespace's."""
    chosen: dict[str, Object] = {}
    for service in services:
        meta = service["metadata"]
        if meta["namespace"] == "default" and meta["name"] == "kubernetes":
            chosen.setdefault("kubernetes", service)
        if links and meta["namespace"] == namespace:
            chosen[meta["name"]] = service
    return [chosen[name] for name in sorted(chosen)]


class Environment:
    """Builds one container's variables; `build` gives them in order."""

    def __init__(
        self,
        pod: Object,
        container: Object,
        objects: ObjectSource,
        *,
        services: Mapping[str, str],
        ips: tuple[str, ...],
        host_ips: tuple[str, ...],
        allocatable: Mapping[str, str],
    ) -> None:
        self.pod, self.container, self.objects = pod, container, objects
        self.services, self.allocatable = dict(services), allocatable
        self.ips, self.host_ips = ips, host_ips
        self.namespace: str = pod["metadata"]["namespace"]

    async def build(self) -> dict[str, str]:
        """Raises ConfigError."""
        result: dict[str, str] = {}
        for source in self.container.get("envFrom") or []:
            result |= await self._whole(source)
        for variable in self.container.get("env") or []:
            value = await self._value(variable, {**self.services, **result})
            if value is not None:
                result.pop(variable["name"], None)
                result[variable["name"]] = value
        return {**result, **{name: value for name, value in self.services.items() if name not in result}}

    async def _whole(self, source: Object) -> dict[str, str]:
        prefix = source.get("prefix") or ""
        if reference := source.get("configMapRef"):
            entries = await self._config_map(reference)
        elif reference := source.get("secretRef"):
            entries = await self._secret(reference)
        else:
            return {}
        return {prefix + key: value for key, value in sorted((entries or {}).items()) if "=" not in prefix + key}

    async def _value(self, variable: Object, known: Mapping[str, str]) -> str | None:
        """None if the variable is optional and its source isn't there."""
        source = variable.get("valueFrom")
        if not source:
            return expand(variable.get("value") or "", known)
        try:
            if reference := source.get("fieldRef"):
                return downward.field(self.pod, reference["fieldPath"], ips=self.ips, host_ips=self.host_ips)
            if reference := source.get("resourceFieldRef"):
                return downward.resource(self.pod, reference, self.container["name"], self.allocatable)
        except downward.Unknown as error:
            raise ConfigError(str(error)) from error
        if reference := source.get("configMapKeyRef"):
            return self._key(await self._config_map(reference), reference, "ConfigMap")
        if reference := source.get("secretKeyRef"):
            return self._key(await self._secret(reference), reference, "Secret")
        return None

    def _key(self, entries: dict[str, str] | None, reference: Object, kind: str) -> str | None:
        key = reference["key"]
        if entries is not None and key in entries:
            return entries[key]
        if reference.get("optional"):
            return None
        raise ConfigError(f"couldn't find key {key} in {kind} {self.namespace}/{reference['name']}")

    async def _config_map(self, reference: Object) -> dict[str, str] | None:
        try:
            found = await self.objects.config_map(self.namespace, reference["name"])
        except NotFound as error:
            return self._missing(reference, error)
        return dict(found.get("data") or {})

    async def _secret(self, reference: Object) -> dict[str, str] | None:
        try:
            found = await self.objects.secret(self.namespace, reference["name"])
        except NotFound as error:
            return self._missing(reference, error)
        data = found.get("data") or {}
        return {key: base64.b64decode(value).decode("utf-8", "replace") for key, value in data.items()}

    @staticmethod
    def _missing(reference: Object, error: NotFound) -> None:
        if not reference.get("optional"):
            raise ConfigError(error.message.replace("configmaps ", "configmap ").replace("secrets ", "secret "))
