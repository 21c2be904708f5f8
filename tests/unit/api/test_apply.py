"""Server-side apply and the tracking of field managers."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api import fieldsets, managedfields, schema
from kybern.api.apiextensions import structural
from kybern.api.apply import LAST_APPLIED, apply, undeclared_fields
from kybern.api.errors import Conflict, Unclassified
from kybern.api.schema import Type
from kybern.process.clock import clock

STATUS = ("status",)
WIDGET = structural.type_of(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "name": {"type": "string"},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "whole": {"type": "array", "items": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "ref": {
                        "type": "object",
                        "x-kubernetes-map-type": "atomic",
                        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                    },
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["port", "protocol"],
                        "items": {
                            "type": "object",
                            "properties": {
                                "port": {"type": "integer"},
                                "protocol": {"type": "string", "default": "TCP"},
                                "name": {"type": "string"},
                            },
                        },
                    },
                },
            }
        },
    },
    "Widget",
)


def typed(kind: str = "Deployment", version: str = "apps/v1") -> Type:
    found = schema.builtin().kind(version, kind)
    assert found
    return found


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def with_image(image: str, **more: Any) -> dict[str, Any]:
    return deployment(template={"spec": {"containers": [{"name": "c", "image": image}]}}, **more)


def widget(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def applied(live: Any, config: Any, manager: str = "me", force: bool = False, typ: Type | None = None) -> Any:
    custom = config["kind"] == "Widget"
    typ = typ or (WIDGET if custom else typed())
    return apply(live, config, manager, force, typ, config["apiVersion"], "", STATUS)


def created(obj: dict[str, Any], manager: str = "kubectl-create") -> dict[str, Any]:
    made = copy.deepcopy(obj)
    typ = WIDGET if obj["kind"] == "Widget" else typed()
    managedfields.on_create(made, manager, obj["apiVersion"], typ, "", STATUS)
    return made


def updated(live: dict[str, Any], manager: str, **spec: Any) -> dict[str, Any]:
    new = copy.deepcopy(live)
    new["spec"] |= spec
    typ = WIDGET if live["kind"] == "Widget" else typed()
    managedfields.on_update(live, new, manager, live["apiVersion"], typ, "", STATUS)
    return new


def owned(obj: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(e["manager"], e["operation"]): e["fieldsV1"] for e in obj["metadata"]["managedFields"]}


def test_the_first_apply_creates_and_owns_what_it_names() -> None:
    made = applied(None, with_image("a", replicas=2))
    [entry] = made["metadata"]["managedFields"]
    assert {key: entry[key] for key in ("manager", "operation", "apiVersion", "fieldsType")} == {
        "manager": "me", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
    }  # fmt: skip
    assert entry["fieldsV1"] == {
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}}}
            },
        }
    }


def test_create_is_tracked_as_upstream_does_it() -> None:
    """The structs that are always there get no dot; lists' items and maps do."""
    obj = with_image("a", selector={"matchLabels": {"app": "x"}}, strategy={"type": "Recreate"})
    obj["metadata"]["labels"] = {"app": "x"}
    assert owned(created(obj)) == {
        ("kubectl-create", "Update"): {
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:selector": {},
                "f:strategy": {"f:type": {}},
                "f:template": {
                    "f:spec": {"f:containers": {'k:{"name":"c"}': {".": {}, "f:image": {}, "f:name": {}}}}
                },
            },
        }
    }


def test_keys_of_lists_and_values_of_sets_are_encoded() -> None:
    made = applied(None, widget(ports=[{"port": 80}, {"port": 53, "protocol": "UDP"}], tags=["b", "a"]))
    [fields] = owned(made).values()
    assert fields["f:spec"] == {
        "f:ports": {
            'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}},
            'k:{"port":53,"protocol":"UDP"}': {".": {}, "f:port": {}, "f:protocol": {}},
        },
        "f:tags": {'v:"b"': {}, 'v:"a"': {}},
    }


def test_custom_kinds_own_their_structs() -> None:
    fields = owned(created(widget(size=1, ref={"a": "x"}, whole=["x"], free={"deep": {"er": 1}})))
    assert fields["kubectl-create", "Update"] == {
        "f:spec": {
            ".": {}, "f:size": {}, "f:ref": {}, "f:whole": {},
            "f:free": {".": {}, "f:deep": {".": {}, "f:er": {}}},
        }
    }  # fmt: skip


