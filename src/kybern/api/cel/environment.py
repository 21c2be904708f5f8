"""The two environments of the language: one that checks expressions with their types, one that evaluates them.

They differ because the library's functions in Python take only values of the language's own kinds: the one that checks
knows Kubernetes' opaque types and the schemas' objects, the one that evaluates sees maps.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from kybern.api.cel import functions, meter
from kybern.api.cel.declared import OPAQUE, Function, kind_of

if TYPE_CHECKING:
    from cel_expr_python import cel

_ORDER = ("_<_", "_<=_", "_>_", "_>=_")
_ORDERED = ("bool", "int", "uint", "double", "string", "bytes", "timestamp", "duration")
_NUMBERS = ("int", "uint", "double")
_TO_STRING = ("int", "uint", "double", "bool", "bytes", "string", "timestamp", "duration")
_NAMES = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration", "null": "null_type"}
_EXTENSIONS: tuple[dict[str, Any], ...] = ({"name": "sets"}, {"name": "optional"}, {"name": "lists", "version": 2})
"""Of the library's. Version 2 of lists is what cel-go has in its version 3, which only adds what they cost."""
_TWO_VARIABLES, _MAP_INSERT = "two-var-comprehensions", "cel.@mapInsert"


LOCAL = frozenset(("jsonpatch",))
"""Extensions of Kubernetes' own, which not all expressions have."""


@lru_cache(maxsize=1)
def library() -> tuple[Function, ...]:
    """Every function of functions/."""
    found: list[Function] = []
    for module in sorted(pkgutil.iter_modules(functions.__path__), key=lambda module: module.name):
        found += importlib.import_module(f"{functions.__name__}.{module.name}").FUNCTIONS
    return tuple(found)


# Checking.


def described(text: str) -> dict[str, Any]:
    """A type as an environment's configuration says it."""
    name, bracket, rest = text.strip().partition("<")
    if bracket:
        return {"type_name": name, "params": [described(part) for part in _split(rest.rstrip()[:-1])]}
    if len(name) == 1:
        return {"type_name": name, "is_type_param": True}
    return {"type_name": OPAQUE.get(name, _NAMES.get(name, name))}


def _split(text: str) -> Iterable[str]:
    depth, start = 0, 0
    for index, char in enumerate(text):
        depth += (char == "<") - (char == ">")
        if char == "," and not depth:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _overload(made: Function) -> dict[str, Any]:
    parameters = [described(text) for text in made.parameters]
    said: dict[str, Any] = {"id": _id(made), "return": described(made.result)}
    if made.member:
        said["target"] = parameters.pop(0)
    return said | {"args": parameters}


def _id(made: Function) -> str:
    return f"{made.name}({'.' if made.member else ''}{','.join(made.parameters)})"


def _language() -> Iterable[Function]:
    """What the language has and the library's environment must be told anew: order among all numbers, string(x), and
    what the library lacks and rewriting.py makes of other things."""
    for name in _ORDER:
        for kind in _ORDERED:
            yield Function(name, (kind, kind), "bool", bool)
        for left in _NUMBERS:
            yield from (Function(name, (left, right), "bool", bool) for right in _NUMBERS if left != right)
    yield from (Function("string", (kind,), "string", str) for kind in _TO_STRING)
    yield Function("optional.unwrap", ("list<optional_type<T>>",), "list<T>", list)
    yield Function("unwrapOpt", ("list<optional_type<T>>",), "list<T>", list, member=True)


@lru_cache(maxsize=2)
def _checking_config(extensions: tuple[str, ...], optionals: tuple[tuple[str, str], ...] = ()) -> cel.EnvConfig:
    """What all environments have; `optionals` are variables that only a configuration can name the types of."""
    from cel_expr_python import cel

    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for made in (*_language(), *library()):
        if not made.extension or made.extension in extensions:
            by_name[made.name].append(_overload(made))
    config = {
        "name": "kubernetes",
        "stdlib": {"exclude_functions": [{"name": name} for name in (*_ORDER, "string")]},
        "extensions": [*_EXTENSIONS, *({"name": name} for name in (_TWO_VARIABLES, *extensions) if name not in LOCAL)],
        "functions": [{"name": name, "overloads": overloads} for name, overloads in by_name.items()],
        "variables": [{"name": name, **described(kind)} for name, kind in optionals],
    }
    return cel.NewEnvConfigFromYaml(orjson.dumps(config).decode())


# An environment holds half a MiB of its own; those of one schema are used one after the other and then no more.
@lru_cache(maxsize=8)
def checking(variables: tuple[tuple[str, str], ...], pool: Any = None, extensions: tuple[str, ...] = ()) -> cel.Env:
    """The environment that checks expressions over variables of these types, (name, type) pairs; `pool` has the types
    of objects, `extensions` names what else of the library's there is."""
    from cel_expr_python import cel

    optionals = tuple(one for one in variables if "optional_type<" in one[1])
    types = {name: _type(described(kind)) for name, kind in variables if (name, kind) not in optionals}
    return cel.NewEnv(descriptor_pool=pool, config=_checking_config(extensions, optionals), variables=types)


