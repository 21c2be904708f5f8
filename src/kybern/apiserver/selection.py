"""Which objects of a resource a list or watch is about: a namespace, a label selector, a field selector."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api import selectors
from kybern.api.errors import BadRequest
from kybern.api.resource import Resource
from kybern.apiserver.request import Request
from kybern.apiserver.watch_cache import Item, WatchCache


class Selection:
    """Parsed once per request, asked once per object or change."""

    __slots__ = ("_cache", "_fields", "_labels", "_prefix", "_root", "everything")

    def __init__(
        self, cache: WatchCache, namespace: str, labels: selectors.Selector, fields: selectors.FieldSelector
    ) -> None:
        self._cache = cache
        self._prefix = cache.resource.prefix(namespace)
        self._root = len(cache.prefix)
        self._labels = None if labels.everything else labels
        self._fields = fields.requirements
        self.everything = self._labels is None and not self._fields
        """Whether all of the namespace is selected."""

    def matches(self, item: Item) -> bool:
        """Whether the object as of this item is selected; the namespace has been looked at where `filter` is used."""
        if not item.key.startswith(self._prefix):
            return False
        if self._labels is not None and not self._labels.matches(self._cache.labels(item)):
            return False
        return not self._fields or self._fields_match(item)

    def _fields_match(self, item: Item) -> bool:
        for field, equal, value in self._fields:
            if field == "metadata.name":
                actual = item.key.rpartition("/")[2]
            elif field == "metadata.namespace":
                actual = item.key[self._root :].rpartition("/")[0]
            else:
                actual = self._cache.fields(item).get(field, "")
            if (actual == value) is not equal:
                return False
        return True

    def filter(self, items: Iterable[Item]) -> list[Item]:
        """Those of the items that are selected."""
        return list(items) if self.everything else [item for item in items if self.matches(item)]


def selection(request: Request, resource: Resource, cache: WatchCache) -> Selection:
    """The selection of a request's parameters. Raises BadRequest."""
    labels, fields = selectors.EVERYTHING, selectors.ALL_FIELDS
    if request.query:
        labels = selectors.parse(request.arg("labelSelector"))
        fields = selectors.parse_fields(request.arg("fieldSelector"))
        fields.check_supported(resource.selectable_fields, named=not resource.selectable_fields and not resource.custom)
    name = request.info.name
    if name:
        # Allowed by its name, so it must be the only one selected; the old /watch/ paths have it in the path.
        if not fields.requirements:
            fields = selectors.FieldSelector((selectors.FieldRequirement("metadata.name", True, name),))
        elif fields.exact("metadata.name") != name:
            raise BadRequest("fieldSelector metadata.name doesn't match requested name")
    namespace = request.info.namespace if resource.namespaced else ""
    return Selection(cache, namespace, labels, fields)
