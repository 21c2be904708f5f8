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
JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
_YAML = (YAML, "application/yml")
_ANY = ("*/*", "application/*")
_BROWSERS = ("curl", "Wget", "Mozilla/5.0")
"""Whose answers are indented unless they ask for `pretty=false`."""


class Shape(NamedTuple):
    """`kind` is "" (the object itself), TABLE, PARTIAL or PARTIAL_LIST, in `version` of meta.k8s.io; `yaml`, `protobuf`
    and `pretty` (indented JSON) how it is written."""

    kind: str = ""
    version: str = "v1"
    yaml: bool = False
    pretty: bool = False
    protobuf: bool = False

    @property
    def plain(self) -> bool:
        """Whether the object's own JSON is wanted, as it is stored."""
        return self == PLAIN


PLAIN = Shape()


def shape_of(request: Request, *, stream: bool = False, protobuf: bool = True) -> Shape:
    """The shape of a request's answer. `stream`: of a watch, which has neither YAML nor indents. `protobuf`: whether
    the object could be written so; custom resources never are, though their metadata can be. Raises NotAcceptable."""
    accept = request.headers.get("accept")
    if not accept:
        shape = PLAIN
    else:
        resource = request.resource
        shape = _negotiate(accept, stream, protobuf and not (resource is not None and resource.custom))
    return shape if stream or shape.yaml or shape.protobuf or not _for_people(request) else shape._replace(pretty=True)


def unconverted(request: Request) -> Shape:
    """The shape of what is never shown as another kind: errors, discovery. Raises NotAcceptable."""
    accept = request.headers.get("accept")
    shape = _negotiate(accept, False, True, converts=False) if accept else PLAIN
    return shape._replace(pretty=True) if not shape.yaml and not shape.protobuf and _for_people(request) else shape


def _for_people(request: Request) -> bool:
    if "pretty" in request.query and (asked := request.arg("pretty")):
        return asked in ("1", "t", "T", "true", "TRUE", "True")
    return request.headers.get("user-agent", "").startswith(_BROWSERS)


@lru_cache(maxsize=512)
def _negotiate(accept: str, stream: bool, protobuf: bool, *, converts: bool = True) -> Shape:
    """The shape that is most wanted of those that are served."""
    for media, options in _clauses(accept):
        shape = None if not converts and not options.keys().isdisjoint(_AS) else _served(media, options, protobuf)
        if shape is None or (shape.yaml and options.get("stream")):
            continue
        if stream and shape.yaml:
            raise _none_of(f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
        return shape._replace(pretty=False) if stream else shape
    raise _none_of(JSON, YAML, PROTOBUF)


@lru_cache(maxsize=64)
def aggregated(accept: str, group: str, version: str, kind: str) -> str:
    """The media type in which a request accepts that kind of discovery document; empty if in none."""
    for media, options in _clauses(accept):
        wanted = (options.get("g"), options.get("v"), options.get("as")) == (group, version, kind)
        if wanted and media in (JSON, YAML, PROTOBUF, *_ANY):
            return JSON if media in _ANY else media
    return ""


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Media types and their parameters, those most wanted first."""
    found = []
    for clause in accept.split(","):
        media, *parameters = (part.strip() for part in clause.split(";"))
        pairs = (part.partition("=") for part in parameters)
        options = {name.strip(): value.strip() for name, _, value in pairs if value}
        found.append((_quality(options.pop("q", "1")), media.lower() if media != "*" else "*/*", options))
    # Stable: of two that are wanted alike the first wins, but for what names less than the other.
    found.sort(key=lambda clause: (-clause[0], clause[1] in _ANY, clause[1] == "*/*"))
    return [(media, options) for _, media, options in found]


def _none_of(*served: str) -> NotAcceptable:
    return NotAcceptable(f"only the following media types are accepted: {', '.join(served)}", details={})


def _quality(text: str) -> float:
    """Zero is the least, not none: as upstream has it."""
    try:
        return float(text)
    except ValueError:
        return 0.0


_AS = ("as", "g", "v")


def _served(media: str, options: dict[str, str], protobuf: bool) -> Shape | None:
    yaml, binary = media in _YAML, media == PROTOBUF
    if not (yaml or binary or media == JSON or media in _ANY) or options.get("stream", "") not in ("", "watch"):
        return None
    pretty = options.get("pretty") == "1" and not (yaml or binary)
    if options.keys().isdisjoint(_AS):
        return Shape(yaml=yaml, pretty=pretty, protobuf=binary) if protobuf or not binary else None
    kind, version = options.get("as", ""), options.get("v", "")
    if kind not in _KINDS or options.get("g") != _META or version not in ("v1", "v1beta1"):
        return None
    return None if binary and kind == TABLE else Shape(kind, version, yaml, pretty, binary)


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
