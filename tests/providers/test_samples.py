"""What providers document is read as it is meant: each sample says what its rows expect."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Event, Ledger, Limits, UnknownKey
from postledger.definitions import builtin, define, load_vocabulary, providers, shipped
from postledger.model import Amount
from tests.cli import Run
from tests.properties.shown import folder
from tests.providers.samples import FOLDER, NAMES, Sample, all_samples, samples_of

EXPECTED = {
    *("key", "to", "says", "word", "reason", "reason_text", "reason_class", "occurred_at"),
    *("amounts", "labels", "part", "parts", "grade"),
}


def key_of(parts: list[str]) -> str:
    """The key that several fields are together."""
    if len(parts) == 1:
        return parts[0]
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def told(ledger: Ledger, event: Event) -> dict[str, Any]:
    """What one postback says, as its row of samples has it."""
    key, space = event.key or "", event.space or ""
    (step,) = [
        step
        for step in ledger.timeline(key, chart=event.chart or "", space=space)
        if (step.event.position, step.event.member) == (event.position, event.member)
    ]
    said = {
        "key": key,
        "says": step.trigger,
        "word": step.status,
        "reason": step.details,
        "occurred_at": event.occurred_at,
    }
    if step.trigger is None:
        return said
    delivery = ledger.delivery(key, space=space)
    return {
        **said,
        "to": delivery.to,
        "reason_class": delivery.reason_class,
        "labels": dict(delivery.labels),
        "amounts": dict(delivery.amounts),
        "grade": delivery.grade,
    }


def wanted(row: dict[str, Any]) -> dict[str, Any]:
    """The same as a row of samples expects it."""
    at = row.get("occurred_at")
    return {
        **row,
        "key": key_of(row["key"]),
        "amounts": {name: amount_of(one) for name, one in row.get("amounts", {}).items()},
        "occurred_at": None if at is None else datetime.fromisoformat(at),
    }


def amount_of(said: str | dict[str, str]) -> Amount:
    """An amount as a row of samples has it: a count, or a value with its currency."""
    if isinstance(said, str):
        return Amount(Decimal(said))
    return Amount(Decimal(said["value"]), said["currency"])


def test_each_provider_has_samples() -> None:
    """A vocabulary that is checked against no documented sample would be a guess."""
    unasked = {one.name for one in builtin().vocabularies}
    assert set(NAMES) == set(providers()) - unasked


@pytest.mark.parametrize("name", providers())
def test_addresses_that_are_recommended_are_served(name: str) -> None:
    """Where a vocabulary says what to have posted to, the path is that of its source."""
    assert set(re.findall(r"https://HOST/([^?\s]*)", shipped(name).source)) <= {name}


@pytest.mark.parametrize("name", NAMES)
def test_files_that_samples_name_are_there(name: str) -> None:
    """Comments on samples lead to files of the project."""
    text = (FOLDER / name / "samples.toml").read_text("utf-8")
    named = re.findall(r"\b(?:statecharts|fixtures|docs)/[\w/]+\.toml", text)
    assert all((FOLDER.parents[1] / path).exists() for path in named), named


@pytest.mark.parametrize(
    "sample", list(all_samples()), ids=lambda sample: f"{sample.provider}-{sample.file}"
)
def test_a_sample_says_what_is_documented(sample: Sample, tmp_path: Path) -> None:
    """Key, word, trigger, time, reason, labels and amounts of each postback of the body."""
    with Ledger(tmp_path / "l.db", providers=sample.provider) as ledger:
        ledger.record_many([sample.receipt])
        events = list(ledger.events(after=0))
        assert [event.reading for event in events] == ["recognised"] * len(sample.expects), [
            event.problem for event in events
        ]
        for event, row in zip(events, sample.expects, strict=True):
            assert row.keys() <= EXPECTED
            if "key" in row:
                said, meant = told(ledger, event), wanted(row)
                shown = {name: said[name] for name in meant if name in said}
                assert shown == {name: meant[name] for name in shown}
        assert ledger.verify().ok


@pytest.mark.parametrize("source", ["", None])
def test_together_they_read_the_same(source: str | None) -> None:
    """With all vocabularies at once, each sample is read by its own, from wherever it comes."""
    everything = builtin().with_vocabularies([shipped(name) for name in NAMES])
    assert define(everything.charts.values(), everything.vocabularies).hash == everything.hash
    with folder() as path, Ledger(path / "l.db", definitions=everything) as ledger:
        for sample in all_samples():
            receipt = sample.receipt
            ledger.record_many([receipt if source is None else attrs.evolve(receipt, source="")])
            last = ledger.head().size - 2
            for event in ledger.events(after=last):
                assert event.reading == "recognised", (sample.provider, sample.file, event.problem)


@pytest.mark.parametrize("name", NAMES)
def test_order_and_repeats_decide_nothing(name: str) -> None:
    """The samples of a provider give the same deliveries in any order, however often they come."""
    receipts = [sample.receipt for sample in samples_of(name)]
    with folder() as path, Ledger(path / "l.db", providers=name) as ledger:
        ledger.record_many(receipts)
        inorder = states(ledger)

    @settings(deadline=None, max_examples=8)
    @given(st.permutations(receipts), st.lists(st.sampled_from(receipts), max_size=4))
    def disordered(order: list[Any], again: list[Any]) -> None:
        with folder() as path, Ledger(path / "l.db", providers=name) as ledger:
            ledger.record_many([*order, *again])
            assert states(ledger) == inorder
            ledger.replay(index=True)
            assert states(ledger) == inorder
            assert ledger.verify().ok

    disordered()


def states(ledger: Ledger) -> dict[tuple[str, str], dict[str, Any]]:
    """What is shown of each delivery, but what counts arrivals."""
    left_out = {"repeats", "findings"}
    return {
        (one.space, one.tracking_id): {
            **{name: value for name, value in one.to_dict().items() if name not in left_out},
            "findings": [name for name in one.findings if name not in ("late", "repeated")],
        }
        for one in ledger.deliveries()
    }


def recorded(ledger: Ledger, *files: str, provider: str) -> None:
    """Record samples of a provider, by their files."""
    known = {sample.file: sample.receipt for sample in samples_of(provider)}
    ledger.record_many([known[file] for file in files])


def test_results_of_one_body_are_deliveries_of_their_own(tmp_path: Path) -> None:
    """Infobip's bundle of three: each with its reason and its time to the millisecond."""
    with Ledger(tmp_path / "l.db", providers="infobip") as ledger:
        recorded(ledger, "bundle.json", provider="infobip")
        deliveries = list(ledger.deliveries())
        assert len(deliveries) == 3
        assert {one.outcome_at.microsecond % 1000 for one in deliveries if one.outcome_at} == {0}
        assert any(one.outcome_at.microsecond for one in deliveries if one.outcome_at)
        assert [one.reason_class for one in deliveries if one.state not in ("delivered", "sent")]


