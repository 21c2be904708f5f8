"""The file of --authentication-config: issuers of tokens, what their claims mean, and who may come without credentials.

Source: API reference, AuthenticationConfiguration (apiserver.config.k8s.io/v1); messages are upstream's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kybern.api import names
from kybern.api.cel.program import ExpressionError, Program
from kybern.api.field import OMITTED, Errors
from kybern.api.types import Object
from kybern.apiserver import config_files
from kybern.apiserver.authn import claims
from kybern.apiserver.authn.claims import ClaimMappings, Part, Rule
from kybern.apiserver.authn.oidc import ALGORITHMS, IssuerOptions
from kybern.process.daemon import OperatorError

FLAG, KIND, VERSIONS = "--authentication-config", "AuthenticationConfiguration", ("v1", "v1beta1", "v1alpha1")
MAX_ISSUERS = 64
_JWT = ("issuer", "claimValidationRules", "claimMappings", "userValidationRules")
_ISSUER = ("url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy", "egressSelectorType")
_RESERVED = re.compile(r"(.*\.)?(kubernetes|k8s)\.io")
_EMAIL, _VERIFIED = ("claims", "email"), ("claims", "email_verified")


@dataclass(slots=True, frozen=True)
class Configuration:
    """What a file says. `anonymous`: None where it says nothing of that; else whether such requests are let in, and
    where (everywhere if nowhere is named)."""

    issuers: tuple[IssuerOptions, ...] = ()
    anonymous: tuple[bool, frozenset[str]] | None = None


def load(path: Path, disallowed: Collection[str]) -> Configuration:
    """Of a file. `disallowed` are issuers that it may not name. Raises OperatorError."""
    return parse(config_files.read(FLAG, path, KIND, VERSIONS), disallowed, f"{FLAG} {path}")


def parse(
    document: Object, disallowed: Collection[str], where: str, algorithms: Sequence[str] = ALGORITHMS
) -> Configuration:
    """Of the decoded file. Raises OperatorError, which names all that is wrong, and `where`."""
    errors = Errors()
    config_files.fields(errors, "", document, ("apiVersion", "kind", "jwt", "anonymous"))
    given = config_files.items(errors, "jwt", document.get("jwt"))
    if len(given) > MAX_ISSUERS:
        errors.too_many("jwt", len(given), MAX_ISSUERS)
        given = []
    seen: set[str] = set()
    issuers = [_jwt(errors, f"jwt[{n}]", one, disallowed, seen, tuple(algorithms)) for n, one in enumerate(given)]
    anonymous = _anonymous(errors, document.get("anonymous"))
    if errors:
        raise OperatorError(f"{where}: {'; '.join(map(str, errors))}")
    return Configuration(tuple(issuers), anonymous)


def _anonymous(errors: Errors, found: Any) -> tuple[bool, frozenset[str]] | None:
    if found is None:
        return None
    given = config_files.fields(errors, "anonymous", found, ("enabled", "conditions"))
    conditions = config_files.items(errors, "anonymous.conditions", given.get("conditions"))
    if conditions and not given.get("enabled"):
        errors.invalid("anonymous.conditions", conditions, "enabled should be set to true when conditions are defined")
    paths = set()
    for number, one in enumerate(conditions):
        at = f"anonymous.conditions[{number}]"
        path = config_files.text(errors, f"{at}.path", config_files.fields(errors, at, one, ("path",)).get("path"))
        if not path:
            errors.required(f"{at}.path")
        paths.add(path)
    return bool(given.get("enabled")), frozenset(paths)


def _jwt(
    errors: Errors, path: str, found: Any, disallowed: Collection[str], seen: set[str], algorithms: tuple[str, ...]
) -> IssuerOptions:
    given = config_files.fields(errors, path, found, _JWT)
    issuer = config_files.fields(errors, f"{path}.issuer", given.get("issuer"), _ISSUER)
    at = f"{path}.issuer"
    url = config_files.text(errors, f"{at}.url", issuer.get("url"))
    _check_url(errors, f"{at}.url", url, disallowed, seen)
    discovery = config_files.text(errors, f"{at}.discoveryURL", issuer.get("discoveryURL"))
    if discovery:
        if discovery.rstrip("/") == url.rstrip("/"):
            errors.invalid(f"{at}.discoveryURL", discovery, "discoveryURL must be different from URL")
        _check_url(errors, f"{at}.discoveryURL", discovery, (), seen)
    ca = config_files.text(errors, f"{at}.certificateAuthority", issuer.get("certificateAuthority"))
    if ca and "-----BEGIN CERTIFICATE-----" not in ca:
        said = "data does not contain any valid RSA or ECDSA certificates"
        errors.invalid(f"{at}.certificateAuthority", OMITTED, said)
    if issuer.get("egressSelectorType"):
        errors.invalid(f"{at}.egressSelectorType", issuer["egressSelectorType"], "issuers are only reached directly")
    mappings = _mappings(errors, path, given)
    return IssuerOptions(url, _audiences(errors, at, issuer), mappings, discovery, ca, algorithms)


def _check_url(errors: Errors, path: str, url: str, disallowed: Collection[str], seen: set[str]) -> None:
    if not url:
        errors.required(path, "URL is required")
        return
    if url in disallowed:
        listed = " ".join(sorted(disallowed))
        errors.invalid(path, url, f"URL must not overlap with disallowed issuers: [{listed}]")
    if url in seen:
        errors.duplicate(path, url)
    seen.add(url)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        errors.invalid(path, url, str(error))
        return
    for wrong, said in (
        (parts.scheme != "https", "URL scheme must be https"),
        (parts.username is not None, "URL must not contain a username or password"),
        (parts.query, "URL must not contain a query"),
        (parts.fragment, "URL must not contain a fragment"),
    ):
        if wrong:
            errors.invalid(path, url, said)


def _audiences(errors: Errors, path: str, issuer: Object) -> tuple[str, ...]:
    given = config_files.texts(errors, f"{path}.audiences", issuer.get("audiences"))
    if not given:
        errors.required(f"{path}.audiences", f"at least one {path}.audiences is required")
    for number, audience in enumerate(given):
        if not audience:
            errors.required(f"{path}.audiences[{number}]", "audience can't be empty")
        if audience in given[:number]:
            errors.duplicate(f"{path}.audiences[{number}]", audience)
    policy = issuer.get("audienceMatchPolicy") or ""
    if len(given) > 1 and policy != "MatchAny":
        said = "audienceMatchPolicy must be MatchAny for multiple audiences"
        errors.invalid(f"{path}.audienceMatchPolicy", policy, said)
    if len(given) == 1 and policy not in ("", "MatchAny"):
        said = "audienceMatchPolicy must be empty or MatchAny for single audience"
        errors.invalid(f"{path}.audienceMatchPolicy", policy, said)
    return tuple(given)


def _mappings(errors: Errors, path: str, given: Object) -> ClaimMappings:
    at = f"{path}.claimMappings"
    found = config_files.fields(errors, at, given.get("claimMappings"), ("username", "groups", "uid", "extra"))
    username = _part(errors, f"{at}.username", found.get("username"), required=True)
    groups = _part(errors, f"{at}.groups", found.get("groups"))
    uid = _part(errors, f"{at}.uid", found.get("uid"), prefixed=False)
    extra = _extra(errors, f"{at}.extra", found.get("extra"))
    required, rules = _claim_rules(errors, f"{path}.claimValidationRules", given.get("claimValidationRules"))
    user_rules = _user_rules(errors, f"{path}.userValidationRules", given.get("userValidationRules"))
    if username.program is not None and _EMAIL in username.program.members:
        programs = [username.program, *(program for _, program in extra), *(rule.program for rule in rules)]
        if not any(_VERIFIED in program.members for program in programs):
            errors.invalid(
                f"{at}.username.expression",
                username.program.text,
                "claims.email_verified must be used in claimMappings.username.expression or "
                "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is "
                "used in claimMappings.username.expression",
            )
    return ClaimMappings(username, groups, uid, tuple(extra), required, tuple(rules), tuple(user_rules))


def _part(errors: Errors, path: str, found: Any, *, required: bool = False, prefixed: bool = True) -> Part:
    known = ("claim", "prefix", "expression") if prefixed else ("claim", "expression")
    given = config_files.fields(errors, path, found, known)
    claim = config_files.text(errors, f"{path}.claim", given.get("claim"))
    text = config_files.text(errors, f"{path}.expression", given.get("expression"))
    prefix = given.get("prefix")
    if claim and text:
        errors.invalid(path, "", "claim and expression can't both be set")
    elif text:
        if prefix is not None:
            errors.invalid(f"{path}.prefix", prefix, "prefix can't be set when expression is set")
        return Part(program=_compiled(errors, f"{path}.expression", text, claims.over_claims))
    elif claim and prefixed and prefix is None:
        said = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
        errors.required(f"{path}.prefix", said)
    elif not claim and required:
        errors.required(path, "claim or expression is required")
    return Part(claim, str(prefix or ""))


def _compiled(errors: Errors, path: str, text: str, compile: Callable[[str], Program]) -> Program | None:
    try:
        return compile(text)
    except ExpressionError as error:
        errors.invalid(path, text, str(error))
        return None


def _extra(errors: Errors, path: str, found: Any) -> list[tuple[str, Program]]:
    made: dict[str, Program | None] = {}
    for number, one in enumerate(config_files.items(errors, path, found)):
        at = f"{path}[{number}]"
        given = config_files.fields(errors, at, one, ("key", "valueExpression"))
        key = config_files.text(errors, f"{at}.key", given.get("key"))
        text = config_files.text(errors, f"{at}.valueExpression", given.get("valueExpression"))
        _check_key(errors, f"{at}.key", key)
        if key in made:
            errors.duplicate(f"{at}.key", key)
        elif not text:
            errors.required(f"{at}.valueExpression", "valueExpression is required")
        else:
            where = f"{at}.valueExpression"
            made[key] = _compiled(errors, where, text, claims.over_claims)
    return [(key, program) for key, program in made.items() if program is not None]


def _check_key(errors: Errors, path: str, key: str) -> None:
    domain, slash, rest = key.partition("/")
    if not key:
        errors.required(path)
        return
    if not slash or not rest or names.dns_subdomain(domain):
        errors.invalid(path, key, 'must be a domain-prefixed path (such as "acme.io/foo")')
    if key != key.lower():
        errors.invalid(path, key, "key must be lowercase")
    if _RESERVED.fullmatch(domain):
        errors.invalid(path, key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use")


def _claim_rules(errors: Errors, path: str, found: Any) -> tuple[dict[str, str], list[Rule]]:
    required: dict[str, str] = {}
    rules: dict[str, Rule] = {}
    for number, one in enumerate(config_files.items(errors, path, found)):
        at = f"{path}[{number}]"
        given = config_files.fields(errors, at, one, ("claim", "requiredValue", "expression", "message"))
        claim = config_files.text(errors, f"{at}.claim", given.get("claim"))
        text = config_files.text(errors, f"{at}.expression", given.get("expression"))
        value = config_files.text(errors, f"{at}.requiredValue", given.get("requiredValue"))
        message = config_files.text(errors, f"{at}.message", given.get("message"))
        if claim and text:
            errors.invalid(at, claim, "claim and expression can't both be set")
        elif claim:
            if message:
                errors.invalid(f"{at}.message", message, "message can't be set when claim is set")
            if claim in required:
                errors.duplicate(f"{at}.claim", claim)
            required[claim] = value
        elif text:
            if value:
                errors.invalid(f"{at}.requiredValue", value, "requiredValue can't be set when expression is set")
            if text in rules:
                errors.duplicate(f"{at}.expression", text)
            elif program := _compiled(
                errors, f"{at}.expression", text, lambda one: claims.over_claims(one, claims.TRUTH)
            ):
                rules[text] = Rule(program, message)
        else:
            errors.required(at, "claim or expression is required")
    return required, list(rules.values())


def _user_rules(errors: Errors, path: str, found: Any) -> list[Rule]:
    rules: dict[str, Rule] = {}
    for number, one in enumerate(config_files.items(errors, path, found)):
        at = f"{path}[{number}]"
        given = config_files.fields(errors, at, one, ("expression", "message"))
        text = config_files.text(errors, f"{at}.expression", given.get("expression"))
        message = config_files.text(errors, f"{at}.message", given.get("message"))
        if not text:
            errors.required(f"{at}.expression", "expression is required")
        elif text in rules:
            errors.duplicate(f"{at}.expression", text)
        elif program := _compiled(errors, f"{at}.expression", text, claims.over_user):
            rules[text] = Rule(program, message)
    return list(rules.values())
