"""Whatever a vocabulary can say is written as its provider posts it, and read back as it was meant."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import DefinitionError, Ledger, Receipt
from postledger.definitions import builtin, define, load_vocabulary, providers, shipped
from postledger.definitions.timestamps import parse_time
from postledger.export.formats import exported, line_of, row_of
from postledger.simulate import ALL, Disturbances, Truth, simulate, story_of
from postledger.simulate.messages import START
from postledger.simulate.story import Path as Course
from postledger.simulate.story import Story
from tests.properties.shown import folder

NAMES = providers()
STORIES = {name: story_of(shipped(name)) for name in NAMES}
TEXTS = {"tracking_id": "TU1TXzE=", "mms_id": "1", "to": "16505550100"}
DISORDER = Disturbances(
    repeats=0.3, reordered=0.5, lost=0.1, malformed=0.1, bundled=0.3, contradicted=0.5, skewed=0.3
)


def receipt_of(name: str, path: Course) -> tuple[Receipt, datetime | None]:
    """The postback that ends a path, and the time that it states, as exactly as it does."""
    story, say = STORIES[name], path.steps[-1]
    form = story.form(name, say)
    postback = story.postback(name, say, path.texts_of(TEXTS), START)
    receipt = Receipt(form.body(postback), form.content_type, query=form.query)
    stamp = dict(postback.fields).get(form.names.get(form.clock, ""))
    parsed = None if stamp is None else parse_time(stamp, (form.timestamp,), form.zone)
    assert stamp is None or parsed is not None
    return receipt, None if parsed is None else START


CASES = [(name, path) for name, story in STORIES.items() for path in story.paths]


def test_everything_is_said() -> None:
    """No shipped vocabulary has a trigger of deliveries for which no postback can be made."""
    unsaid = {
        (name, row.trigger)
        for name in NAMES
        for entry in shipped(name).entries
        if entry.chart == "delivery"
        for row in entry.means
    } - {(name, path.name) for name, path in CASES}
    assert unsaid == set()


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{n}-{path.name}" for n, path in CASES])
def test_a_trigger_is_read_as_meant(name: str, path: Course, tmp_path: Path) -> None:
    """Key, trigger, state, route and time of a postback are those of the story."""
    receipt, at = receipt_of(name, path)
    with Ledger(tmp_path / "l.db", providers=name) as ledger:
        ledger.record_many([receipt])
        (event,) = ledger.events(after=0)
        key = path.key_of(path.texts_of(TEXTS))
        assert (event.reading, event.chart, event.key) == ("recognised", "delivery", key)
        (step,) = ledger.timeline(key, space=event.space or "")
        assert step.trigger == path.name
        assert event.occurred_at == at
        delivery = ledger.delivery(key, space=event.space or "")
        assert delivery.state == (path.steps[-1].state or path.unsaid)
        assert delivery.route == (path.steps[-1].route or "unknown")


@pytest.mark.parametrize("name", NAMES)
def test_a_stated_creation_meets_what_is_posted(name: str, tmp_path: Path) -> None:
    """The program gives the fields that name the delivery, one by one or with a slash between."""
    path = STORIES[name].paths[0]
    receipt, _ = receipt_of(name, path)
    texts = path.texts_of(TEXTS)
    raw = [f"+{texts[field]}" if is_number else texts[field] for field, is_number in path.key]
    for at, named in enumerate((raw, "/".join(raw), path.key_of(texts))):
        with Ledger(tmp_path / f"{at}.db", providers=name) as ledger:
            stated = ledger.created(named, to=texts["to"], space=shipped(name).space)
            ledger.record_many([receipt])
            (delivery,) = ledger.deliveries()
            assert stated.delivery is not None
            assert delivery.tracking_id == stated.delivery.tracking_id == path.key_of(texts)


# A receipt text as a body has no sender.
UNSAID: dict[str, set[str]] = {"smpp": {"sender"}}


@pytest.mark.parametrize("name", NAMES)
def test_all_labels_and_amounts_are_said(name: str) -> None:
    """A vocabulary's labels and amounts stand in the postbacks, and are those of the truth."""
    _, truths = traffic(STORIES[name], 40, seed=4)
    said = shipped(name).said
    told = {one for truth in truths for one in (*truth.labels, *truth.amounts)}
    assert told == {*said.labels, *said.amounts} - UNSAID.get(name, set())


def traffic(story: Story, count: int, **options: Any) -> tuple[list[Receipt], list[Truth]]:
    """Simulated receipts and the truths."""
    truths: list[Truth] = []
    receipts = list(
        simulate(count, story=story, witness=lambda m: truths.append(m.truth), **options)
    )
    return receipts, truths


def rows(ledger: Ledger) -> dict[str, dict[str, Any]]:
    """What is shown of each delivery, but what the order of arrival decides."""
    left_out = {"repeats", "findings"}
    return {
        one.tracking_id: {
            **{name: value for name, value in one.to_dict().items() if name not in left_out},
            "findings": [name for name in one.findings if name not in ("late", "repeated")],
        }
        for one in ledger.deliveries()
    }


def ledger_of(path: Path, name: str, receipts: Iterable[Receipt]) -> Ledger:
    """A ledger that reads one provider alone, with some receipts in it."""
    ledger = Ledger(path, providers=name)
    ledger.record_many(receipts)
    return ledger


