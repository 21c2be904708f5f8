"""What evaluations cost, and what happens to those that cost too much. Figures are upstream's."""

from typing import Any

import pytest

from kybern.api.cel.budget import Budget
from kybern.api.cel.functions.authorization import AUTHORIZER, Answer, Asked, Check
from kybern.api.cel.meter import PER_CALL, Meter
from kybern.api.cel.program import Bound, ExpressionError, OutOfBudget, compiled

SELF: dict[str, Any] = {
    "s": "Rook takes \N{CROWN}", "i": 1, "d": 1.0, "l": [1, 1, 2, 2, 3, 3, 4, 5], "m": {"b": 1, "d": 2},
    "maps": [{"k": "a1", "v": "b1"}, {"k": "a2", "v": "b2"}, {"k": "a3", "v": "b3", "v2": "z"}],
    "o": {"field": "a"}, "either": "25%",
}  # fmt: skip


def cost(text: str) -> int:
    meter, program = Meter(), compiled(text, {"self": "dyn"})
    values = Bound({"self": SELF})
    program.run_metered(values, meter)
    assert program.most(values) >= meter.cost
    return meter.cost


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("self.i == self.i", 5),
        ("type(self.i) == int", 4),
        ("double(5) < 10.0", 1),
        ("double(self.i) < self.d", 6),
        ("self.s.startsWith('Rook')", 4),
        ("self.s.matches('^[^0-9]*$')", 8),
        ("size(self.s) == 12", 4),
        ("self.s.indexOf('o') == 1", 4),
        ("self.s.replace(' ', 'x') == 'Rookxtakesx\N{CROWN}'", 7),
        ("self.s.split(' ') == ['Rook', 'takes', '\N{CROWN}']", 6),
        ("self.s.substring(4, 10).trim() == 'takes'", 6),
        ("self.either in ['25%', 'x']", 2),
        ("2 in self.l", 10),
        ("self.l + [4, 5] == [1]", 4),
        ("!('a' in self.m)", 4),
        ("has(self.m.b)", 2),
        ("self.m.all(k, self.m[k] > 0)", 17),
        ("self.m.exists_one(k, self.m[k] == 2)", 14),
        ("size(self.m.filter(k, self.m[k] > 1)) == 1", 26),
        ("self.maps.all(m, m.k.startsWith('a'))", 21),
        ("self.maps.all(m, !has(m.v2) || m.v2 == 'z')", 21),
        ("self.maps.exists(m, m.k.endsWith('1'))", 13),
        ("!self.maps.all(m, m.k.endsWith('1'))", 18),
        ("!self.maps.exists(m, m.v == 'x')", 25),
        ("self.maps.map(m, m.v).exists(v, v == 'b1')", 55),
        ("self.maps.filter(m, has(m.v2) && m.v2 == 'z').map(m, m.v2).size() == 1", 39),
        ("self.l.all(e, e > 0)", 43),
        ("self.l.exists(e, e > 2)", 36),
        ("self.l.exists_one(e, e > 4)", 22),
        ("self.l.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)", 194),
        ("type(self.either) == int ? self.either == 1 : self.either == '25%'", 7),
        ("self.either == 1 || self.either == '25%'", 6),
        ("optional.of('a').optMap(v, v == 'value').hasValue()", 8),
        ("self.o.?field.orValue('v') == 'a'", 4),
        ("self.i == 1 && duration('1h') + duration('1m') == duration('61m')", 5),
        ("self.l.sum() == 21 && quantity('1Gi').isGreaterThan(quantity('1Mi'))", 14),
        ("sets.contains(self.l, [1, 2])", 19),
        ("self.l.distinct().size() == 5", 143),
    ],
)
def test_what_an_evaluation_costs(text: str, expected: int) -> None:
    assert cost(text) == expected


