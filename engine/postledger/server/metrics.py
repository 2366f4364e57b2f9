"""Metrics for Prometheus: a collector that reads tallies and health when it is asked, and keeps nothing.

So the figures of a ledger are the same for every process that serves them, and after a restart; those
of what was written together are of one process since it began. Names and units are those of
https://prometheus.io/docs/practices/naming/. No id is a label: their number would grow with the
traffic.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from postledger import errors
from postledger.errors import LedgerError
from postledger.ledger.group import Pressure
from postledger.ledger.health import Health
from postledger.ledger.ledger import Ledger
from postledger.model import Tally
from postledger.server.endpoints import endpoints

try:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeHistogramMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise errors.requires("metrics require prometheus-client", "prometheus-client") from error

_log = logging.getLogger("postledger")

if TYPE_CHECKING:
    from prometheus_client.core import Metric

BOUNDS = tuple(1 << power for power in range(21))
"""The upper bounds of the buckets in seconds, up to some twelve days."""

SIZES = tuple(float(1 << power) for power in range(9))
"""The upper bounds of the groups that are counted, in calls."""

COMMITS = tuple((1 << power) / 1e3 for power in range(14))
"""The upper bounds of the transactions that are counted, in seconds."""


class LedgerCollector(Collector):
    """What a registry of prometheus-client collects the metrics of a ledger from.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from postledger.server import metrics
    >>> registry = CollectorRegistry()
    >>> registry.register(metrics.collector(ledger))
    >>> print(generate_latest(registry).decode())
    # HELP postledger_log_events Events in the log.
    # TYPE postledger_log_events gauge
    postledger_log_events 12.0
    ...
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there is shows when it is collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the metrics; raises ``LedgerError`` where the file can't be read."""
        health = self._ledger.health()
        yield from _of_log(health)
        yield from _of_pressure(health.pressure)
        yield from _of_endpoints(self._ledger)
        if not health.open:
            # There is nothing to read tallies from.
            return
        yield from self._of_tallies()
        yield _open(health)

    def _of_tallies(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "postledger_events",
            "Postbacks and statements, by reading.",
            labels=["source", "reading"],
        )
        for tally in self._ledger.tallies("events", by=["source", "value"]):
            events.add_metric([tally.source or "", tally.value or ""], tally.count)
        yield events
        duplicates = CounterMetricFamily(
            "postledger_duplicates",
            "Events of deliveries that were received before.",
            labels=["source"],
        )
        deliveries = GaugeMetricFamily(
            "postledger_deliveries", "Deliveries, by state.", labels=["source", "state"]
        )
        # Of all that is counted in one go: it is the most.
        found = self._ledger.tallies("deliveries", by=["source", "value", "seconds"])
        states, repeats = Counter[tuple[str, str]](), Counter[str]()
        for tally in found:
            source = tally.source or ""
            states[source, tally.value or ""] += tally.count
            repeats[source] += tally.repeats
        for labels, count in states.items():
            deliveries.add_metric(labels, count)
        for source, count in repeats.items():
            duplicates.add_metric([source], count)
        yield duplicates
        yield deliveries
        yield _durations("postledger_sent_to_outcome_seconds", "Time from sent to outcome.", found)
        sendings = self._ledger.tallies("sendings", by=["source", "seconds"])
        yield _durations(
            "postledger_created_to_sent_seconds", "Time from created to sent.", sendings
        )


def _durations(name: str, said: str, tallies: Iterable[Tally]) -> Metric:
    """The durations of deliveries.

    A correction takes back what was counted, which to a counter would look like a restart: these are
    gauges.
    """
    family = GaugeHistogramMetricFamily(name, said, labels=["source"])
    counts: dict[str, Counter[int]] = {}
    sums = Counter[str]()
    for tally in tallies:
        source = tally.source or ""
        of_source = counts.setdefault(source, Counter())
        if tally.seconds:
            of_source[tally.seconds] += tally.count
            sums[source] += tally.duration // timedelta(seconds=1)
    for source, of_source in counts.items():
        below = accumulate(of_source[bound] for bound in BOUNDS)
        buckets = [(f"{bound:.1f}", float(n)) for bound, n in zip(BOUNDS, below, strict=True)]
        buckets.append(("+Inf", float(of_source.total())))
        family.add_metric([source], buckets, float(sums[source]))
    return family


