"""Links of what is shown through a proxy: those to its backend lead through the proxy too.

Redirections and the links of HTML pages that begin with a slash, or name the backend's host, get the proxy's path in
front; relative ones and those to elsewhere stay. Pages are changed as they pass by.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterator
from html import escape
from html.parser import HTMLParser
from urllib.parse import urlsplit, urlunsplit

_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "a": ("href",), "applet": ("codebase",), "area": ("href",), "audio": ("src",), "base": ("href",),
    "blockquote": ("cite",), "body": ("background",), "button": ("formaction",), "command": ("icon",),
    "del": ("cite",), "embed": ("src",), "form": ("action",), "frame": ("longdesc", "src"), "head": ("profile",),
    "html": ("manifest",), "iframe": ("longdesc", "src"), "img": ("longdesc", "src", "usemap"),
    "input": ("src", "usemap", "formaction"), "ins": ("cite",), "link": ("href",),
    "object": ("classid", "codebase", "data", "usemap"), "q": ("cite",), "script": ("src",), "source": ("src",),
    "video": ("poster", "src"),
}  # fmt: skip
"""Tags and those of their attributes that are links; upstream's proxy changes the same."""
_GZIP = 31


class Links:
    """How links of one proxied answer change. `prefix` is the proxy's path up to the backend's, `hosts` what the
    backend and this server are called."""

    def __init__(self, prefix: str, hosts: frozenset[str]) -> None:
        self.prefix = prefix.rstrip("/")
        self.hosts = hosts

    def moved(self, link: str) -> str:
        """Where a link leads through the proxy."""
        try:
            target = urlsplit(link)
        except ValueError:
            return link
        if not target.path.startswith("/") or (target.netloc and target.netloc not in self.hosts):
            return link
        path = target.path
        if not (path == self.prefix or path.startswith(f"{self.prefix}/")):
            path = self.prefix + path
        return urlunsplit(("", "", path, target.query, target.fragment))

    async def page(self, body: AsyncIterator[bytes], encoding: str, charset: str) -> AsyncIterator[bytes]:
        """An HTML page with its links changed; `encoding` is gzip or empty."""
        rewriter = _Rewriter(self)
        decoder = codecs.getincrementaldecoder(charset)("surrogateescape")
        unpacker = zlib.decompressobj(_GZIP) if encoding else None
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP) if encoding else None
        async for piece in body:
            rewriter.feed(decoder.decode(unpacker.decompress(piece) if unpacker else piece))
            if changed := rewriter.take().encode(charset, "surrogateescape"):
                yield packer.compress(changed) if packer else changed
        rewriter.feed(decoder.decode(unpacker.flush() if unpacker else b"", True))
        rewriter.close()
        rest = rewriter.take().encode(charset, "surrogateescape")
        yield packer.compress(rest) + packer.flush() if packer else rest


class _Rewriter(HTMLParser):
    """Gives all that it reads as it was, but for tags whose links change."""

    def __init__(self, links: Links) -> None:
        super().__init__(convert_charrefs=False)
        self._links = links
        self._made: list[str] = []

    def take(self) -> str:
        """What is ready since the last time."""
        made, self._made = "".join(self._made), []
        return made

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag(tag, attrs, ">")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag(tag, attrs, "/>")

    def _tag(self, tag: str, attrs: list[tuple[str, str | None]], end: str) -> None:
        known = _ATTRIBUTES.get(tag, ())
        changed = [
            (name, self._links.moved(value) if name in known and value is not None else value) for name, value in attrs
        ]
        if changed == attrs:
            self._made.append(self.get_starttag_text() or "")
            return
        said = "".join(f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in changed)
        self._made.append(f"<{tag}{said}{end}")

    def handle_endtag(self, tag: str) -> None:
        self._made.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._made.append(data)

    def handle_entityref(self, name: str) -> None:
        self._made.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._made.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self._made.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._made.append(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self._made.append(f"<?{data}>")

    def unknown_decl(self, data: str) -> None:
        self._made.append(f"<![{data}]>")
