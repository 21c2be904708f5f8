"""Signs the ConfigMap kube-public/cluster-info with every bootstrap token that may, so that who holds a token can tell
that the cluster's address and CA in it are true.

Source: Kubernetes documentation, "Authenticating with Bootstrap Tokens", ConfigMap Signing.
"""

from __future__ import annotations

from kybern.api import bootstraptokens as tokens
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.controllers.controller import Context, Controller
from kybern.process.clock import clock

CONTENT = "kubeconfig"
_KEY_LENGTH = 32
"""HS256 wants keys of at least this many bytes; zeros at their end change nothing."""


class BootstrapSigner(Controller):
    name = "bootstrap-signer-controller"
    aliases = ("bootstrapsigner",)
    by_default = False
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        selector = f"metadata.namespace={tokens.CLUSTER_INFO_NAMESPACE},metadata.name={tokens.CLUSTER_INFO}"
        self.maps = self.informer("v1", "configmaps", field_selector=selector)
        self.secrets = self.informer("v1", "secrets", field_selector=f"type={tokens.SECRET_TYPE}")
        self._maps = self.client.resource("v1", "configmaps")
        for informer in (self.maps, self.secrets):
            self.watch(informer, lambda obj: [tokens.CLUSTER_INFO])

    async def reconcile(self, key: str) -> float | None:
        held = self.maps.get(f"{tokens.CLUSTER_INFO_NAMESPACE}/{key}")
        data = (held or {}).get("data") or {}
        if held is None or CONTENT not in data:
            return None
        secrets = self.secrets.list(tokens.NAMESPACE)
        signed = signatures(data[CONTENT], secrets, clock.time())
        plain = {name: text for name, text in data.items() if not name.startswith(tokens.SIGNATURE_PREFIX)}
        if {**plain, **signed} != data:
            try:
                await self._maps.update({**held, "data": {**plain, **signed}})
            except NotFound:
                return None
        left = [tokens.remaining(secret, clock.time()) for secret in secrets]
        return min((seconds for seconds in left if seconds), default=None)


def signatures(content: str, secrets: list[Object], now: float) -> dict[str, str]:
    """Key of the ConfigMap -> signature, for every token that is good for signing."""
    found = {}
    for secret in secrets:
        token_id, key = tokens.value(secret, tokens.TOKEN_ID), tokens.value(secret, tokens.TOKEN_SECRET)
        named = secret["metadata"]["name"] == f"{tokens.SECRET_PREFIX}{token_id}" and tokens.is_id(token_id)
        if named and key and tokens.remaining(secret, now) != 0 and tokens.is_for(secret, tokens.SIGNING):
            found[f"{tokens.SIGNATURE_PREFIX}{token_id}"] = detached_signature(content, token_id, key)
    return found


def detached_signature(content: str, token_id: str, token_secret: str) -> str:
    """A JWS over `content` without the content itself (RFC 7515, appendix F)."""
    import jwt  # with a large library, which clusters without such tokens don't need

    key = token_secret.encode().ljust(_KEY_LENGTH, b"\0")
    whole = jwt.api_jws.encode(content.encode(), key, "HS256", {"kid": token_id, "typ": ""}, sort_headers=True)
    header, _, signature = whole.split(".")
    return f"{header}..{signature}"