def test_a_batch_is_a_delivery_for_each_recipient(tmp_path: Path) -> None:
    """Sinch's report of a batch names its recipients: none stands for another."""
    (batch,) = [sample for sample in samples_of("sinch_sms") if len([*keys(sample)]) == 3][:1]
    with Ledger(tmp_path / "l.db", providers="sinch_sms") as ledger:
        ledger.record_many([batch.receipt])
        assert {one.tracking_id for one in ledger.deliveries()} == {*keys(batch)}


@pytest.mark.parametrize(
    "names", [["aws_sms"], ["aws_sms_sns"], ["aws_sms", "aws_sms_sns"]], ids="+".join
)
@pytest.mark.parametrize("kind", ["SubscriptionConfirmation", "UnsubscribeConfirmation"])
def test_a_subscription_to_confirm_says_so(tmp_path: Path, names: list[str], kind: str) -> None:
    """SNS's envelope has a MessageId, and is no delivery: the event is kept, and says what to do."""
    said = {"Type": kind, "MessageId": "165545c9", "Token": "2336", "Message": "You have chosen"}
    body = json.dumps({**said, "SubscribeURL": "https://sns.example/?Token=2336"}).encode()
    with Ledger(tmp_path / "l.db", providers=names) as ledger:
        recorded = ledger.record(body, "text/plain; charset=UTF-8", source=names[0])
        assert not list(ledger.deliveries())
        assert (recorded.event.reading, recorded.event.key) == ("unrecognised", None)
        assert "A subscription to confirm: visit its SubscribeURL" in (recorded.event.problem or "")
        assert ledger.verify().ok


def keys(sample: Sample) -> Iterator[str]:
    """The keys that a sample's rows expect."""
    return (key_of(row["key"]) for row in sample.expects if "key" in row)


def test_another_attempt_is_a_repeat(tmp_path: Path) -> None:
    """Telnyx numbers its attempts: the number says nothing of the message."""
    with Ledger(tmp_path / "l.db", providers="telnyx") as ledger:
        recorded(ledger, "delivered.json", "delivered-retry.json", provider="telnyx")
        (delivery,) = ledger.deliveries()
        assert (delivery.events, delivery.repeats) == (1, 1)


@pytest.mark.parametrize("files", [("part-1.json", "part-2.json"), ("part-2.json", "part-1.json")])
def test_parts_are_delivered_only_together(tmp_path: Path, files: tuple[str, str]) -> None:
    """Receipts for parts 1 and 2 of 2, in either order."""
    with Ledger(tmp_path / "l.db", providers="smpp_parts") as ledger:
        recorded(ledger, files[0], provider="smpp_parts")
        (delivery,) = ledger.deliveries()
        assert delivery.state != "delivered"
        assert "parts_missing" in delivery.findings
        recorded(ledger, files[1], provider="smpp_parts")
        (delivery,) = ledger.deliveries()
        assert delivery.state == "delivered"
        assert "parts_missing" not in delivery.findings


