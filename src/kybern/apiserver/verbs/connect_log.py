"""pods/log: what a container has written, streamed from its kubelet.

Source: API reference, Pod v1, "read log of the specified Pod" (PodLogOptions).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from urllib.parse import quote, urlencode

from kybern.api.errors import APIError, BadRequest, InternalError, Invalid, NotFound
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.apiserver.app import App
from kybern.apiserver.kubelets import anybody, dialling, kubelet_url, kubelets_of
from kybern.apiserver.pools import Where
from kybern.apiserver.request import Request, Response
from kybern.apiserver.verbs.connect_pod import container_of, node_of, pod_of
from kybern.process.clock import parse_time

TEXT = "text/plain"


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, BadRequest, Invalid, and what the kubelet answers."""
    options = _options(request)
    pod = await pod_of(app, request, resource)
    container = container_of(pod, request.arg("container"))
    node = node_of(pod)
    if not node:
        return Response(200, b"", TEXT)
    namespace, name = request.info.namespace, request.info.name
    url = f"{await kubelet_url(app, node)}/containerLogs/{quote(namespace)}/{quote(name)}/{quote(container)}"
    if options:
        url += f"?{urlencode(options)}"
    tls = anybody() if request.flag("insecureSkipTLSVerifyBackend") else kubelets_of(app).ssl
    try:
        answer = await app.pools.ask("GET", Where(url, tls))
    except (OSError, ssl.SSLError) as error:
        failed = APIError(f'Get "{url}": {dialling(error)}')
        failed.reason = ""
        raise failed from error
    if not 200 <= answer.status <= 206:
        raise _refused(answer.status, (await answer.whole()).decode(errors="replace"), name)
    return Response(200, _tolerant(answer.body()), answer.header("content-type") or TEXT)


def _options(request: Request) -> dict[str, str]:
    """The query for the kubelet. Raises BadRequest for what can't be read, Invalid for what makes no sense."""
    options = {name: "true" for name in ("follow", "previous", "timestamps") if request.flag(name)}
    errors = Errors()
    for name, least in (("sinceSeconds", 1), ("tailLines", 0), ("limitBytes", 1)):
        if name not in request.args:
            continue
        text = request.arg(name)
        try:
            value = int(text)
        except ValueError:
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
        if value < least:
            why = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            errors.invalid(name, value, why)
        options[name] = str(value)
    if since := request.arg("sinceTime"):
        try:
            parse_time(since)
        except ValueError:
            raise BadRequest(f'parsing time "{since}": it must be in RFC 3339, as 2006-01-02T15:04:05Z') from None
        options["sinceTime"] = since
        if "sinceSeconds" in options:
            errors.forbidden("sinceSeconds", "at most one of `sinceTime` or `sinceSeconds` may be specified")
    stream = request.arg("stream", "All")
    if stream not in ("All", "Stdout", "Stderr"):
        errors.unsupported("stream", stream, ("All", "Stderr", "Stdout"))
    elif stream != "All":
        options["stream"] = stream
        if "tailLines" in options:
            errors.forbidden("tailLines", "`tailLines` and specific `stream` are mutually exclusive")
    if errors:
        raise Invalid.of("PodLogOptions", "", request.info.name, list(errors))
    return options


def _refused(status: int, text: str, name: str) -> APIError:
    """What a kubelet's refusal becomes."""
    if status == 500:
        return InternalError(f"Internal error occurred: {text}")
    if status == 400:
        return BadRequest(text)
    if status == 404:
        details = {"name": name, "kind": "pods/log"}
        return NotFound(f"the server could not find the requested resource ( pods/log {name})", details=details)
    return APIError(f"the server responded with the status code {status}: {text}", code=status)


async def _tolerant(body: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """A log whose kubelet goes away just ends."""
    async with aclosing(body):
        try:
            async for piece in body:
                yield piece
        except ConnectionError:
            return