def test_a_conflict_names_who_and_what() -> None:
    live = created(with_image("a", replicas=1), "kubectl-client-side-apply")
    with pytest.raises(Conflict) as caught:
        applied(live, deployment(replicas=2))
    assert caught.value.message == (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas'
    )
    assert caught.value.status()["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-client-side-apply" using apps/v1',
            "field": ".spec.replicas",
        }
    ]
    assert caught.value.code == 409


def test_several_conflicts_are_listed_by_manager() -> None:
    live = applied(created(with_image("a", replicas=1), "creator"), deployment(paused=True), "applier")
    with pytest.raises(Conflict) as caught:
        applied(live, with_image("b", replicas=2, paused=False))
    assert caught.value.message == (
        'Apply failed with 3 conflicts: conflicts with "applier":\n- .spec.paused\n'
        'conflicts with "creator" using apps/v1:\n- .spec.replicas\n'
        '- .spec.template.spec.containers[name="c"].image'
    )


def test_force_takes_the_fields_over() -> None:
    live = created(with_image("a", replicas=1))
    got = applied(live, deployment(replicas=2), force=True)
    assert got["spec"]["replicas"] == 2
    fields = owned(got)
    assert fields["me", "Apply"] == {"f:spec": {"f:replicas": {}}}
    assert "f:replicas" not in fields["kubectl-create", "Update"]["f:spec"]


def test_the_same_value_is_owned_by_both() -> None:
    got = applied(created(deployment(replicas=1)), deployment(replicas=1))
    assert owned(got)["me", "Apply"] == owned(got)["kubectl-create", "Update"] == {"f:spec": {"f:replicas": {}}}
    with pytest.raises(Conflict, match='2 conflicts: conflicts with "kubectl-create" using apps/v1'):
        applied(got, deployment(replicas=3, paused=None), "third")


