from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.crd_conditions import accepted, with_condition
from tests.unit.apiserver_gates.test_admission import Pod


def crd(plural: str = "widgets", kind: str = "Widget", **names: object) -> Object:
    found = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", **names}
    return {"metadata": {"name": f"{plural}.example.com"}, "spec": {"group": "example.com", "names": found}}


def conditions(obj: Object) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in obj["status"]["conditions"]}


def test_a_new_definition_is_accepted_and_established() -> None:
    made = accepted(crd(shortNames=["wd"]), [], [], "now")
    assert made is not None
    assert made["status"]["acceptedNames"] == made["spec"]["names"]
    assert conditions(made) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    assert accepted(made, [], [], "later") is None


def test_names_in_use_are_not_accepted() -> None:
    first = accepted(crd(shortNames=["wd"]), [], [], "now")
    assert first is not None
    second = accepted(crd("wads", "Wad", shortNames=["wd"]), [first], [], "now")
    assert second is not None
    assert conditions(second) == {
        "NamesAccepted": ("False", "ShortNamesConflict", '"wd" is already in use'),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    freed = accepted(second, [], [], "later")
    assert freed is not None
    assert conditions(freed)["Established"][0] == "True"
    same = accepted(crd("others", "Widget"), [first], [], "now")
    assert same is not None
    assert conditions(same)["NamesAccepted"][1:] == ("ListKindConflict", '"WidgetList" is already in use')
    assert same["status"]["acceptedNames"] == {"plural": "others"}, "what nobody else has is its own already"
    clash = accepted(crd("pods", "Thing"), [], [Pod()], "now")
    assert clash is not None
    assert conditions(clash)["NamesAccepted"] == ("False", "PluralConflict", '"pods" is already in use')


def test_what_was_established_stays_so_when_new_names_clash() -> None:
    first = accepted(crd(shortNames=["wd"]), [], [], "now")
    other = accepted(crd("wads", "Wad"), [], [], "now")
    assert first is not None
    assert other is not None
    other["spec"]["names"]["shortNames"] = ["wd"]
    changed = accepted(other, [first], [], "later")
    assert changed is not None
    assert conditions(changed)["NamesAccepted"][0] == "False"
    assert conditions(changed)["Established"][0] == "True"
    assert "shortNames" not in changed["status"]["acceptedNames"]


def test_groups_of_the_community_say_whether_they_were_approved() -> None:
    for text, said in (
        ("https://github.com/kubernetes/enhancements/pull/1", ("True", "ApprovedAnnotation")),
        ("unapproved, for now", ("False", "UnapprovedAnnotation")),
        ("yes", ("False", "InvalidAnnotation")),
        ("", ("False", "MissingAnnotation")),
    ):
        made = crd()
        made["spec"]["group"] = "x.k8s.io"
        made["metadata"]["annotations"] = {"api-approved.kubernetes.io": text}
        found = accepted(made, [], [], "now")
        assert found is not None
        assert conditions(found)["KubernetesAPIApprovalPolicyConformant"][:2] == said


def test_the_time_of_a_condition_moves_with_its_status_only() -> None:
    obj = with_condition(crd(), {"type": "A", "status": "True", "reason": "x", "message": ""}, "1")
    assert obj is not None
    obj = with_condition(obj, {"type": "A", "status": "True", "reason": "y", "message": ""}, "2")
    assert obj is not None
    assert obj["status"]["conditions"][0]["lastTransitionTime"] == "1"
    obj = with_condition(obj, {"type": "A", "status": "False", "reason": "y", "message": ""}, "3")
    assert obj is not None
    assert obj["status"]["conditions"][0]["lastTransitionTime"] == "3"
