"""Which ReplicaSet is the present one, and what is remembered of the others."""

from kybern.controllers import deployment_revision as history
from tests.unit.controllers.objects import deployment, replica_set

REVISION, HISTORY = history.REVISION, history.HISTORY


def revised(name, number, **kw):
    return replica_set(name, kw.pop("replicas", 0), annotations={REVISION: str(number)} if number else {}, **kw)


def test_the_hash_is_a_safe_name_and_depends_on_template_and_collisions():
    one, other = deployment()["spec"]["template"], deployment(image="app:2")["spec"]["template"]
    names = {history.template_hash(t, c) for t in (one, other) for c in (None, 0, 1)}
    assert len(names) == 6
    assert all(set(name) <= set("bcdfghjklmnpqrstvwxz2456789") for name in names)
    assert history.template_hash(dict(reversed(one.items())), None) == history.template_hash(one, None)


def test_the_same_template_is_the_same_whatever_its_hash_label():
    made = deployment()
    held = replica_set("a", 1)
    held["spec"]["template"]["metadata"]["labels"][history.HASH] = "abc"
    held["spec"]["template"]["metadata"]["creationTimestamp"] = None
    assert history.find_new(made, [replica_set("b", 1, image="app:2"), held]) is held
    held["spec"]["template"]["metadata"]["annotations"] = {"restarted": "now"}
    assert history.find_new(made, [held]) is None


def test_of_equal_ones_the_oldest_is_the_present_one():
    young, old, older_name = replica_set("a", 1, age=5), replica_set("c", 1, age=9), replica_set("b", 1, age=9)
    assert history.find_new(deployment(), [young, old, older_name]) is older_name


def test_the_next_revision_is_one_above_the_highest_old_one():
    assert history.next_revision([]) == 1
    assert history.next_revision([revised("a", 3), revised("b", 11), revised("c", 0)]) == 12
    junk = replica_set("j", 0, annotations={REVISION: "junk"})
    assert history.next_revision([junk]) == 1


def test_a_new_set_carries_template_selector_owner_and_sizes():
    made = deployment(
        4, annotations={"note": "x", REVISION: "7", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    )
    made["spec"]["minReadySeconds"] = 5
    new = history.make_new(made, 8)
    suffix = new["metadata"]["labels"][history.HASH]
    assert new["metadata"]["name"] == f"web-{suffix}"
    assert new["spec"]["selector"]["matchLabels"] == new["spec"]["template"]["metadata"]["labels"]
    assert new["spec"]["selector"]["matchLabels"] == {"app": "web", history.HASH: suffix}
    assert (new["spec"]["replicas"], new["spec"]["minReadySeconds"]) == (0, 5)
    assert new["metadata"]["ownerReferences"][0]["uid"] == "d"
    assert new["metadata"]["annotations"] == {
        "note": "x", REVISION: "8", history.DESIRED: "4", history.MAXIMUM: "5",
    }  # fmt: skip
    assert made["spec"]["template"]["metadata"]["labels"] == {"app": "web"}


def test_a_collision_gives_another_name():
    plain, collided = deployment(), deployment(status={"collisionCount": 1})
    assert history.make_new(plain, 1)["metadata"]["name"] != history.make_new(collided, 1)["metadata"]["name"]


def test_long_names_are_cut_to_fit():
    made = deployment()
    made["metadata"]["name"] = "a" * 250
    name = history.make_new(made, 1)["metadata"]["name"]
    assert len(name) == 253
    assert name.rsplit("-", 1)[1] == history.template_hash(made["spec"]["template"], None)


def test_going_back_to_an_old_set_keeps_its_revisions():
    old = revised("a", 1)
    annotations = history.annotations_of_new(deployment(), old, 3)
    assert (annotations[REVISION], annotations[HISTORY]) == ("3", "1")
    old["metadata"]["annotations"] = annotations
    annotations = history.annotations_of_new(deployment(annotations={"note": "y"}), old, 5)
    assert (annotations[REVISION], annotations[HISTORY], annotations["note"]) == ("5", "1,3", "y")


def test_the_present_set_is_not_revised_again():
    old = revised("a", 3)
    assert history.annotations_of_new(deployment(), old, 3) == {REVISION: "3"}
    assert history.annotations_of_new(deployment(), old, 2) == {REVISION: "3"}


def test_the_oldest_revisions_are_forgotten_whole():
    old = revised("a", 2000)
    every = [str(n) for n in range(900, 1350)]
    old["metadata"]["annotations"][HISTORY] = ",".join(every)
    kept = history.annotations_of_new(deployment(), old, 3000)[HISTORY].split(",")
    whole = [*every, "2000"]
    assert kept == whole[-len(kept) :]
    assert len(",".join(kept)) <= 2000 < len(",".join(whole[-len(kept) - 1 :]))


def names(listed):
    return [one["metadata"]["name"] for one in listed]


def test_beyond_the_limit_the_lowest_revisions_go_if_they_are_empty():
    old = [revised("c", 3), revised("a", 1), revised("b", 2), revised("d", 4)]
    assert names(history.to_forget(deployment(revisionHistoryLimit=2), old)) == ["a", "b"]
    assert names(history.to_forget(deployment(revisionHistoryLimit=0), old)) == ["a", "b", "c", "d"]
    assert history.to_forget(deployment(revisionHistoryLimit=4), old) == []
    assert history.to_forget(deployment(revisionHistoryLimit=2**31 - 1), old) == []
    assert history.to_forget(deployment(), old) == []


def test_what_still_has_pods_or_is_not_seen_or_goes_anyway_is_kept():
    running, unseen = revised("a", 1, replicas=1), revised("b", 2, observedGeneration=0)
    leaving = revised("c", 3)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    still = revised("d", 4)
    still["status"]["replicas"] = 1
    listed = [running, unseen, leaving, still, revised("e", 5)]
    assert names(history.to_forget(deployment(revisionHistoryLimit=0), listed)) == ["e"]
