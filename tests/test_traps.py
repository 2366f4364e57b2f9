"""The eight traps in the provider's own documents, each by what a ledger makes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import permutations

import pytest

from postledger import Ledger
from tests.conftest import FIXTURES, ledger_of
from tests.strategies import body

SAMPLES = {path.name[:2]: path.read_bytes() for path in (FIXTURES / "specification").glob("*.xml")}
SHARED = "TU1TXzU5Nzg3Nw=="


def postback(code: str, status: str, *more: tuple[str, str], origin: str = "MMS_MT") -> bytes:
    """A postback about the tracking id k."""
    said = {"ORIGIN": origin, "CODE": code, "STATUS": status, "TO": "1", "TRACKINGID": "k"}
    return body(*{**said, **dict(more)}.items())


def test_trap_1_code_and_status_are_read_together(ledger: Ledger) -> None:
    """A receipt under the code of a sending is a receipt, and a receipt's code doesn't mean delivered."""
    ledger.record(postback("N201", "Message Sent", origin="SMS_MT"))
    ledger.record(postback("N201", "Message Sent/Delivered", origin="SMS_MT"))
    assert (ledger.delivery("k").state, ledger.delivery("k").route) == ("delivered", "sms")
    for number, (status, state) in enumerate(
        (("Message Sent/Expired", "expired"), ("Message Sent/Rejected", "rejected"))
    ):
        key = ("TRACKINGID", f"m{number}")
        ledger.record(postback("N102", status, ("SENTAS", "MMS"), key))
        assert ledger.delivery(key[1]).state == state
    # The same fallback, in the words of the specification and in those of the descendant.
    for number, code in enumerate(("N202", "N102")):
        key = ("TRACKINGID", f"f{number}")
        ledger.record(postback(code, "Message Sent/Delivered", ("SENTAS", "SMS"), key))
        assert (ledger.delivery(key[1]).state, ledger.delivery(key[1]).route) == (
            "delivered",
            "xhtml",
        )


def test_trap_1_unknown_pairs_change_nothing(ledger: Ledger) -> None:
    """A known code with a word it never had, or a known word under an unknown code, is listed only."""
    ledger.record(postback("N101", "Message Sent", ("SENTAS", "MMS")))
    before = ledger.delivery("k")
    for code, status in (("N101", "Message Sent/Delivered"), ("N333", "Message Sent/Delivered")):
        assert (
            ledger.record(postback(code, status, ("SENTAS", "MMS"))).event.reading == "unrecognised"
        )
    after = ledger.delivery("k")
    assert (after.state, after.route) == (before.state, before.route)
    assert (after.events, "unrecognised" in after.findings) == (3, True)


@pytest.mark.parametrize("second", [b"", b"<STATUSDETAILS>"])
def test_trap_2_the_unclosed_leaf_is_read(second: bytes, ledger: Ledger) -> None:
    """The malformed sample, as printed and with its second opening tag, is read, and marked so."""
    printed = SAMPLES["09"]
    end = printed.rindex(b"\n</POSTBACK>")
    recorded = ledger.record(printed[:end] + second + printed[end:])
    assert recorded.delivery is not None
    assert (recorded.event.reading, recorded.delivery.state) == ("recognised", "failed")
    assert recorded.delivery.reason == (
        "Error fetching object(Database Error: Could not find number/email imported in database)"
    )
    assert "repaired" in recorded.delivery.findings
    assert recorded.event.body == printed[:end] + second + printed[end:]


def test_trap_2_which_came_first_does_not_matter() -> None:
    """A repaired body and the same well formed give the same findings in either order."""
    printed = SAMPLES["09"]
    whole = printed.replace(b"\n</POSTBACK>", b"</STATUSDETAILS>\n</POSTBACK>")
    found = []
    for bodies in permutations((printed, whole)):
        with ledger_of(bodies) as ledger:
            delivery = ledger.delivery(SHARED)
            found.append({*delivery.findings} - {"late", "repeated"})
            assert delivery.state == "failed"
    assert found[0] == found[1]
    assert "repaired" in found[0]


def test_trap_3_node_lists_and_samples_disagree(specification: list[bytes]) -> None:
    """What the samples leave out of the node lists, or name otherwise, is no breach."""
    with ledger_of(specification) as ledger:
        findings = {f for delivery in ledger.deliveries() for f in delivery.findings}
        assert "node_missing" not in findings
        assert "timestamp_missing" in ledger.delivery(SHARED).findings
        assert ledger.delivery("U01TXzgwNjc4").aggregator_id == "11529-64807-97508-73852-97658"
        content = ledger.content("35674")
        assert (content.saved, content.state, content.failures) == (True, "failed", ("sample.mp3",))


def test_trap_3_aggregator_by_either_name(ledger: Ledger) -> None:
    """The aggregator is known by the name in the node list and by that in the sample."""
    ledger.record(SAMPLES["02"].replace(b"AGGREGATORID", b"AGGREGATOR"))
    delivery = ledger.delivery("U01TXzgwNjc4")
    assert delivery.aggregator_id == "11529-64807-97508-73852-97658"
    assert "node_missing" not in delivery.findings


def test_trap_4_the_samples_that_share_an_id(ledger: Ledger) -> None:
    """In document order they are a restated sending, a repeat, and a failure after the delivery."""
    verdicts = [ledger.record(SAMPLES[number]).verdict for number in ("05", "06", "07", "08", "09")]
    assert verdicts == ["applied", "applied", "late", "repeated", "contradicts"]
    delivery = ledger.delivery(SHARED)
    assert (delivery.state, delivery.route) == ("delivered", "degraded")
    assert delivery.reason == "Handset setting: mms with pass via xHTML;"
    assert (delivery.events, delivery.repeats) == (4, 1)
    assert "contradiction" in delivery.findings


def test_trap_4_in_any_order() -> None:
    """The five samples give the same delivery in all of their 120 orders but for what is of arrival."""
    orders = list(permutations(("05", "06", "07", "08", "09")))
    told = [
        SAMPLES[number].replace(SHARED.encode(), f"k{order}".encode())
        for order, numbers in enumerate(orders)
        for number in numbers
    ]
    found = set()
    with ledger_of(told) as ledger:
        for order in range(len(orders)):
            row = ledger.delivery(f"k{order}").to_dict()
            del row["tracking_id"]
            row["findings"] = tuple(f for f in row["findings"] if f != "late")
            found.add(json.dumps(row))
    assert len(found) == 1


def test_trap_5_a_receipt_stamped_before_the_sending(ledger: Ledger) -> None:
    """A receipt stamped 0.135 s before its sending is still the later of the two, and is told."""
    sending = postback(
        "N101", "Message Sent", ("SENTAS", "MMS"), ("TIMESTAMP", "2013-11-05T05:41:08.135-05:00")
    )
    early = ("TIMESTAMP", "2013-11-05T05:41:08-05:00")
    receipt = postback("N102", "Message Sent/Delivered", ("SENTAS", "MMS"), early)
    ledger.record_many([sending, receipt])
    delivery = ledger.delivery("k")
    assert delivery.state == "delivered"
    assert "clock_disorder" in delivery.findings
    assert [step.trigger for step in ledger.timeline("k")] == ["sent_binary", "delivered"]
    assert delivery.outcome_at < delivery.sent_at  # type: ignore[operator]


FORMS = {
    "2013-11-05T05:41:08-05:00": (2013, 11, 5, 10, 41, 8, 0),
    "2014-07-02T14:32:23.123456-04:00": (2014, 7, 2, 18, 32, 23, 123456),
    "2014-07-02T14:32:23-04": (2014, 7, 2, 18, 32, 23, 0),
    "2011-07-26 10:22:25.262743-04": (2011, 7, 26, 14, 22, 25, 262743),
    "2012-06-07 07:27:29": (2012, 6, 7, 7, 27, 29, 0),
    "2024-03-11T09:15:02.118204+00:00": (2024, 3, 11, 9, 15, 2, 118204),
    "2024-03-11T09:15:39Z": (2024, 3, 11, 9, 15, 39, 0),
}


@pytest.mark.parametrize("form", FORMS)
def test_trap_6_forms_of_timestamps(form: str, ledger: Ledger) -> None:
    """Each form of a timestamp is the moment it says; one without a zone is told."""
    ledger.record(postback("N101", "Message Sent", ("SENTAS", "MMS"), ("TIMESTAMP", form)))
    delivery = ledger.delivery("k")
    assert delivery.sent_at == datetime(*FORMS[form], tzinfo=UTC)
    assert ("timestamp_naive" in delivery.findings) is (form == "2012-06-07 07:27:29")


@pytest.mark.parametrize(
    "key",
    [
        "TU1TXzU5Nzg3OQ==",
        "SMS_12345",
        "sms_12345",
        "0012",
        "12",
        "1e3",
        "00",
        "MMS_MO_iLnCRrL6",
        "Ä/ö+=&",
    ],
)
def test_trap_7_ids_are_opaque(key: str, ledger: Ledger) -> None:
    """An id is kept character by character, in XML and in JSON, and so are a carrier's zeros."""
    escaped = key.replace("&", "&amp;")
    ids = (("TRACKINGID", escaped), ("SPID", "0001470"))
    ledger.record(postback("N101", "Message Sent", ("SENTAS", "MMS"), *ids))
    ledger.record(
        f'{{"origin": "MMS_MT", "code": "N102", "sent-as": "MMS", "status": "Delivered",'
        f' "to": "1", "tracking-id": "{key}", "operator-id": "0001470"}}'.encode()
    )
    (delivery,) = ledger.deliveries()
    assert (delivery.tracking_id, delivery.spid) == (key, "0001470")
    assert (delivery.state, delivery.events) == ("delivered", 2)


