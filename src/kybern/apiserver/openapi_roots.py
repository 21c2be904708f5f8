"""The operations beside those of resources: which groups, versions and resources there are, and who the server is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kybern.api.types import Object
from kybern.apiserver.openapi_paths import ANSWERS, capitalized, root, words
from kybern.apiserver.openapi_schemas import V2_REF, V3_REF

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."


@dataclass(frozen=True, slots=True)
class Root:
    """One GET. `answer` is a definition's name, "" for text."""

    path: str
    id: str
    tag: str
    description: str
    answer: str = ""
    produces: tuple[str, ...] = ANSWERS

    @property
    def document(self) -> str:
        """The OpenAPI 3 document it stands in alone."""
        return self.path.strip("/")

    def v3(self) -> Object:
        """The path item of OpenAPI 3."""
        schema = {"$ref": f"{V3_REF}{self.answer}"} if self.answer else {"type": "string"}
        return self._item({"content": {kind: {"schema": schema} for kind in self.produces}}, {})

    def v2(self) -> Object:
        """The path item of OpenAPI 2."""
        schema = {"$ref": f"{V2_REF}{self.answer}"} if self.answer else {"type": "string"}
        heads = {"consumes": list(ANSWERS), "produces": list(self.produces), "schemes": ["https"]}
        return self._item({"schema": schema}, heads)

    def _item(self, answer: Object, heads: Object) -> Object:
        responses = {"200": {"description": "OK", **answer}, "401": {"description": "Unauthorized"}}
        said = {"tags": [self.tag], "description": self.description, "operationId": self.id, **heads}
        return {"get": {**said, "responses": responses}}


_SERVER = (
    Root("/api/", "getCoreAPIVersions", "core", "get available API versions", f"{_META}APIVersions"),
    Root("/apis/", "getAPIVersions", "apis", "get available API versions", f"{_META}APIGroupList"),
    Root(
        "/version/", "getCodeVersion", "version", "get the version information for this server",
        "io.k8s.apimachinery.pkg.version.Info", ("application/json",),
    ),
    Root(
        "/.well-known/openid-configuration/", "getServiceAccountIssuerOpenIDConfiguration", "WellKnown",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        produces=("application/json",),
    ),
    Root(
        "/openid/v1/jwks/", "getServiceAccountIssuerOpenIDKeyset", "openid",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        produces=("application/jwk-set+json",),
    ),
)  # fmt: skip


def of_server(groups: Iterable[str]) -> list[Root]:
    """What is said of the server and of each of its own groups."""
    return [*_SERVER, *map(_of_group, filter(None, groups))]


def _of_group(group: str) -> Root:
    tag = words(group)
    description = "get information of a group"
    return Root(f"/apis/{group}/", f"get{capitalized(tag)}APIGroup", tag, description, f"{_META}APIGroup")


def of_version(group: str, version: str) -> Root:
    """What is said of the resources of a version."""
    tag = words(group)
    name = f"get{capitalized(tag)}{version.capitalize()}APIResources"
    path, description = f"{root(group, version)}/", "get available resources"
    return Root(path, name, f"{tag}_{version}", description, f"{_META}APIResourceList")
