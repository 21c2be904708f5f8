"""x-kubernetes-validations beyond the simple: sets and keyed lists, nulls, limits of cost, what is only warned of."""

from typing import Any

import pytest

from kybern.api.apiextensions import rules
from kybern.api.cel.timings import EVALUATION
from kybern.api.field import Errors

STRING: dict[str, Any] = {"type": "string"}
INTEGER: dict[str, Any] = {"type": "integer"}


def obj_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def list_of(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def ruled(schema: Any, *said: str, **more: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more} for rule in said]}


def checked(schema: Any, value: Any, old: Any = None) -> Errors:
    errors = Errors()
    rules.Rules(obj_of(spec=schema)).check({"spec": value}, None if old is None else {"spec": old}, errors)
    return errors


def broken(schema: Any, value: Any, old: Any = None) -> list[str]:
    return [str(error) for error in checked(schema, value, old)]


PAIR = obj_of(k=STRING, v=STRING)
KEYED = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
LISTS = obj_of(
    one=list_of(STRING, **{"x-kubernetes-list-type": "set"}),
    other=list_of(STRING, **{"x-kubernetes-list-type": "set"}),
    plain=list_of(STRING),
    maps=list_of(list_of(PAIR, **KEYED)),
    deep=obj_of(**{"in-side": list_of(obj_of(id=INTEGER), **{**KEYED, "x-kubernetes-list-map-keys": ["id"]})}),
    again=obj_of(**{"in-side": list_of(obj_of(id=INTEGER), **{**KEYED, "x-kubernetes-list-map-keys": ["id"]})}),
)
VALUE = {
    "one": ["a", "b", "c"], "other": ["a", "c", "b"], "plain": ["a", "b", "c"],
    "maps": [
        [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}],
        [{"k": "b", "v": "2"}, {"k": "a", "v": "1"}],
        [{"k": "b", "v": "3"}, {"k": "a", "v": "1"}],
        [{"k": "c", "v": "4"}],
    ],
    "deep": {"in-side": [{"id": 1}, {"id": 2}]}, "again": {"in-side": [{"id": 2}, {"id": 1}]},
}  # fmt: skip


@pytest.mark.parametrize(
    "rule",
    [
        "self.one == self.other && !(self.one != self.other)",
        "self.one == ['c', 'b', 'a'] && self.plain != ['c', 'b', 'a'] && ['c', 'b', 'a'] != self.one",
        "self.one + self.other == ['a', 'b', 'c']",
        "self.one + ['c', 'd'] == ['d', 'a', 'b', 'c']",
        "(self.one + ['d', 'd'])[3] == 'd' && (self.one + ['d', 'd']).size() == 4",
        "(self.one + ['d'] + ['d']).size() == 4 && (self.plain + ['a']).size() == 4",
        "self.maps[0] == self.maps[1] && self.maps[0] != self.maps[2]",
        "self.maps[0] + self.maps[2] == self.maps[2] && (self.maps[0] + self.maps[2])[0].k == 'a'",
        "self.maps[2] + self.maps[0] == self.maps[0]",
        "self.maps[0] == [self.maps[0][1], self.maps[0][0]]",
        "size(self.maps[0] + self.maps[3]) == 3",
        "self.deep == self.again && self.deep.in__dash__side == self.again.in__dash__side",
        "self.maps.filter(m, m == self.maps[1]).size() == 2",
        "self.maps.exists_one(m, m + self.maps[3] == self.maps[3])",
    ],
)
def test_the_order_of_sets_and_keyed_lists_says_nothing(rule: str) -> None:
    assert broken(ruled(LISTS, rule), VALUE) == []


