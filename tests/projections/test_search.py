"""Search: what is found, in which order, and that texts are only texts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postledger import Delivery, IntegrityError, Ledger, Receipt
from postledger.projections import generations
from postledger.projections.queries import Query
from postledger.projections.search import page_of
from postledger.state.search import matches, search_of
from postledger.times import iso
from tests.conftest import ledger_of, lose_rows, steps_of
from tests.samples import DEGRADED, SMS, delivered, sent
from tests.state.test_said import OWN
from tests.stores import both_stores, in_file, shell

pytestmark = both_stores

EARLY = datetime(2026, 1, 1, tzinfo=UTC)

KEYS = st.sampled_from(["a", "ab", "abc", "b", "ab%", "A", "é", "12345", "1234"])
RECIPIENTS = st.sampled_from(["16501234", "+1 (650) 1234", "tel:+99901234", "1234", "ACME", "12"])
REASONS = st.sampled_from(["Message Sent", "No route to carrier", "no 1234", "Absent; no"])
TEXTS = st.one_of(
    KEYS,
    RECIPIENTS,
    st.sampled_from(["1234", "01234", "ROUTE", "no carrier", "501", "%", "_", '"no"', "no*", "a'"]),
    st.sampled_from(["a\0b", "\ud800", "NOT no", "x" * 10_000, "597", "mms"]),
    st.text(min_size=1, max_size=4).filter(str.strip),
)
RECEIPTS = st.lists(
    st.builds(
        lambda key, to, status, mms_id, at: Receipt(
            sent(key, TO=to, STATUS=status, MMSID=mms_id),
            received_at=EARLY + timedelta(seconds=at),
        ),
        KEYS,
        RECIPIENTS,
        REASONS,
        st.sampled_from([None, "597", "mms"]),
        st.integers(0, 5),
    ),
    max_size=12,
)


def plainly(ledger: Ledger, text: str, **as_of: int) -> list[Delivery]:
    """What a text finds by a look at each delivery, the newest first."""
    search = search_of(text)
    found = [
        one
        for one in ledger.deliveries(**as_of)
        if matches(search, one.tracking_id, one.to, one.mms_id, one.reason, one.labels.values())
    ]
    return found[::-1]


@settings(deadline=None)
@given(RECEIPTS, TEXTS, st.integers(1, 4))
def test_what_is_found_is_what_a_look_at_each_finds(
    receipts: list[Receipt], text: str, limit: int
) -> None:
    """In the same order, in pages or whole, now and as of any position."""
    with ledger_of(receipts) as ledger:
        found = plainly(ledger, text)
        assert list(ledger.deliveries(search=text)) == found
        assert list(ledger.deliveries(search=text, limit=limit)) == found[:limit]
        half = len(receipts) // 2
        assert list(ledger.deliveries(search=text, as_of=half)) == plainly(ledger, text, as_of=half)
        counted = ledger.counts(search=text, by=["state"])
        assert sum(one.deliveries for one in counted) == len(found)
        assert ledger.verify().ok


def test_a_search_goes_with_other_filters(filled: Path) -> None:
    """A delivery is listed only if the text and every filter fit it."""
    with Ledger(filled, readonly=True) as ledger:
        assert [one.tracking_id for one in ledger.deliveries(search="3058", route="sms")] == [SMS]
        assert list(ledger.deliveries(search="3058", route="binary")) == []
        assert list(ledger.deliveries(search="1650")) == []
        found = ledger.deliveries(search="xhtml")
        assert [one.tracking_id for one in found] == [DEGRADED]


def test_many_are_found_page_by_page(tmp_path: Path) -> None:
    """The newest first; what is recorded between two pages is neither skipped nor repeated."""
    keys = [f"m{number}" for number in range(2_500)]
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(sent(key) for key in keys)
        listed = ledger.deliveries(search="m")
        found = [next(listed).tracking_id]
        ledger.record(sent("m-new"))
        ledger.record(delivered("m1"))
        found += [one.tracking_id for one in listed]
    assert found == keys[::-1]


# --- many deliveries: places that are walked, sorted, or looked through in time ---

SPELLED = ["16501234", "+1 (650) 1234", "tel:+44777771234", "1234", "ACME", "١٢٣٤"]
NOTES = ["No route to carrier", "no 1234", "the handset is off", "Absent; no", None]
REFS = ["Spring sale", "spring", "m00", "1234", None]
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "state": {"state": "failed"},
    "recipient": {"to": "1 650 1234"},
    "class": {"reason_class": "unreachable"},
    "label": {"labels": {"reference": "spring"}},
    "finding": {"finding": "late"},
    "period": {"since": EARLY + timedelta(hours=20), "until": EARLY + timedelta(hours=40)},
    "since": {"since": EARLY + timedelta(hours=30)},
    "until": {"until": EARLY + timedelta(hours=3)},
    "none of them": {"state": "failed", "labels": {"reference": "nobody's"}},
}
SOUGHT = st.one_of(
    st.sampled_from([one for one in (*SPELLED, *NOTES, *REFS) if one is not None]),
    st.sampled_from(
        ["m", "m0", "m00", "z", "z00", "z0012", "m04999", "old", "old1", "n", "4777", "no"]
    ),
    st.sampled_from(["the", "off handset", "no carrier", "spring carrier", "597879", "12340", "?"]),
)


def own_receipts(count: int) -> Iterator[Receipt]:
    """Deliveries of which ids and times mostly rise; some are of before, several of one time."""
    rng = random.Random(1)
    for number in range(count):
        kind = "old" if rng.random() < 0.1 else "z" if number < count // 2 else "m"
        at = EARLY + timedelta(seconds=-number if kind == "old" else 30 * (number // 5))
        said: dict[str, str | None] = {
            "id": f"{kind}{number:05}",
            "to": rng.choice(SPELLED if number % 3 else [f"4{rng.randrange(10**9)}"]),
            "ref": rng.choice(REFS),
        }
        for status in rng.sample(["sent", "failed", "delivered"], 2):
            note, code = rng.choice(NOTES), rng.choice(["1", "2", None])
            told = {**said, "status": status, "note": note, "code": code, "at": iso(at)}
            body = json.dumps({name: text for name, text in told.items() if text is not None})
            yield Receipt(body.encode(), "application/json", received_at=at)
            # Some were first received earlier than it looked at first.
            at += timedelta(seconds=rng.choice([-1, 1]) * rng.randrange(100_000))


@attrs.frozen(repr=False)
class Many:
    """A ledger of many deliveries, and what each of the filters lists of it without a search."""

    ledger: Ledger
    listed: dict[str, list[Delivery]]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    """A ledger of 5,000 deliveries."""
    folder = tmp_path_factory.mktemp("many")
    (own := folder / "own.toml").write_text(OWN)
    with Ledger(folder / "test.db", vocabulary=own) as ledger:
        ledger.record_many(own_receipts(5_000))
        yield Many(ledger, {n: list(ledger.deliveries(**one)) for n, one in FILTERS.items()})


@settings(max_examples=80)
@given(text=SOUGHT, name=st.sampled_from(sorted(FILTERS)), limit=st.integers(1, 200))
@example("z", "none", 200)
@example("m", "none", 200)
@example("1234", "none", 100)
def test_the_index_finds_what_the_rule_says(many: Many, text: str, name: str, limit: int) -> None:
    """Among thousands, with any filter, in the same order, whole and in pages."""
    search, ledger = search_of(text), many.ledger
    found = [
        one.tracking_id
        for one in reversed(many.listed[name])
        if matches(search, one.tracking_id, one.to, one.mms_id, one.reason, one.labels.values())
    ]
    first = ledger.deliveries(search=text, limit=limit, **FILTERS[name])
    assert [one.tracking_id for one in first] == found[:limit]
    every = ledger.deliveries(search=text, **FILTERS[name])
    assert [one.tracking_id for one in every] == found


def test_the_index_that_is_kept_up_is_that_which_a_replay_makes(many: Many) -> None:
    """Among thousands, of which many came out of order."""
    assert many.ledger.verify().ok
    many.ledger.replay(index=True)
    assert many.ledger.verify().ok


def test_ids_that_begin_alike_are_found_where_they_are_old_and_of_few_times(tmp_path: Path) -> None:
    """In the order of their times, then of their ids, though no newer one begins so."""
    times = {f"z{number:04}": EARLY + timedelta(seconds=number // 450) for number in range(2_700)}
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(Receipt(sent(key), received_at=at) for key, at in times.items())
        ledger.record_many(sent(f"m{number:04}") for number in range(2_100))
        found = [one.tracking_id for one in ledger.deliveries(search="z")]
    assert found == sorted(times, reverse=True)


@in_file
@pytest.mark.parametrize("text", ["1234", "16501234", "route carrier", "m", "m0", "597"])
def test_a_first_page_reads_no_more_of_a_larger_ledger(text: str, tmp_path: Path) -> None:
    """Its steps in SQLite stay the same, however many deliveries the text finds."""
    told = {"TO": "16501234", "STATUS": "Message Failed", "MMSID": "597"}
    steps = []
    with Ledger(tmp_path / "test.db") as ledger:
        for first, last in ((0, 2_500), (2_500, 9_000)):
            ledger.record_many(
                Receipt(
                    sent(f"m{number:05}", STATUSDETAILS="No route to carrier", **told),
                    received_at=EARLY + timedelta(seconds=number),
                )
                for number in range(first, last)
            )
            with ledger._listing(None) as (store, listing):
                asked = partial(page_of, Query(search=text), store, listing, None, 20)
                steps.append(steps_of(store, asked))
                assert len(asked()) == 20
    assert steps[1] < 1.2 * steps[0]


@in_file
@pytest.mark.parametrize("text", ["1234", "16501234", "m", "m0"])
def test_a_page_of_a_period_reads_no_more_of_a_larger_ledger(text: str, tmp_path: Path) -> None:
    """However many came after it, or began apart at another time."""
    steps = []
    until = EARLY + timedelta(seconds=100)
    with Ledger(tmp_path / "test.db") as ledger:
        for first, last in ((0, 2_500), (2_500, 9_000)):
            ledger.record_many(
                Receipt(
                    sent(
                        f"m{number:05}",
                        TO="16501234",
                        TIMESTAMP=iso(EARLY + timedelta(seconds=number + number % 2 * 9_000)),
                    ),
                    received_at=EARLY + timedelta(seconds=number),
                )
                for number in range(first, last)
            )
            with ledger._listing(None) as (store, listing):
                asked = partial(page_of, Query(search=text, until=until), store, listing, None, 20)
                steps.append(steps_of(store, asked))
                assert [key for (_, _, key), _ in asked()] == [
                    f"m{n:05}" for n in range(98, 59, -2)
                ]
    assert steps[1] < 1.2 * steps[0]


@in_file
def test_a_period_is_searched_though_an_index_lost_its_rows(tmp_path: Path) -> None:
    """That of deliveries that began apart: all others are looked at then."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        began = iso(EARLY - timedelta(days=1))
        ledger.record(sent("apart", TIMESTAMP=began), received_at=EARLY)
        ledger.record(sent("then"), received_at=EARLY)
    lose_rows(path, "states_1_apart")
    with Ledger(path, readonly=True) as ledger:
        found = ledger.deliveries(search="apart", until=EARLY - timedelta(hours=1))
        assert [one.tracking_id for one in found] == ["apart"]


