"""Metrics: what Prometheus is shown is what the ledger holds."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from postledger import Ledger, StateChanged
from postledger.server import metrics
from postledger.server.forwarder import Forwarder
from postledger.server.outbox import outbox_of
from postledger.server.schedule import Schedule
from tests.samples import delivered, failed, sent
from tests.server.peer import Peer, Reply

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(ledger: Ledger) -> Samples:
    """All samples, by name and labels, as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(metrics.collector(ledger))
    text = generate_latest(registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def recorded(ledger: Ledger) -> None:
    """Some of everything."""
    for number in range(8):
        key, source = f"m{number}", "one" if number % 2 else ""
        ledger.created(key, to="1", at=datetime(2013, 11, 5, 5, 41, tzinfo=UTC), source=source)
        ledger.record(sent(key), received_at=NOON, source=source)
        if number > 2:
            said = f"2013-11-05T05:41:{number * 7:02}Z"
            ledger.record(delivered(key, TIMESTAMP=said), received_at=NOON, source=source)
            ledger.record(delivered(key, TIMESTAMP=said), source="two")
    ledger.record(failed("m2"))
    ledger.record_many([b"?", b"?", b'{"a": 1}', delivered("alone")])


def test_events_and_deliveries_are_those_of_the_ledger(ledger: Ledger) -> None:
    """Each counted by going through all of them."""
    recorded(ledger)
    found = scraped(ledger)
    events = Counter((e.reading, e.source) for e in ledger.events(after=0))
    assert {
        (labels[0][1], labels[1][1]): value
        for (name, labels), value in found.items()
        if name == "postledger_events_total"
    } == events
    states = Counter(delivery.state for delivery in ledger.deliveries())
    by_state: Counter[str] = Counter()
    for (name, labels), value in found.items():
        if name == "postledger_deliveries":
            by_state[dict(labels)["state"]] += int(value)
    assert by_state == states
    repeats = sum(d.repeats for d in ledger.deliveries())
    assert total(found, "postledger_duplicates_total") == repeats == 5
    unfinished = sum(d.outcome_at is None for d in ledger.deliveries())
    assert total(found, "postledger_open_deliveries") == unfinished


def total(found: Samples, name: str) -> float:
    """The sum over all labels."""
    return sum(value for (one, _), value in found.items() if one == name)


def test_durations_are_cumulative_in_their_buckets(ledger: Ledger) -> None:
    """As histogram_quantile wants them."""
    recorded(ledger)
    found = scraped(ledger)
    name = "postledger_sent_to_outcome_seconds"
    took = [
        (delivery.outcome_at - delivery.sent_at).total_seconds()
        for delivery in ledger.deliveries()
        if delivery.outcome_at and delivery.sent_at and delivery.outcome_at >= delivery.sent_at
    ]
    assert took
    for bound in metrics.BOUNDS:
        buckets = [
            value
            for (one, labels), value in found.items()
            if one == f"{name}_bucket" and float(dict(labels)["le"]) == bound
        ]
        assert sum(buckets) == sum(one <= bound for one in took)
    assert total(found, f"{name}_gcount") == len(took)
    assert total(found, f"{name}_gsum") == sum(took)
    assert total(found, "postledger_created_to_sent_seconds_gcount") == 8


def test_the_log_and_its_consumers_are_measured(ledger: Ledger) -> None:
    """Size, the last reception, and how far subscriptions are."""
    ledger.record(sent("a"), received_at=NOON)
    told: list[StateChanged] = []
    ledger.subscribe("hooks", told.append, live=False)
    ledger.record(delivered("a"), received_at=NOON + timedelta(seconds=1))
    found = scraped(ledger)
    assert found["postledger_log_events", ()] == 3
    assert found["postledger_states_behind_events", ()] == 0
    assert found["postledger_problems", ()] == 0
    received = found["postledger_last_received_timestamp_seconds", ()]
    assert received == (NOON + timedelta(seconds=1)).timestamp()
    hooks = (("kind", "subscription"), ("name", "hooks"))
    assert found["postledger_consumer_lag_events", hooks] == 1
    assert found["postledger_consumer_stopped", hooks] == 0
    size = ledger.path.stat().st_size
    assert found["postledger_file_bytes", (("file", "ledger"),)] == size


def test_what_is_forwarded_is_measured(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """By endpoint, whoever serves it; without an outbox nothing, and an outbox of another is logged."""
    ledger.record_many([sent("a"), delivered("a"), sent("b"), sent("c")])
    assert total(scraped(ledger), "postledger_forward_pending") == 0
    with Peer(lambda got: Reply({"a": 400, "b": 410}.get(got.about, 500))) as peer:
        url = f"{peer.url}?token=secret"
        Forwarder(ledger, url, allow_private=True, schedule=Schedule(waits=())).run(live=False)
    ledger.record(sent("d"))
    found = scraped(ledger)
    labels = (("endpoint", "1"), ("feed", "changes"), ("url", f"{peer.url}?***"))
    values = {
        name: found[f"postledger_forward_{name}", labels]
        for name in ("pending", "parked", "disabled", "behind_events")
    }
    assert values == {"pending": 1, "parked": 2, "disabled": 1, "behind_events": 1}
    with closing(sqlite3.connect(outbox_of(ledger.path))) as outbox, outbox:
        outbox.execute("UPDATE owner SET ledger = 'another'")
    found = scraped(ledger)
    assert found["postledger_log_events", ()] == ledger.head().size
    assert not any(name.startswith("postledger_forward") for name, _ in found)
    assert "the outbox of another ledger" in caplog.text


def test_no_id_is_a_label(ledger: Ledger) -> None:
    """Their number would grow with the traffic."""
    ledger.record_many(sent(f"key{number}", TO=f"1650{number:07}") for number in range(50))
    few = len(scraped(ledger))
    ledger.record_many(sent(f"more{number}", TO=f"1651{number:07}") for number in range(50))
    found = scraped(ledger)
    assert len(found) == few
    assert not any("1650" in str(labels) or "key" in str(labels) for _, labels in found)


def test_open_metrics_can_be_read(ledger: Ledger) -> None:
    """The parser of OpenMetrics is strict on names, types and units."""
    recorded(ledger)
    registry = CollectorRegistry()
    registry.register(metrics.collector(ledger))
    families = list(openmetrics(generate_openmetrics(registry).decode()))
    kinds = {family.name: family.type for family in families}
    assert kinds["postledger_sent_to_outcome_seconds"] == "gaugehistogram"
    assert kinds["postledger_events"] == "counter"


def test_a_ledger_without_states_still_says_so(tmp_path: Path) -> None:
    """The log is measured, and that there is a problem; nothing else is made up."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(sent("a"))
        with ledger._connections.write() as own:
            own.store.execute("UPDATE generations SET stage = 'replaced'")
        found = scraped(ledger)
    assert found["postledger_problems", ()] == 1
    assert found["postledger_log_events", ()] == 2
    assert total(found, "postledger_events_total") == 0


@pytest.mark.parametrize("name", ["", "a source\nof two lines", 'with "quotes"'])
def test_any_source_is_a_label(ledger: Ledger, name: str) -> None:
    """Escaped as the format wants it."""
    ledger.record(sent("a"), source=name)
    found = scraped(ledger)
    labels = (("reading", "recognised"), ("source", name))
    assert found["postledger_events_total", labels] == 1


def test_what_was_written_together_is_counted(ledger: Ledger) -> None:
    """Groups by their size, and their transactions by time; nobody waits afterwards."""
    recorded(ledger)
    found, pressure = scraped(ledger), ledger.health().pressure
    calls = pressure.calls
    assert calls == 8 * 2 + 5 * 2 + 1
    assert (pressure.sizes, pressure.waiting) == ({1: calls}, 0)
    assert found["postledger_group_size_calls_bucket", (("le", "1.0"),)] == calls
    assert found["postledger_group_size_calls_sum", ()] == calls
    assert found["postledger_commit_seconds_count", ()] == calls
    assert found["postledger_commit_seconds_sum", ()] == pytest.approx(pressure.seconds)
    assert found["postledger_queue_calls", ()] == 0
