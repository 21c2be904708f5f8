"""Compiles an expression and evaluates it.

    program = compiled("object.spec.replicas <= params.most", {"object": "dyn", "params": "dyn"}, expects=("bool",))
    program.evaluate({"object": deployment, "params": limits})

Variables' types are CEL's (`dyn`, `string`, `list<string>`, `map<string, dyn>`), the short names in declared.OPAQUE
(`Authorizer`, whose value is functions/authorization.py's AUTHORIZER), or the name of an object's type in `messages`
(messages.py). Values are plain JSON, dates and durations as instants.py makes them; of `optional_type<...>` a list of
one or none. Where an expression may ask the authorizer, use `evaluate_asking`.
Source: Kubernetes documentation, "Common Expression Language in Kubernetes"; KEP-2876.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from kybern.api.cel import cost, environment, listtypes, literals, nesting, tree, words
from kybern.api.cel.budget import WITHOUT, Budget
from kybern.api.cel.errors import ExpressionError, OutOfBudget
from kybern.api.cel.functions import authorization
from kybern.api.cel.functions.authorization import Answer, Asked, Check
from kybern.api.cel.meter import Meter, metering, spend
from kybern.api.cel.metering import metered
from kybern.api.cel.pieces import Pieces, TooManyRounds, makes_lists
from kybern.api.cel.rewriting import evaluable
from kybern.api.cel.tree import IDENT, SELECT, Node
from kybern.api.types import Object

if TYPE_CHECKING:
    from cel_expr_python import cel

    from kybern.api.cel.messages import Messages

__all__ = ("Bound", "ExpressionError", "OutOfBudget", "Program", "compiled", "shown")
_LITTLE, _LARGE = 2000, 4096
"""What costs no more whatever the values is not looked at closer; bytes in which no long list fits."""
_SHOWN = {"BOOL": "bool", "INT": "int", "UINT": "uint", "DOUBLE": "double", "STRING": "string", "BYTES": "bytes",
          "NULL": "null_type", "DYN": "dyn", "TIMESTAMP": "timestamp", "DURATION": "duration"}  # fmt: skip


class Program:
    """A compiled expression. `compiled` makes them."""

    __slots__ = (
        "_makes_lists", "_metered", "_mosts", "_root", "_run", "asks", "functions", "members", "messages", "result",
        "roots", "text", "tree", "variables",
    )  # fmt: skip

    def __init__(
        self, text: str, checked: cel.Expression, optionals: frozenset[str], schema: Object | None = None
    ) -> None:
        self.text = text
        self.result = shown(str(checked.return_type()))
        """The type of its values, e.g. "bool", "list<string>", "dyn"."""
        self.tree = tree.read(checked.serialize())
        names = [node for node in self.tree.root.walk() if node.kind in (IDENT, SELECT)]
        self.variables = frozenset(node.name for node in names if node.kind == IDENT)
        """The names it uses."""
        self.roots = frozenset(name.partition(".")[0] for name in self.variables)
        """Their parts before the first dot."""
        self.members = frozenset(
            (node.parts[0].name, node.name) for node in names if node.kind == SELECT and node.parts[0].kind == IDENT
        )
        """What it selects from variables: `variables.x` is ("variables", "x")."""
        self.messages = frozenset(
            node.name for node in self.tree.root.walk() if node.kind == tree.MAP and node.name
        )
        """The names of the messages it makes."""
        self.functions = frozenset(node.name for node in self.tree.root.walk() if node.kind == tree.CALL)
        """The functions it calls, operators among them: `_[_]`, `_==_`, `startsWith`."""
        self.asks = "check" in self.functions
        """Whether it may ask an authorizer."""
        lists = listtypes.changer(self.tree, schema) if schema is not None else None
        self._root = evaluable(self.tree.root, optionals, lists)
        self._run = _runnable(self._root)
        self._makes_lists = makes_lists(self._root)
        self._mosts: dict[int, int] = {}
        self._metered: tuple[tree.Node, int] | None = None

    def evaluate(self, values: Mapping[str, Any] | Bound, budget: Budget | None = None) -> Any:
        """Its value: JSON, or a datetime, timedelta or bytes. `budget` is what it may use, besides the limit that each
        expression has. Raises ExpressionError; OutOfBudget."""
        bound = values if isinstance(values, Bound) else Bound(values)
        return (budget or Budget(WITHOUT)).evaluate(self, bound)

    def most(self, values: Bound) -> int:
        """The most that evaluating can cost."""
        found = self._most(cost.MAX_REQUEST)
        return found if found <= _LITTLE else self._most(values.size)

    def _most(self, size: int) -> int:
        bits = size.bit_length()
        if bits not in self._mosts:
            self._mosts[bits] = cost.estimate_within(self.tree, 1 << bits)
        return self._mosts[bits]

    def is_slow(self, values: Bound) -> bool:
        """Whether it may make long lists, which the library is slow at."""
        return self._makes_lists and values.size > _LARGE

    def run(self, values: Bound) -> Any:
        """Its value, whatever that costs. Raises ExpressionError, TooManyRounds."""
        return _result(self._run, values.activation)

    def run_metered(self, values: Bound, meter: Meter) -> Any:
        """Its value, with the cost noted. Raises ExpressionError, also where it costs too much."""
        if self._metered is None:
            self._metered = metered(self._root, self.tree.types, environment.own_functions())
        root, least = self._metered
        with metering(meter):
            try:
                spend(least)
                found = Pieces(_evaluate_counting, meter, large=values.size > _LARGE).value(root, values.values)
            except _TooDeep:
                found = self.run(values)
            except (ExpressionError, TooManyRounds, ValueError) as error:
                if meter.exceeded or not isinstance(error, ExpressionError):
                    raise ExpressionError(words.OUT_OF_BUDGET) from None
                raise
        if meter.exceeded:
            raise ExpressionError(words.OUT_OF_BUDGET)
        return found

    async def evaluate_asking(
        self,
        values: Mapping[str, Any] | Bound,
        ask: Callable[[Check], Awaitable[Answer]],
        asked: Asked,
        budget: Budget | None = None,
    ) -> Any:
        """The same for expressions that may use an authorizer. `asked` keeps answers, so that one question is asked
        once for all the expressions of a request."""
        budget = budget or Budget(WITHOUT)
        while True:
            asked.open.clear()
            try:
                with authorization.asking(asked):
                    found = self.evaluate(values, budget)
            except ExpressionError:
                if not asked.open:
                    raise
            else:
                # A check may have failed where the rest decided without it, as in `false && check`.
                if not asked.open:
                    return found
            budget.give_back()
            for check in list(asked.open):
                asked.answers[check] = await ask(check)


class _TooDeep(Exception):
    """An expression that counts is too deep for the library, though it isn't without that."""