def assert_told(truths: Iterable[Truth], found: dict[str, dict[str, Any]]) -> None:
    """Each message has the state, the route, the labels and the amounts that were told of it."""
    for truth in truths:
        row = found.get(truth.key, {})
        assert (row.get("state"), row.get("route")) == (truth.told_state, truth.told_route), truth
        assert row.get("labels", {}) == truth.labels, truth
        assert row.get("amounts", {}) == truth.amounts, truth


@pytest.mark.parametrize("name", NAMES)
def test_order_and_repeats_decide_nothing(name: str) -> None:
    """Disturbed traffic gives the same deliveries in any order, however often it comes: the truth."""
    receipts, truths = traffic(STORIES[name], 12, seed=3, disturbances=DISORDER)
    with folder() as path, ledger_of(path / "l.db", name, receipts) as ledger:
        in_order = rows(ledger)
    assert_told(truths, in_order)

    @settings(deadline=None, max_examples=6)
    @given(st.permutations(receipts), st.lists(st.sampled_from(receipts), max_size=4))
    def disordered(order: list[Receipt], again: list[Receipt]) -> None:
        with folder() as path, ledger_of(path / "l.db", name, [*order, *again]) as ledger:
            assert rows(ledger) == in_order

    disordered()


@pytest.mark.parametrize("name", NAMES)
def test_an_export_is_the_same_ledger(name: str, tmp_path: Path) -> None:
    """On a bad day too: what is exported and ingested again gives the same, read quickly or plainly."""
    receipts, truths = traffic(STORIES[name], 60, seed=5, disturbances=ALL)
    random.Random(1).shuffle(receipts)
    with ledger_of(tmp_path / "a.db", name, receipts) as ledger:
        found = rows(ledger)
        assert_told(truths, found)
        assert {truth.path for truth in truths} == {path.name for path in STORIES[name].paths}
        assert ledger.verify().ok
        lines = [line_of(event).decode() for event in exported(ledger.events(after=0))]
    again = [row.receipt for row in map(row_of, lines) if row is not None]
    assert len(again) == len(receipts)
    with ledger_of(tmp_path / "b.db", name, again) as ledger:
        assert rows(ledger) == found
        assert ledger.verify().ok


def test_undisturbed_traffic_is_clean() -> None:
    """What is simulated has all that a vocabulary requires, and no word that it doesn't know."""
    for name in NAMES:
        receipts, truths = traffic(STORIES[name], 30, seed=2)
        with folder() as path, ledger_of(path / "l.db", name, receipts) as ledger:
            found = rows(ledger)
        assert_told(truths, found)
        findings = {finding for row in found.values() for finding in row["findings"]}
        # Most providers say nothing of the creation, and some reports nothing of the sending.
        known = {"timestamp_naive", "no_creation", "outcome_without_sent"}
        assert findings <= known, name


BARE = """
name = "bare"
version = 1
{wire}
[fields]
id = "id"
word = "word"
[[postbacks]]
match = {{ word = "x" }}
chart = "delivery"
key = "id"
means = [{{ trigger = "delivered"{more} }}]
"""


PARTS = """
name = "parcels"
version = 1
wire = "json"
each = "reports"
{parts}
[fields]
id = "reports/id"
word = "reports/word"
part = "reports/part/number"
total = {total}
[amounts]
segments = "reports/part/of"
[[postbacks]]
match = {{ word = "x"{match} }}
chart = "delivery"
key = "id"
{requires}
means = [{{ trigger = "delivered" }}]
"""


@pytest.mark.parametrize("total", ['"reports/part/of"', '["reports/of", "reports/part/of"]'])
@pytest.mark.parametrize(
    ("requires", "match"),
    [
        ("", ""),
        ("", ", part = true"),
        ("", ", part = false"),
        ('requires = ["total"]', ", total = true"),
        ('requires = ["part", "total"]', ""),
    ],
)
def test_an_amount_that_is_a_number_of_parts_is_one(total: str, requires: str, match: str) -> None:
    """A message of one part says so in the same field: what is told of it is the truth."""
    parts = 'parts = { part = "part", total = "total" }'
    given = {"parts": parts, "total": total, "requires": requires, "match": match}
    vocabulary = load_vocabulary(PARTS.format(**given))
    receipts, truths = traffic(story_of(vocabulary), 20)
    known = define(builtin([]).charts.values(), [vocabulary])
    with folder() as path, Ledger(path / "l.db", definitions=known) as ledger:
        ledger.record_many(receipts)
        found = rows(ledger)
        assert_told(truths, found)
        assert all("part_unreadable" not in row["findings"] for row in found.values())


def test_a_vocabulary_says_how_its_provider_posts() -> None:
    """Without a wire nothing is guessed."""
    with pytest.raises(
        DefinitionError, match="wire is missing, so nothing can be simulated; write"
    ):
        story_of(load_vocabulary(BARE.format(wire="", more="")))
    with pytest.raises(DefinitionError, match="wire is 'fax'; write one of form, query, json"):
        load_vocabulary(BARE.format(wire='wire = "fax"', more=""))


def test_what_no_postback_can_say_is_left_out() -> None:
    """A condition on the source can't be met by any body."""
    source = BARE.format(wire='wire = "json"', more=', source = "a"')
    with pytest.raises(DefinitionError, match="no postback can be simulated"):
        story_of(load_vocabulary(source))
