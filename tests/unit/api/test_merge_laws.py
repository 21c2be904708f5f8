"""What holds for every merge, whichever way it is asked for: laws of strategic merge and apply, and that they agree.

The objects are Deployments: maps, lists by key within lists by key, lists of strings, and values that lists replace.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kybern.api import fieldsets, patch, schema
from kybern.api.apply import apply
from kybern.api.errors import Conflict
from kybern.api.strategic import strategic_merge_patch

TYPE = schema.builtin().kind("apps/v1", "Deployment")
assert TYPE is not None
KEYS = {"containers": "name", "env": "name", "volumes": "name"}
"""Lists whose items have a key."""

words = st.sampled_from("abcd")


def keyed(item: Any) -> Any:
    """A list of items with names of their own, in any order; an empty one has no owner."""
    return st.dictionaries(words, item, min_size=1, max_size=4).map(
        lambda found: [{"name": name, **rest} for name, rest in found.items()]
    )


def some(**fields: Any) -> Any:
    """An object with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


texts = st.dictionaries(words, words, min_size=1, max_size=3)
CONTAINERS = keyed(
    some(image=words, args=st.lists(words, max_size=3), env=keyed(st.fixed_dictionaries({"value": words})))
)
POD = some(containers=CONTAINERS, nodeSelector=texts, hostNetwork=st.booleans(), volumes=keyed(some(
    emptyDir=some(medium=words),
)))  # fmt: skip
DEPLOYMENTS = st.fixed_dictionaries({
    "kind": st.just("Deployment"), "apiVersion": st.just("apps/v1"),
    "metadata": st.fixed_dictionaries({"name": st.just("d")}, optional={
        "labels": texts, "finalizers": st.lists(words, unique=True, min_size=1, max_size=4),
    }),
    "spec": some(replicas=st.integers(0, 3), paused=st.booleans(),
                 template=st.fixed_dictionaries({"spec": POD})),
})  # fmt: skip


def merged(obj: Any, change: Any) -> Any:
    return strategic_merge_patch(obj, change, TYPE)


def normal(value: Any) -> Any:
    """Without what is empty, and with keyed lists as maps: what is the same but for order."""
    if isinstance(value, dict):
        found = {key: normal(item) for key, item in value.items() if key != "managedFields"}
        if "finalizers" in found:
            found["finalizers"] = sorted(found["finalizers"])
        return {key: item for key, item in found.items() if item not in ({}, [], None)}
    if isinstance(value, list):
        if all(isinstance(item, dict) and "name" in item for item in value):
            return {item["name"]: normal(item) for item in value}
        return value
    return value


def difference(old: Any, new: Any) -> Any:
    """The strategic merge patch from old to new, as kubectl makes it."""
    found: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        if key not in old:
            found[key] = value
        elif isinstance(value, dict):
            if inner := difference(old[key], value):
                found[key] = inner
        elif key in KEYS:
            found |= list_difference(key, old[key], value)
        elif key == "finalizers":
            gone = [item for item in old[key] if item not in value]
            found |= {f"$deleteFromPrimitiveList/{key}": gone} if gone else {}
            added = [item for item in value if item not in old[key]]
            found |= {key: added} if added else {}
            found |= {f"$setElementOrder/{key}": value} if found.keys() & {key} or gone or old[key] != value else {}
        elif old[key] != value:
            found[key] = value
    return found


