from __future__ import annotations

import asyncio
import base64
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from kybern.api.legacytokens import INVALID_SINCE, ISSUER, LAST_USED
from kybern.apiserver.authn.base import BadToken
from kybern.apiserver.authn.legacytokens import LegacyTokens
from kybern.apiserver.tokens import KeySet, key_id
from kybern.process.clock import clock
from kybern.testing import certificates
from tests.unit.apiserver_gates.fakes import FakeLister, named

KEY, OLD, FOREIGN = certificates.key(), rsa.generate_private_key(65537, 2048), certificates.key()
CLAIM = "kubernetes.io/serviceaccount/"
NAME = "system:serviceaccount:ci:robot"


def token(key: Any = KEY, *, kid: bool = True, **changed: str) -> str:
    claims = {
        "iss": ISSUER,
        "sub": NAME,
        f"{CLAIM}namespace": "ci",
        f"{CLAIM}secret.name": "robot-token",
        f"{CLAIM}service-account.name": "robot",
        f"{CLAIM}service-account.uid": "uid-robot",
    } | {CLAIM + name.replace("__", "-").replace("_", "."): value for name, value in changed.items()}
    algorithm = "RS256" if key is OLD else "ES256"
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": key_id(key.public_key())} if kid else None)


class Legacy:
    def __init__(self, held: str, **fields: Any) -> None:
        self.labelled: list[tuple[str, str, str]] = []
        data = {"token": base64.b64encode(held.encode()).decode()}
        self.secrets = FakeLister(named("robot-token", "ci", data=data))
        self.accounts = FakeLister(named("robot", "ci", **fields))
        listers = {"secrets": self.secrets, "serviceaccounts": self.accounts}
        keys = KeySet([KEY.public_key(), OLD.public_key()])
        self.verifier = LegacyTokens(keys, ["api"], listers, self.relabel)

    async def relabel(self, *what: str) -> None:
        self.labelled.append(what)  # type: ignore[arg-type]

    async def why(self, text: str) -> str:
        with pytest.raises(BadToken) as refused:
            await self.verifier.user(text)
        return refused.value.why


@pytest.mark.parametrize("text", [token(), token(kid=False), token(OLD), token(OLD, kid=False)])
async def test_a_legacy_token_is_good_with_any_of_the_keys(text: str) -> None:
    legacy = Legacy(text)
    known = await legacy.verifier.user(text)
    assert known is not None
    assert (known.user.name, known.user.uid, known.audiences, known.warning) == (NAME, "uid-robot", ("api",), "")
    assert known.annotations == {"authentication.k8s.io/legacy-token": NAME}
    assert await legacy.verifier.user(text, ["other"]) is None


async def test_without_looking_the_signature_is_enough() -> None:
    text, legacy = token(), Legacy("another")
    listers = {"secrets": legacy.secrets, "serviceaccounts": legacy.accounts}
    verifier = LegacyTokens(KeySet([KEY.public_key()]), ["api"], listers, legacy.relabel, lookup=False)
    known = await verifier.user(text)
    assert known is not None and known.user.name == NAME


async def test_its_use_is_noted_once_a_day() -> None:
    legacy = Legacy(token())
    text = base64.b64decode(legacy.secrets.get("ci", "robot-token")["data"]["token"]).decode()  # type: ignore[index]
    await asyncio.gather(*(legacy.verifier.user(text) for _ in range(3)))
    await asyncio.sleep(0)
    today = clock.stamp()[:10]
    assert legacy.labelled == [("ci", "robot-token", today)]
    secret = legacy.secrets.get("ci", "robot-token")
    assert secret is not None
    legacy.secrets.put({**secret, "metadata": {**secret["metadata"], "labels": {LAST_USED: today}}})
    await legacy.verifier.user(text)
    await asyncio.sleep(0)
    assert len(legacy.labelled) == 1


async def test_tokens_that_made_themselves_come_with_a_warning() -> None:
    text = token()
    known = await Legacy(text, secrets=[{"name": "robot-token"}]).verifier.user(text)
    assert known is not None
    assert known.warning == (
        "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated "
        "secret-based tokens."
    )


async def test_what_a_legacy_token_is_refused_for() -> None:
    text = token()
    assert await Legacy(text).why(token(FOREIGN)) == "invalid signature"
    assert await Legacy("another").why(text) == "service account token does not match server's copy"
    wrong = token(service__account_uid="other")
    assert await Legacy(wrong).why(wrong) == "service account UID (uid-robot) does not match claim (other)"
    wrong = token(service__account_name="")
    assert await Legacy(wrong).why(wrong) == "serviceAccountName claim is missing"
    wrong = token(service__account_name="eve")
    assert await Legacy(wrong).why(wrong) == "sub claim is invalid"
    legacy = Legacy(text)
    legacy.accounts.drop("ci", "robot")
    assert await legacy.why(text) == "service account ci/robot has been deleted"
    legacy.secrets.drop("ci", "robot-token")
    assert await legacy.why(text) == "service account token has been invalidated"
    legacy = Legacy(text)
    secret = legacy.secrets.get("ci", "robot-token")
    assert secret is not None
    legacy.secrets.put({**secret, "metadata": {**secret["metadata"], "labels": {INVALID_SINCE: "2026-01-01"}}})
    assert "has been marked invalid" in await legacy.why(text)
    assert await legacy.verifier.user("no.jwt.here") is None
