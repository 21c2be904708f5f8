"""Labels of nodes that have been replaced, and what to say to who still selects by them."""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api.types import Object

DEPRECATED = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def term_warnings(term: Object, path: str) -> Iterator[str]:
    """Of a node selector term."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        said = DEPRECATED.get(expression.get("key") or "")
        if said:
            yield f"{path}.matchExpressions[{index}].key: {expression['key']} is {said}"
