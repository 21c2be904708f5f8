"""Regular expressions in the syntax of RE2, Go's: of schemas, of CEL. Matching takes time in proportion to the text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """A pattern with Python's methods. Raises ValueError (why it is none)."""
    # Not everybody has patterns.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        said = error.args[0] if error.args else error
        raise ValueError(said.decode() if isinstance(said, bytes) else str(said)) from None
