"""The admission plugins, in order. The order is upstream's."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kybern.apiserver.admission.base import AdmissionChain, Plugin
from kybern.apiserver.admission.certificates import (
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
)
from kybern.apiserver.admission.crdcleanup import CustomResourceCleanup
from kybern.apiserver.admission.defaultingressclass import DefaultIngressClass
from kybern.apiserver.admission.defaulttolerationseconds import DefaultTolerationSeconds
from kybern.apiserver.admission.limitranger import LimitRanger
from kybern.apiserver.admission.mutatingwebhook import MutatingAdmissionWebhook
from kybern.apiserver.admission.namespacelifecycle import NamespaceLifecycle
from kybern.apiserver.admission.noderestriction import NodeRestriction
from kybern.apiserver.admission.podsecurity.plugin import PodSecurity
from kybern.apiserver.admission.priority import Priority
from kybern.apiserver.admission.resourcequota import ResourceQuota
from kybern.apiserver.admission.rolebindings import RoleEscalation
from kybern.apiserver.admission.runtimeclass import RuntimeClass
from kybern.apiserver.admission.serviceaccount import ServiceAccount
from kybern.apiserver.admission.taintnodesbycondition import TaintNodesByCondition
from kybern.apiserver.admission.validatingwebhook import ValidatingAdmissionWebhook
from kybern.apiserver.app import App
from kybern.process.daemon import OperatorError

ORDER: tuple[Callable[[App], Plugin], ...] = (
    NamespaceLifecycle,
    LimitRanger,
    ServiceAccount,
    NodeRestriction,
    TaintNodesByCondition,
    PodSecurity,
    Priority,
    DefaultTolerationSeconds,
    RuntimeClass,
    CertificateApproval,
    CertificateSigning,
    CertificateSubjectRestriction,
    DefaultIngressClass,
    MutatingAdmissionWebhook,
    ValidatingAdmissionWebhook,
    ResourceQuota,
    RoleEscalation,
    CustomResourceCleanup,
)

OFF_BY_DEFAULT = frozenset[str]()

ALWAYS_ON = frozenset({RoleEscalation.name, CustomResourceCleanup.name})
"""Not plugins by upstream's count, and so not named in flags: rules of roles and of CRDs."""


def chain(app: App, enable: Collection[str] = (), disable: Collection[str] = ()) -> AdmissionChain:
    """The chain of --enable-admission-plugins and --disable-admission-plugins. Raises OperatorError (unknown name)."""
    plugins = [make(app) for make in ORDER]
    known = {plugin.name for plugin in plugins} - ALWAYS_ON
    unknown = (set(enable) | set(disable)) - known
    if unknown:
        raise OperatorError(
            f"unknown admission plugin {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}"
        )
    off = (set(disable) | OFF_BY_DEFAULT) - set(enable)
    made = AdmissionChain([plugin for plugin in plugins if plugin.name not in off])
    app.telemetry.registry.register(made.metrics)
    return made
