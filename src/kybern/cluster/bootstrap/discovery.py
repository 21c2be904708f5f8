"""Finding out whether a server belongs to the cluster one has a token of, before it is told anything.

The server's cluster-info is read over a connection that proves nothing; the token's signature and the CA's hash make it
trustworthy. Source: Kubernetes documentation, "kubeadm join", "Token-based discovery with CA pinning".
"""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import Sequence

import yaml

from kybern.api import bootstraptokens as tokens
from kybern.api.errors import APIError, Forbidden, NotFound, Unauthorized
from kybern.client.kubeconfig import ClientConfig, connect
from kybern.client.transport import Unreachable
from kybern.cluster import joining
from kybern.controllers.bootstrapsigner import CONTENT, detached_signature
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

PATIENCE = 10.0
"""Seconds that the signature of a token just made may take."""


async def discover(endpoint: str, token: str, hashes: Sequence[str]) -> ClientConfig:
    """The cluster's address and CA, with the token to go by. Without `hashes` any CA that the token vouches for will
    do. Raises OperatorError."""
    parts = tokens.split(token)
    if parts is None:
        raise OperatorError(f'the bootstrap token "{token}" was not of the form "{tokens.TOKEN_PATTERN}"')
    data = await _cluster_info(endpoint, parts[0])
    content = data[CONTENT]
    signature = detached_signature(content, *parts)
    if not hmac.compare_digest(signature, data[f"{tokens.SIGNATURE_PREFIX}{parts[0]}"]):
        raise OperatorError(f'{endpoint} can\'t prove that it knows the token "{parts[0]}": its secret part is another')
    found = ClientConfig(*_server_and_ca(content), token=token)
    digest = joining.ca_hash(found.ca_data)
    if hashes and digest not in hashes:
        raise OperatorError(f"the CA of {endpoint} has the hash {digest}, none of --discovery-token-ca-cert-hash")
    return found


async def _cluster_info(endpoint: str, token_id: str) -> dict[str, str]:
    """Its data, once it has the token's signature."""
    client = connect(ClientConfig(f"https://{endpoint}", insecure=True), "kybern-join", quiet=True)
    maps, end = client.resource("v1", "configmaps"), monotonic() + PATIENCE
    try:
        while True:
            try:
                found = await maps.get(tokens.CLUSTER_INFO, tokens.CLUSTER_INFO_NAMESPACE)
            except Unreachable as error:
                raise OperatorError(f"{error}; is {endpoint} the address of an API server?") from error
            except (NotFound, Forbidden, Unauthorized) as error:
                told = f"{endpoint} tells nobody of its cluster ({error.message})"
                raise OperatorError(f"{told}; make a token there with `kybern token create`") from error
            data: dict[str, str] = found.get("data") or {}
            if f"{tokens.SIGNATURE_PREFIX}{token_id}" in data and CONTENT in data:
                return data
            if monotonic() > end:
                raise OperatorError(f'{endpoint} knows no token "{token_id}"; `kybern token list` there shows those')
            await asyncio.sleep(0.5)
    except APIError as error:
        raise OperatorError(f"{endpoint} doesn't answer as an API server: {error.message}") from error
    finally:
        await client.close()


def _server_and_ca(content: str) -> tuple[str, bytes]:
    try:
        cluster = yaml.safe_load(content)["clusters"][0]["cluster"]
        return str(cluster["server"]), base64.b64decode(cluster["certificate-authority-data"])
    except (KeyError, TypeError, IndexError, ValueError, yaml.YAMLError) as error:
        raise OperatorError(f"the cluster-info of the cluster can't be read: {error!r}") from error
