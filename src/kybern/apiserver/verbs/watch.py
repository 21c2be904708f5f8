"""watch: changes from a revision on, or what there is and then its changes.

Source: API concepts, "Efficient detection of changes", "Semantics for watch", "Streaming lists".
"""

from __future__ import annotations

from kybern.api.errors import BadRequest, Expired, Invalid
from kybern.api.field import Errors
from kybern.api.protobuf_encode import Unencodable
from kybern.api.resource import Resource
from kybern.apiserver import revisions
from kybern.apiserver.answers import included, instead
from kybern.apiserver.app import App
from kybern.apiserver.codec import Codec, codec_of
from kybern.apiserver.negotiation import TABLE, Shape, shape_of
from kybern.apiserver.request import Request, Response
from kybern.apiserver.selection import selection
from kybern.apiserver.watch_cache import WatchCache
from kybern.apiserver.watcher import FailedWatch, FutureWatcher, View, Watcher
from kybern.apiserver.watcher_protobuf import ProtobufView
from kybern.process import features
from kybern.process.clock import random

_FOREVER = 10 * 365 * 86400


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises BadRequest, Invalid (options). That a revision is gone is told inside the stream."""
    shape = shape_of(request, stream=True)
    _check_options(request)
    include = included(request) if shape.kind == TABLE else "Metadata"
    text = request.arg("resourceVersion")
    wanted = revisions.parse(text)
    timeout = _seconds(request.arg("timeoutSeconds")) or (app.watch_seconds or _FOREVER) * random.uniform(1, 2)
    cache = await app.registry.ready(resource)
    if not text or wanted > cache.revision:
        await cache.fresh()
    namespace = request.info.namespace if resource.namespaced else ""
    if cache.unreadable:
        await cache.check_readable(resource.prefix(namespace))
    chosen = selection(request, resource, cache)
    view = _view(request, codec_of(resource, request.info.version), cache, shape, include)
    # Without a revision a watch begins with the state, and says where that ends, unless it declines that.
    asked = request.arg("sendInitialEvents")
    from_state = request.flag("sendInitialEvents") or (not wanted and not asked)
    if wanted > cache.revision:
        if from_state:
            return FailedWatch(revisions.too_large(wanted, cache.revision), view)
        return FutureWatcher(
            cache, chosen, view, wanted, bookmarks=request.flag("allowWatchBookmarks"), timeout=timeout
        )
    try:
        missed = () if from_state else tuple(cache.since(wanted or cache.revision))
    except Expired as error:
        return FailedWatch(error, view)
    return Watcher(
        cache,
        chosen,
        view,
        initial=chosen.filter(cache.select(namespace)) if from_state else (),
        missed=missed,
        initial_end=from_state,
        bookmarks=request.flag("allowWatchBookmarks"),
        timeout=timeout,
    )


def _view(request: Request, codec: Codec, cache: WatchCache, shape: Shape, include: str) -> View:
    """How the objects are to be shown. Raises NotAcceptable."""
    if shape.protobuf:
        try:
            return ProtobufView(cache, codec, shape)
        except Unencodable as error:
            shape = instead(request, error, stream=True)
    return View(codec, shape, include)


def _check_options(request: Request) -> None:
    errors = Errors()
    match, asked = request.arg("resourceVersionMatch"), request.arg("sendInitialEvents")
    if asked:
        if not features.enabled("WatchList"):
            detail = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
            errors.forbidden("sendInitialEvents", detail)
        if match != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            errors.forbidden("resourceVersionMatch", detail)
    elif match:
        errors.forbidden(
            "resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        )
    if match and match != "NotOlderThan":
        errors.unsupported("resourceVersionMatch", match, ("NotOlderThan",))
    if match and request.arg("continue"):
        errors.forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
    if errors:
        raise Invalid.of("ListOptions", "meta.k8s.io", "", errors)


def _seconds(text: str) -> int:
    if not text:
        return 0
    try:
        return max(int(text), 0)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
