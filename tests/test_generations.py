"""Generations: one message gives the same delivery, whichever generation of the wire tells it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.simulate.story import Path, builtin
from postledger.times import iso
from postledger.wire import read
from tests.conftest import FIXTURES, ledger_of
from tests.states import rows, states
from tests.strategies import body

GENERATIONS = FIXTURES / "generations"
TOLD = json.loads((GENERATIONS / "story.json").read_text())
STORY = builtin()
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def key_name(path: Path) -> str:
    """Our name of the one field that is the key on a path."""
    ((name, _),) = path.key
    return name


def telling(path: Path, generations: tuple[str, ...], key: str = "39755") -> list[Receipt]:
    """A message on a path, each step told by its generation."""
    texts = {name: choices[0] for name, choices in {**STORY.choices, **STORY.details}.items()}
    texts |= {"tracking_id": "TU1TXzU5ODEwMQ==", "mms_id": "39755", "to": "16502424956"}
    texts[key_name(path)] = key
    receipts = []
    for number, (say, generation) in enumerate(zip(path.steps, generations, strict=True)):
        at = BEGAN + timedelta(seconds=30 * number)
        form = STORY.form(generation, say)
        told = form.sent(STORY.postback(generation, say, texts, at), at, number)
        receipts.append(Receipt(form.body(told), form.content_type, at))
    return receipts


@pytest.mark.parametrize("path", STORY.paths, ids=lambda path: path.name)
def test_one_row(path: Path) -> None:
    """One message told in each of the four generations gives the same row, all times and fields."""
    found = []
    for generation in STORY.generations:
        with ledger_of(telling(path, (generation,) * len(path.steps))) as ledger:
            found.append(rows(ledger))
    assert len(found) == 4
    assert len(found[0]) == 1
    assert found[0] == found[1] == found[2] == found[3]


@pytest.mark.parametrize("path", [p for p in STORY.paths if len(p.steps) > 1], ids=lambda p: p.name)
def test_mixed_in_one_stream(path: Path) -> None:
    """A stream may be told in several generations: every mixture gives the row of one alone."""
    mixtures = list(product(STORY.generations, repeat=len(path.steps)))
    receipts = [
        receipt
        for number, mixture in enumerate(mixtures)
        for receipt in telling(path, mixture, str(number))
    ]
    with ledger_of(receipts) as ledger:
        found = [dict(row) for row in rows(ledger).values()]
    assert len({row.pop("tracking_id") for row in found}) == len(mixtures)
    for row in found if key_name(path) == "mms_id" else ():
        del row["mms_id"]
    assert all(row == found[0] for row in found)


@given(st.sampled_from(STORY.paths), st.randoms())
@settings(max_examples=15, deadline=None)
def test_told_in_all_at_once(path: Path, rng: Any) -> None:
    """Told by all four at once, in any order, a message has its state, times and fields."""
    receipts = [
        receipt
        for generation in STORY.generations
        for receipt in telling(path, (generation,) * len(path.steps))
    ]
    with ledger_of(telling(path, ("g1",) * len(path.steps))) as ledger:
        ((_, alone),) = rows(ledger).items()
    rng.shuffle(receipts)
    with ledger_of(receipts) as ledger:
        ((_, row),) = states(ledger).items()
        assert ledger.verify().ok
    counted = {"events", "repeats", "findings"}
    assert {k: v for k, v in row.items() if k not in counted} == {
        k: v for k, v in alone.items() if k not in counted
    }
    assert set(row["findings"]) == set(alone["findings"])
    # To say it again in other words is another event, which changes nothing; only the answers of the
    # first two generations are the same words.
    assert row["events"] > alone["events"]


@pytest.mark.parametrize("generation", sorted(TOLD["generations"]))
def test_fixture(generation: str, ledger: Ledger) -> None:
    """The written story of each generation ends as it says, with its reason and its times."""
    told = TOLD["generations"][generation]
    for name in told["files"]:
        body = (GENERATIONS / generation / name).read_bytes()
        recorded = ledger.record(body, content_type=told["content_type"])
        assert (recorded.event.reading, recorded.verdict) == ("recognised", "applied")
    delivery = ledger.delivery(told["key"])
    assert (delivery.state, delivery.route) == (TOLD["state"], TOLD["route"])
    assert (delivery.reason, delivery.to) == (TOLD["reason"], TOLD["to"])
    assert (delivery.mms_id, delivery.spid) == (TOLD["mms_id"], TOLD["spid"])
    assert (iso(delivery.sent_at), iso(delivery.outcome_at)) == (
        told["sent_at"],
        told["outcome_at"],
    )
    assert delivery.findings == ()


def test_unknown_keys_are_kept(ledger: Ledger) -> None:
    """Fields that no vocabulary knows stay in the event, and change nothing."""
    told = TOLD["generations"]["g3"]
    ledger.record((GENERATIONS / "g3" / told["files"][1]).read_bytes())
    (step,) = ledger.timeline(told["key"])
    assert step.event.postback is not None
    kept = dict(step.event.postback.fields)
    assert (kept["client-reference"], kept["campaign-ref"]) == ("order-1138", "autumn")
    assert kept["operator-name"] == "Example Wireless"


def test_bundle(ledger: Ledger) -> None:
    """A bundle is one receipt with an event for each message, and repeats of what came alone."""
    told = TOLD["generations"]["g0"]
    for name in told["files"]:
        ledger.record((GENERATIONS / "g0" / name).read_bytes())
    first = ledger.record((GENERATIONS / TOLD["bundle"]["file"]).read_bytes())
    members = (first, *first.others)
    assert [one.event.key for one in members] == TOLD["bundle"]["keys"]
    assert [one.verdict for one in members] == ["repeated", "applied", "repeated", "applied"]
    assert [(one.event.position, one.event.member) for one in members] == [(4, n) for n in range(4)]
    assert ledger.delivery(told["key"]).repeats == 2
    assert (ledger.delivery(TOLD["bundle"]["keys"][1]).route) == "binary"


def test_bad_member(ledger: Ledger) -> None:
    """A member of a bundle that can't be read is an event of its own and harms no neighbour."""
    bundle = (GENERATIONS / TOLD["bundle"]["file"]).read_bytes()
    members = bundle.split(b"<NOTIFICATION ")
    empty = b'ID="9"></NOTIFICATION><NOTIFICATION '
    spoiled = b"<NOTIFICATION ".join([*members[:2], empty + members[2], *members[3:]])
    first = ledger.record(spoiled)
    readings = [one.event.reading for one in (first, *first.others)]
    assert readings == ["recognised", "unreadable", *["recognised"] * 3]
    assert {delivery.state for delivery in ledger.deliveries()} == {"delivered"}
    assert ledger.verify().ok


