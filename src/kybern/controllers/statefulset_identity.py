"""What makes a StatefulSet's pods persons: their ordinals, names, labels and claims. Pure functions.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/ ("Pod Identity")
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kybern.api.cells import at
from kybern.api.types import Object
from kybern.controllers import pods, revisions
from kybern.controllers.owners import controller_reference

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"(.*)-([0-9]+)", re.ASCII)
_POD = ("v1", "Pod")


def size(stateful_set: Object) -> int:
    """The asked-for number of pods."""
    asked = stateful_set["spec"].get("replicas")
    return 1 if asked is None else int(asked)


def start(stateful_set: Object) -> int:
    """The first ordinal."""
    return int(at(stateful_set, "spec", "ordinals", "start") or 0)


def ordinal(stateful_set: Object, pod: Object) -> int:
    """The pod's ordinal; -1 if its name isn't one of the set's."""
    found = _NAME.fullmatch(pod["metadata"]["name"])
    return int(found[2]) if found and found[1] == stateful_set["metadata"]["name"] else -1


def in_range(stateful_set: Object, pod: Object) -> bool:
    """Whether the set is large enough for the pod."""
    return 0 <= ordinal(stateful_set, pod) - start(stateful_set) < size(stateful_set)


def pod_name(stateful_set: Object, number: int) -> str:
    return f"{stateful_set['metadata']['name']}-{number}"


def new_pod(stateful_set: Object, template: Object, revision: str, number: int) -> Object:
    """The pod of that ordinal, made from a template; `revision` is the name of the template's revision."""
    pod = pods.from_template(template, stateful_set)
    pod["metadata"]["name"] = pod_name(stateful_set, number)
    labels = pod["metadata"].get("labels") or {}
    pod["metadata"]["labels"] = {**labels, revisions.POD_LABEL: revision}
    pod["spec"] = {**pod["spec"], "hostname": pod["metadata"]["name"]}
    if service := stateful_set["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = service
    return conforming(stateful_set, pod)


def conforming(stateful_set: Object, pod: Object) -> Object:
    """The pod with the labels and volumes that its ordinal gives it."""
    meta = pod["metadata"]
    own = {POD_NAME: meta["name"], POD_INDEX: str(ordinal(stateful_set, pod))}
    claims = {name: claim["metadata"]["name"] for name, claim in claims_of(stateful_set, pod).items()}
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": claim}} for name, claim in claims.items()]
    volumes += [one for one in pod["spec"].get("volumes") or () if one["name"] not in claims]
    spec = {**pod["spec"], "volumes": volumes} if volumes else pod["spec"]
    return {**pod, "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **own}}, "spec": spec}


def conforms(stateful_set: Object, pod: Object) -> bool:
    """Whether the pod has the labels and volumes that its ordinal gives it."""
    labels = pod["metadata"].get("labels") or {}
    if labels.get(POD_NAME) != pod["metadata"]["name"] or POD_INDEX not in labels:
        return False
    mounted = {
        volume["name"]: at(volume, "persistentVolumeClaim", "claimName") for volume in pod["spec"].get("volumes") or ()
    }
    return all(mounted.get(name) == claim["metadata"]["name"] for name, claim in claims_of(stateful_set, pod).items())


def claims_of(stateful_set: Object, pod: Object) -> dict[str, Object]:
    """The claims a pod should have, by the name of their template."""
    meta, found = stateful_set["metadata"], {}
    selected = stateful_set["spec"]["selector"].get("matchLabels") or {}
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        given = template["metadata"]
        name = f"{given['name']}-{meta['name']}-{ordinal(stateful_set, pod)}"
        labels = {**(given.get("labels") or {}), **selected}
        own = {**given, "name": name, "namespace": meta["namespace"], "labels": labels}
        found[given["name"]] = {
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": own, "spec": template["spec"],
        }  # fmt: skip
    return found


# Who owns the claims: by persistentVolumeClaimRetentionPolicy they go with the set, with the pod, or stay.


def is_stale(claim: Object, owner: Object) -> bool:
    """Whether the claim belongs to an earlier object of the owner's name, and so is going to be deleted."""
    return any(_names(ref, owner) and ref["uid"] != owner["metadata"].get("uid") for ref in _refs(claim))


def owners_fit(stateful_set: Object, pod: Object, claim: Object) -> bool:
    """Whether the claim's owners are as the policy has it, or are none of our business."""
    if is_stale(claim, stateful_set) or is_stale(claim, pod):
        return True
    ours = {ref["uid"]: ref.get("controller") for ref in _refs(claim) if _is_ours(ref, stateful_set, pod)}
    if _has_stranger(stateful_set, pod, claim):
        return not ours
    if not all(ours.values()):
        return False
    owner = _wanted_owner(stateful_set, pod)
    return set(ours) == ({owner["metadata"]["uid"]} if owner else set())


def with_owners(stateful_set: Object, pod: Object, claim: Object) -> Object:
    """The claim with the owner that the policy wants, unless another controller has it."""
    refs = [ref for ref in _refs(claim) if not _names(ref, stateful_set) and not _names(ref, pod)]
    owner = _wanted_owner(stateful_set, pod)
    if owner is not None and not _has_stranger(stateful_set, pod, claim):
        refs.append(controller_reference(owner))
    meta = {key: value for key, value in claim["metadata"].items() if key != "ownerReferences"}
    return {**claim, "metadata": {**meta, "ownerReferences": refs} if refs else meta}


def deletes_when_scaled(stateful_set: Object) -> bool:
    """Whether the claims of pods that are scaled away go too."""
    return bool(_policy(stateful_set)[1] == "Delete")


def _policy(stateful_set: Object) -> tuple[str, str]:
    policy = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return policy.get("whenDeleted") or "Retain", policy.get("whenScaled") or "Retain"


def _wanted_owner(stateful_set: Object, pod: Object) -> Object | None:
    deleted, scaled = _policy(stateful_set)
    if scaled == "Delete" and not in_range(stateful_set, pod):
        # Cached pods of a list don't all say what they are.
        return {**pod, "apiVersion": _POD[0], "kind": _POD[1]}
    return stateful_set if deleted == "Delete" else None


def _has_stranger(stateful_set: Object, pod: Object, claim: Object) -> bool:
    """Whether somebody else controls the claim. With a policy of retaining it doesn't matter."""
    if _policy(stateful_set) == ("Retain", "Retain"):
        return False
    return any(ref.get("controller") and not _is_ours(ref, stateful_set, pod) for ref in _refs(claim))


def _is_ours(ref: Object, stateful_set: Object, pod: Object) -> bool:
    return ref["uid"] in (stateful_set["metadata"]["uid"], pod["metadata"].get("uid"))


def _names(ref: Object, owner: Object) -> bool:
    """Whether the reference is to an object of the owner's kind and name, whatever its uid."""
    kind = (owner.get("apiVersion", _POD[0]), owner.get("kind", _POD[1]))
    return (ref["apiVersion"], ref["kind"]) == kind and bool(ref["name"] == owner["metadata"]["name"])


def _refs(claim: Object) -> Iterable[Object]:
    return claim["metadata"].get("ownerReferences") or ()
