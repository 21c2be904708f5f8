"""create serviceaccounts/token: a token for a service account, bound to a pod, secret or node if asked.

Source: API reference, TokenRequest v1 authentication.k8s.io; KEP-1205.
"""

from __future__ import annotations

from kybern.api.authentication import tokenrequest
from kybern.api.errors import BadRequest, Conflict, InternalError, Invalid, MethodNotSupported, NotFound
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, Attributes
from kybern.apiserver.answers import rendered
from kybern.apiserver.app import App
from kybern.apiserver.negotiation import shape_of
from kybern.apiserver.request import Request, Response
from kybern.apiserver.review_body import read
from kybern.apiserver.tokens import SigningFailed
from kybern.process.clock import clock, format_time

_ISSUED = "authentication.kubernetes.io/issued-credential-id"
_API_VERSION = f"{tokenrequest.GROUP}/{tokenrequest.VERSION}"


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Give the TokenRequest back with a token in its status. Raises NotFound, Invalid, Conflict, BadRequest."""
    info = request.info
    if info.verb != "create":
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    account = await app.registry.get(resource, info.namespace, info.name)
    asked = read(request, _API_VERSION, tokenrequest.KIND)
    _check_metadata(asked["metadata"], info.namespace, info.name)
    issuer = app.services["tokens"]
    tokenrequest.default(asked)
    attributes = Attributes(
        CREATE, resource, info.namespace, info.name, request.user, asked, None, "token", warnings=request.warnings,
        request=request,
    )  # fmt: skip
    await app.admission.admit(attributes)
    asked["spec"]["audiences"] = list(asked["spec"].get("audiences") or issuer.audiences)
    errors = Errors()
    tokenrequest.validate(asked, errors)
    if errors:
        raise Invalid.of(tokenrequest.KIND, tokenrequest.GROUP, "", errors)
    await app.admission.validate(attributes)
    spec = asked["spec"]
    bound = await _bound(app, account, spec.get("boundObjectRef"))
    seconds = spec["expirationSeconds"]
    if 0 < issuer.max_seconds < seconds:
        said = f"requested expiration of {seconds} seconds shortened to {issuer.max_seconds} seconds"
        request.warnings.append(said)
        seconds = spec["expirationSeconds"] = issuer.max_seconds
    try:
        issued = await issuer.give(info.namespace, account, spec["audiences"], seconds, bound)
    except SigningFailed as error:
        said = f"failed to generate token: {error}"
        raise InternalError(f"Internal error occurred: {said}", details={"causes": [{"message": said}]}) from error
    if request.trail is not None:
        request.trail.annotate(_ISSUED, f"JTI={issued.identity}")
    asked["metadata"] = {"name": info.name, "namespace": info.namespace, "creationTimestamp": clock.stamp()}
    asked["status"] = {"token": issued.token, "expirationTimestamp": format_time(issued.end)}
    return rendered(request, asked, shape_of(request), 201)


def _check_metadata(meta: Object, namespace: str, name: str) -> None:
    errors = Errors()
    if meta.get("name") and meta["name"] != name:
        errors.invalid("metadata.name", meta["name"], "must match the service account name if specified")
    if meta.get("namespace") and meta["namespace"] != namespace:
        errors.invalid("metadata.namespace", meta["namespace"], "must match the service account namespace if specified")
    if errors:
        raise Invalid.of(tokenrequest.KIND, tokenrequest.GROUP, name, errors)


async def _bound(app: App, account: Object, ref: Object | None) -> dict[str, Object]:
    """What the token is tied to, looked up: it must be there, be the same, and belong to the account."""
    if not ref:
        return {}
    kind, name = ref["kind"], ref["name"]
    namespace = "" if kind == "Node" else account["metadata"]["namespace"]
    obj = await _get(app, f"{kind.lower()}s", namespace, name)
    if ref.get("uid") and ref["uid"] != obj["metadata"]["uid"]:
        raise Conflict.of(
            kind, "", name,
            f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )  # fmt: skip
    bound = {kind.lower(): _named(obj)}
    if kind == "Pod":
        user = obj["spec"].get("serviceAccountName") or "default"
        if user != account["metadata"]["name"]:
            raise BadRequest(
                f'cannot bind token for serviceaccount "{account["metadata"]["name"]}" to pod running with different '
                "serviceaccount name."
            )
        bound |= await _node_of(app, obj)
    return bound


async def _node_of(app: App, pod: Object) -> dict[str, Object]:
    """The pod's node, for the token to tell."""
    name = pod["spec"].get("nodeName")
    if not name:
        return {}
    try:
        return {"node": _named(await _get(app, "nodes", "", name))}
    except NotFound:
        return {"node": {"name": name}}


async def _get(app: App, plural: str, namespace: str, name: str) -> Object:
    resource = app.registry.scheme.resource("", plural)
    if resource is None:
        raise NotFound.of(plural, "", name)
    return await app.registry.get(resource, namespace, name)


def _named(obj: Object) -> Object:
    return {"name": obj["metadata"]["name"], "uid": obj["metadata"]["uid"]}
