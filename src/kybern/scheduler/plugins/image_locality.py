"""Prefers nodes that have the pod's images, weighted by size and by how many nodes have them.

The second weight keeps pods from piling up on the one node that pulled an image first.
"""

from __future__ import annotations

import numpy as np

from kybern.scheduler.framework import MAX_SCORE, SKIP, CycleState, Plugin, Rows, Scores, Status
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable

_MEBIBYTE = 1024 * 1024
_MIN_BYTES = 23 * _MEBIBYTE
_MAX_BYTES_PER_CONTAINER = 1000 * _MEBIBYTE


class ImageLocality(Plugin):
    name = "ImageLocality"

    def sign(self, pod: PodInfo) -> tuple[str, ...]:
        return tuple(images(pod))

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | None:
        return None if any(image in nodes.images for image in images(pod)) else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
        wanted = images(pod)
        total = np.zeros(len(rows), np.int64)
        for image in wanted:
            sizes = nodes.images.get(image)
            if sizes:
                spread = len(sizes) / len(nodes)
                here = (int(sizes.get(row, 0) * spread) for row in rows.tolist())
                total += np.fromiter(here, np.int64, len(rows))
        most = _MAX_BYTES_PER_CONTAINER * len(wanted)
        return MAX_SCORE * (np.clip(total, _MIN_BYTES, most) - _MIN_BYTES) // (most - _MIN_BYTES)


def images(pod: PodInfo) -> list[str]:
    """The images of all containers, with a tag."""
    containers = [*(pod.spec.get("initContainers") or ()), *(pod.spec.get("containers") or ())]
    return [_tagged(container.get("image") or "") for container in containers]


def _tagged(image: str) -> str:
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
