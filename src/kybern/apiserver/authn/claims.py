"""From a token's claims to a user: each part is a claim's value or what an expression makes of all of them.

Source: API reference, AuthenticationConfiguration v1 (ClaimMappings, ClaimValidationRule, UserValidationRule).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kybern.api.cel.messages import Messages
from kybern.api.cel.program import Bound, ExpressionError, Program, compiled
from kybern.api.types import Object
from kybern.apiserver.authn.base import BadToken, authenticated
from kybern.apiserver.request import UserInfo

_CLAIMS = {"claims": "map<string, dyn>"}
TRUTH = ("bool",)


def over_claims(text: str, expects: Sequence[str] = ()) -> Program:
    """The program of an expression over `claims`; of those that make something of them, the result's type is looked at
    when there is one. Raises ExpressionError."""
    return compiled(text, _CLAIMS, None, expects)


@lru_cache(maxsize=1)
def _user_messages() -> Messages:
    texts: Object = {"type": "array", "items": {"type": "string"}}
    extra: Object = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
    parts: Object = {"username": {"type": "string"}, "uid": {"type": "string"}, "groups": texts, "extra": extra}
    return Messages({"type": "object", "properties": parts}, whole=False, verbatim=True)


def over_user(text: str) -> Program:
    """The program of a rule over `user`. Raises ExpressionError."""
    messages = _user_messages()
    return compiled(text, {"user": messages.root}, messages, TRUTH)


@dataclass(slots=True, frozen=True)
class Part:
    """Where a part of the user comes from: a claim, with a prefix put before, or an expression; or nowhere."""

    claim: str = ""
    prefix: str = ""
    program: Program | None = None


@dataclass(slots=True, frozen=True)
class Rule:
    """An expression that must be true, and what is said where it isn't."""

    program: Program
    message: str = ""

    def check(self, values: Bound, what: str) -> None:
        """Raises BadToken."""
        why = f"oidc: error evaluating {what}: "
        try:
            if self.program.evaluate(values) is True:
                return
        except ExpressionError as error:
            raise BadToken(f"{why}{error}") from error
        raise BadToken(f"{why}validation expression '{self.program.text}' failed: {self.message}".removesuffix(": "))


@dataclass(slots=True, frozen=True)
class ClaimMappings:
    """How to make a user."""

    username: Part
    groups: Part = Part()
    uid: Part = Part()
    extra: tuple[tuple[str, Program], ...] = ()
    required: Mapping[str, str] | None = None
    """Claims that must have these values."""
    claim_rules: tuple[Rule, ...] = ()
    user_rules: tuple[Rule, ...] = ()

    def user(self, claims: Object) -> UserInfo:
        """The user of verified claims. Raises BadToken."""
        values = Bound({"claims": claims}) if self._uses_expressions() else None
        name = self._name(claims, values)
        groups = self._groups(claims, values)
        uid = _text(self.uid, claims, values, "uid")
        extra = {key: found for key, program in self.extra if (found := _texts(program, values, "extra"))}
        for claim, wanted in (self.required or {}).items():
            _check_required(claims, claim, wanted)
        for rule in self.claim_rules:
            assert values is not None
            rule.check(values, "claim validation expression")
        made = UserInfo(name, groups, uid, extra)
        if self.user_rules:
            shown = Bound({"user": _shown(made)})
            for rule in self.user_rules:
                rule.check(shown, "user info validation rule")
        return authenticated(name, groups, uid, extra)

    def _uses_expressions(self) -> bool:
        mapped = (self.username, self.groups, self.uid)
        return bool(self.extra or self.claim_rules) or any(one.program for one in mapped)

    def _name(self, claims: Object, values: Bound | None) -> str:
        if self.username.claim == "email" and claims.get("email_verified", True) is not True:
            if not isinstance(claims["email_verified"], bool):
                raise BadToken("oidc: parse 'email_verified' claim: it is no boolean")
            raise BadToken("oidc: email not verified")
        name = _text(self.username, claims, values, "username")
        if not name and self.username.program is not None:
            raise BadToken("oidc: error evaluating username claim expression: the username is empty")
        return name

    def _groups(self, claims: Object, values: Bound | None) -> tuple[str, ...]:
        source = self.groups
        if source.program is not None:
            return _texts(source.program, values, "group")
        found = claims.get(source.claim) if source.claim else None
        if found is None:
            return ()
        listed = [found] if isinstance(found, str) else found
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise BadToken(f'oidc: parse groups claim "{source.claim}": it is neither text nor a list of texts')
        return tuple(source.prefix + one for one in listed)


def _text(source: Part, claims: Object, values: Bound | None, what: str) -> str:
    if source.program is not None:
        found = _evaluated(source.program, values, f"{what} claim expression")
        if not isinstance(found, str):
            why = f"oidc: error evaluating {what} claim expression: {what} claim expression must return a string"
            raise BadToken(why)
        return found
    if not source.claim:
        return ""
    found = claims.get(source.claim)
    if not isinstance(found, str):
        why = "claim not present" if found is None else "it is no text"
        raise BadToken(f'oidc: parse {what} claims "{source.claim}": {why}')
    return source.prefix + found


def _texts(program: Program, values: Bound | None, what: str) -> tuple[str, ...]:
    found = _evaluated(program, values, f"{what} claim expression")
    listed = [] if found is None else [found] if isinstance(found, str) else found
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise BadToken(
            f"oidc: error evaluating {what} claim expression: expression must return a string or a list of strings"
        )
    return tuple(filter(None, listed))


def _evaluated(program: Program, values: Bound | None, what: str) -> Any:
    assert values is not None
    try:
        return program.evaluate(values)
    except ExpressionError as error:
        why = f"oidc: error evaluating {what}: expression '{program.text}' resulted in error: {error}"
        raise BadToken(why) from error


def _check_required(claims: Object, claim: str, wanted: str) -> None:
    if claim not in claims:
        raise BadToken(f"oidc: required claim {claim} not present in ID token")
    found = claims[claim]
    if not isinstance(found, str):
        raise BadToken(f"oidc: parse claim {claim}: it is no text")
    if found != wanted:
        raise BadToken(f"oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}")


def _shown(user: UserInfo) -> Object:
    shown: Object = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        shown["uid"] = user.uid
    if user.extra:
        shown["extra"] = {key: list(values) for key, values in user.extra.items()}
    return shown
