"""NetworkPolicy, networking.k8s.io/v1. Source: API reference, NetworkPolicy v1 networking.k8s.io."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from kybern.api import addresses, names, selectors, validation
from kybern.api.cells import at, selector
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_TYPES = ("Ingress", "Egress")
_PEERS = {"ingress": "from", "egress": "to"}


def _rules(spec: Object) -> Iterator[tuple[str, str, Object]]:
    """The path, the key of the peers, and the rule, of each rule in both directions."""
    for direction, peers in _PEERS.items():
        for index, rule in enumerate(spec.get(direction) or []):
            yield f"spec.{direction}[{index}]", peers, rule


def _blocks(spec: Object) -> Iterator[tuple[str, Object]]:
    for path, peers, rule in _rules(spec):
        for index, peer in enumerate(rule.get(peers) or []):
            if peer.get("ipBlock") is not None:
                yield f"{path}.{peers}[{index}].ipBlock", peer["ipBlock"]


class NetworkPolicy(Resource):
    group, kind, plural = "networking.k8s.io", "NetworkPolicy", "networkpolicies"
    short_names = ("netpol",)
    columns = (Column("Pod-Selector", "string", lambda o: selector(at(o, "spec", "podSelector") or {})), AGE)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        for _, _, rule in _rules(spec):
            for port in rule.get("ports") or []:
                port.setdefault("protocol", "TCP")
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if obj["spec"] != old.get("spec"):
            _warn(obj, prep)

    def validate(self, obj: Object, errors: Errors) -> None:
        _check(obj["spec"], (), errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        kept = [cidr for _, block in _blocks(old.get("spec") or {}) for cidr in _ranges(block)]
        _check(obj["spec"], kept, errors)


def _ranges(block: Object) -> list[str]:
    return [block.get("cidr") or "", *(block.get("except") or [])]


def _warn(obj: Object, prep: Preparation) -> None:
    for path, block in _blocks(obj["spec"]):
        prep.warnings += addresses.cidr_warnings(block.get("cidr") or "", f"{path}.cidr")
        for index, hole in enumerate(block.get("except") or []):
            prep.warnings += addresses.cidr_warnings(hole, f"{path}.except[{index}]")


def _check(spec: Object, kept: Collection[str], errors: Errors) -> None:
    selectors.validate_object(spec.get("podSelector"), "spec.podSelector", errors)
    for path, peers, rule in _rules(spec):
        for index, port in enumerate(rule.get("ports") or []):
            _check_port(port, f"{path}.ports[{index}]", errors)
        for index, peer in enumerate(rule.get(peers) or []):
            _check_peer(peer, f"{path}.{peers}[{index}]", kept, errors)
    types = spec.get("policyTypes") or []
    if len(types) > len(_TYPES):
        errors.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(types):
        if kind not in _TYPES:
            errors.unsupported(f"spec.policyTypes[{index}]", kind, _TYPES, ordered=True)


def _check_port(port: Object, path: str, errors: Errors) -> None:
    if port.get("protocol") is not None and port["protocol"] not in validation.PROTOCOLS:
        errors.unsupported(f"{path}.protocol", port["protocol"], ("TCP", "UDP", "SCTP"), ordered=True)
    first, last = port.get("port"), port.get("endPort")
    if first is None:
        if last is not None:
            errors.invalid(f"{path}.endPort", last, "may not be specified when `port` is not specified")
    elif isinstance(first, str):
        if last is not None:
            errors.invalid(f"{path}.endPort", last, "may not be specified when `port` is non-numeric")
        for problem in names.port_name(first):
            errors.invalid(f"{path}.port", first, problem)
    else:
        validation.port_number(first, f"{path}.port", errors)
        if last is not None:
            if last < first:
                errors.invalid(f"{path}.endPort", last, "must be greater than or equal to `port`")
            validation.port_number(last, f"{path}.endPort", errors)


def _check_peer(peer: Object, path: str, kept: Collection[str], errors: Errors) -> None:
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    for key in given:
        if key != "ipBlock":
            selectors.validate_object(peer[key], f"{path}.{key}", errors)
    if "ipBlock" in given:
        _check_block(peer["ipBlock"], f"{path}.ipBlock", kept, errors)
    if not given:
        errors.required(path, "must specify a peer")
    elif len(given) > 1 and "ipBlock" in given:
        errors.forbidden(path, "may not specify both ipBlock and another peer")


def _check_block(block: Object, path: str, kept: Collection[str], errors: Errors) -> None:
    if not block.get("cidr"):
        errors.required(f"{path}.cidr")
        return
    addresses.check_cidr(block["cidr"], f"{path}.cidr", errors, kept)
    whole = addresses.network(block["cidr"])
    if whole is None:
        return
    for index, text in enumerate(block.get("except") or []):
        addresses.check_cidr(text, f"{path}.except[{index}]", errors, kept)
        hole = addresses.network(text)
        if hole is None:
            continue
        inside = hole.version == whole.version and hole.network_address in whole
        if not inside or whole.prefixlen >= hole.prefixlen:
            errors.invalid(f"{path}.except[{index}]", text, "must be a strict subset of `cidr`")
