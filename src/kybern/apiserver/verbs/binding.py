"""binding: give a pod its node. Posted to pods/{name}/binding, or to the collection `bindings`.

Source: API reference, Binding v1 core.
"""

from __future__ import annotations

from kybern.api import codec, decoding
from kybern.api.errors import BadRequest, Conflict, Invalid, MethodNotSupported, NotFound
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import body, options
from kybern.apiserver.admission.base import CREATE, Attributes
from kybern.apiserver.answers import success
from kybern.apiserver.app import App
from kybern.apiserver.codec import decode
from kybern.apiserver.request import Request, Response
from kybern.apiserver.types import type_named
from kybern.process.clock import clock
from kybern.store.base import Mismatch

ATTEMPTS = 10


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, Conflict (bound already, being deleted), Invalid, BadRequest."""
    info = request.info
    if info.verb != "create":
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    asked = options.read(request, "CreateOptions")
    binding, pods = _read(app, request), app.registry.scheme.resource("", "pods")
    assert pods is not None
    name = binding["metadata"]["name"]
    if app.admission is not None:
        attributes = Attributes(
            CREATE, pods, info.namespace, name, request.user, binding, None, "binding", asked.dry_run,
            asked.as_object(), request.warnings, request,
        )  # fmt: skip
        await app.admission.admit(attributes)
        await app.admission.validate(attributes)
    await _bind(app, pods, info.namespace, name, binding, dry_run=asked.dry_run)
    return success(request, code=201)


def _read(app: App, request: Request) -> Object:
    info = request.info
    binding = codec.decode(request.body, request.headers.get("content-type", ""))
    decoding.check(type_named("v1", "Binding"), binding)
    if (binding.get("kind") or "Binding") != "Binding":
        raise BadRequest(f'{binding["kind"]} in version "v1" cannot be handled as a Binding: the kinds differ')
    metadata = binding["metadata"] = binding.get("metadata") or {}
    if metadata.get("namespace", info.namespace) not in ("", info.namespace):
        raise BadRequest(body.NAMESPACES_DIFFER)
    name = info.name or metadata.get("name") or ""
    if info.name and metadata.get("name", info.name) != info.name:
        raise BadRequest(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({info.name})"
        )
    metadata["name"], metadata["namespace"] = name, info.namespace
    errors = Errors()
    kind = app.registry.scheme.resource("", "bindings")
    if kind is not None:
        kind.validate(binding, errors)
    if errors:
        raise Invalid.of("Binding", "", name, errors)
    return binding


async def _bind(app: App, pods: Resource, namespace: str, name: str, binding: Object, *, dry_run: bool) -> None:
    for _ in range(ATTEMPTS):
        item = await app.registry.item(pods, namespace, name)
        pod = decode(item.value, item.revision)
        _refuse(pods, pod, binding)
        metadata, node = pod["metadata"], binding["target"]["name"]
        pod["spec"]["nodeName"] = node
        for part in ("annotations", "labels"):
            if binding["metadata"].get(part):
                metadata[part] = {**(metadata.get(part) or {}), **binding["metadata"][part]}
        _set_scheduled(pod)
        if dry_run:
            return
        try:
            await app.registry.replace(pods, item, pod)
        except Mismatch:
            continue
        return
    raise Conflict.stale(pods.plural, pods.group, name)


def _refuse(pods: Resource, pod: Object, binding: Object) -> None:
    """Upstream's reasons not to bind. Raises Conflict, NotFound."""
    metadata, spec, name = pod["metadata"], pod["spec"], pod["metadata"]["name"]
    uid = binding["metadata"].get("uid")
    if uid and uid != metadata["uid"]:
        key = pods.key(metadata["namespace"], name)
        raise Conflict.other_uid("pods/binding", "", name, key, uid, metadata["uid"])
    if metadata.get("deletionTimestamp"):
        raise Conflict.of("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
        raise Conflict.of("pods/binding", "", name, why)
    if spec.get("schedulingGates"):
        raise Conflict.of("pods/binding", "", name, f"pod {name} has non-empty .spec.schedulingGates")
    if not binding.get("target"):
        raise NotFound.of(pods.plural, pods.group, name)


def _set_scheduled(pod: Object) -> None:
    conditions = pod.setdefault("status", {}).setdefault("conditions", [])
    found = next((one for one in conditions if one.get("type") == "PodScheduled"), None)
    if found is None:
        found = {"type": "PodScheduled"}
        conditions.append(found)
    if found.get("status") != "True":
        found |= {"lastProbeTime": None, "lastTransitionTime": clock.stamp(), "status": "True"}
        found.pop("reason", None)
        found.pop("message", None)
    generation = pod["metadata"].get("generation")
    if generation:
        found["observedGeneration"] = pod["metadata"]["generation"] = generation + 1
