"""The language as Kubernetes has it: its functions, types, errors, optionals, and questions to the authorizer."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kybern.api.admissionregistration.mutations import mutation
from kybern.api.cel.functions.authorization import AUTHORIZER, Answer, Asked, Check
from kybern.api.cel.instants import shown
from kybern.api.cel.messages import Messages
from kybern.api.cel.program import Bound, ExpressionError, compiled

VARIABLES = {"self": "dyn", "authorizer": "Authorizer"}
SELF = {"a": 1, "l": [1, 2], "m": {"x": 1, "y": 2}, "s": "abc", "n": None}


def value(text: str, **more: Any) -> Any:
    return compiled(text, VARIABLES).evaluate({"self": SELF, "authorizer": AUTHORIZER, **more})


@pytest.mark.parametrize(
    "text",
    [
        "has(self.a) && !has(self.zz)",
        "self.l.all(x, x > 0) && self.l.exists_one(x, x == 2)",
        "[1, 2].isSorted()",
        "self.l.map(x, x * 2) == [2, 4]",
        "['a', 'b'].join('-') == 'a-b'",
        "'a,b'.split(',').size() == 2",
        "'abc'.indexOf('c') == 2 && [1, 2].indexOf(2) == 1",
        "'Abc'.lowerAscii() == 'abc'",
        "[1, 2].sum() == 3",
        "[duration('1h'), duration('2m')].sum() == duration('62m')",
        "['b', 'a'].max() == 'b'",
        "[2, 1].min() == 1",
        "'tacocat'.lastIndexOf('a', 3) == 1 && [1, 2, 1].lastIndexOf(1) == 2",
        "'hello'.substring(1, 3) == 'el'",
        "' x '.trim() == 'x'",
        "'aaa'.replace('a', 'b', 2) == 'bba'",
        "'abc'.charAt(3) == ''",
        "'é'.upperAscii() == 'é'",
        "'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc123'.find('[0-9]+') == '123'",
        "'a1b2'.findAll('[0-9]') == ['1', '2']",
        "'a1b2'.findAll('[0-9]', 1) == ['1']",
        "'%s=%d %.2f %x %s %%'.format(['a', 1, 1.5, 255, [1, true, null]]) == 'a=1 1.50 ff [1, true, null] %'",
        "'%.3f %f'.format([1234567.5, 2.0]) == '1,234,567.500 2.000000'",
        "'%.2e'.format([1052.03]) == '1.05\u202f\u00d7\u202f10\u2070\u00b3'",
        "'%b %o %X %x %b'.format([5, 8, 'hi', b'hi', true]) == '101 10 6869 6869 1'",
        """'%s %s'.format([['a', 1.5, null], {'k': 1, 'a': 'x'}]) == '["a", 1.500000, null] {"a":"x", "k":1}'""",
        """'%s'.format([[duration('90s')]]) == '[duration("90s")]'""",
        "quantity('1Gi').isGreaterThan(quantity('1000Mi'))",
        "quantity('1Gi') == quantity('1024Mi')",
        "quantity('500m').add(quantity('500m')).asInteger() == 1",
        "isQuantity('1k') && !isQuantity('x')",
        "quantity('1').sub(2).sign() == -1 && !quantity('1.5').isInteger()",
        "quantity('50k').asApproximateFloat() == 50000.0",
        "url('https://u@h:8/p?q=1').getHost() == 'h:8'",
        "isURL('/x') && !isURL('x')",
        "url('http://[::1]:8/').getPort() == '8'",
        "url('https://h/p?q=1&q=2').getQuery()['q'] == ['1', '2']",
        "url('http://[::1]/a%20b').getHostname() == '::1'",
        "ip('::1').family() == 6 && string(ip('::1')) == '::1'",
        "!isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
        "ip.isCanonical('::1') && !ip.isCanonical('::01')",
        "ip('8.8.8.8').isGlobalUnicast()",
        "ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3')",
        "!isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/08')",
        "cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16')) && cidr('10.0.0.1/8').masked() == cidr('10.0.0.0/8')",
        "cidr('10.0.0.1/8').ip() == ip('10.0.0.1') && cidr('10.0.0.0/8').prefixLength() == 8",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-a.2').compareTo(semver('1.0.0-a.10')) == -1",
        "semver('v01.2', true) == semver('1.2.0') && !isSemver('v1.2') && semver('1.2.3+x') == semver('1.2.3')",
        "format.dns1123Label().validate('A_').hasValue() && !format.dns1123Label().validate('a').hasValue()",
        "format.named('uuid').hasValue() && !format.named('nope').hasValue()",
        "'x'.matches('^x$')",
        "type(self.a) == int",
        "self.a in [1, 3] ? true : false",
        "sets.contains([1, 2], [1]) && sets.equivalent([1, 2], [2, 1]) && sets.intersects([1], [1, 2])",
        "lists.range(3) == [0, 1, 2] && [1, 2, 3, 4].slice(1, 3) == [2, 3]",
        "[[1, 2], [3]].flatten() == [1, 2, 3] && [dyn([1]), dyn([[2]])].flatten(2) == [1, 2]",
        "['b', 'a'].sort() == ['a', 'b'] && [{'n': 2}, {'n': 1}].sortBy(x, x.n)[0].n == 1",
        "[1, 2, 1].distinct() == [1, 2] && self.l.reverse() == [2, 1]",
        "[1, 2].first().value() == 1 && [].last().orValue(3) == 3",
        "[optional.of(1), optional.none()].unwrapOpt() == [1] && optional.unwrap([self.?zz, self.?a]) == [1]",
        "{'a': 1, ?'b': self.?zz, ?'c': self.?a} == {'a': 1, 'c': 1}",
        "self.?zz.orValue(5) == 5 && self.?m.?x.value() == 1",
        "self.?a.optMap(x, x + 1).orValue(0) == 2",
        "[?self.?zz, 2] == [2]",
        "self.m.all(k, v, v > 0) && self.l.exists(i, v, i == 1 && v == 2)",
        "self.m.transformMap(k, v, v * 2) == {'x': 2, 'y': 4}",
        "self.l.transformList(i, v, i + v) == [1, 3]",
        "self.l.transformMapEntry(i, v, {string(v): i}) == {'1': 0, '2': 1}",
        "1 < 1.5 && 2u > 1 && self.a < 1.5",
        "self.n == null",
        "timestamp('2021-01-01T00:00:00Z') < timestamp('2022-01-01T00:00:00Z')",
        "has(self.zz.b) || true",
        # A Gateway API rule's shape: a long sum must not be too deep.
        " + ".join(f"(self.l.size() > {n} ? self.l[{n}] : 0)" for n in range(16)) + " == 3",
    ],
)
def test_the_language(text: str) -> None:
    assert value(text) is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        ("'a' + 1", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("['a'].sum()", "found no matching overload for 'sum' applied to "),
        (
            "1 == foo.bar.baz",
            "<input>:1:6: undeclared reference to 'foo' (in container '')\n | 1 == foo.bar.baz\n | .....^",
        ),
        ("quantity('1').nope", "type 'kubernetes.Quantity' does not support field selection"),
        ("authorizer.check('get')", "found no matching overload for 'check' applied to "),
        ("self.", "ERROR: <input>:1:6: Syntax error"),
        (
            "[1, 'a'].size() > 1",
            "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a'].size() > 1\n | ....^",
        ),
        ("{'a': 1, 'b': 'c'}.size() > 1", "expected type 'int' but found 'string'"),
        ("'a'.matches('[')", "ERROR: <input>:1:13: invalid matches argument"),
        ("duration('x') > duration('1h')", "ERROR: <input>:1:10: invalid duration argument"),
        ("timestamp('x') > timestamp('2020-01-01T00:00:00Z')", "ERROR: <input>:1:11: invalid timestamp argument"),
        ("'a'.reverse()", "found no matching overload for 'reverse' applied to '(string)'"),
        ("math.abs(1) == 1", "undeclared reference to 'math'"),
        ("base64.encode(b'a') == ''", "undeclared reference to 'base64'"),
        ("jsonpatch.escapeKey('a') == 'a'", "undeclared reference to 'jsonpatch'"),
        ("regex.replace('a', 'a', 'b') == 'b'", "undeclared reference to 'regex'"),
        ("image('a').registry() == ''", "undeclared reference to 'image'"),
        ("cel.bind(x, 1, x) == 1", "undeclared reference to 'cel'"),
    ],
)
def test_what_is_no_expression(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=r"^compilation failed: ERROR: <input>:1:") as failed:
        compiled(text, VARIABLES)
    assert said in str(failed.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("self.nope", "no such key: nope"),
        ("1 / 0 > 0", "division by zero"),
        ("[1][3]", "index out of bounds: 3"),
        ("self.m > 1", "no such overload"),
        ("int(self.s)", "type conversion error from 'string' to 'int'"),
        ("url('a b').getHost()", 'URL parse error during conversion from string: parse "a b": invalid URI for request'),
        ("[][0].min()", "index out of bounds: 0"),
        ("self.l.filter(x, x > 9).min()", "min called on empty list"),
        ("self.?a", "the value has no form in JSON"),
        ("authorizer.path(' ')", "path must not be empty"),
        ("'a'.charAt(5)", "index out of range: 5"),
        ("[9223372036854775807, 1].sum()", "integer overflow"),
        ("'%o'.format([1.5])", "error during formatting: octal clause can only be used on integers, was given double"),
        ("'%f'.format([1])", "error during formatting: fixed-point clause can only be used on doubles, was given int"),
        ("'%d %d'.format([1])", "index 1 out of range"),
        ("'%q'.format([1])", 'could not parse formatting clause: unrecognized formatting clause "q"'),
        ("uint(-1)", "unsigned integer overflow"),
        ("bool('yes')", "type conversion error from 'string' to 'bool'"),
        ("quantity('10Mm')", "unable to parse quantity's suffix"),
        ("quantity('9999999999999999999999999999999999999G').asInteger()", "cannot convert value to integer"),
        ("lists.range(-1)", "lists.range: size must be non-negative, got -1"),
        ("lists.range(1000000000000)", "operation cancelled: actual cost limit exceeded"),
        ("self.l.slice(0, 3)", "cannot slice(0, 3), list is length 2"),
        ("[dyn(1), dyn('a')].sort()", "list elements must have the same type"),
    ],
)
def test_what_fails(text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as failed:
        value(text)
    assert str(failed.value) == said


IP = "IP Address {0} parse error during conversion from string: ParseAddr({0}): "
NETWORK = "network address parse error during conversion from string: " * 2


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("192.168.0.1.0", "IPv4 address too long"),
        ("1.2.3", "IPv4 address too short"),
        ("300.1.1.1", "IPv4 field has value >255"),
        ("1.02.3.4", "IPv4 field has octet with leading zero"),
        ("1..2.3", 'IPv4 field must have at least one digit (at ".2.3")'),
        ("1.a.2.3", 'unexpected character (at "a.2.3")'),
        ("2001:db8:::68", 'each colon-separated field must have at least one digit (at ":68")'),
        ("1::2::3", 'multiple :: in address (at ":3")'),
        ("1:2:3", "address string too short"),
        ("1:2:3:4:5:6:7:8:9", 'trailing garbage after address (at "9")'),
        ("12345::", 'each group must have 4 or fewer digits (at "12345::")'),
        ("x", "unable to parse IP"),
    ],
)
def test_what_is_no_address(address: str, said: str) -> None:
    with pytest.raises(ExpressionError) as failed:
        value(f"ip('{address}')")
    assert str(failed.value) == IP.format(f'"{address}"') + said
    with pytest.raises(ExpressionError) as failed:
        value(f"cidr('{address}/8')")
    assert str(failed.value) == f'{NETWORK}netip.ParsePrefix("{address}/8"): ParseAddr("{address}"): {said}'


def test_a_value_must_be_of_the_type_that_is_expected() -> None:
    with pytest.raises(ExpressionError, match=r"^must evaluate to bool$"):
        compiled("1 + 1", VARIABLES, expects=("bool",))
    with pytest.raises(ExpressionError, match=r"^must evaluate to one of \[string null_type\]$"):
        compiled("self.a", VARIABLES, expects=("string", "null_type"))


def test_only_mutations_know_json_patches() -> None:
    text = "[JSONPatch{op: 'add', path: '/' + jsonpatch.escapeKey('a/b~c'), value: 1}]"
    made = mutation(text, {"object": "dyn"}).evaluate({"object": {}})
    assert made == [{"op": "add", "path": "/a~1b~0c", "value": 1}]


def test_what_a_program_names() -> None:
    program = compiled("self.a > 1 && self.l.all(x, x > 0)", VARIABLES)
    assert program.variables >= {"self", "x"}
    assert {("self", "a"), ("self", "l")} <= program.members


def test_optional_variables_are_lists_of_one_or_none() -> None:
    program = compiled("old.orValue(5) + [old].map(o, o.orValue(1))[0]", {"old": "optional_type<dyn>"})
    assert program.evaluate({"old": []}) == 6
    assert program.evaluate({"old": [7]}) == 14


def test_times_and_durations_are_values() -> None:
    late = compiled("t > timestamp('2020-01-01T00:00:00Z') && d == duration('3s')", {"t": "timestamp", "d": "duration"})
    moment = shown(datetime(2021, 1, 1, tzinfo=UTC))
    assert late.evaluate({"t": moment, "d": shown(timedelta(seconds=3))}) is True


def test_values_are_bound_once_for_many_programs() -> None:
    bound = Bound({"self": SELF})
    assert [compiled(text, VARIABLES).evaluate(bound) for text in ("self.a", "self.s")] == [1, "abc"]


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "foo_bar": {"type": "string"},
                "fooBar": {"type": "number"},
                "a-b": {"type": "integer"},
                "namespace": {"type": "string"},
                "either": {"x-kubernetes-int-or-string": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "LabelsEntry": {"type": "string"},
                "when": {"type": "string", "format": "date-time"},
                "ports": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
                "deep": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
                "null": {"type": "integer", "nullable": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
    },
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("self.spec.foo_bar == 'a' && self.spec.fooBar > 1", ""),
        ("self.spec.a__dash__b > 1", ""),
        ("self.spec.__namespace__ == 'x'", ""),
        ("self.spec.either == 1 || self.spec.either == 'a'", ""),
        ("self.spec.ports.all(p, p.port > 0)", ""),
        ("self.metadata.name.startsWith('a')", ""),
        ("self.spec.labels['a'] == self.spec.LabelsEntry", ""),
        ("self.spec.deep[0][0] == 'a'", ""),
        ("self.spec.when > timestamp('2020-01-01T00:00:00Z')", ""),
        ("self.spec.__null__ == null", ""),
        ("self.spec.nope == 1", "ERROR: <input>:1:10: undefined field 'nope'"),
        ("self.spec.ports.all(p, p.prot == 1)", "undefined field 'prot'"),
        ("self.spec.free.x == 1", "undefined field 'x'"),
        ("self.spec.foo_bar > 1", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.metadata.labels == {}", "undefined field 'labels'"),
        ("self.spec == 1", "found no matching overload for '_==_' applied to '(object, int)'"),
    ],
)
def test_expressions_are_checked_against_a_schema(text: str, said: str) -> None:
    messages = Messages(SCHEMA)
    try:
        assert compiled(text, {"self": messages.root}, messages).result == "bool"
    except ExpressionError as error:
        assert said
        assert said in str(error)
    else:
        assert not said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" && ".join(["self.a == 1"] * 200), True),
        (" || ".join(["self.a == 2"] * 200), False),
        (" + ".join(["self.a"] * 200), 200),
        (" + ".join(["self.s", "' + '", '"\\" + "', "r'+\\d'", "(self.s + 'x')", "string(1 - -1 + 2 * 3)"] * 30), None),
        ("(" * 200 + "self.a" + ")" * 200, 1),
        ("size(" + "(" * 100 + "self.l" + ")" * 100 + ") + " + " + ".join(["1"] * 60), 62),
        ("[" + " + ".join(["[self.a, 2]"] * 100) + "][0].size()", 200),
        ("self.a == 1 ? " + " + ".join(["1"] * 100) + " : " + " + ".join(["2"] * 100), 100),
        ("'b' in [" + " + ".join(["'a'"] * 100) + "] // a + b", False),
    ],
)
def test_long_expressions(text: str, expected: Any) -> None:
    made = value(text)
    if expected is None:
        expected = "".join(["abc", " + ", '" + ', "+\\d", "abcx", "8"] * 30)
    assert made == expected


@pytest.mark.parametrize(
    "text",
    [
        " ? 1 : ".join(["true"] * 100),
        "self" + ".a" * 300,
        "[" * 1000 + "]" * 1000,
        "(" * 100_000,
        " + ".join(["1"] * 1000) + " + 'a",
    ],
)
def test_expressions_that_are_too_long(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"^compilation failed: "):
        value(text)


async def _ask(check: Check) -> Answer:
    await asyncio.sleep(0)
    return Answer(check.verb == "get" and check.namespace == "a", f"{check.resource}/{check.subresource}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("authorizer.group('').resource('pods').namespace('a').check('get').allowed()", True),
        ("authorizer.group('').resource('pods').namespace('b').check('get').allowed()", False),
        ("authorizer.group('apps').resource('x').subresource('y').namespace('a').check('get').reason()", "x/y"),
        ("[authorizer].all(a, !a.path('/healthz').check('get').allowed())", True),
        ("false && authorizer.group('').resource('pods').check('get').allowed()", False),
        ("authorizer.serviceAccount('n', 's').group('').resource('p').namespace('a').check('get').errored()", False),
    ],
)
async def test_questions_to_the_authorizer(text: str, expected: Any) -> None:
    program, asked = compiled(text, VARIABLES), Asked()
    assert await program.evaluate_asking({"authorizer": AUTHORIZER}, _ask, asked) == expected
    assert len(asked.answers) <= 1


async def test_a_question_is_asked_once() -> None:
    seen: list[Check] = []

    async def ask(check: Check) -> Answer:
        seen.append(check)
        return Answer(True)

    asked, question = Asked(), "authorizer.group('').resource('pods').name('x').check('get').allowed()"
    for text in (question, f"{question} && {question}"):
        assert await compiled(text, VARIABLES).evaluate_asking({"authorizer": AUTHORIZER}, ask, asked)
    assert seen == [Check("get", resource="pods", name="x")]
