"""What a resource declares. A kind is one file: a subclass of `Resource` that says what differs from the base.

    class ConfigMap(Resource):
        kind, plural, group, versions = "ConfigMap", "configmaps", "", ("v1",)
        short_names = ("cm",)
        columns = (Column("Data", "integer", lambda o: len(o.get("data") or {}) + len(o.get("binaryData") or {})), AGE)

        def validate(self, obj: Object, errors: Errors) -> None: ...

All hooks receive plain JSON dicts in the *storage version's* shape and may change `obj` in place (never `old`).
The order at create is default -> (admission) -> prepare_create -> validate; at update default -> (admission) ->
prepare_update -> validate -> validate_update. Type checks, unknown fields and metadata come before, by the schema.

A kind that has beta or alpha versions names them all, best first; a server serves the stable ones, and of the others
those that --runtime-config switches on (apiserver/runtime_config.py). A kind whose versions are all off is in the
scheme, with `versions` empty, and is neither found by clients nor published. Where an older version has another
shape, `convert` is overridden; where upstream has deprecated one, `deprecated` says so to each request.

    class IPAddress(Resource):
        group, kind, plural = "networking.k8s.io", "IPAddress", "ipaddresses"
        versions = ("v1", "v1beta1")        # stored as v1, the first; `storage_version` says otherwise
        deprecated = {"v1beta1": Deprecated(34, 37, "networking.k8s.io/v1 IPAddress")}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from kybern.api import durations
from kybern.api.field import Errors
from kybern.api.types import Object


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`. `cell` gives a string, integer or bool; priority 1 shows with -o wide only."""

    name: str
    type: str
    cell: Callable[[Object], Any]
    description: str = ""
    priority: int = 0
    format: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a scalable resource keeps what `autoscaling/v1 Scale` shows; paths are dotted."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "spec.selector"
    """A LabelSelector object's path, or a CRD's path of a serialised selector string (`status.selector`)."""


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource other than `status` and `scale`, served by the verb of that name (verbs/<name>.py)."""

    name: str
    kind: str
    """The kind it accepts, e.g. "Binding"; its group and version may differ from the parent's."""
    group: str = ""
    version: str = "v1"
    verbs: tuple[str, ...] = ("create",)


@dataclass(frozen=True, slots=True)
class Deprecated:
    """Of a version: the minor releases since which it is deprecated and in which it will be gone, and what to use."""

    since: int
    gone: int = 0
    use: str = ""

    def warning(self, what: str) -> str:
        """`policy/v1beta1 PodSecurityPolicy is deprecated in v1.21+, unavailable in v1.25+; use ...`."""
        gone = f", unavailable in v1.{self.gone}+" if self.gone else ""
        return f"{what} is deprecated in v1.{self.since}+{gone}{f'; use {self.use}' if self.use else ''}"


@dataclass(slots=True)
class Preparation:
    """What the request layer tells the prepare hooks."""

    user: str = ""
    subresource: str = ""
    warnings: list[str] = field(default_factory=list)
    """Texts for `Warning:` headers."""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """With `uid` and `groups`: what else is known of the user; for creations only."""


METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
"""What clients may change of metadata."""