def test_what_is_no_longer_applied_goes() -> None:
    first = applied(None, with_image("a", replicas=2, paused=True))
    got = applied(first, with_image("a"))
    assert got["spec"].keys() == {"template"}
    two = deployment(template={"spec": {"containers": [{"name": "c"}, {"name": "d", "image": "x"}]}})
    got = applied(applied(None, two), with_image("b"))
    assert got["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "b"}]


def test_what_another_owns_stays() -> None:
    first = applied(None, deployment(replicas=2, paused=True))
    shared = applied(first, deployment(replicas=2), "other")
    got = applied(shared, deployment(paused=True))
    assert got["spec"] == {"replicas": 2, "paused": True}
    assert owned(got)["other", "Apply"] == {"f:spec": {"f:replicas": {}}}
    assert owned(got)["me", "Apply"] == {"f:spec": {"f:paused": {}}}


def test_an_item_stays_while_another_owns_a_part_of_it() -> None:
    mine = deployment(template={"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}})
    theirs = deployment(template={"spec": {"containers": [{"name": "d", "tty": True}]}})
    both = applied(applied(None, mine), theirs, "other")
    got = applied(both, with_image("i"))
    assert got["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "i"}, {"name": "d", "tty": True}]


def test_an_update_takes_fields_from_who_applied_them() -> None:
    live = updated(applied(None, deployment(replicas=1, paused=True)), "scaler", replicas=5)
    assert owned(live) == {
        ("me", "Apply"): {"f:spec": {"f:paused": {}}},
        ("scaler", "Update"): {"f:spec": {"f:replicas": {}}},
    }
    gone = copy.deepcopy(live)
    del gone["spec"]["paused"]
    managedfields.on_update(live, gone, "third", "apps/v1", typed(), "", STATUS)
    assert owned(gone) == {("scaler", "Update"): {"f:spec": {"f:replicas": {}}}}


def test_atomic_sets_and_maps() -> None:
    base = applied(None, widget(tags=["a"], whole=["x"], ref={"a": "1"}, ports=[{"port": 1}]))
    got = applied(base, widget(tags=["b"], ports=[{"port": 1, "name": "n"}, {"port": 2}]), "other")
    assert got["spec"]["tags"] == ["a", "b"]
    assert got["spec"]["ports"] == [{"port": 1, "name": "n"}, {"port": 2}]
    with pytest.raises(Conflict, match=r'1 conflict: conflict with "me": \.spec\.whole'):
        applied(base, widget(whole=["x", "y"]), "other")
    with pytest.raises(Conflict, match=r'1 conflict: conflict with "me": \.spec\.ref'):
        applied(base, widget(ref={"b": "2"}), "other")
    forced = applied(base, widget(ref={"b": "2"}, whole=["z"]), "other", force=True)
    assert (forced["spec"]["ref"], forced["spec"]["whole"]) == ({"b": "2"}, ["z"])
    fewer = applied(got, widget(tags=[], whole=["x"], ref={"a": "1"}))
    assert fewer["spec"]["tags"] == ["b"]


def test_applying_the_same_again_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first = applied(None, with_image("a", replicas=1))
    monkeypatch.setattr(clock, "stamp", lambda: "2042-01-01T00:00:00Z")
    assert applied(first, with_image("a", replicas=1)) == first
    later = applied(first, with_image("b", replicas=1))
    assert later["metadata"]["managedFields"][0]["time"] == "2042-01-01T00:00:00Z"


def test_an_update_without_change_keeps_time_and_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    live = created(deployment(replicas=1))
    monkeypatch.setattr(clock, "stamp", lambda: "2042-01-01T00:00:00Z")
    assert updated(live, "other") == live
    entries = updated(live, "other", replicas=2)["metadata"]["managedFields"]
    assert [(e["manager"], e["time"]) for e in entries] == [("other", "2042-01-01T00:00:00Z")]


def test_status_has_an_entry_of_its_own() -> None:
    live = created(deployment(replicas=1), "kubectl")
    new = {**copy.deepcopy(live), "status": {"replicas": 1}}
    managedfields.on_update(live, new, "kubectl", "apps/v1", typed(), "status", ("spec",))
    entries = new["metadata"]["managedFields"]
    assert [(e["manager"], e.get("subresource")) for e in entries] == [("kubectl", None), ("kubectl", "status")]
    assert entries[1]["fieldsV1"] == {"f:status": {"f:replicas": {}}}


def test_one_empty_entry_resets_and_an_empty_list_does_not() -> None:
    live = created(deployment(replicas=1))
    for sent, kept in (([{}], False), ([], True)):
        new = copy.deepcopy(live)
        new["metadata"]["managedFields"] = sent
        managedfields.on_update(live, new, "other", "apps/v1", typed(), "", STATUS)
        assert ("managedFields" in new["metadata"]) is kept
    untracked = copy.deepcopy(live)
    del untracked["metadata"]["managedFields"]
    assert "managedFields" not in updated(untracked, "other", replicas=2)["metadata"]
    again = owned(applied(untracked, deployment(paused=True)))
    assert again["before-first-apply", "Update"] == {"f:spec": {"f:replicas": {}}}


def test_the_oldest_of_many_updaters_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    live = created(deployment(replicas=0), "m0")
    fields = ["paused", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"]
    for i in range(1, 14):
        monkeypatch.setattr(clock, "stamp", lambda i=i: f"2042-01-01T00:00:{i:02}Z")
        live["metadata"].setdefault("labels", {})
        new = copy.deepcopy(live)
        new["metadata"]["labels"][f"l{i}"] = fields[i % 4]
        managedfields.on_update(live, new, f"m{i}", "apps/v1", typed(), "", STATUS)
        live = new
    managers = [e["manager"] for e in live["metadata"]["managedFields"]]
    assert len(managers) == managedfields.MAX_UPDATERS
    assert "ancient-changes" in managers
    assert "m13" in managers


def test_a_configuration_that_does_not_fit_is_refused() -> None:
    twice = deployment(template={"spec": {"containers": [{"name": "c", "env": [{"name": "A"}, {"name": "A"}]}]}})
    for config, said in [
        (widget(size="x"), ".spec.size: expected numeric (int or float), got string"),
        (widget(name=3), ".spec.name: expected string, got &{3}"),
        (widget(tags="x"), ".spec.tags: expected list, got &{x}"),
        (widget(ports=[{"name": "x"}]), '.spec.ports: element 0: associative list with keys has an element that omits'),
        (twice, '.spec.template.spec.containers[name="c"].env: duplicate entries for key [name="A"]'),
    ]:
        with pytest.raises(Unclassified) as caught:
            applied(None, config)
        assert caught.value.message.startswith("failed to create typed patch object (/")
        assert said in caught.value.message
        assert (caught.value.code, "reason" in caught.value.status()) == (500, False)
    unknown = undeclared_fields(widget(), ["spec.bogus"])
    assert unknown.message == (
        "failed to create typed patch object (/w; example.com/v1, Kind=Widget): "
        ".spec.bogus: field not declared in schema"
    )


def test_kubectls_own_record_is_kept_true() -> None:
    live = deployment(replicas=1)
    live["metadata"]["annotations"] = {LAST_APPLIED: "{}"}
    got = applied(created(live, "kubectl-client-side-apply"), deployment(paused=True), "kubectl")
    assert '"paused":true' in got["metadata"]["annotations"][LAST_APPLIED]
    other = applied(created(live, "kubectl-client-side-apply"), deployment(paused=True), "other")
    assert other["metadata"]["annotations"][LAST_APPLIED] == "{}"


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 2),
        "tags": st.lists(st.sampled_from("abc"), unique=True, min_size=1, max_size=3),
        "whole": st.lists(st.sampled_from("ab"), max_size=2),
        "ref": st.dictionaries(st.sampled_from("ab"), st.just("x"), max_size=2),
        "ports": st.lists(
            st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"name": st.sampled_from("xy")}),
            unique_by=lambda port: port["port"], min_size=1, max_size=3,
        ),
    },
)  # fmt: skip