# --- statuses as attributes (2011) ---


@pytest.mark.parametrize(
    ("code", "sent_as", "celly", "state", "route"),
    [
        ("N102", "MMS", "20", "delivered", "binary"),
        ("N102", "MMS", "30", "expired", "binary"),
        ("N102", "MMS", "35", "rejected", "binary"),
        ("N102", "MMS", "9", "sent", "binary"),
        ("N102", "SMS", "9", "sent", "xhtml"),
        ("N202", "SMS", "10", "sent", "xhtml"),
        ("N202", "SMS", "20", "delivered", "xhtml"),
        ("N202", "SMS", "30", "expired", "xhtml"),
        ("N202", "SMS", "35", "rejected", "xhtml"),
    ],
)
def test_celly(code: str, sent_as: str, celly: str, state: str, route: str, ledger: Ledger) -> None:
    """A status told by a number in an attribute has its meaning, with the text as the reason."""
    ledger.record(
        f"<NOTIFICATION><ORIGIN>MMS_MT</ORIGIN><CODE>{code}</CODE><BODY><SENTAS>{sent_as}</SENTAS>"
        f'<STATUS celly="{celly}" provider="1" text="As told"/><TRACKINGID>k</TRACKINGID></BODY>'
        "</NOTIFICATION>".encode()
    )
    delivery = ledger.delivery("k")
    assert (delivery.state, delivery.route) == (state, route)
    assert delivery.reason == ("As told" if state in ("expired", "rejected") else None)