def test_what_was_and_what_is_are_compared_without_order() -> None:
    old = {**VALUE, "one": ["c", "b", "a"], "maps": [list(reversed(items)) for items in VALUE["maps"]]}
    schema = ruled(LISTS, "self == oldSelf", "self.one[0] == 'a' && oldSelf.one[0] == 'c'", message="changed")
    assert broken(schema, VALUE, old) == []
    assert broken(schema, {**VALUE, "one": ["a", "b"]}, old) == ["spec: Invalid value: changed"]
    once = ruled(LISTS, "!oldSelf.hasValue() || oldSelf.value() == self", message="changed", optionalOldSelf=True)
    assert broken(once, VALUE, old) == []


def test_null_is_as_good_as_absent_in_objects_but_not_in_maps() -> None:
    nullable = {**STRING, "nullable": True}
    schema = obj_of(a=nullable, m={"type": "object", "additionalProperties": nullable})
    value = {"a": None, "m": {"k": None}}
    assert broken(ruled(schema, "!has(self.a) && 'k' in self.m && self.m.k == null"), value) == []


ITEMS = list_of(obj_of(name=STRING))
UNIQUE = "self.all(x, self.exists_one(y, x.name == y.name))"


def named(count: int) -> list[dict[str, str]]:
    return [{"name": f"a name of some length, number {n}"} for n in range(count)]


def test_a_rule_may_cost_as_much_as_upstream_lets_it() -> None:
    assert broken(ruled(ITEMS, UNIQUE, message="twice"), named(150)) == []
    assert broken(ruled(ITEMS, UNIQUE, message="twice"), [*named(150), *named(1)]) == ["spec: Invalid value: twice"]


def test_a_rule_that_costs_too_much_is_the_last() -> None:
    assert broken(ruled(ITEMS, UNIQUE, "self.size() < 2"), named(600)) == [
        "spec: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation "
        f"rules will be run due to call cost exceeds limit for rule: {UNIQUE}"
    ]


def test_rules_have_a_budget_together() -> None:
    schema = ruled(obj_of(s=STRING), *(f"!self.s.matches('{'x' * 400}{n}')" for n in range(12)))
    assert broken(schema, {"s": "a" * 90_000}) == [
        'spec: Invalid value: "object": validation failed due to running out of cost budget, no further validation '
        "rules will be run"
    ]
    assert broken(schema, {"s": "a" * 60_000}) == []


def test_a_message_that_costs_too_much_is_told_of() -> None:
    schema = ruled(ITEMS, "self.size() < 2", messageExpression=f"{UNIQUE} ? 'a' : 'b'", message="no")
    assert broken(schema, named(600)) == [
        'spec: Invalid value: "array": no further validation rules will be run due to call cost exceeds limit for '
        f"messageExpression: \"{UNIQUE} ? 'a' : 'b'\""
    ]


@pytest.mark.parametrize("made", ["self[9].name", "' '", "'a\\nb'", "'x'.replace('x', self[0].name)"])
def test_a_message_that_is_none_gives_way_to_the_other(made: str) -> None:
    value = [{"name": "y" * 6000}, {"name": "b"}]
    assert broken(ruled(ITEMS, "self.size() < 2", messageExpression=made, message="no"), value) == [
        "spec: Invalid value: no"
    ]


def test_what_was_wrong_before_is_warned_of() -> None:
    schema = obj_of(a=ruled(INTEGER, "self > 2", message="too small"), b=INTEGER)
    errors = checked(schema, {"a": 1, "b": 2}, {"a": 1, "b": 1})
    assert (errors, errors.warnings) == ([], ("spec.a: Invalid value: 1: too small",))
    errors = checked(schema, {"a": 0, "b": 2}, {"a": 1, "b": 1})
    assert ([str(error) for error in errors], errors.warnings) == (["spec.a: Invalid value: 0: too small"], ())


def test_checks_are_timed() -> None:
    before = sum(EVALUATION.numbers)
    checked(obj_of(a=INTEGER), {"a": 1})
    assert sum(EVALUATION.numbers) == before
    checked(ruled(obj_of(a=INTEGER), "self.a == 1"), {"a": 1})
    assert sum(EVALUATION.numbers) == before + 1
