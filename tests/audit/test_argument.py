"""The argument: one sentence says why a delivery stands in its state."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postledger import Ledger, Receipt
from postledger.audit.argument import QUESTIONING, Argument, argument
from postledger.definitions import builtin, shipped
from postledger.definitions.chart import Statechart
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import Definitions
from postledger.model import Timeline
from postledger.simulate import ALL, Disturbances, Truth, simulate, story_of
from tests.conftest import FIXTURES, ledger_of

DELIVERY = builtin().charts["delivery"]
FIRST = "The first outcome stands."
WORN = Disturbances(
    repeats=0.2, reordered=0.4, lost=0.15, contradicted=1.0, skewed=0.3, mixed=0.3, window=3600
)


def first_outcome_stands() -> Statechart:
    """The chart that ships, but that no outcome overrides another."""
    lines = DELIVERY.source.splitlines(keepends=True)
    kept = (line for line in lines if "overrides = true" not in line)
    source = "".join(f'policy = "{FIRST}"\n' if one.startswith("policy") else one for one in kept)
    return load_chart(source)


@contextmanager
def recorded(receipts: Iterable[Receipt], definitions: Definitions) -> Iterator[Ledger]:
    """A ledger with its own definitions."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(Path(folder) / "test.db", definitions=definitions) as ledger,
    ):
        ledger.record_many(receipts)
        yield ledger


def deciding(steps: Timeline) -> set[int]:
    """The numbers of the events that decide, found from what each step shows alone."""
    entered, against = 0, set[int]()
    for number, step in enumerate(steps, 1):
        before, after = step.before["delivery"], step.after["delivery"]
        if step.verdict == "contradicts" and step.trigger in {
            *("delivered", "expired", "rejected", "failed", "sending_failed")
        }:
            against |= {number, entered}
        if before != after:
            entered = number
    return (against | {entered}) - {0} if against else {entered} - {0}


def holds(found: Argument, steps: Timeline, policy: str) -> None:
    """The sentence names the events that decide, with their times, and the state that stands."""
    state = steps[-1].after["delivery"]
    assert found.state == state
    assert re.search(rf"it stands {state}\b", found.sentence)
    numbers = deciding(steps)
    assert set(found.decided_by) == numbers or not numbers
    named = {part.event for part in found.parts if part.event}
    entered = max((n for n in numbers if steps[n - 1].after["delivery"] == state), default=None)
    assert named >= numbers if len(numbers) <= 4 else entered in named
    for number in named & numbers:
        at = steps[number - 1].event.occurred_at or steps[number - 1].event.received_at
        assert f"{at:%H:%M:%S}" in found.sentence
    assert (policy.rstrip(".") in found.sentence) == (len(numbers) > 1)
    assert found.sentence.startswith(("Event ", "No event "))
    assert found.sentence.endswith(".")
    assert "\n" not in found.sentence
    assert "  " not in found.sentence


@pytest.mark.parametrize("chart", [DELIVERY, first_outcome_stands()], ids=["strongest", "first"])
def test_every_simulated_dispute_is_argued(chart: Statechart) -> None:
    """Whatever went wrong, the sentence names the events that decide, the policy and the state."""
    kinds, disputed = set(), 0
    for seed, disturbances in ((1, WORN), (2, ALL)):
        receipts = simulate(150, seed=seed, disturbances=disturbances)
        with recorded(receipts, builtin().with_charts([chart])) as ledger:
            for delivery in ledger.deliveries():
                steps = ledger.timeline(delivery.tracking_id)
                found = argument(steps, chart)
                holds(found, steps, chart.policy)
                questioned = set(QUESTIONING) & set(delivery.findings)
                assert {one.finding for one in found.questions} == questioned
                assert found.disputed == bool(questioned)
                disputed += found.disputed
                kinds.add((delivery.state, found.disputed))
    assert disputed > 60
    assert len(kinds) >= 7


@pytest.mark.parametrize("name", ["twilio", "aws_sms", "infobip", "telnyx", "smpp"])
def test_other_providers_are_argued_alike(name: str) -> None:
    """What a vocabulary can say, with its readings and grades, is argued by the same words."""
    vocabulary, truths = shipped(name), list[Truth]()
    definitions = builtin().with_vocabularies([vocabulary])
    receipts = simulate(
        60,
        seed=4,
        disturbances=WORN,
        story=story_of(vocabulary),
        witness=lambda message: truths.append(message.truth),
    )
    with recorded(receipts, definitions) as ledger:
        for delivery in ledger.deliveries():
            steps = ledger.timeline(delivery.tracking_id, space=delivery.space)
            holds(argument(steps, DELIVERY), steps, DELIVERY.policy)


def test_a_latest_postback_that_misleads_is_told() -> None:
    """Where what came last says otherwise, it is said what others show, and by which event."""
    with ledger_of(simulate(150, seed=1, disturbances=WORN)) as ledger:
        for delivery in ledger.deliveries():
            steps = ledger.timeline(delivery.tracking_id)
            told = [step for step in steps if step.trigger]
            last = max(told, key=lambda step: step.event.received_at)
            shown = "".join(part.text for part in argument(steps, DELIVERY).elsewhere)
            leads = {t.dest for t in DELIVERY.regions[0].transitions if t.trigger == last.trigger}
            if leads <= {delivery.state, "created"}:
                assert shown == ""
            else:
                assert f"shows {leads.pop()}: event " in shown


