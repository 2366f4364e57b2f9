"""What a ledger shows, as values that can be compared: positions, leaves and clocks aside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import attrs
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from postledger import Event, Ledger, Ledgers, Step, Timeline, UnknownKey
from postledger.errors import IntegrityError
from postledger.log.event import READ
from tests.stores import fewer

_FAST = Path("/dev/shm")
_ASIDE = ("position", "leaf", "imported", "repeats")
_NOT_FIGURES = ("first", "position", "ledger", "ledgers", "generated_at", "integrity", "request")

Shown = dict[Any, Any]


def run(check: Callable[..., None], examples: int, *strategies: st.SearchStrategy[Any]) -> None:
    """Run a property on so many examples, on a server on some of them."""
    chosen = settings(
        max_examples=fewer(examples),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
    chosen(given(*strategies)(check))()


def falsified(
    check: Callable[..., None], examples: int, *strategies: st.SearchStrategy[Any]
) -> bool:
    """Whether a property fails on one of so many examples, or the engine itself finds the fault."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    try:
        chosen(given(*strategies)(check))()
    except (AssertionError, IntegrityError):
        return True
    return False


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder, in memory where there is one."""
    with tempfile.TemporaryDirectory(dir=_FAST if _FAST.is_dir() else None) as path:
        yield Path(path)


def rows(ledger: Ledger, **bounds: Any) -> Shown:
    """The rows of all charts, with those of contents as users see them."""
    found: Shown = {}
    for chart in ledger.definitions.charts:
        for delivery in ledger.deliveries(chart=chart, **bounds):
            found[chart, delivery.space, delivery.tracking_id] = attrs.asdict(delivery)
            if chart == "content":
                content = ledger.content(delivery.tracking_id, space=delivery.space, **bounds)
                found["failures", delivery.space, delivery.tracking_id] = attrs.asdict(content)
    return found


def timelines(ledger: Ledger, only: Iterable[Any] | None = None, **bounds: Any) -> Shown:
    """The timelines of all streams, also of those without a row; or of some of them ``only``."""
    events = list(ledger.events())
    labels = {event.position: _label(event) for event in events}
    streams = only or {(e.chart, e.space, e.key) for e in events if e.chart is not None}
    return {
        (chart, space, key): [
            _step(step, labels)
            for step in _timeline(ledger, str(key), chart=str(chart), space=str(space), **bounds)
        ]
        for chart, space, key in streams
    }


def _timeline(ledger: Ledger, key: str, **asked: Any) -> Timeline:
    try:
        return ledger.timeline(key, **asked)
    except UnknownKey:
        # Nothing of it was known then.
        return ()


def events(ledger: Ledger) -> list[Any]:
    """What the events say, in no order."""
    found = [event for event in ledger.events() if event.kind in READ]
    labels = {event.position: _label(event) for event in found}
    return sorted((_event(event, labels) for event in found), key=repr)


def shown(ledger: Ledger, **bounds: Any) -> Shown:
    """All that a ledger shows: rows, timelines, events, and of one in eight the figures of a report."""
    found = rows(ledger, **bounds)
    # A report verifies the ledger. Whoever shows the same rows is asked for it too.
    chosen = crc32(repr(sorted(found.items(), key=repr)).encode()) % 8 == 0
    return {
        "rows": found,
        "timelines": timelines(ledger, **bounds),
        "events": events(ledger),
        "figures": figures(ledger, **bounds) if chosen else None,
    }


def figures(ledger: Ledger | Ledgers, **bounds: Any) -> Any:
    """The figures of a report, masked and not."""
    if "delivery" not in ledger.definitions.charts:
        return None
    found = (ledger.audit(unmask=unmask, **bounds).to_dict() for unmask in (True, False))
    return [_figures(report) for report in found]


def _figures(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: _figures(held) for name, held in part.items() if name not in _NOT_FIGURES}
    return [_figures(one) for one in part] if isinstance(part, list) else part


def assert_same(one: Shown, other: Shown) -> None:
    """Compare part by part, so that a failure shows little."""
    assert one.keys() == other.keys()
    for part in one:
        if isinstance(one[part], dict):
            assert one[part].keys() == other[part].keys()
            for key in one[part]:
                assert one[part][key] == other[part][key]
        assert one[part] == other[part]


def _label(event: Event) -> tuple[Any, ...]:
    return event.received_at, event.source, event.body, event.content_type


def _event(event: Event, labels: dict[int, tuple[Any, ...]]) -> Any:
    said = attrs.asdict(event, recurse=False)
    kept = {name: value for name, value in said.items() if name not in _ASIDE}
    return kept | {"repeats": None if event.repeats is None else labels[event.repeats]}


def _step(step: Step, labels: dict[int, tuple[Any, ...]]) -> Any:
    said = attrs.asdict(step, recurse=False)
    against = None if step.against is None else labels[step.against]
    return said | {"event": _event(step.event, labels), "against": against}


def positions(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Where the events of a timeline stand."""
    return [(step.event.position, step.event.member) for step in steps]
