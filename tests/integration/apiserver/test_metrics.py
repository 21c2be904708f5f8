"""/metrics as Prometheus sees it: parsed by its own parser, under upstream's names and with upstream's labels."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from kybern.apiserver.flowcontrol.watermark import Watermark
from kybern.client.workqueue import WorkQueue
from tests.integration.apiserver.inprocess import MERGE, Api

_COMMON = {"verb", "group", "version", "resource", "subresource", "scope", "component"}
_FLOW = {"priority_level", "flow_schema"}
LABELS = {
    "apiserver_request_total": {*_COMMON, "dry_run", "code"},
    "apiserver_request_duration_seconds": {*_COMMON, "dry_run"},
    "apiserver_request_sli_duration_seconds": _COMMON,
    "apiserver_response_sizes": _COMMON,
    "apiserver_longrunning_requests": _COMMON,
    "apiserver_request_body_size_bytes": {"group", "resource", "verb"},
    "apiserver_current_inflight_requests": {"request_kind"},
    "apiserver_current_inqueue_requests": {"request_kind"},
    "apiserver_watch_events_total": {"group", "version", "resource"},
    "apiserver_watch_events_sizes": {"group", "version", "resource"},
    "apiserver_resource_objects": {"group", "resource"},
    "apiserver_storage_objects": {"resource"},
    "apiserver_watch_cache_events_received_total": {"group", "resource"},
    "apiserver_watch_cache_events_dispatched_total": {"group", "resource"},
    "apiserver_watch_cache_initializations_total": {"group", "resource"},
    "apiserver_watch_cache_resource_version": {"group", "resource"},
    "apiserver_terminated_watchers_total": {"group", "resource"},
    "apiserver_init_events_total": {"group", "resource"},
    "apiserver_resource_size_estimate_bytes": {"group", "resource"},
    "apiserver_cache_list_total": {"group", "resource", "index"},
    "apiserver_cache_list_fetched_objects_total": {"group", "resource", "index"},
    "apiserver_cache_list_returned_objects_total": {"group", "resource"},
    "apiserver_storage_list_total": {"group", "resource"},
    "apiserver_storage_list_fetched_objects_total": {"group", "resource"},
    "apiserver_storage_list_evaluated_objects_total": {"group", "resource"},
    "apiserver_storage_list_returned_objects_total": {"group", "resource"},
    "apiserver_storage_events_received_total": {"group", "resource"},
    "apiserver_storage_decode_errors_total": {"group", "resource"},
    "apiserver_storage_size_bytes": {"storage_cluster_id"},
    "apiserver_watch_cache_read_wait_seconds": {"group", "resource"},
    "apiserver_watch_cache_consistent_read_total": {"group", "resource", "success", "fallback"},
    "apiserver_watch_list_duration_seconds": {"group", "version", "resource", "scope"},
    "apiserver_requested_deprecated_apis": {"group", "version", "resource", "subresource", "removed_release"},
    "apiserver_audit_event_total": set(),
    "apiserver_audit_requests_rejected_total": set(),
    "apiserver_flowcontrol_seat_fair_frac": set(),
    "version_info": {"binary", "component", "emulation", "min_compat"},
    "apiserver_tls_handshake_errors_total": set(),
    "apiserver_admission_controller_admission_duration_seconds": {"name", "type", "operation", "rejected"},
    "apiserver_flowcontrol_dispatched_requests_total": _FLOW,
    "apiserver_flowcontrol_current_inqueue_requests": _FLOW,
    "apiserver_flowcontrol_current_executing_requests": _FLOW,
    "apiserver_flowcontrol_current_executing_seats": _FLOW,
    "apiserver_flowcontrol_nominal_limit_seats": {"priority_level"},
    "apiserver_flowcontrol_current_limit_seats": {"priority_level"},
    "apiserver_flowcontrol_request_wait_duration_seconds": {*_FLOW, "execute"},
    "apiserver_flowcontrol_request_execution_seconds": {*_FLOW, "type"},
    "apiserver_flowcontrol_priority_level_seat_utilization": {"priority_level", "phase"},
    "apiserver_flowcontrol_priority_level_request_utilization": {"priority_level", "phase"},
    "apiserver_flowcontrol_demand_seats": {"priority_level"},
    "apiserver_flowcontrol_next_s_bounds": {"priority_level", "bound"},
    "apiserver_flowcontrol_work_estimated_seats": _FLOW,
    "apiserver_admission_step_admission_duration_seconds": {"type", "operation", "rejected"},
    "authentication_attempts": {"result"},
    "etcd_request_duration_seconds": {"operation", "group", "resource"},
    "etcd_requests_total": {"operation", "group", "resource"},
    "kubernetes_build_info": {"major", "minor", "git_version", "git_commit", "git_tree_state", "build_date",
                              "go_version", "compiler", "platform"},
    "kubernetes_feature_enabled": {"name", "stage"},
    "process_cpu_seconds_total": set(),
    "process_start_time_seconds": set(),
    "process_resident_memory_bytes": set(),
    "workqueue_adds_total": {"name"},
    "workqueue_depth": {"name"},
    "workqueue_queue_duration_seconds": {"name"},
    "workqueue_work_duration_seconds": {"name"},
    "workqueue_unfinished_work_seconds": {"name"},
}  # fmt: skip


async def scrape(api: Api, path: str = "/metrics") -> dict[str, Metric]:
    """The families of a page, by the names of their samples without _bucket, _sum and the like."""
    status, text = await api.ask("GET", path)
    assert status == 200
    check(text)
    return {name: family for family in text_string_to_metric_families(text) for name in names(family)}


def names(family: Metric) -> Iterator[str]:
    yield family.name
    for sample in family.samples:
        yield re.sub("_(bucket|sum|count|created)$", "", sample.name) if family.type == "histogram" else sample.name


def check(text: str) -> None:
    """What Prometheus insists on: each family once, with its help and type; no series twice; buckets that add up."""
    families = list(text_string_to_metric_families(text))
    # The parser leaves _total out of names, and upstream has a gauge whose name then is a counter's.
    assert len({(family.name, family.type) for family in families}) == len(families)
    assert not re.search(r'le="\d+\.0"', text), "Go writes whole bounds without a point, and rules ask for le=\"1\""
    series = [line.rpartition(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(series) == len(set(series))
    for family in families:
        assert family.documentation and family.type != "unknown", family.name
        assert not any(sample.name.endswith("_created") for sample in family.samples), family.name
        if family.type != "histogram":
            continue
        rows: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
        for sample in family.samples:
            labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
            kind = sample.labels.get("le") or sample.name.rpartition("_")[2]
            rows.setdefault(labels, {})[kind] = sample.value
        for row in rows.values():
            buckets = [row[bound] for bound in sorted((k for k in row if k[0] in "0123456789+-"), key=float)]
            assert buckets == sorted(buckets) and row["+Inf"] == row["count"], family.name


async def test_names_and_labels_are_upstreams(api: Api) -> None:
    path = await api.maps("a b")
    async with api.watch(f"{path}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan"):
        await api.ok("PATCH", f"{path}/a", {"data": {"k": "v"}}, kind=MERGE)
    await api.ok("DELETE", f"{path}/b?dryRun=All")
    await api.ok("GET", f"{path}/a")
    await api.ok("GET", path)
    await api.ok("GET", "/api/v1/endpoints")
    queue = WorkQueue("tested")
    queue.add("key")
    queue.done(await queue.get())
    found = await scrape(api)
    assert sorted(LABELS.keys() - found.keys()) == []
    for name, labels in LABELS.items():
        given = [sample.labels.keys() - {"le"} for sample in found[name].samples if "_created" not in sample.name]
        assert given and given[0] == labels, name


async def test_requests_are_counted_as_what_they_are(api: Api) -> None:
    path = await api.maps("a")
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    await api.ok("PATCH", f"{path}/a?fieldManager=m", applied, kind="application/apply-patch+yaml")
    await api.ok("PUT", f"{path}/a?dryRun=All", applied)
    await api.ok("GET", path)
    await api.refused(404, "GET", f"{path}/none")
    async with api.watch(path):
        during = await scrape(api)
    await api.ask("GET", "/readyz")
    await api.ask("GET", "/nothing/of/the/sort")
    after = await scrape(api)

    def total(**labels: str) -> float:
        samples = after["apiserver_request_total"].samples
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    maps = {"resource": "configmaps", "version": "v1", "component": "apiserver"}
    assert total(verb="APPLY", code="200", scope="resource", **maps) >= 1
    assert total(verb="PUT", dry_run="All", **maps) >= 1
    assert total(verb="POST", code="201", scope="resource", **maps) >= 1
    assert total(verb="LIST", scope="namespace", **maps) >= 1
    assert total(verb="GET", code="404", **maps) >= 1
    assert total(verb="WATCH", code="200", **maps) >= 1
    assert total(verb="GET", subresource="/readyz") >= 1
    assert not total(subresource="/nothing/of/the/sort")
    long = {"verb": "WATCH", **maps}
    running = [s.value for s in during["apiserver_longrunning_requests"].samples if long.items() <= s.labels.items()]
    assert max(running) == 1


async def test_health_checks_have_a_page_of_their_own(api: Api) -> None:
    await api.ask("GET", "/livez?verbose")
    found = await scrape(api, "/metrics/slis")
    checks = {(s.labels["name"], s.labels["type"]): s.value for s in found["kubernetes_healthcheck"].samples}
    assert checks["ping", "livez"] == 1
    assert {"name", "type", "status"} == found["kubernetes_healthchecks_total"].samples[0].labels.keys()


MIXIN = """
aggregator_unavailable_apiservice aggregator_unavailable_apiservice_total apiserver_current_inflight_requests
apiserver_request_sli_duration_seconds_bucket apiserver_request_sli_duration_seconds_count
apiserver_request_duration_seconds_bucket apiserver_request_duration_seconds_count
apiserver_request_duration_seconds_sum
apiserver_request_terminations_total apiserver_request_total apiserver_client_certificate_expiration_seconds_bucket
apiserver_client_certificate_expiration_seconds_count kubernetes_build_info process_cpu_seconds_total
process_resident_memory_bytes process_start_time_seconds rest_client_requests_total
rest_client_request_duration_seconds_bucket workqueue_adds_total workqueue_depth workqueue_queue_duration_seconds_bucket
""".split()  # noqa: SIM905
"""What the rules and dashboards of kubernetes-mixin ask of an API server; go_goroutines, which only Go has, aside."""


async def test_what_kubernetes_mixin_asks_for_is_there(api: Api) -> None:
    _, text = await api.ask("GET", "/metrics")
    for name in MIXIN:
        family = re.sub("_(bucket|sum|count)$", "", name)
        assert re.search(f"(?m)^# TYPE {family} ", text), name


async def test_deprecated_versions_that_were_asked_for_are_named(api: Api) -> None:
    def row(found: dict[str, Metric]) -> dict[str, float]:
        samples = found["apiserver_requested_deprecated_apis"].samples
        return {s.labels["resource"]: s.value for s in samples if s.labels["removed_release"] == ""}

    await api.ok("GET", "/api/v1/namespaces/default/endpoints")
    assert row(await scrape(api)) == {"endpoints": 1}


async def test_lists_say_what_they_cost(api: Api) -> None:
    path = await api.maps("a b c")
    cost = ("apiserver_cache_list_total", "apiserver_cache_list_fetched_objects_total",
            "apiserver_cache_list_returned_objects_total")  # fmt: skip

    async def numbers() -> list[float]:
        found = await scrape(api)
        return [
            next(s.value for s in found[name].samples if s.labels["resource"] == "configmaps" and s.name == name)
            for name in cost
        ]

    before = await numbers()
    await api.ok("GET", f"{path}?labelSelector=l%3Da")
    assert [after - then for after, then in zip(await numbers(), before, strict=True)] == [1, 3, 1]


async def test_the_most_that_was_served_at_a_time_within_a_second(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("kybern.apiserver.flowcontrol.watermark.monotonic", lambda: now)

    def reads(found: dict[str, Metric]) -> float:
        samples = found["apiserver_current_inflight_requests"].samples
        return next(s.value for s in samples if s.labels["request_kind"] == "readOnly")

    monkeypatch.setattr(api.app, "watermarks", {False: Watermark(), True: Watermark()})
    for number in (1, 2, 7, 3):
        api.app.watermarks[False].rise(number)
    assert reads(await scrape(api)) == 0
    now += 1.1
    assert reads(await scrape(api)) == 7
    now += 1.1
    assert reads(await scrape(api)) == 1
    now += 60
    assert reads(await scrape(api)) in (0, 1)
