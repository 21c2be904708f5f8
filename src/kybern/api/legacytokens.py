"""Secrets with tokens of service accounts: their type, annotations and labels, and what the tokens in them say.

Source: Kubernetes documentation, "Managing Service Accounts"; KEP-2799.
"""

from __future__ import annotations

from kybern.api.types import Object

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
ISSUER = "kubernetes/serviceaccount"
CLAIM = "kubernetes.io/serviceaccount/"
TRACKING_NAMESPACE, TRACKING = "kube-system", "kube-apiserver-legacy-service-account-token-tracking"
"""The ConfigMap that says since when (`since`) the days of last use are noted."""


def claims(account: Object, secret: str) -> dict[str, str]:
    """What the token in a Secret of that name says."""
    meta = account["metadata"]
    return {
        "iss": ISSUER,
        f"{CLAIM}namespace": meta["namespace"],
        f"{CLAIM}secret.name": secret,
        f"{CLAIM}service-account.name": meta["name"],
        f"{CLAIM}service-account.uid": meta["uid"],
        "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
    }


def is_automatic(account: Object, secret: str) -> bool:
    """Whether the account lists the Secret, as it does with those that made themselves."""
    return any(ref.get("name") == secret for ref in account.get("secrets") or ())