class Resource:
    """A kind, in all its served versions. Instances are made once by the scheme (built-ins) or per CRD."""

    group: str = ""
    kind: str = ""
    plural: str = ""
    singular: str = ""
    """Defaults to the lower-cased kind."""
    versions: tuple[str, ...] = ("v1",)
    """Of the class: all versions, preferred first. Of an instance in a server's scheme: those that are served."""
    deprecated: Mapping[str, Deprecated] = MappingProxyType({})
    """By version."""
    gate: str = ""
    """The feature gate without which no version is served, whatever --runtime-config says."""
    storage_version: str = ""
    """Defaults to the first of all versions."""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    has_status: bool = False
    """Whether there is a `status` subresource; then the main resource ignores status and the other way round."""
    status_keeps: tuple[str, ...] = ()
    """Fields of metadata that writes through `status` leave as they are: METADATA, or some of it."""
    status_writers: frozenset[str] = frozenset()
    """Subresources other than `status` that write status; `prepare_update` says which part of it."""
    status_at_creation: bool = False
    """Whether its creator may fill status in, as kubelets do when they register."""
    creates_on_update: bool = False
    """Whether an update of an object that isn't there creates it."""
    versioned_updates: bool = False
    """Whether an update of the whole object must say which resourceVersion it changes."""
    has_generation: bool = True
    """Whether metadata.generation counts changes of spec (anything but metadata and status)."""
    scale: Scale | None = None
    subresources: tuple[Subresource, ...] = ()
    columns: tuple[Column, ...] = ()
    """Without the Name column, which comes first by itself. Empty: Name and Age (upstream's default)."""
    name_column: bool = True
    """False where `columns` places the name itself (events)."""
    time_to_live: int = 0
    """Seconds after a write until the object deletes itself (a store lease); 0: never."""
    orphans_by_default: bool = False
    """Whether dependents stay when it is deleted without a propagation policy (Job), with a warning."""
    grace_period: bool = False
    """Whether deletion is graceful (Pod): `grace_seconds` then decides."""
    validates_name: str = "dns_subdomain"
    """names.py's rule for metadata.name: dns_subdomain, dns_label, dns1035_label, path_segment."""
    storage_prefix: str = ""
    """Key segments below /registry/, upstream's; defaults to `plural`. Custom kinds have `group/plural`."""
    custom: bool = False
    """True for kinds made by a CRD."""
    views: Mapping[str, Resource] = MappingProxyType({})
    """Of kinds whose versions are kinds by themselves (custom ones with several): those, by version."""
    filled_when_read: bool = False
    """Whether what is stored may lack what reads show (a CRD got defaults since): then `from_storage` always runs."""

    def default(self, obj: Object) -> None:
        """Fill in upstream's defaults."""

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        """Reset what clients may not set (status is dropped already where has_status); warn of deprecated use."""

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        """Carry over what an update may not change silently (as upstream's strategies do)."""

    def validate(self, obj: Object, errors: Errors) -> None:
        """Semantic rules for any write; ObjectMeta is checked by the caller."""

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        """Rules between old and new: immutable fields. `validate` has run already."""

    def canonicalize(self, obj: Object) -> None:
        """Bring a valid object into the form in which it is stored."""

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        """All rules for an update of the whole object: `validate` and `validate_update`. Kinds that forgive what was
        wrong before override this."""
        self.validate(obj, errors)
        self.validate_update(obj, old, errors)

    def validate_part(self, subresource: str, obj: Object, old: Object, errors: Errors) -> None:
        """Rules for writes through a subresource (not `status`) that shows the whole object and writes a part of it."""
        self.validate_update(obj, old, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        """Rules for writes through the status subresource."""

    def selectable(self, obj: Object) -> Mapping[str, str]:
        """Field-selector values other than metadata.name and metadata.namespace, e.g. {"spec.nodeName": "n1"}."""
        return {}

    selectable_fields: tuple[str, ...] = ()
    """The keys `selectable` gives; a field selector on any other is a BadRequest."""

    def grace_seconds(self, obj: Object, asked: int | None) -> int:
        """Graceful kinds: the seconds to grant; 0 deletes at once."""
        return 0

    def convert(self, obj: Object, version: str) -> Object:
        """Give `obj` (in any served version; see its apiVersion) in `version`. Must not change `obj`."""
        return {**obj, "apiVersion": f"{self.group}/{version}" if self.group else version}

    def to_storage(self, obj: Object) -> Object:
        """Give `obj` (in any served version) in the shape it is stored and the hooks work in. Must not change `obj`.
        Only kinds that share their storage with another group's kind override this (events.k8s.io Event)."""
        return self.convert(obj, self.stored_as)

    def from_storage(self, obj: Object, version: str) -> Object:
        """Give a stored `obj` in the served `version`. Must not change `obj`."""
        return self.convert(obj, version)

    reshapes: frozenset[str] = frozenset()
    """The API versions in which objects look other than what is stored; field managers' entries are in their shapes."""

    def in_shape_of(self, obj: Object, api_version: str) -> Object:
        """A stored `obj` as that API version has it; `obj` itself where it is stored alike. Must not change `obj`."""
        return self.from_storage(obj, api_version.rpartition("/")[2]) if api_version in self.reshapes else obj

    def columns_of(self, version: str) -> tuple[Column, ...]:
        """`columns`, where they depend on the served version."""
        return self.columns

    def warnings_of(self, version: str) -> list[str]:
        """Texts for `Warning:` headers of every request in a version: that it is deprecated."""
        found = self.deprecated.get(version)
        return [found.warning(f"{self.api_version(version)} {self.kind}")] if found else []

    def gone_in(self, version: str) -> str:
        """The release, like `1.37`, in which the version will be gone; empty where that isn't said."""
        found = self.deprecated.get(version)
        return f"1.{found.gone}" if found and found.gone else ""

    def changes_generation(self, obj: Object, old: Object) -> bool:
        """Whether the update makes a new generation (where has_generation): any change but of metadata and status."""
        kept = (obj.keys() | old.keys()) - {"metadata", "status", "kind", "apiVersion"}
        return any(obj.get(key) != old.get(key) for key in kept)

    def display_name(self, obj: Object) -> str:
        """What the Name column shows."""
        return str(obj["metadata"].get("name", ""))

    def cache_key(self) -> str:
        """What tells the watch cache of this kind, or of this view of it, from others."""
        return self.prefix()

    # Derived names; not overridden, but for `api_version` together with `to_storage`.

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else str(self.plural)

    @cached_property
    def group_kind(self) -> str:
        """`apps/Deployment`, `Pod`."""
        return f"{self.group}/{self.kind}" if self.group else self.kind

    def api_version(self, version: str = "") -> str:
        """`apps/v1`, `v1`: of `version`, else of the storage version."""
        version = version or self.stored_as
        return f"{self.group}/{version}" if self.group else version

    @property
    def stored_as(self) -> str:
        """The version objects are stored in."""
        return self.storage_version or type(self).versions[0]

    def key(self, namespace: str, name: str) -> str:
        """The store key, upstream's: `/registry/pods/ns/name`."""
        return f"{self.prefix(namespace)}{name}"

    def prefix(self, namespace: str = "") -> str:
        """The store prefix of the kind, or of one namespace of it; ends in a slash."""
        base = f"/registry/{self.storage_prefix or self.plural}/"
        return f"{base}{namespace}/" if namespace else base


AGE = Column("Age", "string", lambda o: durations.since(o["metadata"].get("creationTimestamp")), "Time since creation")