def test_a_ledger_of_before_the_index_is_opened_and_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is found by is derived when it is opened; whoever only reads is told to replay."""
    path = tmp_path / "test.db"
    with monkeypatch.context() as before:
        before.setattr(generations, "COLUMNS_VERSION", generations.COLUMNS_VERSION - 1)
        with Ledger(path) as ledger:
            ledger.record_many([sent("a", TO="16503333058"), sent("b")])
    with shell(path) as db:
        db.execute("DROP TABLE search_1")
    with pytest.raises(IntegrityError, match="run replay"):
        Ledger(path, readonly=True)
    with Ledger(path) as ledger:
        assert [one.tracking_id for one in ledger.deliveries(search="3058")] == ["a"]
        assert ledger.verify().ok


def reported(path: Path) -> str:
    """What opening and verify say is wrong."""
    try:
        with Ledger(path, readonly=True) as ledger:
            return "\n".join(ledger.verify().problems)
    except IntegrityError as error:
        return str(error)


@pytest.mark.parametrize(
    ("damage", "given_"),
    [
        ("DROP TABLE search_1", ()),
        ("DELETE FROM search_1", ()),
        (
            "UPDATE search_1 SET entry = ? WHERE entry = (SELECT entry FROM search_1 LIMIT 1)",
            (b"\0",),
        ),
        ("INSERT INTO search_1 VALUES (?)", (b"\0\0\0",)),
    ],
)
def test_a_damaged_index_is_reported_and_replay_heals_it(
    tmp_path: Path, damage: str, given_: tuple[bytes, ...]
) -> None:
    """By opening, a search or verify; nothing is wrong afterwards."""
    path = tmp_path / "test.db"
    with Ledger(path) as ledger:
        ledger.record_many([sent("a", TO="16503333058"), sent("b")])
    with shell(path) as db:
        db.execute(damage, given_)
    assert "run replay" in reported(path)
    with Ledger(path) as ledger:
        ledger.replay()
        assert [one.tracking_id for one in ledger.deliveries(search="3058")] == ["a"]
        assert ledger.verify().ok


@in_file
def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """The error comes at the call, and not when the first delivery is read."""
    with Ledger(tmp_path / "test.db") as ledger:
        with pytest.raises(TypeError, match="search must be text, got 1"):
            ledger.deliveries(search=1)
        with pytest.raises(ValueError, match="search must be text to look for, got ''"):
            ledger.deliveries(search=" ")