@pytest.mark.parametrize(
    ("status", "state"),
    [('PROTOCOL="4" STATUS="0"', "delivered"), ('protocol="4" status="0"', "delivered")],
)
def test_protocol_status(status: str, state: str, ledger: Ledger) -> None:
    """A status told by a protocol's number is known where it has been seen, in either case."""
    ledger.record(
        "<NOTIFICATION><ORIGIN>MMS_MT</ORIGIN><CODE>N102</CODE><BODY><SENTAS>MMS</SENTAS>"
        f"<STATUS {status}/><TRACKINGID>k</TRACKINGID></BODY></NOTIFICATION>".encode()
    )
    assert ledger.delivery("k").state == state


@pytest.mark.parametrize("status", ['PROTOCOL="4" STATUS="7"', 'celly="99"', 'provider="1000"'])
def test_unknown_numbers(status: str, ledger: Ledger) -> None:
    """A number that nobody has explained is unrecognised and changes no state."""
    recorded = ledger.record(
        "<NOTIFICATION><ORIGIN>MMS_MT</ORIGIN><CODE>N102</CODE><BODY><SENTAS>MMS</SENTAS>"
        f"<STATUS {status}/><TRACKINGID>k</TRACKINGID></BODY></NOTIFICATION>".encode()
    )
    assert recorded.event.reading == "unrecognised"
    assert (recorded.event.chart, recorded.event.key) == ("delivery", "k")


# --- the descendant ---


def hyphenated(**fields: str) -> bytes:
    """A JSON postback of the descendant about the tracking id k."""
    named = {name.replace("_", "-"): text for name, text in fields.items()}
    return json.dumps({"origin": "MMS_MT", "to": "1", "tracking-id": "k", **named}).encode()


@pytest.mark.parametrize(
    ("code", "status", "state"),
    [
        ("N103", "Expired", "expired"),
        ("N103", "Message Sent/Expired", "expired"),
        ("E101", "Failed", "failed"),
        ("E102", "Message Sent/Expired", "expired"),
        ("E102", "Message Sent/Rejected", "rejected"),
        ("E102", "Message Sent/Failed", "failed"),
        ("E102", "Message Sent/NotSupported", "failed"),
        ("E102", "Message Sent/Not Supported", "failed"),
        ("E102", "Rejected", "rejected"),
        ("E102", "Unrecognised", "failed"),
        ("E201", "Message Failed", "failed"),
        ("E201", "Failed", "failed"),
        ("E202", "Rejected", "rejected"),
        ("E202", "Message Sent/Failed", "failed"),
        ("N102", "Expired", "expired"),
        ("N102", "Rejected", "rejected"),
        ("N202", "Delivered", "delivered"),
        ("E999", "Failed", "failed"),
    ],
)
def test_outcomes_beyond(code: str, status: str, state: str, ledger: Ledger) -> None:
    """Each code beyond the specification, with each of its words, leads to its state."""
    recorded = ledger.record(hyphenated(code=code, status=status, sent_as="MMS", timestamp="x"))
    assert recorded.event.reading == "recognised"
    assert ledger.delivery("k").state == state


def test_fallback(ledger: Ledger) -> None:
    """A fallback SMS is delivered under the code of an MMS receipt with sent-as SMS."""
    ledger.record(hyphenated(code="N101", status="Sent", sent_as="SMS", status_details="too big"))
    ledger.record(hyphenated(code="N102", status="Delivered", sent_as="SMS"))
    delivery = ledger.delivery("k")
    assert (delivery.state, delivery.route, delivery.reason) == ("delivered", "degraded", "too big")
    assert "wrong_route" not in delivery.findings


@pytest.mark.parametrize(
    ("details", "route"),
    [
        (None, "xhtml"),
        ("", "xhtml"),
        ("Message Sent", "xhtml"),
        ("Sent", "xhtml"),
        ("Content too large", "degraded"),
    ],
)
@pytest.mark.parametrize("status", ["Sent", "Message Sent"])
def test_details_prove_no_degrading(
    status: str, details: str | None, route: str, ledger: Ledger
) -> None:
    """Of the descendant, details that merely repeat the status are no reason to call it degraded."""
    more = {} if details is None else {"status_details": details}
    ledger.record(
        hyphenated(code="N101", status=status, sent_as="SMS", operator_id="31002", **more)
    )
    assert ledger.delivery("k").route == route


