"""docs/reliability.md's section "Fuzzing": how much random input was tried, and what it broke."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kybern.process.clock import clock

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
SECTION = "## Fuzzing"
WORDS = """
`make fuzz` makes this section. Functions that read what clients send get bytes from a coverage-guided fuzzer (atheris);
they may raise the errors they document, and what they take must survive a round trip. The whole server gets requests
made from the OpenAPI it publishes (schemathesis): no 5xx, no answer later than ten seconds. The suite runs a little of
both each time.
"""


class Row(NamedTuple):
    what: str
    tried: int
    seconds: float
    broke: int


def section(rows: list[Row]) -> str:
    """The page's section."""
    lines = [SECTION, WORDS, f"On {clock.now():%Y-%m-%d}:", "", "| input | tried | seconds | broke |"]
    lines.append("| --- | ---: | ---: | ---: |")
    lines += [f"| {row.what} | {row.tried:,} | {row.seconds:.0f} | {row.broke} |" for row in rows]
    return "\n".join(lines) + "\n"


def replaced(page: str, made: str) -> str:
    """The page with its section made anew; without one it goes to the end."""
    before, _, after = page.partition(SECTION)
    _, heading, rest = after.partition("\n## ")
    return f"{before.rstrip()}\n\n{made}" + (f"{heading}{rest}" if heading else "")


def kept(page: str, made: str) -> str:
    """A page made anew with the section that the old `page` has."""
    _, heading, after = page.partition(SECTION)
    return replaced(made, f"{heading}{after.partition(chr(10) + '## ')[0].rstrip()}\n") if heading else made