def postback(code: str, status: str, at: str, **more: str) -> bytes:
    """One postback of a message."""
    said = {"ORIGIN": "MMS_MT", "CODE": code, "STATUS": status, "TO": "16505550100"}
    said |= {"TRACKINGID": "ONE", "SPID": "1", "TIMESTAMP": at, **more}
    leaves = "".join(f"<{name}>{text}</{name}>" for name, text in said.items() if text)
    return f"<POSTBACK>{leaves}</POSTBACK>".encode()


def said(*bodies: bytes) -> Argument:
    """The argument of the message of some postbacks."""
    with ledger_of([Receipt(body, "text/xml") for body in bodies]) as ledger:
        return argument(ledger.timeline("ONE"), DELIVERY)


SENT = postback("N101", "Message Sent", "2026-01-01T10:00:00Z", SENTAS="MMS", MMSID="1")
DELIVERED = postback(
    "N102", "Message Sent/Delivered", "2026-01-01T10:02:00Z", SENTAS="MMS", MMSID="1", HANDSET="a"
)


def test_a_recipient_that_differs_is_in_the_sentence() -> None:
    """The sentence doesn't say that nobody says otherwise where another recipient is named."""
    found = said(SENT, DELIVERED.replace(b"16505550100", b"16505550199"))
    assert found.sentence.endswith("it stands delivered, though event 2 names another recipient.")
    assert [(one.finding, one.events) for one in found.questions] == [("recipient_differs", (2,))]


def test_a_wrong_route_is_in_the_sentence() -> None:
    """A receipt of another route than the message was sent by questions the outcome."""
    receipt = postback(
        "N202", "Message Sent/Delivered", "2026-01-01T10:02:00Z", SENTAS="SMS", MMSID="1"
    )
    found = said(SENT, receipt)
    assert found.sentence.endswith("it stands delivered, though event 2 names a wrong route.")
    assert found.disputed


def test_a_contradicted_route_is_no_dispute_of_the_outcome() -> None:
    """Two routes of one message are said of the route; no policy decides the outcome by them."""
    other = postback("N101", "Message Sent", "2026-01-01T10:01:00Z", SENTAS="SMS", MMSID="1")
    found = said(SENT, other, DELIVERED)
    assert "policy" not in found.sentence
    assert "though event 2 contradicts its route, which stands binary" in found.sentence
    assert found.decided_by == (3,)


def test_many_contradictions_are_counted() -> None:
    """Of many claims four are named, among them that which stands, and the others counted."""
    failed = [
        postback(
            "N202", "Message Sent/Failed", f"2026-01-01T10:01:{at:02}Z", SENTAS="SMS", MMSID="1"
        )
        for at in range(12)
    ]
    late = postback("N102", "Message Sent/Expired", "2026-01-01T10:01:30Z", SENTAS="MMS", MMSID="1")
    rest = [late.replace(b":30Z", f":{at}Z".encode()) for at in range(31, 41)]
    found = said(*failed, *rest, DELIVERED)
    assert "more events contradict" in found.sentence
    assert "reported delivered at 10:02:00 UTC" in found.sentence
    assert len(found.sentence) < 700


def test_an_unfinished_message_in_parts_names_what_is_missing() -> None:
    """The parts that were reported and those that were not are in the sentence."""
    body = (FIXTURES / "providers" / "smpp_parts" / "part-1.json").read_bytes()
    definitions = builtin().with_vocabularies([shipped("smpp_parts")])
    with recorded([Receipt(body, "application/json")], definitions) as ledger:
        (delivery,) = ledger.deliveries()
        steps = ledger.timeline(delivery.tracking_id, space=delivery.space)
        found = argument(steps, DELIVERY)
    assert "event 1 reports delivered of 1 of 2 parts, and part 2 is not reported" in found.sentence
    assert found.sentence.endswith("it stands created, since no event has decided its outcome yet.")


def test_a_reading_alone_is_no_outcome() -> None:
    """That a message was read says nothing of its delivery, and the sentence says that."""
    vocabulary = shipped("infobip_seen")
    stories = simulate(1, story=story_of(vocabulary))
    with recorded(stories, builtin().with_vocabularies([vocabulary])) as ledger:
        (delivery,) = ledger.deliveries()
        steps = ledger.timeline(delivery.tracking_id, space=delivery.space)
        found = argument([step for step in steps if step.trigger == "read"], DELIVERY)
    assert re.match(
        r"Event 1 reported read at .*, which says nothing of its delivery: it stands created",
        found.sentence,
    )


def test_what_nobody_reported_stands_where_the_chart_begins() -> None:
    """Of no event at all the argument is that there is none."""
    found = argument((), DELIVERY)
    assert found.sentence == (
        "No event reported what became of it: it stands created, since no event has decided its"
        " outcome yet."
    )
    assert found.decided_by == ()


def test_the_dossier_begins_with_the_sentence() -> None:
    """A disputed delivery's page, Markdown and JSON say on their first screen why it stands."""
    failed = postback(
        "N202", "Message Sent/Failed", "2026-01-01T10:01:00Z", SENTAS="SMS", MMSID="1"
    )
    with ledger_of([Receipt(body, "text/xml") for body in (SENT, DELIVERED, failed)]) as ledger:
        report = ledger.audit(tracking_id="ONE")
    assert report.dossier is not None
    sentence = report.dossier.argument.sentence
    page = re.sub(r"<[^>]*>", "", report.to_html()).replace("&#39;", "'")
    title = page.index("ONE", page.index("Dossier of a delivery"))
    assert title < page.index(sentence) < title + 2_000
    assert page.index(sentence) < page.index("A system that keeps only", title)
    assert report.to_dict()["delivery"]["argument"]["sentence"] == sentence
    assert sentence in report.to_markdown().replace("\\", "")
