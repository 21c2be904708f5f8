"""Keys in JSON pointers. Source: "Mutating Admission Policy", JSONPatch; RFC 6901."""

from __future__ import annotations

from kybern.api.cel.declared import function

FUNCTIONS = (
    function(
        "jsonpatch.escapeKey", ["string"], "string", lambda key: key.replace("~", "~0").replace("/", "~1"), "jsonpatch"
    ),
)
