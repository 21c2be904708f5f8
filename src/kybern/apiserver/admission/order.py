"""The admission plugins, in order. The order is upstream's."""

from __future__ import annotations

from collections.abc import Collection

from kybern.apiserver.admission.alwaysadmit import AlwaysAdmit
from kybern.apiserver.admission.alwaysdeny import AlwaysDeny
from kybern.apiserver.admission.alwayspullimages import AlwaysPullImages
from kybern.apiserver.admission.base import AdmissionChain, Plugin
from kybern.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    ClusterTrustBundleAttest,
)
from kybern.apiserver.admission.crdcleanup import CustomResourceCleanup
from kybern.apiserver.admission.defaultingressclass import DefaultIngressClass
from kybern.apiserver.admission.defaultstorageclass import DefaultStorageClass
from kybern.apiserver.admission.defaulttolerationseconds import DefaultTolerationSeconds
from kybern.apiserver.admission.denyserviceexternalips import DenyServiceExternalIPs
from kybern.apiserver.admission.eventratelimit import EventRateLimit
from kybern.apiserver.admission.extendedresourcetoleration import ExtendedResourceToleration
from kybern.apiserver.admission.imagepolicywebhook import ImagePolicyWebhook
from kybern.apiserver.admission.limitpodhardantiaffinitytopology import LimitPodHardAntiAffinityTopology
from kybern.apiserver.admission.limitranger import LimitRanger
from kybern.apiserver.admission.mutatingpolicy import MutatingAdmissionPolicy
from kybern.apiserver.admission.mutatingwebhook import MutatingAdmissionWebhook
from kybern.apiserver.admission.namespaceautoprovision import NamespaceAutoProvision
from kybern.apiserver.admission.namespaceexists import NamespaceExists
from kybern.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from kybern.apiserver.admission.noderestriction import NodeRestriction
from kybern.apiserver.admission.ownerreferencespermissionenforcement import OwnerReferencesPermissionEnforcement
from kybern.apiserver.admission.persistentvolumeclaimresize import PersistentVolumeClaimResize
from kybern.apiserver.admission.podnodeselector import PodNodeSelector
from kybern.apiserver.admission.podresizevalidator import PodResizeValidator
from kybern.apiserver.admission.podsecurity.plugin import PodSecurity
from kybern.apiserver.admission.podtolerationrestriction import PodTolerationRestriction
from kybern.apiserver.admission.podtopologylabels import PodTopologyLabels
from kybern.apiserver.admission.policyparams import PolicyParams
from kybern.apiserver.admission.priority import Priority
from kybern.apiserver.admission.resourceclaims import ClaimStatusAuthorization, DeviceAdminAccess
from kybern.apiserver.admission.resourcequota import ResourceQuota
from kybern.apiserver.admission.rolebindings import RoleEscalation
from kybern.apiserver.admission.runtimeclass import RuntimeClass
from kybern.apiserver.admission.serviceaccount import ServiceAccount
from kybern.apiserver.admission.storageobjectinuseprotection import StorageObjectInUseProtection
from kybern.apiserver.admission.taintnodesbycondition import TaintNodesByCondition
from kybern.apiserver.admission.validatingpolicy import ValidatingAdmissionPolicy
from kybern.apiserver.admission.validatingwebhook import ValidatingAdmissionWebhook
from kybern.apiserver.app import App
from kybern.process import features
from kybern.process.daemon import OperatorError

ORDER: tuple[type[Plugin], ...] = (
    AlwaysAdmit,
    NamespaceAutoProvision,
    NamespaceLifecycle,
    NamespaceExists,
    LimitPodHardAntiAffinityTopology,
    LimitRanger,
    ServiceAccount,
    NodeRestriction,
    TaintNodesByCondition,
    AlwaysPullImages,
    ImagePolicyWebhook,
    PodSecurity,
    PodNodeSelector,
    Priority,
    DefaultTolerationSeconds,
    PodTolerationRestriction,
    EventRateLimit,
    ExtendedResourceToleration,
    DefaultStorageClass,
    StorageObjectInUseProtection,
    OwnerReferencesPermissionEnforcement,
    PersistentVolumeClaimResize,
    RuntimeClass,
    CertificateApproval,
    CertificateSigning,
    ClusterTrustBundleAttest,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    DenyServiceExternalIPs,
    PodTopologyLabels,
    PodResizeValidator,
    MutatingAdmissionPolicy,
    MutatingAdmissionWebhook,
    ValidatingAdmissionPolicy,
    ValidatingAdmissionWebhook,
    ResourceQuota,
    AlwaysDeny,
    RoleEscalation,
    PolicyParams,
    DeviceAdminAccess,
    ClaimStatusAuthorization,
    CustomResourceCleanup,
)

OFF_BY_DEFAULT = frozenset(
    plugin.name
    for plugin in (
        AlwaysAdmit,
        AlwaysDeny,
        AlwaysPullImages,
        DenyServiceExternalIPs,
        EventRateLimit,
        ExtendedResourceToleration,
        ImagePolicyWebhook,
        LimitPodHardAntiAffinityTopology,
        NamespaceAutoProvision,
        NamespaceExists,
        NodeRestriction,
        OwnerReferencesPermissionEnforcement,
        PodNodeSelector,
        PodTolerationRestriction,
    )
)

ALWAYS_ON = frozenset(
    plugin.name
    for plugin in (RoleEscalation, PolicyParams, DeviceAdminAccess, ClaimStatusAuthorization, CustomResourceCleanup)
)
"""Not plugins by upstream's count, and so not named in flags: rules of roles, of policies, of claims and of CRDs."""


GATED = {MutatingAdmissionPolicy.name: "MutatingAdmissionPolicy", PodTopologyLabels.name: "PodTopologyLabelsAdmission"}
"""Plugins -> the feature gates without which they do nothing."""


def chain(app: App, enable: Collection[str] = (), disable: Collection[str] = ()) -> AdmissionChain:
    """The chain of --enable-admission-plugins and --disable-admission-plugins. Raises OperatorError for unknown names
    and those in both."""
    known = {plugin.name for plugin in ORDER} - ALWAYS_ON
    unknown = (set(enable) | set(disable)) - known
    if unknown:
        raise OperatorError(
            f"unknown admission plugin {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
        )
    if both := set(enable) & set(disable):
        raise OperatorError(
            f"{', '.join(sorted(both))}: in --enable-admission-plugins and --disable-admission-plugins; choose one"
        )
    off = (set(disable) | OFF_BY_DEFAULT) - set(enable)
    off |= {name for name, gate in GATED.items() if not features.enabled(gate)}
    made = AdmissionChain([plugin(app) for plugin in ORDER if plugin.name not in off])
    app.telemetry.registry.register(made.metrics)
    return made