def test_device_discovery(ledger: Ledger) -> None:
    """What becomes of a device-discovery message is never the state of the content it is sent for."""
    ledger.record(hyphenated(code="N101", status="Sent", sent_as="MMS"))
    before = ledger.delivery("k")
    for code, status in (("N501", "Sent"), ("E502", "Rejected"), ("N502", "Delivered")):
        recorded = ledger.record(hyphenated(code=code, status=status, status_details="asked"))
        assert (recorded.event.chart, recorded.event.key) == ("discovery", "k")
        assert recorded.delivery is None
    assert ledger.delivery("k") == before
    steps = ledger.timeline("k", chart="discovery")
    assert [step.after["discovery"] for step in steps[:1]] == ["sent"]
    assert steps[-1].after == {"discovery": "delivered"}
    assert "contradicts" in {step.verdict for step in steps}


@pytest.mark.parametrize(
    ("code", "more", "state", "failures"),
    [
        ("N003", {}, "saved", ()),
        ("N013", {}, "encoded", ()),
        ("E002", {"audio_name": "a.mp3"}, "failed", ("a.mp3",)),
        ("E003", {"video_name": "v.3gp"}, "failed", ("v.3gp",)),
        ("E004", {"image_name": "i.png"}, "failed", ("i.png",)),
        ("E011", {"status_details": "no slide"}, "failed", ("no slide",)),
        ("E012", {"audio_name": "a.mp3"}, "failed", ("a.mp3",)),
        ("E013", {"video_name": "v.3gp"}, "failed", ("v.3gp",)),
    ],
)
def test_content_beyond(
    code: str, more: dict[str, str], state: str, failures: tuple[str, ...], ledger: Ledger
) -> None:
    """Saving, encoding and each failure of it belong to the content, with what failed."""
    recorded = ledger.record(hyphenated(code=code, mms_id="39755", **more))
    assert (recorded.event.chart, recorded.event.key) == ("content", "39755")
    content = ledger.content("39755")
    assert (content.state, content.failures) == (state, failures)
    assert content.findings == ()


def test_queue_error_contradicted(ledger: Ledger) -> None:
    """An error of the queue beside a word of success is not guessed at."""
    assert ledger.record(hyphenated(code="E999", status="Sent")).event.reading == "unrecognised"
    assert ledger.record(hyphenated(code="E999")).verdict == "applied"
    assert ledger.delivery("k").state == "failed"


def test_specification_is_untouched(specification: list[bytes]) -> None:
    """The specification's postbacks are read by its own vocabulary alone."""
    with ledger_of(specification) as ledger:
        lexicon = ledger.definitions.lexicon
        for sample in specification:
            (postback,) = read(sample)
            assert lexicon.read(postback).vocabulary == "skycore"  # type: ignore[arg-type]


def test_names_are_ours(ledger: Ledger) -> None:
    """Whatever the wire calls them, the API has one name for each field."""
    one = body(("ORIGIN", "MMS_MT"), ("CODE", "N101"), ("SENTAS", "MMS"), ("STATUS", "Message Sent"),
               ("TRACKINGID", "a"), ("SPID", "007"), ("MMSID", "1"))  # fmt: skip
    ledger.record(one)
    ledger.record(
        hyphenated(code="N101", status="Sent", sent_as="MMS", operator_id="007", mms_id="1")
    )
    first, second = (ledger.delivery(key).to_dict() for key in ("a", "k"))
    assert first.keys() == second.keys()
    assert (first["spid"], first["mms_id"]) == (second["spid"], second["mms_id"]) == ("007", "1")


@pytest.mark.parametrize(
    "answer",
    [
        {"response": {"status": "Success", "tracking-id": "k", "to": "1", "mms-id": "39755"}},
        {"status": "Success", "tracking-id": "k", "to": "1", "mms-id": "39755"},
    ],
)
def test_answer_in_json(answer: dict[str, Any], ledger: Ledger) -> None:
    """The API's answer creates a delivery, whether or not something wraps it."""
    assert ledger.record(json.dumps(answer).encode()).verdict == "applied"
    delivery = ledger.delivery("k")
    assert (delivery.state, delivery.mms_id, delivery.findings) == ("created", "39755", ())