def test_parts_are_one_message_however_its_numbers_are_spelled(tmp_path: Path) -> None:
    """One receipt writes the recipient with 00 and the other with a plus."""
    bodies = [
        f'{{"receipted_message_id": "{part}", "message_state": 2, "source_addr": "{to}",'
        ' "destination_addr": "ACME", "sar_msg_ref_num": 7, "sar_total_segments": 2,'
        f' "sar_segment_seqnum": {part}}}'.encode()
        for part, to in ((1, "0015550100018"), (2, "+1 555 010 0018"))
    ]
    with Ledger(tmp_path / "l.db", providers="smpp_parts") as ledger:
        ledger.record_many(bodies)
        (delivery,) = ledger.deliveries(to="15550100018")
        assert (delivery.tracking_id, delivery.state) == ("15550100018/ACME/7", "delivered")
        assert "recipient_differs" not in delivery.findings


@pytest.mark.parametrize(
    ("status", "state"), [("delivered", "delivered"), ("undelivered", "failed")]
)
def test_an_outcome_by_a_known_channel_is_no_unknown_word(
    tmp_path: Path, status: str, state: str
) -> None:
    """A channel that is no route of the chart gives no finding; a channel that nobody lists does."""
    with Ledger(tmp_path / "l.db", providers=["plivo"]) as ledger:
        for channel in ("whatsapp", "pigeon"):
            body = f"MessageUUID={channel}&To=1&Type={channel}&Status={status}&ErrorCode=10"
            ledger.record(body.encode(), "application/x-www-form-urlencoded")
            delivery = ledger.delivery(channel)
            unknown = "word_unknown" in delivery.findings
            assert (delivery.state, unknown) == (state, channel == "pigeon")


def test_two_providers_with_equal_ids_never_meet(tmp_path: Path) -> None:
    """Each has its delivery; where no space is named, both are."""
    one = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15550100018"
    other = b"MessageUUID=SM1&Status=rejected&To=15550100019&From=15550100099"
    form = "application/x-www-form-urlencoded"
    with Ledger(tmp_path / "l.db", providers=["twilio", "plivo"]) as ledger:
        ledger.record(one, form)
        assert ledger.delivery("SM1").state == "delivered"
        ledger.record(other, form)
        assert ledger.delivery("SM1", space="twilio").state == "delivered"
        assert ledger.delivery("SM1", space="plivo").state == "rejected"
        for ask in (ledger.delivery, ledger.timeline, lambda key: ledger.audit(tracking_id=key)):
            with pytest.raises(UnknownKey, match=r"several spaces have .*: 'plivo', 'twilio'"):
                ask("SM1")
        assert ledger.audit(tracking_id="SM1", space="plivo").integrity.ok


def test_nobody_speaks_for_the_ids_of_another(tmp_path: Path) -> None:
    """What comes from the source of one provider says nothing of the deliveries of another."""
    body = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15550100018"
    form = "application/x-www-form-urlencoded"
    with Ledger(tmp_path / "l.db", providers=["twilio", "twilio_events", "infobip"]) as ledger:
        forged = ledger.record(body, form, source="infobip")
        assert forged.verdict == "unrecognised"
        assert "source 'infobip'" in (forged.event.problem or "")
        assert "twilio would recognise it" in (forged.event.problem or "")
        assert not list(ledger.deliveries(space="twilio"))
        # It is no repeat of the forged one, whichever came first; of its own it is.
        for source in ("twilio", "twilio_events", "elsewhere", ""):
            recorded_ = ledger.record(body, form, source=source)
            assert recorded_.event.space == "twilio"
            assert recorded_.event.repeats in (None, 2)
        assert ledger.delivery("SM1").state == "delivered"
        assert ledger.created("SM2", to="1", space="twilio", source="infobip").delivery


