"""Masking: no personal number in a masked report, whichever way it came."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import Ledger, Receipt
from postledger.audit.mask import hide, hide_numbers, mask, mask_in, tells
from tests.audit.traffic import traffic
from tests.conftest import FIXTURES, ledger_of

TO = "16503333058"
SAID = f"""<POSTBACK><ORIGIN>MMS_MT</ORIGIN><CODE>E101</CODE><STATUS>Message Failed</STATUS>
<MMSID>1</MMSID><TO>{TO}</TO><TRACKINGID>ONE</TRACKINGID><SPID>0001470</SPID>
<STATUSDETAILS>No route to {{}}</STATUSDETAILS></POSTBACK>"""


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        (TO, "•••••••3058"),
        ("+1 650 333 3058", "•••••••••••3058"),
        ("30581", "•••81"),
        ("7", "•"),
        ("", ""),
        ("someone@example.org", "•••••••••••••••.org"),
    ],
)
def test_mask_shows_four_characters_and_never_more_than_half(recipient: str, shown: str) -> None:
    """A short code is not given away by its last four digits."""
    assert mask(recipient) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"<TO>{TO}</TO>", "<TO>•••••••3058</TO>"),
        ("to 6503333058.", "to ••••••3058."),
        ("to 333-3058 now", "to •••-3058 now"),
        ("+1 (650) 333-3058", "+• (•••) •••-3058"),
        (f"00{TO}", "00•••••••3058"),
        ("at 2013-11-05T05:41:08", "at 2013-11-05T05:41:08"),
        ("0001470", "0001470"),
    ],
)
def test_number_is_masked_however_it_is_spelled(text: str, shown: str) -> None:
    """With prefix or without, with separators or without; other numbers stay."""
    assert mask_in(text, [TO]) == shown


def test_short_recipient_is_masked_as_a_word() -> None:
    """A short code is masked where it stands alone, not inside other numbers."""
    assert mask_in("<TO>3058</TO> 130581", ["3058"]) == "<TO>••58</TO> 130581"


@given(
    st.text("0123456789", min_size=7, max_size=15),
    st.text("<>ab: \n", max_size=5),
    st.text("<>ab: \n", max_size=5),
    st.sampled_from(["", " ", "-", ". "]),
)
def test_masked_text_keeps_its_shape_and_tells_nothing(
    number: str, before: str, after: str, between: str
) -> None:
    """Masking changes no length, nothing around the number, and leaves four digits at most."""
    text = before + between.join(number) + after
    shown = mask_in(text, [number])
    assert len(shown) == len(text)
    assert shown.startswith(before)
    assert shown.endswith(after)
    assert len(re.findall(r"\d", shown)) <= 4
    assert not tells(shown, [number])


def test_hide_leaves_nothing_of_the_recipient() -> None:
    """Reasons that quote different recipients become the same reason."""
    assert hide(f"no {TO}", TO) == hide("no 16501112222", "16501112222") == "no •••"
    assert hide("no number", TO) == "no number"
    assert hide(None, TO) is None
    assert hide("kept", None) == "kept"
    assert hide_numbers("sms to 650 333 3058") == "sms to ••• ••• 3058"


@pytest.mark.parametrize(
    "encoded",
    [
        quote_plus(TO).replace("3", "%33"),
        "".join(f"&#{ord(digit)};" for digit in TO),
        "".join(f"\\u{ord(digit):04x}" for digit in TO),
    ],
)
def test_body_that_tells_in_code_is_not_shown(encoded: str) -> None:
    """Where escapes hide the number from masking, the body is withheld, and the report says so."""
    receipt = Receipt(SAID.format(encoded).encode(), "text/xml", datetime(2026, 1, 1, tzinfo=UTC))
    with ledger_of([receipt]) as ledger:
        shown = ledger.audit(tracking_id="ONE").to_html()
        assert "Not shown: it tells a personal number" in shown
        assert encoded not in shown
        assert "Not shown" not in ledger.audit(tracking_id="ONE", unmask=True).to_html()


@pytest.fixture(scope="module")
def recipients() -> dict[str, str]:
    """The recipient of each delivery of the traffic."""
    bodies = [receipt.body.decode() for receipt in traffic(120, seed=4)]
    found = (re.findall(r"<(TRACKINGID|TO)>(.*?)</", body) for body in bodies)
    return {d["TRACKINGID"]: d["TO"] for pairs in found if len(d := dict(pairs)) == 2}


def test_masked_report_tells_no_number(recipients: dict[str, str]) -> None:
    """In no form of a report is a recipient, or its last seven digits, to be found."""
    with ledger_of(traffic(120, seed=4)) as ledger:
        reports = [ledger.audit(), *(ledger.audit(tracking_id=key) for key in [*recipients][:25])]
        told = "".join(f"{r.to_html()}{r.to_markdown()}{r.to_json()}" for r in reports)
        for to in recipients.values():
            assert to[-7:] not in told
        key, to = next(iter(recipients.items()))
        assert to in ledger.audit(tracking_id=key, unmask=True).to_html()
        assert f"•••••••{to[-4:]}" in ledger.audit(tracking_id=key).to_html()


def test_a_code_that_is_a_number_is_masked() -> None:
    """A provider may put the recipient anywhere: the code of an event is a text like any other."""
    known = SAID.format("them").encode()
    unread = known.replace(b"E101", TO.encode())
    with ledger_of([Receipt(known, "text/xml"), Receipt(unread, "text/xml")]) as ledger:
        for report in (ledger.audit(), ledger.audit(tracking_id="ONE")):
            assert TO not in report.to_html() + report.to_markdown() + report.to_json()
        assert TO in ledger.audit(unmask=True).to_json()


def test_bundle_does_not_tell_the_others(ledger: Ledger) -> None:
    """A body that bundles several postbacks shows none of its recipients."""
    body = (FIXTURES / "generations" / "g0" / "bundle.xml").read_bytes()
    numbers = set(re.findall(rb"<TO>(\d+)</TO>", body))
    assert len(numbers) > 1
    recorded = ledger.record(body)
    for one in (recorded, *recorded.others):
        if one.delivery is not None:
            dossier = ledger.audit(tracking_id=one.delivery.tracking_id)
            for shown in (dossier.to_html(), dossier.to_json(), dossier.to_markdown()):
                assert not [number for number in numbers if number.decode() in shown]


def test_all_recipients_of_a_delivery_are_masked(ledger: Ledger) -> None:
    """Where the events of one delivery name different recipients, none is told."""
    for to in (TO, "16501112222"):
        ledger.record(SAID.format("x").replace(TO, to).replace("E101", "N101").encode())
        ledger.record(SAID.format("16501112222").replace(TO, to).encode())
    shown = ledger.audit(tracking_id="ONE")
    for form in (shown.to_html(), shown.to_json(), shown.to_markdown()):
        assert TO not in form
        assert "16501112222" not in form
    assert json.loads(shown.to_json())["request"]["masked"] is True


@pytest.mark.parametrize("other", ["16501112222", "1 (650) 111-2222", "１６５０１１１２２２２"])
@pytest.mark.parametrize("to", ["", f"<TO>{TO}</TO>"])
def test_a_number_of_nobody_known_is_masked_in_reasons(other: str, to: str) -> None:
    """Whether the postback names a recipient or none: reasons and details tell no second number."""
    body = SAID.format(other).replace(f"<TO>{TO}</TO>", to)
    with ledger_of([Receipt(body.encode(), "text/xml")]) as ledger:
        figures = ledger.audit()
        assert other not in figures.to_html() + figures.to_markdown() + figures.to_json()
        dossier = json.loads(ledger.audit(tracking_id="ONE").to_json())
        for event in dossier["delivery"]["timeline"]:
            event.pop("body")
        assert other not in json.dumps(dossier, ensure_ascii=False)
        assert other in ledger.audit(unmask=True).to_json()
