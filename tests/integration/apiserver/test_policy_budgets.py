"""What admission policies may cost, what becomes of those that cost more, and what is counted."""

from __future__ import annotations

import pytest

from tests.integration.apiserver.inprocess import Api
from tests.integration.apiserver.test_admission_policies import make, mutation, policed, rule

COSTLY = f"object.data.s.matches('{'x' * 400}')"
"""Of a text of 90,000 characters: 900,000."""
TEXT = {"s": "a" * 90_000}
TOO_COSTLY = f"object.data.s.matches('{'x' * 800}')"
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


def refusal(said: str) -> str:
    return f"ValidatingAdmissionPolicy 'p' with binding 'pb' denied request: {said}"


async def test_a_validation_that_costs_too_much_fails(api: Api) -> None:
    spec = rule(f"!{TOO_COSTLY}")
    async with policed(api, spec):
        code, refused = await make(api, data=TEXT)
        assert code == 422
        said = f"expression '!{TOO_COSTLY}' resulted in error: operation cancelled: actual cost limit exceeded"
        assert refused["message"].endswith(refusal(said))
        assert (await make(api, data={"s": "a"}))[0] == 201
    async with policed(api, {**spec, "failurePolicy": "Ignore"}):
        assert (await make(api, data=TEXT))[0] == 201


async def test_a_policy_has_a_budget(api: Api) -> None:
    spec = {"validations": [{"expression": f"!{COSTLY}"} for _ in range(12)]}
    async with policed(api, spec):
        code, refused = await make(api, data=TEXT)
        assert code == 422 and refused["message"].endswith(refusal(OUT_OF_BUDGET))
        assert (await make(api, data={"s": "a" * 60_000}))[0] == 201
    page = api.app.telemetry.page().decode()
    labels = 'enforcement_action="deny",error_type="out_of_budget",policy="p",policy_binding="pb"'
    assert f"apiserver_validating_admission_policy_check_total{{{labels}}} 1.0" in page
    async with policed(api, {**spec, "failurePolicy": "Ignore"}):
        assert (await make(api, data=TEXT))[0] == 201


async def test_variables_count(api: Api) -> None:
    variables = [{"name": f"v{n}", "expression": COSTLY} for n in range(12)]
    used = " || ".join(f"variables.v{n}" for n in range(12))
    async with policed(api, {**rule(f"!({used})"), "variables": variables}):
        code, refused = await make(api, data=TEXT)
        assert code == 422 and refused["message"].endswith(refusal(OUT_OF_BUDGET))


async def test_messages_have_what_is_left(api: Api) -> None:
    said = {"expression": COSTLY, "messageExpression": f"{COSTLY} ? 'a' : 'b'"}
    async with policed(api, {"validations": [said] * 7}):
        code, refused = await make(api, data=TEXT)
    assert code == 422 and refused["message"].endswith(refusal("b"))
    alone = {**said, "messageExpression": f"{TOO_COSTLY} ? 'a' : 'b'", "message": "the other"}
    async with policed(api, {"validations": [alone]}):
        assert (await make(api, data=TEXT))[1]["message"].endswith(refusal("the other"))
    async with policed(api, {"validations": [*[{"expression": f"!{COSTLY}"}] * 10, said]}):
        code, refused = await make(api, data=TEXT)
    assert refused["message"].endswith(refusal(f"failed messageExpression: {OUT_OF_BUDGET}"))


async def test_conditions_have_a_budget_of_their_own(api: Api) -> None:
    conditions = [{"name": f"c{n}", "expression": f"!{COSTLY}"} for n in range(3)]
    async with policed(api, {**rule("true"), "matchConditions": conditions}):
        code, refused = await make(api, data=TEXT)
        assert code == 422 and refused["message"].endswith(refusal(OUT_OF_BUDGET))
    async with policed(api, {**rule("true"), "matchConditions": conditions[:2]}):
        assert (await make(api, data=TEXT))[0] == 201
    async with policed(api, {**rule("false"), "matchConditions": conditions, "failurePolicy": "Ignore"}):
        assert (await make(api, data=TEXT))[0] == 201


@pytest.mark.parametrize(("kind", "step"), [("validating", "validate"), ("mutating", "mutate")])
async def test_conditions_are_counted(api: Api, kind: str, step: str) -> None:
    spec = rule("true") if kind == "validating" else mutation("Object{data: {'m': 'x'}}")
    texts = {"a": "object.data.nope == 'x'", "b": "has(object.data.k)"}
    conditions = [{"name": name, "expression": text} for name, text in texts.items()]
    spec |= {"matchConditions": conditions, "failurePolicy": "Ignore"}
    async with policed(api, spec, kind=kind, name=f"counted-{kind}"):
        assert (await make(api, data={"z": "y"}))[0] == 201
        assert (await make(api, name="y", data={"nope": "x", "k": ""}))[0] == 201
    page = api.app.telemetry.page().decode()
    labels = f'kind="policy",name="counted-{kind}",operation="CREATE",type="{step}"'
    base = "apiserver_admission_match_condition"
    assert f"{base}_evaluation_errors_total{{{labels}}} 1.0" in page
    assert f"{base}_exclusions_total{{{labels}}} 1.0" in page
    assert f"{base}_evaluation_seconds_count{{{labels}}} 2.0" in page
    found = [line for line in page.splitlines() if line.startswith(f"{base}_evaluation_seconds_bucket{{")]
    buckets = [line.split('le="')[1].split('"')[0] for line in found if f'name="counted-{kind}"' in line]
    assert buckets == ["0.001", "0.005", "0.01", "0.025", "0.1", "0.2", "0.25", "+Inf"]


async def test_mutations_are_counted_without_what_was_done(api: Api) -> None:
    async with policed(api, mutation("Object{data: {'m': 'x'}}"), kind="mutating", name="m"):
        code, made = await make(api, data={"k": "v"})
        assert (code, made["data"]["m"]) == (201, "x")
    async with policed(api, mutation(f"{COSTLY} ? Object{{}} : Object{{}}"), kind="mutating", name="m"):
        assert (await make(api, name="y", data=TEXT))[0] == 201
    async with policed(api, mutation(f"{TOO_COSTLY} ? Object{{}} : Object{{}}"), kind="mutating", name="m"):
        code, refused = await make(api, name="z", data=TEXT)
        assert code == 403 and "actual cost limit exceeded" in refused["message"], refused
    page = api.app.telemetry.page().decode()
    base = "apiserver_mutating_admission_policy_check"
    assert f'{base}_total{{error_type="no_error",policy="m",policy_binding="mb"}} 2.0' in page
    assert f'{base}_total{{error_type="invalid_error",policy="m",policy_binding="mb"}} 1.0' in page
    assert f'{base}_duration_seconds_bucket{{error_type="no_error",le="5e-07",policy="m",policy_binding="mb"}}' in page


async def test_the_times_of_rules_are_shown(api: Api) -> None:
    page = api.app.telemetry.page().decode()
    for what in ("compilation", "evaluation"):
        assert f'apiserver_cel_{what}_duration_seconds_bucket{{le="10"}}' in page