def list_difference(key: str, old: list[Any], new: list[Any]) -> dict[str, Any]:
    """The part of a patch about one keyed list."""
    before = {item["name"]: item for item in old}
    after = {item["name"]: item for item in new}
    items = [{"name": name, "$patch": "delete"} for name in before if name not in after]
    for name, item in after.items():
        if name not in before:
            items.append(item)
        elif inner := difference(before[name], item):
            items.append({"name": name, **inner})
    if not items and [item["name"] for item in old] == [item["name"] for item in new]:
        return {}
    order = {f"$setElementOrder/{key}": [{"name": item["name"]} for item in new]}
    return {**order, **({key: items} if items else {})}


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_a_difference_leads_to_what_it_was_made_for(old: Any, new: Any) -> None:
    kept = copy.deepcopy((old, new))
    made = merged(old, difference(old, new))
    assert made == new
    assert (old, new) == kept


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS, DEPLOYMENTS)
def test_what_others_wrote_meanwhile_stays(old: Any, new: Any, live: Any) -> None:
    """A patch made from old to new, on a third object: what it doesn't mention is as it was, twice is once."""
    change = difference(old, new)
    once = merged(live, change)
    assert merged(once, change) == once
    spec = change.get("spec", {})
    for field in ("replicas", "paused"):
        wanted = spec.get(field, live["spec"].get(field)) if field in spec else live["spec"].get(field)
        assert once["spec"].get(field) == wanted


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS)
def test_nothing_changes_nothing(obj: Any) -> None:
    assert merged(obj, {}) == obj
    assert merged(obj, obj) == obj
    assert patch.merge_patch(obj, obj) == obj
    assert patch.json_patch(obj, []) == obj


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, some(nodeSelector=texts, hostNetwork=st.booleans()))
def test_without_lists_all_patches_agree(obj: Any, change: Any) -> None:
    spec = obj["spec"].setdefault("template", {"spec": {}})["spec"]
    whole = {"spec": {"template": {"spec": change}}}
    operations = []
    if "hostNetwork" in change:
        operations.append({"op": "add", "path": "/spec/template/spec/hostNetwork", "value": change["hostNetwork"]})
    if "nodeSelector" in change:
        value = {**spec.get("nodeSelector", {}), **change["nodeSelector"]}
        operations.append({"op": "add", "path": "/spec/template/spec/nodeSelector", "value": value})
    expected = merged(obj, whole)
    assert patch.merge_patch(obj, whole) == expected
    assert patch.json_patch(obj, operations) == expected


def applied(live: Any, config: Any, manager: str, *, force: bool = False) -> Any:
    return apply(live, config, manager, force, TYPE, "apps/v1", "", ("status",))


def owners(obj: Any) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in obj["metadata"]["managedFields"]}


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_apply_and_strategic_merge_agree_on_values(first: Any, second: Any) -> None:
    """Who applies for the first time, by force, adds to what is there as a strategic merge patch does; lists of strings
    that are sets, order, and maps that are applied whole (nodeSelector) aside."""
    second["spec"].get("template", {"spec": {}})["spec"].pop("nodeSelector", None)
    live = applied(None, first, "one")
    made = applied(live, second, "two", force=True)
    assert normal(made) == normal(merged(first, second))


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_who_applies_owns_just_what_is_applied(first: Any, second: Any) -> None:
    made = applied(applied(None, first, "one"), second, "two", force=True)
    own = fieldsets.of_object(second, TYPE, fieldsets.applied, ("status",))
    assert owners(made).get("two", {}) == own
    changed, removed = fieldsets.compare(TYPE, first, made)
    left = owners(made).get("one", {})
    before = fieldsets.of_object(first, TYPE, fieldsets.applied, ("status",))
    assert left == fieldsets.subtract(fieldsets.subtract(before, changed), removed)


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_a_conflict_is_a_difference_that_another_owns(first: Any, second: Any) -> None:
    live = applied(None, first, "one")
    forced = applied(live, second, "two", force=True)
    changed, _ = fieldsets.compare(TYPE, live, forced)
    disputed = fieldsets.intersect(owners(live).get("one", {}), changed)
    try:
        made = applied(live, second, "two")
    except Conflict as conflict:
        said = {cause["field"] for cause in conflict.status()["details"]["causes"]}
        assert said == {fieldsets.path_text(path) for path in fieldsets.members(disputed)} and said
    else:
        assert not disputed and made == forced


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_what_two_apply_does_not_depend_on_who_came_first(first: Any, second: Any) -> None:
    try:
        one_two = applied(applied(None, first, "one"), second, "two")
        two_one = applied(applied(None, second, "two"), first, "one")
    except Conflict:
        assume(False)
    assert normal(one_two) == normal(two_one)
    assert owners(one_two) == owners(two_one)


@settings(max_examples=40, deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS, DEPLOYMENTS)
def test_who_stops_applying_leaves_what_others_own(first: Any, second: Any, third: Any) -> None:
    both = applied(applied(None, first, "one"), second, "two", force=True)
    try:
        made = applied(both, third, "one")
    except Conflict:
        assume(False)
    nothing = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d"}}
    alone = applied(made, nothing, "one")
    assert "one" not in owners(alone)
    assert owners(alone).get("two", {}) == fieldsets.of_object(second, TYPE, fieldsets.applied, ("status",))
    assert normal(merged(alone, second)) == normal(alone)
