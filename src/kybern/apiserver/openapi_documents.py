"""The OpenAPI documents, written out of operations and definitions."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.openapi_paths import QUERY, Operation, operations, root, words
from kybern.apiserver.openapi_roots import Root, of_server, of_version
from kybern.apiserver.openapi_schemas import V2_REF, V3_REF, Schemas

_WORDS = {200: "OK", 201: "Created", 202: "Accepted", 401: "Unauthorized"}
_PLACES = {
    "name": "name of the object", "namespace": "object name and auth scope, such as for teams and projects",
    "path": "path to the resource",
}  # fmt: skip
_SECURITY = {
    "BearerToken": {
        "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
    }
}  # fmt: skip


def v3(group: str, version: str, resources: Iterable[Resource], schemas: Schemas, git_version: str) -> Object:
    """The document of one group and version."""
    resources = list(resources)
    listed = [op for resource in resources for op in operations(resource, version, schemas)]
    paths: Object = {}
    for op in listed:
        item = paths.setdefault(op.path, {"parameters": _v3_parameters(op.path_parameters, op.shared)})
        item[op.method] = _v3_operation(op, root(group, version))
    names = {name for op in listed for name in (op.body, op.answer)}
    if not all(resource.custom for resource in resources):
        names |= _add(of_version(group, version), paths)
    kinds = {schemas.name(r.group, version, kind) for r in resources for kind in (r.kind, f"{r.kind}List")}
    return _v3_document(paths, names | kinds, schemas, git_version)


def v3_root(said: Root, schemas: Schemas, git_version: str) -> Object:
    """The document of what stands beside the resources."""
    paths: Object = {}
    return _v3_document(paths, _add(said, paths), schemas, git_version)


def _add(said: Root, paths: Object) -> set[str]:
    """Add its path; gives the definitions that it needs."""
    paths[said.path] = said.v3()
    return {said.answer}


def _v3_document(paths: Object, names: set[str], schemas: Schemas, git_version: str) -> Object:
    found = {name: schemas.v3(name) for name in schemas.closure(names)}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": git_version},
        "paths": paths,
        "components": {"schemas": found, "securitySchemes": _SECURITY},
    }


def v2(groups: Iterable[tuple[str, str, list[Resource]]], schemas: Schemas, git_version: str) -> Object:
    """The document of everything: (group, version, resources) each."""
    paths: Object = {}
    names: set[str] = set()
    groups = list(groups)
    own = [(group, version) for group, version, resources in groups if not all(one.custom for one in resources)]
    for said in (*of_server(dict(own)), *(of_version(*one) for one in own)):
        names.add(said.answer)
        paths[said.path] = said.v2()
    for group, version, resources in groups:
        for resource in resources:
            names |= {schemas.name(group, version, kind) for kind in (resource.kind, f"{resource.kind}List")}
            for op in operations(resource, version, schemas):
                names |= {op.body, op.answer}
                item = paths.setdefault(op.path, {"parameters": _v2_parameters(op.path_parameters, op.shared)})
                item[op.method] = _v2_operation(op, root(group, version))
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": git_version},
        "paths": paths,
        "definitions": {name: schemas.v2(name) for name in schemas.closure(names)},
        "securityDefinitions": _SECURITY,
        "security": [{"BearerToken": []}],
    }


def _extensions(op: Operation) -> Object:
    return {"x-kubernetes-action": op.action, "x-kubernetes-group-version-kind": op.gvk}


def _tag(base: str) -> str:
    """`core_v1`, `apps_v1`."""
    parts = base.strip("/").split("/")
    return f"core_{parts[1]}" if parts[0] == "api" else f"{words(parts[1])}_{parts[2]}"


def _head(op: Operation, base: str) -> Object:
    return {"tags": [_tag(base)], "description": op.description, "operationId": op.id}


def _v3_parameters(places: Iterable[str], query: Iterable[str]) -> list[Object]:
    found: list[Object] = [
        {"name": name, "in": "path", "description": _PLACES[name], "required": True,
         "schema": {"type": "string", "uniqueItems": True}}
        for name in places
    ]  # fmt: skip
    for name in query:
        kind, said = QUERY[name]
        found.append(
            {"name": name, "in": "query", "description": said, "schema": {"type": kind, "uniqueItems": True}}
        )
    return found


def _v3_operation(op: Operation, base: str) -> Object:
    made = {**_head(op, base), "parameters": _v3_parameters((), [name for name in op.query if name != "pretty"])}
    if op.body:
        schema = {"schema": {"$ref": f"{V3_REF}{op.body}"}}
        made["requestBody"] = {"content": dict.fromkeys(op.consumes, schema)}
        if op.method != "delete":
            made["requestBody"]["required"] = True
    answer = {"type": "string"} if not op.answer else {"$ref": f"{V3_REF}{op.answer}"}
    content = {kind: {"schema": answer} for kind in op.produces}
    made["responses"] = {str(code): {"description": _WORDS[code], "content": content} for code in op.codes}
    made["responses"]["401"] = {"description": _WORDS[401]}
    return {**made, **_extensions(op)}


def _v2_parameters(places: Iterable[str], query: Iterable[str]) -> list[Object]:
    found: list[Object] = [
        {"name": name, "in": "path", "description": _PLACES[name], "required": True, "type": "string",
         "uniqueItems": True}
        for name in places
    ]  # fmt: skip
    for name in query:
        kind, said = QUERY[name]
        found.append({"name": name, "in": "query", "description": said, "type": kind, "uniqueItems": True})
    return found


def _v2_operation(op: Operation, base: str) -> Object:
    made = {**_head(op, base), "consumes": list(op.consumes), "produces": list(op.produces), "schemes": ["https"]}
    parameters = _v2_parameters((), [name for name in op.query if name != "pretty"])
    if op.body:
        body: Object = {"name": "body", "in": "body", "schema": {"$ref": f"{V2_REF}{op.body}"}}
        if op.method != "delete":
            body["required"] = True
        parameters.insert(0, body)
    made["parameters"] = parameters
    answer = {"type": "string"} if not op.answer else {"$ref": f"{V2_REF}{op.answer}"}
    made["responses"] = {str(code): {"description": _WORDS[code], "schema": answer} for code in op.codes}
    made["responses"]["401"] = {"description": _WORDS[401]}
    return {**made, **_extensions(op)}
