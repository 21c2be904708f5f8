"""ServiceAccount: every pod runs as a service account of its namespace and gets its token mounted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from kybern.api.cells import at
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.noderefs import pod_refs
from kybern.apiserver.tokens import PROJECTED_SECONDS
from kybern.process.clock import name_suffix

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
DEFAULT_ATTEMPTS, DEFAULT_WAIT = 20, 0.05
"""How often, and how many seconds apart, a missing default account is looked for."""
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_CONTAINERS = (("initContainers", "init container"), ("containers", "container"))
_DEBUGGERS = (("ephemeralContainers", "ephemeral container"),)


class ServiceAccount(Plugin):
    """Fills in spec.serviceAccountName, the token volume and its mounts, and imagePullSecrets."""

    name = "ServiceAccount"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._registry = app.registry
        self._accounts = app.registry.lister("", "serviceaccounts")

    async def admit(self, a: Attributes) -> None:
        pod = a.object
        if pod is None or a.operation != CREATE or a.subresource or _is_mirror(pod):
            return
        spec = pod["spec"]
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(a, name)
        if _automounts(account, spec):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    async def validate(self, a: Attributes) -> None:
        """What the pod names for itself, or a webhook for it, must be right too."""
        pod = a.object
        adds_debugger = a.operation == UPDATE and a.subresource == "ephemeralcontainers"
        if pod is None or not (adds_debugger or (a.operation == CREATE and not a.subresource)):
            return
        if _is_mirror(pod):
            if not adds_debugger:
                _check_mirror(a, pod)
            return
        name = pod["spec"].get("serviceAccountName")
        if not name:
            raise a.forbidden(f"no service account specified for pod {a.namespace}/{a.name}")
        account = await self._account(a, name)
        if (account["metadata"].get("annotations") or {}).get(_ENFORCE) in _TRUE:
            check_secrets(a, pod["spec"], account, debuggers_only=adds_debugger)

    async def _account(self, a: Attributes, name: str) -> Object:
        """The account. The default one of a namespace that was just made may be on its way, so it is waited for. Raises
        Forbidden."""
        for left in range(DEFAULT_ATTEMPTS if name == "default" else 1, 0, -1):
            account = self._accounts.get(a.namespace, name)
            if account is not None:
                return account
            if left > 1:
                await asyncio.sleep(DEFAULT_WAIT)
        resource = self._registry.scheme.resource("", "serviceaccounts")
        if resource is not None:
            # Another server may have made it a moment ago: the store knows.
            with contextlib.suppress(NotFound):
                return await self._registry.get(resource, a.namespace, name)
        raise a.forbidden(f'error looking up service account {a.namespace}/{name}: serviceaccount "{name}" not found')


def _is_mirror(pod: Object) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or {})


def _automounts(account: Object, spec: Object) -> bool:
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    return wanted is not False


def _check_mirror(a: Attributes, pod: Object) -> None:
    """A mirror pod only shows a pod that runs already: it can't be given an identity or secrets."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        raise a.forbidden("a mirror pod may not reference service accounts")
    plain = {**pod, "metadata": {**pod["metadata"], "annotations": {}, "namespace": a.namespace}}
    if any(kind == "secrets" for kind, _, _ in pod_refs(plain)):
        raise a.forbidden("a mirror pod may not reference secrets")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                raise a.forbidden("a mirror pod may not use ServiceAccountToken volume projections")


def _mount_token(spec: Object) -> None:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    wanting = [c for c in containers if not any(m.get("mountPath") == MOUNT_PATH for m in c.get("volumeMounts") or ())]
    if not wanting:
        return
    volumes = spec.setdefault("volumes", [])
    name = _token_volume(volumes)
    if not name:
        taken = {volume.get("name") for volume in volumes}
        name = f"kube-api-access-{name_suffix()}"
        while name in taken:
            name = f"kube-api-access-{name_suffix()}"
        volumes.append({"name": name, "projected": _projection()})
    for container in wanting:
        mounts = container.setdefault("volumeMounts", [])
        mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})


def _token_volume(volumes: list[Object]) -> str:
    """The pod's own volume of that kind, if it came with one."""
    for volume in volumes:
        if (volume.get("name") or "").startswith("kube-api-access-") and volume.get("projected"):
            return str(volume["name"])
    return ""


def _projection() -> Object:
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": PROJECTED_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {
                "downwardAPI": {
                    "items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
                    ]
                }
            },
        ],
        "defaultMode": 0o644,
    }


def check_secrets(a: Attributes, spec: Object, account: Object, *, debuggers_only: bool) -> None:
    """With the enforcing annotation a pod may use only the secrets that its account lists. Raises Forbidden."""
    name = account["metadata"]["name"]
    listed = {ref.get("name") for ref in account.get("secrets") or ()}
    because = f"is not allowed because service account {name} does not reference that"
    for volume in () if debuggers_only else spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret and secret not in listed:
            raise a.forbidden(f'volume with secret.secretName="{secret}" {because} secret')
    for field, kind in _DEBUGGERS if debuggers_only else _CONTAINERS:
        for container in spec.get(field) or ():
            for how, secret in _env_secrets(container):
                if secret not in listed:
                    said = f'{kind} {container["name"]} with {how} referencing secret.secretName="{secret}"'
                    raise a.forbidden(f"{said} {because} secret")
    pulls = {ref.get("name") for ref in account.get("imagePullSecrets") or ()}
    for index, ref in enumerate(() if debuggers_only else spec.get("imagePullSecrets") or ()):
        if ref.get("name") not in pulls:
            raise a.forbidden(f'imagePullSecrets[{index}].name="{ref.get("name", "")}" {because} imagePullSecret')


def _env_secrets(container: Object) -> Iterator[tuple[str, str]]:
    """The secrets that a container's environment comes from, and by what."""
    for env in container.get("env") or ():
        if secret := at(env, "valueFrom", "secretKeyRef", "name"):
            yield f"envVar {env['name']}", secret
    for source in container.get("envFrom") or ():
        if secret := at(source, "secretRef", "name"):
            yield "envFrom", secret