@given(SPECS, SPECS)
def test_the_last_of_one_manager_is_all_there_is(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Alone on an object, applying A then B is applying B, but for collections left empty."""
    got = applied(applied(None, widget(**first)), widget(**second))["spec"]
    want = applied(None, widget(**second))["spec"]
    assert {k: v for k, v in got.items() if v} == {k: v for k, v in want.items() if v}


@given(SPECS, SPECS)
def test_force_always_gets_its_way(first: dict[str, Any], second: dict[str, Any]) -> None:
    got = applied(applied(None, widget(**first), "other"), widget(**second), force=True)
    fields = fieldsets.of_object(widget(**second), WIDGET, fieldsets.applied, STATUS)
    kept = fieldsets.of_object(got, WIDGET, fieldsets.added, STATUS)
    assert not fieldsets.subtract(fields, kept)
    for name in ("size", "whole", "ref"):
        if name in second:
            assert got["spec"][name] == second[name]


@given(SPECS, SPECS, SPECS)
def test_the_algebra_of_sets(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> None:
    x, y, z = (fieldsets.of_object(widget(**spec), WIDGET, fieldsets.added, STATUS) for spec in (a, b, c))
    paths = {name: set(fieldsets.members(tree)) for name, tree in (("x", x), ("y", y), ("z", z))}
    assert set(fieldsets.members(fieldsets.union(x, y))) == paths["x"] | paths["y"]
    assert set(fieldsets.members(fieldsets.intersect(x, y))) == paths["x"] & paths["y"]
    assert set(fieldsets.members(fieldsets.subtract(x, y))) == paths["x"] - paths["y"]
    left = fieldsets.subtract(fieldsets.union(x, y), z)
    assert set(fieldsets.members(left)) == (paths["x"] | paths["y"]) - paths["z"]


def test_kubectl_takes_over_what_it_applied_itself() -> None:
    """From client-side to server-side apply: no conflicts with one's own record, but with who changed it since."""
    before = with_image("1", replicas=1)
    record = {"annotations": {LAST_APPLIED: json.dumps(before)}}
    live = created({**before, "metadata": {**before["metadata"], **record}}, "kubectl-client-side-apply")
    now = applied(live, with_image("2", replicas=2), manager="kubectl")
    assert now["spec"]["replicas"] == 2
    assert now["spec"]["template"]["spec"]["containers"][0]["image"] == "2"
    with pytest.raises(Conflict, match="2 conflicts"):
        applied(live, with_image("2", replicas=2), manager="another")
    scaled = updated(live, "kubectl-scale", replicas=5)
    with pytest.raises(Conflict, match=r'1 conflict: conflict with "kubectl-scale" using apps/v1: .spec.replicas'):
        applied(scaled, with_image("2", replicas=2), manager="kubectl")
    for spoilt in ("", "{", "[]", json.dumps({**before, "apiVersion": "apps/v2"})):
        other = created({**before, "metadata": {"name": "web", "annotations": {LAST_APPLIED: spoilt}}}, "csa")
        with pytest.raises(Conflict):
            applied(other, with_image("2"), manager="kubectl")
