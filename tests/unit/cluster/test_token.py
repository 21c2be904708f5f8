"""Bootstrap tokens as Secrets, and as lines of a list."""

from __future__ import annotations

import base64

import pytest

from kybern.api import bootstraptokens as tokens
from kybern.api.types import Object
from kybern.cluster.token import generate, row, secret
from kybern.process.clock import clock, parse_time
from kybern.process.daemon import OperatorError

TOKEN = "abcdef.0123456789abcdef"
GROUP = "system:bootstrappers:nodes"


def stored(ttl: float = 0, usages: tuple[str, ...] = ("authentication",)) -> Object:
    """As the server gives it back."""
    made = secret(TOKEN, ttl, list(usages), [GROUP] if "authentication" in usages else [], "why")
    return {**made, "data": {key: base64.b64encode(text.encode()).decode() for key, text in made["stringData"].items()}}


def test_generated_tokens_are_tokens() -> None:
    assert tokens.split(generate()) is not None
    assert generate() != generate()


def test_the_secret_of_a_token() -> None:
    made = secret(TOKEN, 3600, ["signing", "authentication"], [GROUP], "")
    assert made["metadata"] == {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
    data = made["stringData"]
    expiry = parse_time(data.pop("expiration"))
    assert clock.time() + 3598 < expiry <= clock.time() + 3600
    assert data == {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-signing": "true",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": GROUP,
    }


def test_a_token_for_ever_has_no_expiration() -> None:
    assert "expiration" not in secret(TOKEN, 0, ["signing"], [], "")["stringData"]


@pytest.mark.parametrize(
    ("token", "usages", "groups", "said"),
    [
        ("abc", ["signing"], [], 'the bootstrap token "abc" was not of the form'),
        (TOKEN, ["flying"], [], "invalid bootstrap token usage: flying; valid usages: signing, authentication"),
        (TOKEN, ["authentication"], ["system:masters"], 'bootstrap group "system:masters" is invalid'),
        (TOKEN, ["signing"], [GROUP], "token groups cannot be specified unless --usages includes"),
    ],
)
def test_what_can_be_no_token(token: str, usages: list[str], groups: list[str], said: str) -> None:
    with pytest.raises(OperatorError) as refused:
        secret(token, 0, usages, groups, "")
    assert str(refused.value).startswith(said)


def test_lines_of_the_list() -> None:
    assert row(stored(), clock.time()) == (TOKEN, "<forever>", "<never>", "authentication", "why", GROUP)
    lasting = row(stored(7200 + 60, ("signing",)), clock.time())
    assert (lasting[1], lasting[3], lasting[5]) == ("120m", "signing", "<none>")
    assert row(stored(1), clock.time() + 5)[1] == "<invalid>"
