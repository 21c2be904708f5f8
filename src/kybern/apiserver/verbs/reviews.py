"""create on kinds that ask a question: who is this token, who am I, may they, may I, what may I. Nothing is stored.

Source: API reference, authentication.k8s.io/v1 and authorization.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from kybern.api.errors import BadRequest, Invalid, MethodNotSupported
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.answers import unstored_object
from kybern.apiserver.app import App
from kybern.apiserver.authn.base import BadToken
from kybern.apiserver.authn.bearer import INVALID
from kybern.apiserver.authz.attributes import ignored, info_of
from kybern.apiserver.authz.base import Union
from kybern.apiserver.request import Request, Response, UserInfo
from kybern.apiserver.review_body import read

Answer: TypeAlias = Callable[[App, Request, Object], Awaitable[Object]]


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Give the review back with its status filled in. Raises BadRequest, Invalid, MethodNotSupported."""
    if request.info.verb != "create":
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    review = read(request, resource.api_version(request.info.version), resource.kind)
    meta = review["metadata"]
    if resource.namespaced:
        if meta.setdefault("namespace", request.info.namespace) != request.info.namespace:
            raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
        spec = review["spec"]
        if isinstance(spec.get("resourceAttributes"), dict) and not spec["resourceAttributes"].get("namespace"):
            spec["resourceAttributes"]["namespace"] = request.info.namespace
    errors = Errors()
    resource.validate(review, errors)
    if errors:
        raise Invalid.of(resource.kind, resource.group, "", errors)
    review["metadata"] = {"creationTimestamp": None, **meta}
    review["status"] = await _ANSWERS[resource.kind](app, request, review["spec"])
    if resource.kind == "SelfSubjectReview":  # the only one that needs no question
        del review["spec"]
    return unstored_object(request, resource, review, 201)


async def _token(app: App, request: Request, spec: Object) -> Object:
    if not spec.get("token"):
        raise BadRequest("token is required for TokenReview in authentication")
    try:
        found = await app.services["token_authenticator"].user(spec["token"], tuple(spec.get("audiences") or ()))
    except BadToken as error:
        return {"user": {}, "error": error.why}
    if found is None:
        return {"user": {}, "error": INVALID}
    status = {"authenticated": True, "user": _shown(found.user)}
    return {**status, "audiences": list(found.audiences)} if found.audiences else status


async def _self(app: App, request: Request, spec: Object) -> Object:
    return {"userInfo": _shown(request.user)}


def _shown(user: UserInfo) -> Object:
    shown: Object = {"username": user.name}
    if user.uid:
        shown["uid"] = user.uid
    if user.groups:
        shown["groups"] = list(user.groups)
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown


async def _access(app: App, request: Request, spec: Object) -> Object:
    extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
    user = UserInfo(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
    return await _decide(app, user, spec)


async def _self_access(app: App, request: Request, spec: Object) -> Object:
    return await _decide(app, request.user, spec)


async def _decide(app: App, user: UserInfo, spec: Object) -> Object:
    decision = await Union(app.authorizers).authorize(user, info_of(spec))
    status: Object = {"allowed": bool(decision.allowed)}
    if decision.allowed is False:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    errors = [error for error in (decision.error, ignored(spec)) if error]
    if errors:
        status["evaluationError"] = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
    return status


async def _rules(app: App, request: Request, spec: Object) -> Object:
    namespace = spec.get("namespace", "")
    if not namespace:
        raise BadRequest("no namespace on request")
    rules = Union(app.authorizers).rules_for(request.user, namespace)
    status = {"resourceRules": rules.resource, "nonResourceRules": rules.non_resource, "incomplete": rules.incomplete}
    return {**status, "evaluationError": rules.error} if rules.error else status


_ANSWERS: dict[str, Answer] = {
    "TokenReview": _token,
    "SelfSubjectReview": _self,
    "SubjectAccessReview": _access,
    "LocalSubjectAccessReview": _access,
    "SelfSubjectAccessReview": _self_access,
    "SelfSubjectRulesReview": _rules,
}
