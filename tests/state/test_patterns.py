"""The intake says the same of a receipt by what it has learned as by the reader of record."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Receipt
from postledger.definitions.definitions import builtin
from postledger.state.patterns import Intake
from postledger.wire import Limits
from tests import strategies

DEFINITIONS = builtin()
SAMPLES = sorted(Path(__file__).parents[1].glob("fixtures/**/*.xml"))


def intake() -> Intake:
    """An intake that has learned nothing yet."""
    return Intake(DEFINITIONS, Limits())


@settings(deadline=None)
@given(st.lists(strategies.receipts(), max_size=12))
def test_what_was_learned_changes_nothing(receipts: list[Receipt]) -> None:
    """Of any receipts in any order, each says the same to an intake that has seen others."""
    learned = intake()
    for receipt in [*receipts, *receipts, *receipts]:
        assert learned.take(receipt) == learned.take_plainly(receipt)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_samples_say_the_same(path: Path) -> None:
    """Each sample says the same at the first, second and third time."""
    learned, receipt = intake(), Receipt(path.read_bytes(), "text/xml")
    for _ in range(3):
        assert learned.take(receipt) == learned.take_plainly(receipt)


WORDY = "<POSTBACK><ORIGIN>{}</ORIGIN><CODE>{}</CODE><STATUS>{}</STATUS><SENTAS>{}</SENTAS>{}</POSTBACK>"
words = st.sampled_from(
    ["SMS_MT", "MMS_MT", "N101", "N102", "N201", "N202", "N999", "Message Sent", "MMS", "SMS", "x"]
)
rests = st.sampled_from(
    [
        "<TRACKINGID>a</TRACKINGID><TIMESTAMP>2026-01-01T00:00:00Z</TIMESTAMP>",
        "<TRACKINGID>a</TRACKINGID><TIMESTAMP>2026-01-01 00:00:00</TIMESTAMP>",
        "<TRACKINGID>a</TRACKINGID><TIMESTAMP>2026-13-01T00:00:00Z</TIMESTAMP>",
        "<TRACKINGID>b</TRACKINGID><TRACKINGID>a</TRACKINGID>",
        "<TRACKINGID>a</TRACKINGID><TRACKING-ID>b</TRACKING-ID>",
        "<TRACKINGID>a &amp; b</TRACKINGID>",
        "<TRACKINGID>é</TRACKINGID>",
        "<TRACKINGID></TRACKINGID><TO>1</TO>",
        "<TO><A>1</A>2</TO><TRACKINGID>%s</TRACKINGID>",
    ]
)


@settings(deadline=None)
@given(st.lists(st.tuples(words, words, words, words, rests), max_size=8))
def test_words_in_any_place_say_the_same(filled: list[tuple[str, ...]]) -> None:
    """One skeleton with words in all combinations says of each body what the plain way says."""
    learned = intake()
    for texts in filled * 3:
        receipt = Receipt(WORDY.format(*texts).encode())
        assert learned.take(receipt) == learned.take_plainly(receipt)


def test_a_known_pattern_needs_no_reader() -> None:
    """Behind the second of a kind, bodies are taken in without the reader of record."""
    learned = intake()
    bodies = [
        WORDY.format("SMS_MT", "N201", "Message Sent", "SMS", f"<TO>{n}</TO>") for n in "1234"
    ]
    said = [learned.take(Receipt(body.encode())) for body in bodies]
    assert [one.values for (one,) in said] == [[n] for n in "1234"]
    learned._limits = Limits(depth=1)
    assert learned.take(Receipt(bodies[0].encode())) == said[0]
    assert learned.take_plainly(Receipt(bodies[0].encode())) != said[0]
