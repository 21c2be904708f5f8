"""The way of a request, in order.

    request info     info.parse: which resource, which verb
    edge             edge.py: other origins, a server that ends, where the operator asks for that
    authentication   the first authenticator that knows the credential; else anonymous
    audit            from here on it is written down, to its end, whatever that is
    impersonation    Impersonate-* headers, if the user may
    flow control     how many are served at a time, and who has to wait (flowcontrol/)
    authorization    the first authorizer with an opinion
    verb             dispatch.py; admission is part of the verbs that write

Errors raised anywhere become Status documents here, and only here.
"""

from __future__ import annotations

import logging

from kybern.api.errors import APIError, InternalError, ServiceUnavailable, Unauthorized, Unclassified
from kybern.apiserver import auth_metrics, deadline, dispatch, httplog, info, warnings
from kybern.apiserver.answers import refused
from kybern.apiserver.app import App
from kybern.apiserver.authn import impersonation
from kybern.apiserver.authz.base import decide, refuse
from kybern.apiserver.compression import THRESHOLD, compressed
from kybern.apiserver.dispatch import LONG_RUNNING
from kybern.apiserver.flowcontrol.inflight import READS, TooMany
from kybern.apiserver.following import followed
from kybern.apiserver.request import ANONYMOUS, Request, Response, Stream, UserInfo
from kybern.apiserver.watcher import Watcher
from kybern.process.clock import monotonic, new_uid
from kybern.store.base import StoreUnavailable, TooLarge, Untransformable

TOO_MANY = b"Too many requests, please try again later.\n"

log = logging.getLogger(__name__)


async def serve(app: App, request: Request) -> Response:
    """Answer; never raises but for cancellation."""
    began, edge = monotonic(), app.edge
    request.info = info.parse(request)
    if edge is not None and (early := edge.early(request)) is not None:
        return app.telemetry.answered(request, early, began)
    if request.query and "timeout=" in request.query:
        response = await _timed(app, request)
    else:
        response = await _answer(app, request)
    if request.trail is not None:
        response = request.trail.answered(response)
        if request.trail.pending:
            await request.trail.settle()
    large = type(response.body) is not bytes or len(response.body) > THRESHOLD
    if large and request.info.subresource not in LONG_RUNNING:
        response = compressed(request, response)
    if edge is not None:
        response.headers += edge.headers(request)
    if httplog.on():
        httplog.note(request, response, monotonic() - began)
    return app.telemetry.answered(request, response, began)


async def _timed(app: App, request: Request) -> Response:
    if request.info.verb == "watch" or request.info.subresource in LONG_RUNNING:
        return await _answer(app, request)
    try:
        seconds = deadline.asked(request, app.request_timeout)
    except APIError as error:
        return refused(request, error)
    answer = _answer(app, request)
    return await (deadline.within(seconds, answer) if seconds else answer)


async def _answer(app: App, request: Request) -> Response:
    try:
        request.user = await authenticate(app, request)
        trail = app.audit.begin(request) if app.audit is not None else None
        if trail is not None and trail.unsettled:
            await trail.settle()
        response = await (_known(app, request) if app.tracing is None else app.tracing.trace(request, _known))
    except APIError as error:
        response = refused(request, error)
        if app.audit is not None and isinstance(error, Unauthorized) and request.trail is None:
            app.audit.unauthenticated(request)
    except TooMany as error:
        app.telemetry.terminated(request, 429)
        after = ("retry-after", str(error.after))
        response = Response(429, TOO_MANY, "text/plain; charset=utf-8", [after, ("x-content-type-options", "nosniff")])
    except StoreUnavailable as error:
        response = refused(request, ServiceUnavailable(str(error)))
    except TooLarge as error:
        response = refused(request, Unclassified(str(error)))
    except Untransformable as error:
        response = refused(request, _internal(str(error)))
    except Exception as error:
        log.exception("%s %s", request.method, request.path)
        if request.trail is not None:
            request.trail.panicked(error)
        response = refused(request, _internal("the server's log has more"))
    if request.warnings:
        response.headers += warnings.headers(request.warnings)
    if request.ticket is not None:
        response.headers += request.ticket.headers
    known = request.trail.id if request.trail is not None else request.headers.get("audit-id")
    response.headers.append(("audit-id", known or new_uid()))
    return response


async def _known(app: App, request: Request) -> Response:
    """Answer a request whose sender is known."""
    if impersonation.asked(request):
        caller, constraint = request.user, await impersonation.impersonate(app, request)
        if request.trail is not None and request.user is not caller:
            request.trail.impersonated(request.user, constraint)
    if app.flows is None or request.info.subresource in LONG_RUNNING:
        return await _permitted(app, request)
    return await _in_turn(app, request)


async def _in_turn(app: App, request: Request) -> Response:
    """Answer once it is its turn. A watch has had its turn once its client knows what there was when it began, a body
    in pieces when all are sent."""
    assert app.flows is not None
    ticket = request.ticket = await app.flows.admit(request)
    running, writes = app.running, request.info.verb not in READS
    running[writes] += 1
    app.watermarks[writes].rise(running[writes])

    def leave() -> None:
        running[writes] -= 1
        ticket.leave()

    try:
        response = await _permitted(app, request)
    except BaseException:
        leave()
        raise
    if isinstance(response, Watcher):
        response.begun = app.telemetry.watch_begins(request, leave)
        return followed(response, app.flows.watched(request.info))
    if isinstance(response, Stream) or (request.info.verb == "watch" and response.status == 200):
        leave()  # one that another server answers too: we don't know how far it is
        return followed(response, app.flows.watched(request.info))
    if isinstance(response.body, bytes) or request.method == "HEAD":
        leave()
        return response
    return followed(response, leave)


async def _permitted(app: App, request: Request) -> Response:
    deciding = decide(app, request.user, request.info)
    decision = await (deciding if app.tracing is None else app.tracing.part("Authorization", deciding))
    if request.trail is not None:
        request.trail.decided(decision)
    refuse(request.user, request.info, decision)
    return await dispatch.dispatch(app, request)


def _internal(what: str) -> InternalError:
    return InternalError(f"Internal error occurred: {what}", details={"causes": [{"message": what}]})


async def authenticate(app: App, request: Request) -> UserInfo:
    """Who asks. A credential that one authenticator refuses may be another's. Raises Unauthorized."""
    began, refused = monotonic(), ""
    for authenticator in app.authenticators:
        try:
            user = await authenticator.authenticate(request)
        except Unauthorized as error:
            refused = getattr(error, "why", "the certificate is not accepted")
            continue
        if user is not None:
            break
    else:
        # Who shows a credential that is no good is not taken for anonymous.
        if refused or not app.lets_anonymous_in(request):
            if refused:
                log.info("%s %s can't be authenticated: %s", request.method, request.path, refused)
            _authenticated("error" if refused else "failure", began)
            raise Unauthorized()
        user = ANONYMOUS
    _authenticated("success", began)
    auth_metrics.users[auth_metrics.user_label(user.name)] += 1
    return user


def _authenticated(result: str, began: float) -> None:
    auth_metrics.attempts[result] += 1
    auth_metrics.authentication_time.observe(monotonic() - began, result)