class Bound:
    """Values bound to names, converted once for all the expressions evaluated with them."""

    __slots__ = ("_size", "activation", "values")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)
        self.activation = environment.evaluating().Activation(self.values)
        self._size = 0

    @property
    def size(self) -> int:
        """How large the values are, in bytes of JSON."""
        if not self._size:
            self._size = len(orjson.dumps(self.values, default=str, option=orjson.OPT_NON_STR_KEYS)) + 1
        return self._size


def _runnable(root: Node, *, counting: bool = False) -> cel.Expression:
    return environment.evaluating(counting=counting).deserialize(tree.parsed(tree.written(root)))


@lru_cache(maxsize=64)
def _counting(root: Node) -> cel.Expression:
    return _runnable(root, counting=True)


def _evaluate_counting(root: Node, values: Mapping[str, Any]) -> Any:
    """The value of an expression made by metering.py. Raises ExpressionError, TooManyRounds."""
    try:
        run = _counting(root)
    except (RuntimeError, ValueError):
        raise _TooDeep from None
    return _result(run, environment.evaluating(counting=True).Activation(dict(values)))


def _result(run: cel.Expression, activation: Any) -> Any:
    """The value of an expression. Raises ExpressionError, TooManyRounds."""
    try:
        found = run.eval(activation)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        if words.TOO_MANY_ROUNDS in str(error):
            raise TooManyRounds from None
        raise ExpressionError(words.failure(str(error))) from None
    try:
        value = found.plain_value()
        failed = found.type().name() == "ERROR"
    except (RuntimeError, TypeError, ValueError, SystemError):
        # Optionals have none in Python, wherever in a value they are.
        raise ExpressionError("the value has no form in JSON") from None
    if failed:
        raise ExpressionError(words.failure(str(value)))
    return value


def compiled(
    text: str,
    variables: Mapping[str, str],
    messages: Messages | None = None,
    expects: Collection[str] = (),
    extensions: tuple[str, ...] = (),
) -> Program:
    """The program of an expression, made once. `expects` are the types its value may have; empty: any. `extensions`:
    "bindings" for cel.bind.

    Raises ExpressionError: `compilation failed: ERROR: <input>:1:1: ...`, or `must evaluate to bool`."""
    program = _compiled(text, tuple(sorted(variables.items())), messages, extensions)
    if isinstance(program, ExpressionError):
        raise program
    if expects and program.result not in expects:
        known = " ".join(expects)
        raise ExpressionError(f"must evaluate to {known if len(expects) == 1 else f'one of [{known}]'}")
    return program


def with_lists(text: str, variables: Mapping[str, str], schema: Object) -> Program:
    """The program of a rule, in which lists of type set and map are what self's schema says they are. Raises
    ExpressionError."""
    if listtypes.shape(schema) is None:
        return compiled(text, variables)
    made = _made(text, tuple(sorted(variables.items())), None, (), schema)
    if isinstance(made, ExpressionError):
        raise made
    return made


@lru_cache(maxsize=4096)
def _compiled(
    text: str, variables: tuple[tuple[str, str], ...], messages: Messages | None, extensions: tuple[str, ...]
) -> Program | ExpressionError:
    return _made(text, variables, messages, extensions)


def _made(
    text: str,
    variables: tuple[tuple[str, str], ...],
    messages: Messages | None,
    extensions: tuple[str, ...],
    schema: Object | None = None,
) -> Program | ExpressionError:
    env = environment.checking(variables, messages.pool if messages else None, extensions)
    optionals = frozenset(name for name, kind in variables if kind.startswith("optional_type<"))
    try:
        program = Program(text, parsed(env, text), optionals, schema)
        problems = literals.problems(program.tree, text)
        return ExpressionError(f"compilation failed: {problems}") if problems else program
    except (RuntimeError, ValueError) as error:
        return ExpressionError(f"compilation failed: {words.compilation(str(error))}")


def parsed(env: cel.Env, text: str, *, checks: bool = True) -> cel.Expression:
    """An expression, checked; where it is too deep for the library, as one that is less so. Raises RuntimeError."""
    try:
        return env.compile(text, disable_check=not checks)
    except RuntimeError as error:
        less = nesting.reduced(text) if words.TOO_DEEP.search(str(error)) else text
        if less == text:
            raise
    return env.compile(less, disable_check=not checks)


def shown(name: str) -> str:
    """A type's name as upstream writes it: `LIST<STRING>` -> `list<string>`."""
    for theirs, ours in (*_SHOWN.items(), ("LIST", "list"), ("MAP", "map"), ("TYPE", "type")):
        name = name.replace(theirs, ours)
    return name.replace("_wrapper", "")