def _of_log(health: Health) -> Iterator[Metric]:
    yield GaugeMetricFamily("postledger_log_events", "Events in the log.", health.size)
    files = GaugeMetricFamily("postledger_file_bytes", "Size of the files.", labels=["file"])
    files.add_metric(["ledger"], health.bytes)
    files.add_metric(["wal"], health.wal_bytes)
    yield files
    if health.last_received is not None:
        yield GaugeMetricFamily(
            "postledger_last_received_timestamp_seconds",
            "When the last postback or statement was received.",
            health.last_received.timestamp(),
        )
    yield GaugeMetricFamily(
        "postledger_states_behind_events",
        "Events that the states are behind the log.",
        health.behind,
    )
    yield GaugeMetricFamily(
        "postledger_problems", "Problems that health names.", len(health.problems)
    )
    lag = GaugeMetricFamily(
        "postledger_consumer_lag_events",
        "Events that subscriptions and projections are behind the log.",
        labels=["kind", "name"],
    )
    stopped = GaugeMetricFamily(
        "postledger_consumer_stopped",
        "1 where a subscription or projection stopped at a problem.",
        labels=["kind", "name"],
    )
    for checkpoint in health.checkpoints:
        labels = [checkpoint.kind, checkpoint.name]
        lag.add_metric(labels, checkpoint.behind)
        stopped.add_metric(labels, float(checkpoint.problem is not None))
    yield lag
    yield stopped


def _of_pressure(pressure: Pressure) -> Iterator[Metric]:
    """Of this process alone, since it began."""
    yield GaugeMetricFamily(
        "postledger_queue_calls", "Calls that wait to be recorded.", pressure.waiting
    )
    yield _histogram(
        "postledger_group_size_calls",
        "Calls written together.",
        {float(size): count for size, count in pressure.sizes.items()},
        SIZES,
        pressure.calls,
    )
    yield _histogram(
        "postledger_commit_seconds",
        "Time of a transaction.",
        pressure.commits,
        COMMITS,
        pressure.seconds,
    )


def _of_endpoints(ledger: Ledger) -> Iterator[Metric]:
    """What is forwarded, whoever does it; an outbox that can't be read is logged."""
    labels = ["endpoint", "feed", "url"]
    families = [
        GaugeMetricFamily(f"postledger_forward_{name}", said, labels=labels)
        for name, said in _FORWARD.items()
    ]
    try:
        for one in endpoints(ledger):
            status = one.status()
            where = [str(one.number), status.feed, status.endpoint]
            values = (status.pending, status.parked, status.behind, status.disabled is not None)
            for family, value in zip(families, values, strict=True):
                family.add_metric(where, float(value))
    except LedgerError as error:
        _log.warning("no metrics of what is forwarded: %s", error)
        return
    yield from families


_FORWARD = {
    "pending": "Messages that are to be sent.",
    "parked": "Messages that were refused until the schedule ended.",
    "behind_events": "Events that are not yet taken in.",
    "disabled": "1 where the endpoint answered 410, and nothing more is sent.",
}


def _histogram(
    name: str, said: str, counts: Mapping[float, int], bounds: Sequence[float], total: float
) -> Metric:
    below = zip(bounds, accumulate(counts.get(bound, 0) for bound in bounds), strict=True)
    buckets = [(repr(bound), float(n)) for bound, n in below]
    buckets.append(("+Inf", float(sum(counts.values()))))
    return HistogramMetricFamily(name, said, buckets=buckets, sum_value=total)


def _open(health: Health) -> Metric:
    family = GaugeMetricFamily(
        "postledger_open_deliveries",
        "Deliveries without outcome, by the least age in seconds; each counts once.",
        labels=["min_age_seconds"],
    )
    for age in health.open:
        family.add_metric([str(age.least)], age.deliveries)
    return family


collector = LedgerCollector
"""The collector as it is named where it is registered."""
