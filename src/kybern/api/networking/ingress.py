"""Ingress, networking.k8s.io/v1: declaration; ingress_validation.py has the rules.

Source: API reference, Ingress v1 networking.k8s.io.
"""

from __future__ import annotations

from kybern.api.cells import at, text
from kybern.api.field import Errors
from kybern.api.networking import ingress_validation as rules
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_SHOWN_HOSTS = 3


def _hosts(obj: Object) -> str:
    found = at(obj, "spec", "rules") or []
    hosts = [rule["host"] for rule in found if rule.get("host")]
    if not hosts:
        return "*"
    shown = ",".join(hosts[:_SHOWN_HOSTS])
    return f"{shown} + {len(found) - _SHOWN_HOSTS} more..." if len(hosts) > _SHOWN_HOSTS else shown


def _address(obj: Object) -> str:
    points = at(obj, "status", "loadBalancer", "ingress") or []
    return ",".join(sorted({str(one.get("ip") or one.get("hostname")) for one in points} - {"None", ""}))


class Ingress(Resource):
    group, kind, plural = "networking.k8s.io", "Ingress", "ingresses"
    short_names = ("ing",)
    storage_prefix = "ingress"
    has_status = True
    columns = (
        Column("Class", "string", text("spec", "ingressClassName", default="<none>")),
        Column("Hosts", "string", _hosts),
        Column("Address", "string", _address),
        Column("Ports", "string", lambda o: "80, 443" if at(o, "spec", "tls") else "80"),
        AGE,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"loadBalancer": {}}

    def validate(self, obj: Object, errors: Errors) -> None:
        rules.validate(obj, errors, rules.STRICT)
        rules.check_class_annotation(obj, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        rules.validate(obj, errors, rules.forgiven(old))

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        rules.validate_status(obj, old, errors)
