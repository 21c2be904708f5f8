"""ServiceAccount: every pod runs as a service account of its namespace and gets its token mounted."""

from __future__ import annotations

import asyncio

from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.tokens import PROJECTED_SECONDS
from kybern.process.clock import name_suffix

MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
DEFAULT_ATTEMPTS, DEFAULT_WAIT = 20, 0.05
"""How often, and how many seconds apart, a missing default account is looked for."""
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"


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
        if pod is None or a.operation != CREATE or a.subresource:
            return
        spec = pod["spec"]
        if _MIRROR in (pod["metadata"].get("annotations") or {}):
            _check_mirror(a, spec)
            return
        name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
        spec["serviceAccountName"] = spec["serviceAccount"] = name
        account = await self._account(a.namespace, name)
        if account is None:
            raise a.forbidden(
                f"error looking up service account {a.namespace}/{name}: serviceaccount {_quoted(name)} not found"
            )
        if _automounts(account, spec):
            _mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]

    async def _account(self, namespace: str, name: str) -> Object | None:
        """The account; the default one of a namespace that was just made may be on its way, so it is waited for."""
        account = self._accounts.get(namespace, name)
        for _ in range(DEFAULT_ATTEMPTS if name == "default" else 0):
            if account is not None:
                break
            await asyncio.sleep(DEFAULT_WAIT)
            account = self._accounts.get(namespace, name)
        return account

    async def validate(self, a: Attributes) -> None:
        pod = a.object
        if pod is None or a.operation != CREATE or a.subresource:
            return
        if _MIRROR in (pod["metadata"].get("annotations") or {}):
            return
        spec = pod["spec"]
        account = self._accounts.get(a.namespace, spec.get("serviceAccountName", ""))
        if account and (account["metadata"].get("annotations") or {}).get(_ENFORCE) == "true":
            _check_secrets(a, spec, account)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _automounts(account: Object, spec: Object) -> bool:
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    return wanted is not False


def _check_mirror(a: Attributes, spec: Object) -> None:
    """A mirror pod only shows a pod that runs already: it can't be given an identity or secrets."""
    if spec.get("serviceAccountName"):
        raise a.forbidden("a mirror pod may not reference service accounts")
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if source.get("serviceAccountToken"):
                raise a.forbidden("a mirror pod may not use ServiceAccountToken volume projections")
        if volume.get("secret"):
            raise a.forbidden("a mirror pod may not reference secrets")


def _mount_token(spec: Object) -> None:
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    wanting = [c for c in containers if not any(m.get("mountPath") == MOUNT_PATH for m in c.get("volumeMounts") or ())]
    if not wanting:
        return
    volumes = spec.setdefault("volumes", [])
    name = _token_volume(volumes)
    if not name:
        taken = {volume["name"] for volume in volumes}
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
        if volume["name"].startswith("kube-api-access-") and volume.get("projected"):
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


def _check_secrets(a: Attributes, spec: Object, account: Object) -> None:
    """With the enforcing annotation a pod may use only the secrets that its account lists."""
    name = account["metadata"]["name"]
    listed = {ref.get("name") for ref in account.get("secrets") or ()}
    for volume in spec.get("volumes") or ():
        secret = (volume.get("secret") or {}).get("secretName")
        if secret and secret not in listed:
            raise a.forbidden(
                f'volume with secret.secretName="{secret}" is not allowed because service account {name} '
                "does not reference that secret"
            )
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            for env in container.get("env") or ():
                secret = ((env.get("valueFrom") or {}).get("secretKeyRef") or {}).get("name")
                if secret and secret not in listed:
                    kind = "init container" if key == "initContainers" else "container"
                    raise a.forbidden(
                        f"{kind} {container['name']} with envVar {env['name']} referencing secret.secretName="
                        f'"{secret}" is not allowed because service account {name} does not reference that secret'
                    )
    pulls = {ref.get("name") for ref in account.get("imagePullSecrets") or ()}
    for ref in spec.get("imagePullSecrets") or ():
        if ref.get("name") not in pulls:
            raise a.forbidden(
                f'imagePullSecret "{ref.get("name")}" is not allowed because service account {name} '
                "does not reference that imagePullSecret"
            )