@pytest.mark.parametrize("first", [0, 1])
def test_a_space_that_has_no_delivery_is_not_asked_for(tmp_path: Path, first: int) -> None:
    """Neither one that got it later than is asked for, nor one with an unknown postback alone."""
    form = "application/x-www-form-urlencoded"
    known = b"MessageSid=SM1&MessageStatus=delivered&To=%2B15550100018"
    unknown = b"MessageUUID=SM1&Status=eaten&To=15550100019"
    rejected = unknown.replace(b"eaten", b"rejected")
    bodies = [known, unknown][:: -1 if first else 1]
    with Ledger(tmp_path / "l.db", providers=["twilio", "plivo"]) as ledger:
        for body in (*bodies, rejected):
            ledger.record(body, form)
        (alone,) = (at + 1 for at, body in enumerate(bodies) if body == known)
        assert ledger.delivery("SM1", as_of=alone).space == "twilio"
        assert ledger.delivery("SM1", as_of=2).space == "twilio"
        assert [s.event.space for s in ledger.timeline("SM1", as_of=2)] == ["twilio"]
        with pytest.raises(
            UnknownKey, match="no delivery 'SM1' of the space 'plivo' was known then"
        ):
            ledger.delivery("SM1", as_of=0)
        for as_of in (None, 3):
            with pytest.raises(UnknownKey, match="several spaces have"):
                ledger.delivery("SM1", as_of=as_of)


def test_unknown_postbacks_of_two_spaces_are_not_mixed(tmp_path: Path) -> None:
    """Where no space has a delivery, those with any event are named."""
    form = "application/x-www-form-urlencoded"
    with Ledger(tmp_path / "l.db", providers=["twilio", "plivo"]) as ledger:
        ledger.record(b"MessageUUID=SM1&Status=eaten&To=1", form)
        assert [step.verdict for step in ledger.timeline("SM1")] == ["unrecognised"]
        ledger.record(b"MessageSid=SM1&MessageStatus=eaten&To=1", form)
        with pytest.raises(UnknownKey, match="'plivo', 'twilio'"):
            ledger.timeline("SM1")


def test_a_batch_of_many_with_a_long_reference_is_read(tmp_path: Path) -> None:
    """What stands around the list is inherited by each recipient."""
    statuses = [
        {"code": 0, "status": "Delivered", "count": 1, "recipients": [f"1555010{n:04}"]}
        for n in range(1_000)
    ]
    report = {
        "type": "delivery_report_sms",
        "batch_id": "01FC66621XXXXX119Z8PMV1QPQ",
        "client_reference": "r" * 2_048,
        "total_message_count": 1_000,
        "statuses": statuses,
    }
    with Ledger(tmp_path / "l.db", providers=["sinch_sms"]) as ledger:
        ledger.record(json.dumps(report).encode(), "application/json")
        assert sum(one.state == "delivered" for one in ledger.deliveries()) == 1_000


def test_no_field_names_the_space_of_another(tmp_path: Path) -> None:
    """Where a vocabulary takes the space from a field, its source still speaks for no other."""
    words = """
        name = "multi"
        version = 1
        space = "multi"
        space_field = "account"
        [fields]
        id = "mid"
        state = "st"
        account = "acct"
        [[postbacks]]
        match = { state = true }
        chart = "delivery"
        key = "id"
        undated = true
        means = [{ state = "ok", trigger = "delivered" }]
        """
    multi = load_vocabulary(words)
    definitions = builtin(["twilio"]).with_vocabularies([multi])
    with Ledger(tmp_path / "l.db", definitions=definitions) as ledger:
        body = '{"acct": "%s", "mid": "SM1", "st": "ok"}'
        told = {
            (account, source): ledger.record(
                (body % account).encode(), "application/json", source=source
            )
            for account in ("twilio", "multi", "own")
            for source in ("multi", "")
        }
        assert told["twilio", "multi"].verdict == "unrecognised"
        assert "names the space 'twilio'" in (told["twilio", "multi"].event.problem or "")
        assert told["twilio", ""].event.space == "twilio"
        assert told["own", "multi"].event.space == "own"
        assert told["multi", "multi"].event.space == "multi"
        assert ledger.verify().ok


def test_show_names_both_and_asks_which(run: Run, tmp_path: Path) -> None:
    """On the command line too."""
    path = tmp_path / "l.db"
    with Ledger(path, providers=["twilio", "plivo"]) as ledger:
        form = "application/x-www-form-urlencoded"
        ledger.record(b"MessageSid=SM1&MessageStatus=delivered&To=%2B15550100018", form)
        ledger.record(b"MessageUUID=SM1&Status=rejected&To=15550100019", form)
    refused = run("show", path, "SM1")
    assert refused.exit_code == 1
    assert "several spaces have a delivery 'SM1': 'plivo', 'twilio'" in refused.stderr
    assert "rejected" in run("show", path, "SM1", "--space", "plivo").stdout


def test_a_batch_that_no_shape_can_cut_says_why(tmp_path: Path) -> None:
    """Not that nobody knows it: with the limits of another program it is read."""
    rows = [{"messageId": str(n), "to": "15550100018"} for n in range(3)]
    body = json.dumps({"results": rows}).encode()
    with Ledger(tmp_path / "l.db", providers="infobip", limits=Limits(members=2)) as ledger:
        assert (
            ledger.record(body).event.problem == "the bundle has more than the limit of 2 members"
        )
