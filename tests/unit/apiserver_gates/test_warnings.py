"""Warning headers, and how many of them."""

from __future__ import annotations

from kybern.apiserver import warnings


def texts(found: list[tuple[str, str]]) -> list[str]:
    return [value.removeprefix('299 - "').removesuffix('"') for name, value in found if name == "warning"]


def test_each_text_comes_once_quoted() -> None:
    assert warnings.headers(["a", 'b "c"\n', "a", ""]) == [("warning", '299 - "a"'), ("warning", '299 - "b \\"c\\" "')]


def test_many_are_cut_short_and_too_many_left_out() -> None:
    long = ["x" * 4000, "y" * 96]
    assert texts(warnings.headers(long)) == long
    assert texts(warnings.headers([*long, "z"])) == ["x" * 256, "y" * 96, "z"]
    assert len(warnings.headers(f"{n:0300}" for n in range(100))) == 16
