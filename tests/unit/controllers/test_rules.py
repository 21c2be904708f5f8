"""Smaller decisions: finished pods, aggregated roles, a namespace's conditions, node ranges, chosen controllers."""

import pytest

from kybern.api.errors import Forbidden
from kybern.client.rest import Client
from kybern.controllers import manager, namespace, podgc, serviceaccount
from kybern.controllers.clusterroleaggregation import aggregate
from kybern.controllers.controller import Context
from kybern.controllers.nodeipam import NodeIPAMController
from kybern.controllers.options import Options
from kybern.process.daemon import OperatorError
from kybern.testing.transport import AppTransport
from tests.unit.controllers.objects import node, pod


def surplus(threshold, *listed):
    return [one["metadata"]["name"] for one in podgc.surplus_of(listed, threshold)]


def test_evicted_and_old_finished_pods_go_first():
    evicted = pod("evicted", phase="Failed", age=1)
    evicted["status"]["reason"] = "Evicted"
    rest = [pod("old", phase="Succeeded", age=90), pod("b", phase="Failed", age=50), pod("a", phase="Failed", age=50)]
    listed = [*rest, evicted, pod("running", age=999), pod("pending", phase="Pending", age=999)]
    assert surplus(1, *listed) == ["evicted", "old", "a"]
    assert surplus(3, *listed) == ["evicted"]
    assert surplus(4, *listed) == []
    assert surplus(0, *listed) == []


def role(name, rules, **labels):
    return {"metadata": {"name": name, "labels": labels}, "rules": rules}


def test_aggregation_is_the_union_in_order_without_repetition():
    one, two, three = ({"verbs": [verb]} for verb in ("get", "list", "watch"))
    whole = {
        "metadata": {"name": "whole", "labels": {"to": "x"}},
        "rules": [{"verbs": ["old"]}],
        "aggregationRule": {
            "clusterRoleSelectors": [{"matchLabels": {"to": "y"}}, {"matchLabels": {"to": "x"}}],
        },
    }
    roles = [role("b", [two, two], to="x"), whole, role("a", [one], to="x"), role("c", [three, two], to="y")]
    roles.append(role("other", [{"verbs": ["*"]}]))
    assert aggregate(whole, roles) == [three, two, one]
    assert aggregate(whole, [whole]) == []


def test_a_namespace_says_why_it_is_still_there():
    remaining, finalizers = {"pods.": 2, "deployments.apps": 1}, {"x/y": 1}
    found = {one["type"]: one for one in namespace.report("", [], remaining, finalizers)}
    assert [(one["status"], one["reason"]) for one in found.values()] == [
        ("False", "ResourcesDiscovered"),
        ("False", "ParsedGroupVersions"),
        ("False", "ContentDeleted"),
        ("True", "SomeResourcesRemain"),
        ("True", "SomeFinalizersRemain"),
    ]
    assert found["NamespaceContentRemaining"]["message"] == (
        "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances"
    )
    assert found["NamespaceFinalizersRemaining"]["message"] == (
        "Some content in the namespace has finalizers remaining: x/y in 1 resource instances"
    )


def test_a_namespace_says_what_went_wrong():
    found = {one["type"]: one for one in namespace.report("no", ["b", "a"], {}, {})}
    assert found["NamespaceDeletionDiscoveryFailure"]["reason"] == "DiscoveryFailed"
    failure = found["NamespaceDeletionContentFailure"]
    assert (failure["status"], failure["reason"]) == ("True", "ContentDeletionFailed")
    assert failure["message"] == "Failed to delete all resource types, 2 remaining: a, b"
    assert found["NamespaceContentRemaining"]["message"] == "All content successfully removed"


def test_which_namespaces_may_be_filled():
    assert serviceaccount.is_active({"status": {"phase": "Active"}})
    assert serviceaccount.is_active({})
    assert not serviceaccount.is_active({"status": {"phase": "Terminating"}})
    assert not serviceaccount.is_active(None)
    assert serviceaccount.is_ending(Forbidden("in namespace x because it is being terminated"))
    assert not serviceaccount.is_ending(Forbidden("exceeded quota"))


def ranges(cidrs, *held, **options):
    """What the next node gets where others hold ranges."""
    chosen = Options(cluster_cidr=cidrs, allocate_node_cidrs=True, **options)
    controller = NodeIPAMController(Context(Client(AppTransport(None, "")), chosen))
    for number, cidr in enumerate(held):
        one = node(f"n{number}")
        one["spec"] = {"podCIDR": cidr, "podCIDRs": [cidr]}
        controller.nodes.store[one["metadata"]["name"]] = one
    return controller._choose()


@pytest.mark.parametrize(
    ("cidrs", "held", "expected"),
    [
        ("10.0.0.0/16", [], ["10.0.0.0/24"]),
        ("10.0.0.0/16", ["10.0.0.0/24", "10.0.2.0/24"], ["10.0.1.0/24"]),
        ("10.0.0.0/16", ["10.0.0.0/23"], ["10.0.2.0/24"]),  # of another size, from other days
        ("10.0.0.0/16", ["10.0.0.64/26"], ["10.0.1.0/24"]),
        ("10.0.0.0/23", ["10.0.0.0/24", "10.0.1.0/24"], None),
        ("10.0.0.0/16,fd00::/48", ["10.0.0.0/24"], ["10.0.1.0/24", "fd00::/64"]),
        ("10.0.0.0/26", [], ["10.0.0.0/26"]),
    ],
)
async def test_every_node_gets_its_own_range(cidrs, held, expected):
    assert ranges(cidrs, *held) == expected


async def test_the_size_of_a_range_can_be_chosen():
    assert ranges("10.0.0.0/16", "10.0.0.0/26", node_cidr_mask_size=26) == ["10.0.0.64/26"]


def test_controllers_are_chosen_by_name_and_by_old_name():
    known = manager.discover()
    names = {cls.name for cls in manager.select("*", known)}
    assert set(known) - names == {"bootstrap-signer-controller", "token-cleaner-controller"}
    assert {"deployment-controller", "garbage-collector-controller", "taint-eviction-controller"} <= names
    assert names - {cls.name for cls in manager.select("*,-podgc", known)} == {"pod-garbage-collector-controller"}
    assert [cls.name for cls in manager.select("deployment", known)] == ["deployment-controller"]
    assert manager.select("-deployment", known) == []
    with pytest.raises(OperatorError, match='"nonsense" is not a controller'):
        manager.select("*,nonsense", known)


async def test_ranges_are_given_and_roots_published_only_when_asked_for():
    client = Client(AppTransport(None, ""))
    all_of = {one.name for one in manager.Manager(client).controllers}
    optional = {"node-ipam-controller", "root-ca-certificate-publisher-controller"}
    assert not optional & all_of
    given = Options(allocate_node_cidrs=True, cluster_cidr="10.0.0.0/16", root_ca="PEM")
    assert {one.name for one in manager.Manager(client, given).controllers} - all_of == optional
