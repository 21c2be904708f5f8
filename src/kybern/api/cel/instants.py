"""Times and durations as values: the library takes protobuf's messages, and gives datetime and timedelta."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def outward(value: Any) -> Any:
    """What an evaluation gave, to be used in another: with all times and durations in it shown."""
    if isinstance(value, list):
        return [outward(item) for item in value]
    if isinstance(value, dict):
        return {key: outward(item) for key, item in value.items()}
    return bytes(value) if isinstance(value, bytearray) else shown(value)


def shown(value: Any) -> Any:
    """A value as expressions take it: of a datetime or a timedelta the message, others as they are."""
    if not isinstance(value, (datetime, timedelta)):
        return value
    # Protobuf's runtime is 11 MiB, and most clusters' rules know no times.
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

    if isinstance(value, timedelta):
        length = Duration()
        length.FromTimedelta(value)
        return length
    moment = Timestamp()
    moment.FromDatetime(value if value.tzinfo else value.replace(tzinfo=UTC))
    return moment