def _type(said: dict[str, Any]) -> cel.Type:
    """The library's type of a described one."""
    from cel_expr_python import cel

    name, inner = said["type_name"], [_type(part) for part in said.get("params") or ()]
    if name == "list":
        return cel.Type.List(inner[0])
    if name == "map":
        return cel.Type.Map(*inner)
    if "." in name and not name.startswith(("google.protobuf.", "schema.")):
        return cel.Type.AbstractType(name, inner)
    return cel.Type("null" if name == "null_type" else name)


# Evaluating.


@lru_cache(maxsize=2)
def evaluating(*, counting: bool = False) -> cel.Env:
    """The environment that evaluates what the other has checked; `counting`: what metering.py has made of it."""
    from cel_expr_python import cel

    functions = (*library(), *_map_insert(), *(_spending() if counting else ()))
    said: dict[str, list[cel.Overload]] = defaultdict(list)
    for (name, member, kinds), computes in _by_kinds(functions).items():
        result = _result({made.result for made in computes})
        compute = _dispatch(computes)
        said[name].append(
            cel.Overload(
                f"{name}/{'.' if member else ''}{','.join(kinds)}",
                return_type=getattr(cel.Type, result),
                parameters=[getattr(cel.Type, kind) for kind in kinds],
                is_member=member,
                impl=meter.metered(name, compute) if counting and not name.startswith("@spend") else compute,
            )
        )
    config = {
        "name": "kubernetes",
        "stdlib": {"exclude_functions": [{"name": "string"}]},
        "extensions": [*_EXTENSIONS, {"name": "bindings"}],
    }
    return cel.NewEnv(
        config=cel.NewEnvConfigFromYaml(orjson.dumps(config).decode()),
        functions=[cel.FunctionDecl(name, overloads) for name, overloads in said.items()],
    )


@lru_cache(maxsize=1)
def own_functions() -> frozenset[str]:
    """The names of those that spend what they cost by themselves."""
    return frozenset(made.name for made in (*library(), *_map_insert())) - {"string"}


def _spending() -> Iterable[Function]:
    yield Function("@spend", ("int",), "bool", meter.spend)
    yield Function("@spend_not", ("int",), "bool", meter.spend_not)
    yield Function("@spend_unary", ("string", "dyn"), "bool", meter.spend_unary)
    yield Function("@spend_binary", ("string", "dyn", "dyn"), "bool", meter.spend_binary)


_KINDS = ("BOOL", "INT", "UINT", "DOUBLE", "STRING", "BYTES", "MAP", "LIST", "NULL", "TIMESTAMP", "DURATION")
_KIND_OF = {"null_type": "NULL"} | {kind.lower(): kind for kind in _KINDS}
_Key = tuple[str, bool, tuple[str, ...]]


def _by_kinds(functions: Iterable[Function]) -> dict[_Key, list[Function]]:
    """(name, is a member, kinds of the arguments) -> the functions that fit."""
    found: dict[_Key, list[Function]] = defaultdict(list)
    for made in functions:
        for kinds in _combinations([_kinds(text) for text in made.parameters]):
            found[made.name, made.member, kinds].append(made)
    return found


def _combinations(kinds: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    made: list[tuple[str, ...]] = [()]
    for options in kinds:
        made = [(*start, option) for start in made for option in options]
    return made


def _kinds(text: str) -> tuple[str, ...]:
    name = text.partition("<")[0]
    if len(name) == 1 or name == "dyn":
        return _KINDS
    return ("MAP",) if name in OPAQUE else (_KIND_OF[name],)


def _result(results: set[str]) -> str:
    kinds = {kind for text in results for kind in (_kinds(text) if "optional" not in text else _KINDS)}
    return kinds.pop() if len(kinds) == 1 else "DYN"


def _dispatch(computes: list[Function]) -> Callable[..., Any]:
    """What computes it; by the first argument's opaque type where several types have the function."""
    by_type = {made.parameters[0] if made.parameters else "": made.compute for made in computes}
    if len(set(by_type.values())) == 1:
        return computes[0].compute

    def compute(*arguments: Any) -> Any:
        chosen = by_type.get(kind_of(arguments[0]))
        if chosen is None:
            raise ValueError("no such overload")
        return chosen(*arguments)

    return compute


def _map_insert() -> Iterable[Function]:
    """What transformMap and transformMapEntry are made of; the library's Python package leaves it out."""
    yield Function(_MAP_INSERT, ("map", "map"), "map", lambda made, more: {**made, **more})
    for kind in ("string", "int", "uint", "bool"):
        yield Function(_MAP_INSERT, ("map", kind, "dyn"), "map", lambda made, key, value: {**made, key: value})
