"""Which admission plugins there are, in which order, and which are on, as in upstream's v1.36."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.apiserver.admission.order import ALWAYS_ON, OFF_BY_DEFAULT, ORDER, chain
from kybern.process.daemon import OperatorError

UPSTREAM = """
    AlwaysAdmit NamespaceAutoProvision NamespaceLifecycle NamespaceExists LimitPodHardAntiAffinityTopology
    LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition AlwaysPullImages ImagePolicyWebhook
    PodSecurity PodNodeSelector Priority DefaultTolerationSeconds PodTolerationRestriction EventRateLimit
    ExtendedResourceToleration DefaultStorageClass StorageObjectInUseProtection
    OwnerReferencesPermissionEnforcement PersistentVolumeClaimResize RuntimeClass CertificateApproval
    CertificateSigning ClusterTrustBundleAttest CertificateSubjectRestriction DefaultIngressClass
    DenyServiceExternalIPs PodTopologyLabels PodResizeValidator MutatingAdmissionPolicy MutatingAdmissionWebhook
    ValidatingAdmissionPolicy ValidatingAdmissionWebhook ResourceQuota AlwaysDeny
"""
ON = """
    NamespaceLifecycle LimitRanger ServiceAccount TaintNodesByCondition PodSecurity Priority
    DefaultTolerationSeconds DefaultStorageClass StorageObjectInUseProtection PersistentVolumeClaimResize
    RuntimeClass CertificateApproval CertificateSigning ClusterTrustBundleAttest CertificateSubjectRestriction
    DefaultIngressClass PodTopologyLabels PodResizeValidator MutatingAdmissionPolicy MutatingAdmissionWebhook
    ValidatingAdmissionPolicy ValidatingAdmissionWebhook ResourceQuota
"""


def test_the_order_and_what_is_on_are_upstreams() -> None:
    names = [plugin.name for plugin in ORDER if plugin.name not in ALWAYS_ON]
    assert names == UPSTREAM.split()
    assert [name for name in names if name not in OFF_BY_DEFAULT] == ON.split()


@pytest.mark.parametrize(
    ("enable", "disable", "said"),
    [
        (["Nope"], [], "unknown admission plugin Nope"),
        (["AlwaysDeny"], ["AlwaysDeny"], "AlwaysDeny: in --enable-admission-plugins and --disable-admission-plugins"),
    ],
)
def test_names_that_cannot_be(enable: list[str], disable: list[str], said: str) -> None:
    app: Any = None
    with pytest.raises(OperatorError, match=said):
        chain(app, enable, disable)
