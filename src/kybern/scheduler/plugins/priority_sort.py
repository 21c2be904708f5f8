"""Pods of higher priority first, then those that waited longer."""

from __future__ import annotations

from kybern.scheduler.framework import Plugin
from kybern.scheduler.pod import PodInfo


class PrioritySort(Plugin):
    name = "PrioritySort"

    def sign(self, pod: PodInfo) -> str:
        return ""

    def sort_key(self, pod: PodInfo, since: float) -> tuple[float, float]:
        return (-pod.priority, since)