ITEMS = [{"name": f"item-{n}", "n": n} for n in range(300)]
UNIQUE = "self.all(x, self.exists_one(y, x.name == y.name))"


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        # More rounds of loops than the library allows, and less cost than upstream does.
        (UNIQUE, ITEMS[:150], True),
        (UNIQUE, [*ITEMS[:150], ITEMS[149]], False),
        ("self.all(x, x.n >= 0)", ITEMS * 60, True),
        ("self.all(x, x.n >= 1)", ITEMS * 60, False),
        ("self.exists(x, x.n < 0) || self.size() == 18000", ITEMS * 60, True),
        ("self.exists(x, x.n < 0) ? 1 : self.filter(x, x.n > 298).size()", ITEMS * 60, 60),
        ("self.map(x, x.n + 1).size()", ITEMS * 60, 18000),
        ("{'a': self.filter(x, x.n > 1).map(x, x.n).max()}.a", ITEMS * 60, 299),
        ("cel.bind(big, self.filter(x, x.n > 1), big.size())", ITEMS * 60, 298 * 60),
        ("self.all(k, v, v >= 0)", {f"k{n}": n for n in range(12_000)}, True),
    ],
)
def test_long_loops(text: str, values: Any, expected: Any) -> None:
    assert compiled(text, {"self": "dyn"}, extensions=("bindings",)).evaluate({"self": values}) == expected


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (UNIQUE, [{"name": f"a rather long name of item {n}"} for n in range(600)]),
        ("self.all(x, self.all(y, self.all(z, x + y + z >= 0)))", list(range(200))),
        ("self.s.matches(self.s)", {"s": "a" * 20_000}),
        ("self.exists(x, self.exists(y, self.exists(z, x + y + z < 0))) || true", list(range(200))),
    ],
)
def test_what_costs_more_than_an_expression_may(text: str, values: Any) -> None:
    with pytest.raises(ExpressionError, match=r"^operation cancelled: actual cost limit exceeded$") as failed:
        compiled(text, {"self": "dyn"}).evaluate({"self": values})
    assert failed.value.over_limit


def test_a_budget_is_for_all_expressions_together() -> None:
    values, budget = Bound({"self": ITEMS[:100]}), Budget(150_000)
    for _ in range(2):
        assert compiled(UNIQUE, {"self": "dyn"}).evaluate(values, budget) is True
    with pytest.raises(OutOfBudget, match="running out of cost budget, no further validation rules will be run"):
        compiled(UNIQUE, {"self": "dyn"}).evaluate(values, budget)


def test_what_costs_little_is_not_taken_for_the_most_it_could() -> None:
    program, values = compiled("self.all(x, x.name.startsWith('x'))", {"self": "dyn"}), Bound({"self": ITEMS[:20]})
    most, meter = program.most(values), Meter()
    program.run_metered(values, meter)
    assert most > 100 * meter.cost
    budget = Budget(min(most, PER_CALL) + 1)
    assert [program.evaluate(values, budget) for _ in range(50)] == [False] * 50


async def test_only_two_checks_may_be_made() -> None:
    async def ask(check: Check) -> Answer:
        return Answer(check.name != "x")

    question = "authorizer.group('').resource('pods').name('{}').check('get').allowed()"
    two, three = (" || ".join(question.format("x") for _ in range(count)) for count in (2, 3))
    values = {"authorizer": AUTHORIZER}
    assert await compiled(two, {"authorizer": "Authorizer"}).evaluate_asking(values, ask, Asked()) is False
    with pytest.raises(ExpressionError, match="actual cost limit exceeded"):
        await compiled(three, {"authorizer": "Authorizer"}).evaluate_asking(values, ask, Asked())
    decided = " || ".join(question.format(name) for name in "abc")
    assert await compiled(decided, {"authorizer": "Authorizer"}).evaluate_asking(values, ask, Asked()) is True
    budget = Budget(400_000)
    assert await compiled(decided, {"authorizer": "Authorizer"}).evaluate_asking(values, ask, Asked(), budget) is True
