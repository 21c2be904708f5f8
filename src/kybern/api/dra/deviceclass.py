"""DeviceClass, resource.k8s.io/v1, v1beta2 and v1beta1. Source: API reference, DeviceClass v1 resource.k8s.io."""

from __future__ import annotations

from kybern.api import meta, names
from kybern.api.dra import checks
from kybern.api.dra.conversion import DEPRECATED
from kybern.api.dra.selectors import check_selectors
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object


class DeviceClass(Resource):
    group, kind, plural = "resource.k8s.io", "DeviceClass", "deviceclasses"
    versions = ("v1", "v1beta2", "v1beta1")
    deprecated = DEPRECATED
    namespaced = False

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, errors: Errors) -> None:
        _check(obj["spec"], {}, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        _check(obj["spec"], old["spec"], errors)


def _check(spec: Object, old: Object, errors: Errors) -> None:
    """What is as it was may break rules that are younger than it."""
    stored = bool(old) and meta.same(spec.get("selectors"), old.get("selectors"))
    check_selectors(spec.get("selectors"), "spec.selectors", errors, stored=stored)
    kept = bool(old) and meta.same(spec.get("config"), old.get("config"))
    checks.each(
        spec.get("config"),
        checks.MAX_CONFIGS,
        lambda config, path, found: checks.opaque(config, path, found, stored=kept),
        "spec.config",
        errors,
    )
    name = spec.get("extendedResourceName")
    if name is not None and not is_extended_resource(name):
        errors.invalid("spec.extendedResourceName", name, "must be a valid extended resource name")


def is_extended_resource(name: str) -> bool:
    """Whether it names a resource that nodes don't have by themselves: `example.com/gpu`."""
    domain, slash, _ = name.partition("/")
    if not slash or name.startswith("requests.") or domain == "kubernetes.io" or domain.endswith(".kubernetes.io"):
        return False
    return not names.qualified_name(f"requests.{name}")