def test_trap_7_ids_that_differ_little(ledger: Ledger) -> None:
    """Ids that differ in case, zeros or padding are different messages."""
    keys = ["TU1TXzE=", "tu1txze=", "TU1TXzE", "0012", "12", "012", "12.0"]
    ledger.record_many(
        [postback("N101", "Message Sent", ("SENTAS", "MMS"), ("TRACKINGID", k)) for k in keys]
    )
    assert [delivery.tracking_id for delivery in ledger.deliveries()] == keys


def test_trap_7_a_number_in_json_keeps_its_digits(ledger: Ledger) -> None:
    """An id that JSON writes as a number is the text that was written."""
    ledger.record(
        b'{"origin": "MMS_MT", "code": "N101", "sent-as": "MMS", "status": "Sent", "to": 1,'
        b' "tracking-id": 12345678901234567890123, "operator-id": 31002}'
    )
    (delivery,) = ledger.deliveries()
    assert (delivery.tracking_id, delivery.spid) == ("12345678901234567890123", "31002")


def test_trap_8_entities_in_details(ledger: Ledger) -> None:
    """Entities in the details are decoded once, and the body stays as it came."""
    sent = postback(
        "E101", "Message Failed", ("STATUSDETAILS", "?smpp?deliver_sm=4&amp;a=&lt;b&gt;")
    )
    recorded = ledger.record(sent)
    assert recorded.delivery is not None
    assert recorded.delivery.reason == "?smpp?deliver_sm=4&a=<b>"
    assert recorded.event.body == sent
