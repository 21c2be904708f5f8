"""JSON patch and merge patch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kybern.api.errors import BadRequest, Invalid, RequestTooLarge
from kybern.api.patch import MAX_OPERATIONS, json_patch, merge_patch

DOCUMENT: dict[str, Any] = {"a": {"b": [1, 2, 3], "c/d": "x", "e~f": None}, "n": 1}


def patched(*operations: dict[str, Any]) -> dict[str, Any]:
    return json_patch(DOCUMENT, list(operations))


def test_each_operation() -> None:
    assert patched({"op": "add", "path": "/a/b/1", "value": 9})["a"]["b"] == [1, 9, 2, 3]
    assert patched({"op": "add", "path": "/a/b/-", "value": 9})["a"]["b"] == [1, 2, 3, 9]
    assert patched({"op": "add", "path": "/a/new", "value": {}})["a"]["new"] == {}
    assert patched({"op": "remove", "path": "/a/b/0"})["a"]["b"] == [2, 3]
    assert patched({"op": "replace", "path": "/n", "value": [1]})["n"] == [1]
    assert patched({"op": "replace", "path": "/a/b/2", "value": 0})["a"]["b"] == [1, 2, 0]
    assert patched({"op": "move", "from": "/n", "path": "/m"}) == {"a": DOCUMENT["a"], "m": 1}
    assert patched({"op": "copy", "from": "/a/b", "path": "/copy"})["copy"] == [1, 2, 3]


def test_pointers_are_unescaped() -> None:
    assert patched({"op": "remove", "path": "/a/c~1d"})["a"].keys() == {"b", "e~f"}
    assert patched({"op": "remove", "path": "/a/e~0f"})["a"].keys() == {"b", "c/d"}


def test_a_copy_is_no_alias() -> None:
    found = patched(
        {"op": "copy", "from": "/a/b", "path": "/copy"}, {"op": "add", "path": "/copy/-", "value": 4}
    )
    assert (found["a"]["b"], found["copy"]) == ([1, 2, 3], [1, 2, 3, 4])


def test_the_original_stays() -> None:
    before = repr(DOCUMENT)
    patched({"op": "add", "path": "/a/b/-", "value": 9}, {"op": "remove", "path": "/n"})
    assert repr(DOCUMENT) == before


def test_tests_guard_what_follows() -> None:
    assert patched({"op": "test", "path": "/n", "value": 1}, {"op": "remove", "path": "/n"}) == {"a": DOCUMENT["a"]}
    assert patched({"op": "test", "path": "/missing", "value": None}) == DOCUMENT
    for value in (2, True, "1", None):
        with pytest.raises(Invalid) as caught:
            patched({"op": "test", "path": "/n", "value": value})
        assert caught.value.code == 422
        assert caught.value.message == "the server rejected our request due to an error in our request"


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/a/b/9", "value": 1},
        {"op": "add", "path": "/a/b/x", "value": 1},
        {"op": "add", "path": "/no/where", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "copy", "from": "/missing", "path": "/a"},
        {"op": "move", "from": "/a", "path": "/a/b/0"},
        {"op": "replace", "path": "", "value": 3},
        {"op": "bogus", "path": "/a"},
    ],
)
def test_what_does_not_apply_is_invalid(operation: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        patched(operation)


def test_what_is_no_patch() -> None:
    for body in ({"op": "add"}, ["x"], "x", None):
        with pytest.raises(BadRequest):
            json_patch(DOCUMENT, body)
    with pytest.raises(RequestTooLarge, match="The allowed maximum operations in a JSON patch is 10000, got 10001"):
        json_patch(DOCUMENT, [{"op": "test", "path": "/n", "value": 1}] * (MAX_OPERATIONS + 1))


def test_merge_patch_as_in_the_rfc() -> None:
    cases: list[tuple[Any, Any, Any]] = [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
    ]
    for original, patch, result in cases:
        assert merge_patch(original, patch) == result


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(BadRequest):
        merge_patch({}, [])


VALUES = st.recursive(
    st.integers(0, 3) | st.text("ab/~", max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text("abc", min_size=1, max_size=2), VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_twice_is_once(original: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(original, patch)
    assert merge_patch(once, patch) == once


@given(OBJECTS, OBJECTS)
def test_replacing_everything_gives_the_new(original: dict[str, Any], new: dict[str, Any]) -> None:
    assert json_patch(original, [{"op": "replace", "path": "", "value": new}]) == new
