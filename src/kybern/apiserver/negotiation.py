"""What shape of answer the Accept header asks for.

Source: API concepts, "Resource representations", "Receiving resources as Tables"; KEP-2896 for the `as` parameter.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kybern.api.errors import NotAcceptable

TABLE, PARTIAL = "Table", "PartialObjectMetadata"
_META = "meta.k8s.io"
_KINDS = {"Table": TABLE, "PartialObjectMetadata": PARTIAL, "PartialObjectMetadataList": PARTIAL}


class Shape(NamedTuple):
    """`kind` is "" (the object itself), TABLE or PARTIAL, in `version` of meta.k8s.io; `yaml` how it is written."""

    kind: str = ""
    version: str = "v1"
    yaml: bool = False

    @property
    def plain(self) -> bool:
        """Whether the object's own JSON is wanted."""
        return not self.kind and not self.yaml


PLAIN = Shape()


@lru_cache(maxsize=512)
def negotiate(accept: str, stream: bool = False) -> Shape:
    """The first acceptable shape. `stream`: of a watch, which has no YAML. Raises NotAcceptable."""
    if not accept:
        return PLAIN
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(part.partition("=")[::2] for part in parameters)
        media = media.lower()
        yaml = media in ("application/yaml", "application/yml") and not stream
        if not yaml and media not in ("application/json", "*/*", "application/*"):
            continue
        if "as" not in options:
            return Shape(yaml=yaml)
        kind = _KINDS.get(options["as"])
        if kind and options.get("g") == _META and options.get("v") in ("v1", "v1beta1"):
            return Shape(kind, options["v"], yaml)
    raise NotAcceptable("only the following media types are accepted: application/json, application/yaml", details={})
