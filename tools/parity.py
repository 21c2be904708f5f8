"""Write docs/parity.md: what Kubernetes v1.36 has and what of it is here, read from the code itself.

usage: parity.py > docs/parity.md
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from importlib import resources

import orjson

from kybern.__main__ import COMMANDS
from kybern.api.scheme import builtin

CONTROLLERS = """attachdetach bootstrapsigner certificatesigningrequest-approving certificatesigningrequest-cleaner
certificatesigningrequest-signing clusterrole-aggregation cronjob daemonset deployment device-taint-eviction disruption
endpoints endpointslice endpointslice-mirroring ephemeral-volume garbage-collector horizontal-pod-autoscaling job
kube-apiserver-serving-clustertrustbundle-publisher legacy-serviceaccount-token-cleaner namespace node-ipam
node-lifecycle node-route persistentvolume-binder persistentvolume-expander persistentvolume-protection
persistentvolumeclaim-protection pod-garbage-collector replicaset replicationcontroller resourceclaim resourcequota
root-ca-certificate-publisher selinux-warning service-cidr service-lb serviceaccount serviceaccount-token statefulset
storage-version-migrator storageversion-garbage-collector taint-eviction token-cleaner ttl ttl-after-finished
validatingadmissionpolicy-status volumeattributesclass-protection""".split()
SCHEDULER_PLUGINS = """DefaultBinder DefaultPreemption DynamicResources ImageLocality InterPodAffinity NodeAffinity NodeName
NodePorts NodeResourcesBalancedAllocation NodeResourcesFit NodeUnschedulable NodeVolumeLimits PodTopologySpread PrioritySort
SchedulingGates TaintToleration VolumeBinding VolumeRestrictions VolumeZone""".split()
ADMISSION = """AlwaysPullImages CertificateApproval CertificateSigning CertificateSubjectRestriction ClusterTrustBundleAttest
DefaultIngressClass DefaultStorageClass DefaultTolerationSeconds EventRateLimit ExtendedResourceToleration ImagePolicyWebhook
LimitRanger MutatingAdmissionPolicy MutatingAdmissionWebhook NamespaceLifecycle NodeRestriction OwnerReferencesPermissionEnforcement
PersistentVolumeClaimResize PodNodeSelector PodSecurity PodTolerationRestriction PodTopologyLabels Priority ResourceQuota
RuntimeClass ServiceAccount StorageObjectInUseProtection TaintNodesByCondition ValidatingAdmissionPolicy
ValidatingAdmissionWebhook""".split()


def upstream_kinds() -> Iterator[tuple[str, str, str]]:
    """(group, version, kind) of everything v1.36 stores or reviews, from its OpenAPI definitions."""
    path = "kubernetes-json-schema/v1.36.0-local/_definitions.json"
    definitions = orjson.loads((resources.files("kubernetes_validate") / path).read_bytes())["$defs"]
    for name, definition in definitions.items():
        gvks = definition.get("x-kubernetes-group-version-kind", [])
        if len(gvks) == 1 and "metadata" in definition.get("properties", {}) and not name.endswith("List"):
            yield gvks[0]["group"], gvks[0]["version"], gvks[0]["kind"]


def stable(version: str) -> bool:
    return "alpha" not in version and "beta" not in version


def mark(here: bool) -> str:
    return "yes" if here else "not yet"


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    for row in (head, ("---",) * len(head), *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")
    sys.stdout.write("\n")


def names_in(package: str) -> set[str]:
    """Lower-case names without separators of the modules and classes below a package, and of their `name` attributes."""
    found: set[str] = set()
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        loaded = importlib.import_module(module.name)
        found.add(plain(module.name.rsplit(".", 1)[1]))
        for value in vars(loaded).values():
            if isinstance(value, type) and isinstance(getattr(value, "name", None), str):
                found.add(plain(value.name))
    return found


def plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").removesuffix("controller")


def resources_section() -> None:
    scheme = builtin()
    sys.stdout.write("## Resources\n\nStable versions; subresources as served here.\n\n")
    rows = []
    for group, version, kind in sorted(set(upstream_kinds())):
        if not stable(version):
            continue
        found = scheme.kind(f"{group}/{version}" if group else version, kind)
        parts = (
            []
            if not found
            else [name for name, on in (("status", found.has_status), ("scale", bool(found.scale))) if on]
        )
        parts += [sub.name for sub in found.subresources] if found else []
        rows.append(
            (f"{group}/{version}" if group else version, kind, mark(bool(found)), ", ".join(dict.fromkeys(parts)))
        )
    table(("group/version", "kind", "here", "subresources"), iter(rows))


def names_section(title: str, package: str, names: list[str]) -> None:
    sys.stdout.write(f"## {title}\n\n")
    here = names_in(package)
    table(("name", "here"), ((name, mark(plain(name) in here)) for name in names))


def flags_section() -> None:
    sys.stdout.write("## Flags\n\nAny other flag is an error, never ignored.\n\n")
    rows = []
    for name, (module, _) in COMMANDS.items():
        parser = argparse.ArgumentParser()
        importlib.import_module(module).add_flags(parser)
        flags = sorted(
            {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")} - {"--help"}
        )
        rows.append((name, " ".join(f"`{flag}`" for flag in flags)))
    table(("command", "flags"), iter(rows))


def main() -> None:
    sys.stdout.write(
        "# Parity with Kubernetes v1.36\n\nMade by `make parity` from the code; `not yet` means not there at all.\n\n"
    )
    resources_section()
    names_section("Controllers", "kybern.controllers", CONTROLLERS)
    names_section("Scheduler plugins", "kybern.scheduler.plugins", SCHEDULER_PLUGINS)
    names_section("Admission plugins", "kybern.apiserver.admission", ADMISSION)
    flags_section()


if __name__ == "__main__":
    main()
