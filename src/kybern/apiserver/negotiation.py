"""What shape of answer a request asks for: by its Accept header, and whether to be read by people.

Source: API concepts, "Resource representations", "Receiving resources as Tables"; KEP-2896 for the `as` parameter;
RFC 9110, "Accept".
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kybern.api.errors import NotAcceptable
from kybern.apiserver.request import Request

TABLE, PARTIAL, PARTIAL_LIST = "Table", "PartialObjectMetadata", "PartialObjectMetadataList"
_META = "meta.k8s.io"
_KINDS = (TABLE, PARTIAL, PARTIAL_LIST)
_YAML = ("application/yaml", "application/yml")
_BROWSERS = ("curl", "Wget", "Mozilla/5.0")
"""Whose answers are indented unless they ask for `pretty=false`."""


class Shape(NamedTuple):
    """`kind` is "" (the object itself), TABLE, PARTIAL or PARTIAL_LIST, in `version` of meta.k8s.io; `yaml` and
    `pretty` (indented JSON) how it is written."""

    kind: str = ""
    version: str = "v1"
    yaml: bool = False
    pretty: bool = False

    @property
    def plain(self) -> bool:
        """Whether the object's own JSON is wanted, as it is stored."""
        return self == PLAIN


PLAIN = Shape()


def shape_of(request: Request, *, stream: bool = False) -> Shape:
    """The shape of a request's answer. `stream`: of a watch, which has neither YAML nor indents. Raises
    NotAcceptable."""
    accept = request.headers.get("accept")
    shape = _negotiate(accept, stream) if accept else PLAIN
    return shape._replace(pretty=True) if not stream and not shape.yaml and _for_people(request) else shape


def _for_people(request: Request) -> bool:
    if "pretty" in request.query and (asked := request.arg("pretty")):
        return asked in ("1", "t", "T", "true", "TRUE", "True")
    return request.headers.get("user-agent", "").startswith(_BROWSERS)


@lru_cache(maxsize=512)
def _negotiate(accept: str, stream: bool) -> Shape:
    """The shape that is most wanted of those that are served."""
    clauses = []
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        options = dict(part.partition("=")[::2] for part in parameters)
        clauses.append((_quality(options.pop("q", "1")), media.lower(), options))
    # Stable: of two that are wanted alike the first wins.
    for quality, media, options in sorted(clauses, key=lambda clause: -clause[0]):
        shape = _served(media, options, stream) if quality > 0 else None
        if shape is not None:
            return shape
    served = "application/json" if stream else "application/json, application/yaml"
    raise NotAcceptable(f"only the following media types are accepted: {served}", details={})


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0


def _served(media: str, options: dict[str, str], stream: bool) -> Shape | None:
    yaml = media in _YAML and not stream
    if not yaml and media not in ("application/json", "*/*", "application/*"):
        return None
    if options.get("stream", "watch") != "watch" or (options.get("stream") and not stream):
        return None
    pretty = options.get("pretty") == "1" and not yaml and not stream
    if not options.get("as"):
        return Shape(yaml=yaml, pretty=pretty)
    kind, version = options["as"], options.get("v", "")
    if kind in _KINDS and options.get("g") == _META and version in ("v1", "v1beta1"):
        return Shape(kind, version, yaml, pretty)
    return None


def check_kind(shape: Shape, go_type: str, *, listed: bool) -> None:
    """Metadata of a list and of one object are two kinds. Raises NotAcceptable where the other was asked for."""
    if listed and shape.kind == PARTIAL:
        raise NotAcceptable(
            f"you requested PartialObjectMetadata, but the requested object is a list ({go_type})", details={}
        )
    if not listed and shape.kind == PARTIAL_LIST:
        raise NotAcceptable(
            f"you requested PartialObjectMetadataList, but the requested object is not a list ({go_type})", details={}
        )
