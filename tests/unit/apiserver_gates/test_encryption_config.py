"""The file of --encryption-provider-config: what it makes, and what it is told."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from kybern.api.scheme import builtin
from kybern.apiserver.encryption import Locator
from kybern.apiserver.encryption_config import Kind, Kms, load, parse
from kybern.process.daemon import OperatorError
from kybern.store.encryption import PLAIN

AT = b"/registry/a/b"


def key(name: str, size: int = 32) -> dict[str, str]:
    return {"name": name, "secret": base64.b64encode(name.encode().ljust(size, b"-")).decode()}


def aes(*names: str, sort: str = "aesgcm") -> dict[str, Any]:
    return {sort: {"keys": [key(name) for name in names]}}


def document(*entries: tuple[list[Any], list[Any]]) -> dict[str, Any]:
    resources = [{"resources": resources, "providers": providers} for resources, providers in entries]
    return {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": resources}


def test_the_most_special_rule_decides_and_what_an_earlier_wildcard_covers_stays_with_it() -> None:
    configuration = parse(
        document(
            (["secrets", "widgets.example.com"], [aes("one"), {"identity": {}}]),
            (["*.apps"], [aes("two", sort="aescbc")]),
            (["deployments.apps"], [aes("masked")]),
            (["*."], [aes("core", sort="secretbox")]),
            (["*.*"], [{"identity": {}}]),
        )
    )
    cipher_of = configuration.finished({})

    def prefix(group: str, plural: str) -> bytes:
        return cipher_of((group, plural)).seal(b"", AT)[:24]

    assert prefix("", "secrets").startswith(b"k8s:enc:aesgcm:v1:one:")
    assert prefix("example.com", "widgets").startswith(b"k8s:enc:aesgcm:v1:one:")
    assert prefix("apps", "deployments").startswith(b"k8s:enc:aescbc:v1:two:")
    assert prefix("", "configmaps").startswith(b"k8s:enc:secretbox:v1:co")
    assert prefix("batch", "jobs") == b""
    assert parse(document((["secrets"], [aes("a")]))).finished({})(("", "pods")) is PLAIN


def test_entries_of_one_resource_add_up() -> None:
    both = parse(document((["secrets"], [aes("new")]), (["secrets"], [aes("old")]))).finished({})(("", "secrets"))
    old = parse(document((["secrets"], [aes("old")]))).finished({})(("", "secrets"))
    assert both.open(old.seal(b"{}", AT), AT) == (b"{}", True)


def test_kms_providers_take_part_by_name() -> None:
    provider = {"kms": {"apiVersion": "v2", "name": "vault", "endpoint": "unix:///run/kms.sock", "timeout": "1m30s"}}
    configuration = parse(document((["secrets"], [provider, {"identity": {}}])))
    assert configuration.providers == [Kms("vault", "unix:///run/kms.sock", 90.0)]
    found = configuration.finished({"vault": (b"k8s:enc:kms:v2:vault:", PLAIN)})(("", "secrets"))
    assert found.seal(b"{}", AT) == b"k8s:enc:kms:v2:vault:{}"


GOOD = [aes("a")]
OVERLAP = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed"
KMS = {"apiVersion": "v2", "name": "v", "endpoint": "unix:///s"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ((["Secrets"], GOOD), 'resources[0].resources[0]: Invalid value: "Secrets": resource name should not contain'),
        ((["*"], GOOD), "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"),
        ((["secrets.*"], GOOD), "encrypting the same resource across groups is not supported"),
        ((["events.events.k8s.io"], GOOD), "Use 'events' instead in the config file"),
        ((["secrets", "*."], GOOD), OVERLAP),
        ((["secrets", "*.*"], GOOD), OVERLAP),
        ((["secrets", "secrets"], GOOD), "the same resource cannot be specified multiple times"),
        (([], GOOD), "resources[0].resources: Required value"),
        ((["secrets"], []), "resources[0].providers: Required value: at least one resources[0].providers is required"),
        ((["secrets"], [{}]), "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC"),
        ((["secrets"], [{"identity": {}, **aes("a")}]), "more than one provider specified in a single element"),
        ((["secrets"], [{"rot13": {}}]), "resources[0].providers[0].rot13: Invalid value"),
        ((["secrets"], [{"aescbc": {"keys": []}}]), "resources[0].providers[0].aescbc.keys: Required value"),
        (
            (["secrets"], [{"aescbc": {"keys": [{"name": "a", "secret": "?"}]}}]),
            'aescbc.keys[0].secret: Invalid value: "REDACTED": secrets must be base64 encoded',
        ),
        (
            (["secrets"], [{"secretbox": {"keys": [key("a", 16)]}}]),
            "secret is not of the expected length, got 16, expected one of [32]",
        ),
        ((["secrets"], [{"aesgcm": {"keys": [{"secret": key("a")["secret"]}]}}]), "keys[0].name: Required value"),
        ((["secrets"], [{"kms": {**KMS, "apiVersion": "v1"}}]), "KMSv1 is deprecated"),
        ((["secrets"], [{"kms": {**KMS, "endpoint": "tcp://h:1"}}]), 'unsupported scheme "tcp" for KMS provider'),
        ((["secrets"], [{"kms": {**KMS, "name": "a:b"}}]), "invalid KMS provider name a:b, must not contain ':'"),
        ((["secrets"], [{"kms": {**KMS, "timeout": "0s"}}]), "timeout should be a positive value"),
        ((["secrets"], [{"kms": {**KMS, "cachesize": 5}}]), "cachesize is not supported in v2"),
        ((["secrets"], [{"kms": KMS}, {"kms": KMS}]), "duplicate KMS provider name v, names must be unique"),
    ],
)
def test_what_is_wrong_is_said_in_upstreams_words(entry: tuple[list[Any], list[Any]], says: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(document(entry))
    assert says in str(caught.value)
    assert key("a")["secret"] not in str(caught.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(OperatorError, match="No such file"):
        load(path)
    path.write_text("")
    with pytest.raises(OperatorError, match="is empty"):
        load(path)
    path.write_text("a: [")
    with pytest.raises(OperatorError, match="no YAML"):
        load(path)
    path.write_text(yaml.safe_dump({**document((["secrets"], GOOD)), "kind": "Other"}))
    with pytest.raises(OperatorError, match="it must be of kind EncryptionConfiguration"):
        load(path)


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("secrets/default/a", ("", "secrets")),
        ("events/default/a", ("", "events")),
        ("services/specs/default/a", ("", "services")),
        ("services/endpoints/default/a", ("", "endpoints")),
        ("minions/a", ("", "nodes")),
        ("deployments/default/a", ("apps", "deployments")),
        ("apiextensions.k8s.io/customresourcedefinitions/a", ("apiextensions.k8s.io", "customresourcedefinitions")),
        ("example.com/widgets/default/a", ("example.com", "widgets")),
        ("ranges/serviceips", None),
    ],
)
def test_the_kind_of_a_key(where: str, kind: Kind | None) -> None:
    locator = Locator(builtin())
    assert locator.kind(locator.place(f"/registry/{where}")) == kind
