from __future__ import annotations

from kybern.api.tolerations import merged

KEY = {"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}
ANY_VALUE = {"key": "a", "operator": "Exists", "effect": "NoSchedule"}
ANY_EFFECT = {"key": "a", "operator": "Exists"}
ALL = {"operator": "Exists"}


def lasting(seconds: int | None) -> dict[str, object]:
    timed: dict[str, object] = {"key": "n", "operator": "Exists", "effect": "NoExecute"}
    return timed if seconds is None else {**timed, "tolerationSeconds": seconds}


def test_what_another_covers_goes() -> None:
    assert merged([KEY], [KEY]) == [KEY]
    assert merged([KEY], [ANY_VALUE]) == [ANY_VALUE]
    assert merged([ANY_EFFECT], [KEY, ANY_VALUE]) == [ANY_EFFECT]
    assert merged([KEY, lasting(5)], [ALL]) == [ALL]
    assert merged([lasting(5)], [lasting(9)]) == [lasting(9)]
    assert merged([lasting(5)], [lasting(None)]) == [lasting(None)]


def test_what_differs_stays() -> None:
    other = {**KEY, "value": "c"}
    assert merged([KEY], [other]) == [KEY, other]
    assert merged([KEY], [{**ANY_VALUE, "effect": "NoExecute"}]) == [
        KEY, {**ANY_VALUE, "effect": "NoExecute"},
    ]  # fmt: skip
