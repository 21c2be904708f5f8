"""As much of nft as the proxy's scripts use: one table, transactions, and refusing what the kernel refuses."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field

_NAME = re.compile(r"(?:goto|jump) ([^ ,}]+)")


class Refused(Exception):
    """The transaction failed; nothing of it was done."""


@dataclass
class State:
    """chain -> rules, set -> members, map -> key -> verdict."""

    chains: dict[str, list[str]] = field(default_factory=dict)
    sets: dict[str, dict[str, str]] = field(default_factory=dict)


class FakeNFT:
    def __init__(self) -> None:
        self.state: State | None = None
        self.commands: list[str] = []

    def run(self, script: str) -> None:
        before = copy.deepcopy(self.state)
        self.commands = script.splitlines()
        try:
            for line in self.commands:
                self._one(line)
        except Refused:
            self.state = before
            raise

    def seen_from(self, base: str) -> set[str]:
        """All chains that can be reached from one, through rules and maps."""
        assert self.state
        found, todo = set(), [base]
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                for rule in self.state.chains[name]:
                    todo += _NAME.findall(rule)
                    for used in re.findall(r"vmap @(\S+)", rule):
                        todo += [t for verdict in self.state.sets[used].values() for t in _NAME.findall(verdict)]
        return found

    def _one(self, line: str) -> None:
        verb, kind, family, table, *rest = line.split(" ", 4)
        assert (family, table) == ("ip", "kube-proxy"), line
        if kind == "table":
            self.state = None if verb == "delete" else self.state or State()
            return
        if self.state is None:
            raise Refused(line)
        name, _, body = rest[0].partition(" ")
        getattr(self, f"_{verb}_{kind}")(self.state, name, body)

    def _add_chain(self, state: State, name: str, body: str) -> None:
        state.chains.setdefault(name, [])

    def _add_set(self, state: State, name: str, body: str) -> None:
        state.sets.setdefault(name, {})

    _add_map = _add_set

    def _flush_chain(self, state: State, name: str, body: str) -> None:
        self._chain(state, name).clear()

    def _add_rule(self, state: State, name: str, rule: str) -> None:
        for target in _NAME.findall(rule):
            self._chain(state, target)
        for used in re.findall(r"@(\S+)", rule):
            if used not in state.sets:
                raise Refused(f"no set {used}")
        self._chain(state, name).append(rule)

    def _delete_chain(self, state: State, name: str, body: str) -> None:
        verdicts = [verdict for members in state.sets.values() for verdict in members.values()]
        rules = [rule for rules in state.chains.values() for rule in rules]
        if self._chain(state, name) or any(name in _NAME.findall(text) for text in [*rules, *verdicts]):
            raise Refused(f"chain {name} is in use")
        del state.chains[name]

    def _delete_set(self, state: State, name: str, body: str) -> None:
        if any(name in re.findall(r"@(\S+)", rule) for rules in state.chains.values() for rule in rules):
            raise Refused(f"set {name} is in use")
        if state.sets.pop(name, None) is None:
            raise Refused(f"no set {name}")

    def _add_element(self, state: State, name: str, body: str) -> None:
        for member in self._members(body):
            key, _, verdict = member.partition(" : ")
            for target in _NAME.findall(verdict):
                self._chain(state, target)
            if state.sets[name].setdefault(key, verdict) != verdict:
                raise Refused(f"{name} holds {key} already")

    def _delete_element(self, state: State, name: str, body: str) -> None:
        for key in self._members(body):
            if state.sets[name].pop(key, None) is None:
                raise Refused(f"{name} holds no {key}")

    def _members(self, body: str) -> list[str]:
        return body.removeprefix("{ ").removesuffix(" }").split(", ")

    def _chain(self, state: State, name: str) -> list[str]:
        if name not in state.chains:
            raise Refused(f"no chain {name}")
        return state.chains[name]
