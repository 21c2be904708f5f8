"""Field numbers of events; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "Event": "metadata:ObjectMeta eventTime:microtime series:EventSeries? reportingController reportingInstance action "
    "reason regarding:ObjectReference related:ObjectReference? note type deprecatedSource:EventSource "
    "deprecatedFirstTimestamp:time deprecatedLastTimestamp:time deprecatedCount:int",
    "EventSeries": "count:int! lastObservedTime:microtime",
}
