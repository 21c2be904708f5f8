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

from kybern.api.cel import environment, literals, tree, words
from kybern.api.cel.functions import authorization
from kybern.api.cel.functions.authorization import Answer, Asked, Check
from kybern.api.cel.tree import IDENT, SELECT

if TYPE_CHECKING:
    from cel_expr_python import cel

    from kybern.api.cel.messages import Messages

_OPTIONALS = {"validate": "optional.ofNonZeroValue", "format.named": "optional.ofNonZeroValue"}
"""Functions that have an optional for a result; those of the library's in Python cannot."""
_SHOWN = {"BOOL": "bool", "INT": "int", "UINT": "uint", "DOUBLE": "double", "STRING": "string", "BYTES": "bytes",
          "NULL": "null_type", "DYN": "dyn", "TIMESTAMP": "timestamp", "DURATION": "duration"}  # fmt: skip


class ExpressionError(Exception):
    """An expression that can't be compiled or whose evaluation failed; the message says why."""


class Program:
    """A compiled expression. `compiled` makes them."""

    __slots__ = ("_run", "functions", "members", "messages", "result", "roots", "text", "tree", "variables")

    def __init__(self, text: str, checked: cel.Expression, optionals: frozenset[str]) -> None:
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
        expression = self.tree.expression
        if self.functions & _OPTIONALS.keys() or self.variables & optionals or self.messages:
            expression = tree.rewritten(expression, _OPTIONALS, optionals)
        self._run = environment.evaluating().deserialize(tree.parsed(expression))

    def evaluate(self, values: Mapping[str, Any] | Bound) -> Any:
        """Its value: JSON, or a datetime, timedelta or bytes. Raises ExpressionError."""
        bound = values if isinstance(values, Bound) else Bound(values)
        try:
            found = self._run.eval(bound.activation)
        except (RuntimeError, ValueError, TypeError, OverflowError) as error:
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

    async def evaluate_asking(
        self, values: Mapping[str, Any] | Bound, ask: Callable[[Check], Awaitable[Answer]], asked: Asked
    ) -> Any:
        """The same for expressions that may use an authorizer. `asked` keeps answers, so that one question is asked
        once for all the expressions of a request."""
        while True:
            asked.open.clear()
            try:
                with authorization.asking(asked):
                    found = self.evaluate(values)
            except ExpressionError:
                if not asked.open:
                    raise
            else:
                # A check may have failed where the rest decided without it, as in `false && check`.
                if not asked.open:
                    return found
            for check in list(asked.open):
                asked.answers[check] = await ask(check)


class Bound:
    """Values bound to names, converted once for all the expressions evaluated with them."""

    __slots__ = ("activation",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.activation = environment.evaluating().Activation(dict(values))


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


@lru_cache(maxsize=4096)
def _compiled(
    text: str, variables: tuple[tuple[str, str], ...], messages: Messages | None, extensions: tuple[str, ...]
) -> Program | ExpressionError:
    env = environment.checking(variables, messages.pool if messages else None, extensions)
    optionals = frozenset(name for name, kind in variables if kind.startswith("optional_type<"))
    try:
        program = Program(text, env.compile(text), optionals)
        problems = literals.problems(program.tree, text)
        return ExpressionError(f"compilation failed: {problems}") if problems else program
    except (RuntimeError, ValueError) as error:
        return ExpressionError(f"compilation failed: {words.compilation(str(error))}")


def shown(name: str) -> str:
    """A type's name as upstream writes it: `LIST<STRING>` -> `list<string>`."""
    for theirs, ours in (*_SHOWN.items(), ("LIST", "list"), ("MAP", "map"), ("TYPE", "type")):
        name = name.replace(theirs, ours)
    return name.replace("_wrapper", "")
