"""Strategic merge patch, as kubectl sends it for workloads."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.api import schema
from kybern.api.errors import BadRequest
from kybern.api.schema import Type
from kybern.api.strategic import strategic_merge_patch

POD_SPEC = schema.builtin().named("io.k8s.api.core.v1.PodSpec")


def typed(kind: str, version: str = "apps/v1") -> Type:
    found = schema.builtin().kind(version, kind)
    assert found
    return found


def merged(original: Any, patch: Any, typ: Type = POD_SPEC) -> Any:
    return strategic_merge_patch(original, patch, typ)


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


def test_containers_merge_by_name() -> None:
    live = {"containers": [{"name": "a", "image": "1", "tty": True}, {"name": "b", "image": "1"}]}
    got = merged(live, {"containers": [{"name": "b", "image": "2"}, {"name": "c", "image": "3"}]})
    by_name = {c["name"]: c for c in got["containers"]}
    assert by_name == {
        "a": {"name": "a", "image": "1", "tty": True}, "b": {"name": "b", "image": "2"},
        "c": {"name": "c", "image": "3"},
    }  # fmt: skip
    assert live["containers"][1]["image"] == "1"


def test_nested_lists_merge_by_their_own_keys() -> None:
    live = {
        "containers": [
            {
                "name": "a",
                "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}],
                "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81}],
                "args": ["one", "two"],
            }
        ]
    }
    change = {
        "name": "a",
        "env": [{"name": "Y", "value": None, "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "ports": [{"containerPort": 80, "hostPort": 8080}],
        "args": ["three"],
    }
    [got] = merged(live, {"containers": [change]})["containers"]
    env = {item["name"]: item for item in got["env"]}
    assert env == {"X": {"name": "X", "value": "1"}, "Y": {"name": "Y", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}}
    ports = {port["containerPort"]: port for port in got["ports"]}
    assert ports == {80: {"containerPort": 80, "name": "http", "hostPort": 8080}, 81: {"containerPort": 81}}
    assert got["args"] == ["three"]


def test_delete_takes_one_item_out() -> None:
    live = {"containers": [{"name": "a"}, {"name": "b"}], "volumes": [{"name": "v"}]}
    volumes = [{"$patch": "delete", "name": "v"}]
    got = merged(live, {"containers": [{"$patch": "delete", "name": "a"}], "volumes": volumes})
    assert got == {"containers": [{"name": "b"}], "volumes": []}


def test_replace_takes_the_patch_as_it_is() -> None:
    live = {"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"a": "1", "b": "2"}}
    patch = {"containers": [{"name": "c"}, {"$patch": "replace"}], "nodeSelector": {"$patch": "replace", "c": "3"}}
    assert merged(live, patch) == {"containers": [{"name": "c"}], "nodeSelector": {"c": "3"}}


def test_delete_of_a_map_empties_it() -> None:
    assert merged({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"$patch": "delete"}}) == {"nodeSelector": {}}


def test_null_removes() -> None:
    assert merged({"hostNetwork": True, "nodeSelector": {"a": "1"}}, {"hostNetwork": None, "nodeSelector": None}) == {}


def test_lists_of_strings() -> None:
    typ = typed("Pod", "v1")
    live = {"metadata": {"finalizers": ["a", "b", "c"]}}
    added = merged(live, {"metadata": {"finalizers": ["d"]}}, typ)
    assert sorted(added["metadata"]["finalizers"]) == ["a", "b", "c", "d"]
    patch = {
        "$deleteFromPrimitiveList/finalizers": ["b"], "$setElementOrder/finalizers": ["d", "a", "c"],
        "finalizers": ["d"],
    }  # fmt: skip
    assert merged(live, {"metadata": patch}, typ)["metadata"]["finalizers"] == ["d", "a", "c"]


def test_element_order_puts_items_where_they_belong() -> None:
    live = {"containers": [{"name": "a"}, {"name": "b"}, {"name": "sidecar"}]}
    order = [{"name": "new"}, {"name": "b"}, {"name": "a"}]
    patch = {"$setElementOrder/containers": order, "containers": [{"name": "new", "image": "n"}]}
    got = names(merged(live, patch)["containers"])
    assert [name for name in got if name != "sidecar"] == ["new", "b", "a"]
    assert "sidecar" in got


def test_an_order_that_does_not_name_the_patch_is_refused() -> None:
    patch = {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}
    with pytest.raises(BadRequest, match="doesn't match"):
        merged({"containers": []}, patch)


def test_retain_keys_drops_the_rest() -> None:
    live = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}
    patch = {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}
    typ = typed("Deployment").fields["spec"]
    assert merged(live, patch, typ) == {"strategy": {"type": "Recreate"}}
    volumes = {"volumes": [{"name": "v", "emptyDir": {}}]}
    change = {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]}
    assert merged(volumes, change) == {"volumes": [{"name": "v", "hostPath": {"path": "/x"}}]}
    with pytest.raises(BadRequest, match="invalid patch format of retainKeys"):
        merged(live, {"strategy": {"$retainKeys": ["type"], "other": 1}}, typ)


def test_what_kubectl_apply_sends_for_a_deployment() -> None:
    """Two containers, one renamed, a port and a variable removed, replicas no longer set."""
    live = {
        "spec": {
            "replicas": 3,
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "web", "image": "w:1", "imagePullPolicy": "Always",
                            "ports": [
                                {"containerPort": 80, "protocol": "TCP"}, {"containerPort": 53, "protocol": "UDP"},
                            ],
                            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        },
                        {"name": "old", "image": "o:1"},
                    ]
                }
            },
        }
    }  # fmt: skip
    web = {
        "$setElementOrder/env": [{"name": "B"}], "$setElementOrder/ports": [{"containerPort": 80}],
        "env": [{"$patch": "delete", "name": "A"}], "image": "w:2", "name": "web",
        "ports": [{"$patch": "delete", "containerPort": 53}],
    }  # fmt: skip
    containers = [web, {"image": "n:1", "name": "new"}, {"$patch": "delete", "name": "old"}]
    order = [{"name": "web"}, {"name": "new"}]
    spec = {"$setElementOrder/containers": order, "containers": containers}
    got = merged(live, {"spec": {"replicas": None, "template": {"spec": spec}}}, typed("Deployment"))
    assert got == {
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "web", "image": "w:2", "imagePullPolicy": "Always",
                            "ports": [{"containerPort": 80, "protocol": "TCP"}],
                            "env": [{"name": "B", "value": "2"}],
                        },
                        {"name": "new", "image": "n:1"},
                    ]
                }
            }
        }
    }  # fmt: skip


def test_nonsense_is_refused() -> None:
    for patch, said in [
        ({"containers": [{"image": "x"}]}, "does not contain declared merge key: name"),
        ({"nodeSelector": {"$patch": "bogus"}}, "unknown patch type: bogus in map"),
        ([], "cannot unmarshal array"),
    ]:
        with pytest.raises(BadRequest, match=said):
            merged({"containers": [{"name": "a"}], "nodeSelector": {}}, patch)
