"""Masking: no personal number in a masked report, whichever way it came."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from postledger import Ledger, Receipt, UnknownKey
from postledger.audit.mask import HIDDEN, Mask, mask, tells
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


@pytest.mark.parametrize("text", ["a" * 201, "&#" + "9" * 5000 + ";"])
def test_a_long_id_is_hidden_whatever_it_holds(text: str) -> None:
    """It is not even looked at: Python refuses to read so many digits as a number."""
    assert Mask(frozenset()).id(text, TO) == HIDDEN


DIGITS = [
    "".join(chr(at) for at in range(start, start + 10))
    for start in range(0x30, 0x1FBFA)
    if [unicodedata.digit(chr(at), None) for at in range(start, start + 10)] == list(range(10))
]
"""The digits of every script."""


@st.composite
def spelled(draw: st.DrawFn, number: str = TO) -> str:
    """A spelling of a number: digits of some script, something between them, encodings around them."""
    digits = draw(st.sampled_from(DIGITS))
    between = draw(st.text(st.characters(codec="utf-8", categories=["P", "Z", "S"]), max_size=2))
    text = draw(st.sampled_from(["", "+", "tel:", "00"])) + between.join(
        digits[int(one)] for one in number
    )
    for encode in draw(st.lists(st.sampled_from(ENCODINGS), max_size=3)):
        text = encode(text)
    return text


ENCODINGS: list[Callable[[str], str]] = [
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    lambda text: text.encode().hex(),
    quote_plus,
    html.escape,
    lambda text: "".join(f"&#{ord(char)};" for char in text),
    lambda text: text[::-1],
    lambda text: base64.b32encode(text.encode()).decode(),
]


FIELDS = ("STATUSDETAILS", "STATUS", "CODE", "UNKNOWN", "AUDIONAME", "FROM")


@given(spelled(), st.sampled_from(FIELDS), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_spelling_of_a_number_is_told(text: str, field: str, to: bool) -> None:
    """Whatever field it stands in that is neither recipient nor id, and however it is spelled."""
    fields = {
        "ORIGIN": "MMS_MT", "CODE": "E101", "STATUS": "Message Failed", "MMSID": "1", "SPID": "1",
        "TRACKINGID": "ONE", **({"TO": TO} if to else {}), field: text,
    }  # fmt: skip
    body = "".join(f"<{name}>{html.escape(said)}</{name}>" for name, said in fields.items())
    with ledger_of(
        [Receipt(f"<POSTBACK>{body}</POSTBACK>".encode(), "text/xml; n=" + TO)]
    ) as ledger:
        reports = [ledger.audit()]
        with suppress(UnknownKey):
            reports.append(ledger.audit(tracking_id="ONE"))
        for report in reports:
            told = report.to_html() + report.to_markdown() + report.to_json()
            assert TO not in told
            assert text not in told
            assert html.escape(text) not in told


@given(spelled(), st.sampled_from(["MMSID", "SPID", "MMDHANDSET", "AGGREGATORID"]))
@settings(max_examples=60, deadline=None)
def test_no_id_tells_the_recipient(text: str, field: str) -> None:
    """Where it is the number in plain, in digits of any script, or in a known encoding."""
    assume(tells(text, TO))
    body = SAID.format("x").replace(
        "<MMSID>1</MMSID><TO>", f"<{field}>{html.escape(text)}</{field}><TO>"
    )
    body = body.replace("<SPID>0001470</SPID>", "") if field == "SPID" else body
    with ledger_of([Receipt(body.encode(), "text/xml")]) as ledger:
        for report in (ledger.audit(), ledger.audit(tracking_id="ONE")):
            assert text not in report.to_json()


@pytest.mark.parametrize(
    "text",
    [
        TO, "+1 (650) 333-3058", "6503333058", "tel:1.650.333.3058", "１６５０３３３３０５８",
        "MTY1MDMzMzMwNTg=", "31363530333333333035 38".replace(" ", ""), "1%36503333058",
        "TVRZMU1ETXpNek13TlRnPQ==", "&#49;6503333058", "\\u00316503333058", "x-16503333058-y",
    ],
)  # fmt: skip
def test_an_encoded_number_is_told_from_an_id(text: str) -> None:
    """Escapes and encodings are undone, three around each other."""
    assert tells(text, TO)
    assert not tells("11529-64807-97508-73852-97658", TO)


@pytest.mark.parametrize(
    "text",
    [
        "msg-MTY1MDMzMzMwNTg=", "MT_MTY1MDMzMzMwNTg=", "sms/MTY1MDMzMzMwNTg", "GE3DKMBTGMZTGMBVHA======",
        "id-3136353033333333303538", "MQA2ADUAMAAzADMAMwAzADAANQA4AA==", "/zE2NTAzMzMzMDU4",
        "一六五〇三三三三〇五八", "①⑥⑤⓪③③③③⓪⑤⑧", "=31=36=35=30=33=33=33=33=30=35=38", "%u00316503333058",
        "\\u{31}6503333058", "eyJhIjoxfQ.eyJzdWIiOiIxNjUwMzMzMzA1OCJ9.x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("recipient", [TO, None, "4915112345678"])
def test_an_id_tells_a_number_in_part_or_in_an_odd_encoding(
    text: str, recipient: str | None
) -> None:
    """Whether the number is the recipient's or, as far as is known, anybody's."""
    assert tells(text, recipient)


@pytest.mark.parametrize(
    "text",
    [
        "UMTY1MDMzMzMwNTg",
        "0x3d7ace0c2",
        "F*Y?YGcz+YFf}*",
        "165033330",
        "x0333305",
        "x650333",
        "\\616503333058",
    ],
)
def test_an_id_tells_the_recipient_by_few_digits_or_by_a_shifted_encoding(text: str) -> None:
    """The six next to the four that are shown, or any seven; hexadecimal numbers and base85 too."""
    assert tells(text, TO)
    assert not tells("x033330", TO)


@pytest.mark.parametrize("to", ["47123456", "471234567"])
def test_a_short_number_as_carrier_or_handset_is_hidden(to: str) -> None:
    """Also in lists by carrier, where no recipient says how long numbers are."""
    fields = f"<SPID>{to}</SPID><HANDSET>{to}</HANDSET></POSTBACK>"
    body = SAID.format("x").replace(TO, to).replace("</POSTBACK>", fields).encode()
    with ledger_of([Receipt(body, "text/xml")]) as ledger:
        for report in (ledger.audit(), ledger.audit(tracking_id="ONE")):
            assert to not in report.to_html() + report.to_markdown() + report.to_json()


@pytest.mark.parametrize("named", [["47999999", "47123456"], ["47123456", "47999999"]])
def test_an_id_that_tells_another_recipient_is_hidden(named: list[str]) -> None:
    """Where events of a delivery name several, an id may be the number of any."""
    key = "t47123456"
    bodies = [SAID.format("x").replace(TO, to).replace("ONE", key).encode() for to in named]
    with ledger_of(Receipt(body, "text/xml") for body in bodies) as ledger:
        for report in (ledger.audit(), ledger.audit(tracking_id=key)):
            assert "47123456" not in report.to_html() + report.to_markdown() + report.to_json()


IDS = [
    "0A0000000123ABCD5", "9539975a-0001", "ORDER-20261127-0001", "26030210000000000010001",
    "SM0123456789abcdef0123456789abcdef", "3f1b0c52-7788-4a55-9d31-123456789012", "x16503333058",
    "20261127/000123", "2026-11-27T10:00:00", "123e4567-e89b-12d3-a456-426614174000", "1a6503333058",
]  # fmt: skip
"""As providers make them: with as many digits as a number, and more, yet none that anyone dials."""


@pytest.mark.parametrize("text", IDS)
@pytest.mark.parametrize("recipient", [None, "491577889944", "+12025550105", "+15550100018"])
def test_an_id_with_letters_or_of_another_length_is_shown(text: str, recipient: str | None) -> None:
    """Letters end a number, and only the whole of an id may be anybody's."""
    assert Mask(frozenset()).id(text, recipient) == text


@given(st.uuids(), st.from_regex(r"\+[1-9][0-9]{9,13}", fullmatch=True))
@settings(deadline=None)
def test_a_uuid_is_shown_unless_it_tells_the_recipient(key: UUID, recipient: str) -> None:
    """Of its own digits alone it is never hidden; nearly all have letters between them."""
    text = str(key)
    assume(re.search("[a-f]", text))
    assert Mask(frozenset()).id(text) == text
    shown = Mask(frozenset()).id(text, recipient)
    assert shown == text or tells(text, recipient)
    assert tells(f"{text}-{recipient}", recipient)


@given(
    st.from_regex(r"[1-9][0-9]{9,14}", fullmatch=True),
    st.lists(st.sampled_from(["", "-", ".", " ", "(", ")", " - ", "\u2011", "\xa0"]), min_size=15),
    st.sampled_from(["", "+", "00", "tel:", "whatsapp:+", "(+", " "]),
)
def test_an_id_that_is_a_number_is_hidden(number: str, between: list[str], before: str) -> None:
    """Whoever it belongs to, as people and as addresses write it."""
    text = before + "".join(map("".join, zip(number, between, strict=False)))
    assert Mask(frozenset()).id(text, "4915112345678") == HIDDEN
    assert Mask(frozenset()).id(text) == HIDDEN


def test_a_hidden_id_is_traced_by_its_first_event() -> None:
    """Its row, and the title of its dossier, say at which position that event stands."""
    key, other = "14155550123", "14155550124"
    bodies = [SAID.format("x").replace("ONE", one).encode() for one in (key, other, key)]
    with ledger_of(Receipt(body, "text/xml") for body in bodies) as ledger:
        first = {key: 1, other: 2}
        report = ledger.audit()
        for told in (report.to_html(), report.to_markdown()):
            assert all(f"{HIDDEN} (position {position})" in told for position in first.values())
        listed = next(one["listed"] for one in report.to_dict()["findings"] if one["listed"])
        assert [(one["tracking_id"], one["first"]) for one in listed] == [(HIDDEN, 2), (HIDDEN, 1)]
        for one, position in first.items():
            dossier = ledger.audit(tracking_id=one)
            assert f"<h1>{HIDDEN} (position {position}) stands failed</h1>" in dossier.to_html()
            assert (
                f"Dossier of the delivery {HIDDEN} (position {position})" in dossier.to_markdown()
            )


def test_a_text_that_looks_hidden_is_hidden_as_another() -> None:
    """Else the figures of one carrier would stand for those of the other."""
    made = Mask(frozenset())
    assert [made.label(one) for one in (TO, "••• 1", TO)] == ["••• 1", "••• 2", "••• 1"]


@pytest.mark.parametrize("text", ["33-30-58", "３３３０５８", "m33 3058"])
def test_a_short_recipient_is_told_by_its_digits(text: str) -> None:
    """Whatever stands between them."""
    assert tells(text, "333058")
    assert not tells(text, "333059")


def test_space_source_and_file_of_a_masked_dossier_tell_no_number(tmp_path: Path) -> None:
    """They are given by the program, or taken from the wire."""
    body = SAID.format("x").replace(TO, "45123456").encode()
    with Ledger(tmp_path / f"{TO}.db") as ledger:
        ledger.record(body, source="gw-45123456")
        ledger.created("TWO", to="45123456", space=TO)
        for report in (
            ledger.audit(),
            ledger.audit(tracking_id="ONE"),
            ledger.audit(tracking_id="TWO", space=TO),
        ):
            for told in (report.to_json(), report.to_html(), report.to_markdown()):
                assert TO not in told
                assert "45123456" not in told


def test_words_of_the_definitions_are_shown() -> None:
    """Codes and statuses that the vocabularies list stay; so do carriers."""
    with ledger_of([Receipt(SAID.format("x").encode(), "text/xml")]) as ledger:
        report = json.loads(ledger.audit(tracking_id="ONE").to_json())
        (event,) = report["delivery"]["timeline"]
        assert (event["code"], event["status"]) == ("E101", "Message Failed")
        assert (event["details"], event["body"]) == ("•••", None)
        assert report["delivery"]["spid"] == "0001470"
        assert report["delivery"]["to"] == "•••••••3058"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("text/xml", "text/xml"),
        ("Application/JSON; charset=UTF-8", "Application/JSON; charset=UTF-8"),
        (f"text/xml; charset={TO}", "text/xml; •••"),
        (f"multipart/form-data; boundary={TO}", "multipart/form-data; •••"),
        (f"text/{TO}", "•••"),
        (f"application/{TO}+json", "•••"),
        ("", "•••"),
        (None, None),
    ],
)
def test_of_content_types_those_are_shown_that_bodies_are_read_by(
    text: str | None, shown: str | None
) -> None:
    """Of their parameters only a usual charset."""
    assert Mask(frozenset()).media(text) == shown
    assert Mask().media(text) == text


def test_of_a_reason_the_half_that_is_listed_is_shown() -> None:
    """It came from a table; the rest is hidden as one, and all of it where its digits could tell."""
    made = Mask(frozenset({"expired", "a; b", "165", "033", "x"}))
    assert made.text("expired; 001; of 16503333058") == f"expired; {HIDDEN}"
    assert made.text("a; b") == "a; b"
    assert made.text("expired; x") == "expired; x"
    assert made.text("x; x") == "x; x"
    assert made.text("165; 033; 33058") == HIDDEN
    assert made.text("nothing; listed") == HIDDEN


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
        # A hash may have any digits.
        told = re.sub(r"[0-9a-f]{32,}", "", told)
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
def test_a_number_of_nobody_known_is_masked(other: str, to: str) -> None:
    """Whether the postback names a recipient or none: nothing tells a second number."""
    body = SAID.format(other).replace(f"<TO>{TO}</TO>", to)
    with ledger_of([Receipt(body.encode(), "text/xml")]) as ledger:
        for report in (ledger.audit(), ledger.audit(tracking_id="ONE")):
            assert other not in report.to_html() + report.to_markdown() + report.to_json()
        assert other in ledger.audit(unmask=True).to_json()


def test_a_source_that_is_a_number_is_hidden() -> None:
    """An import may state any source; the name of an endpoint is shown."""
    with ledger_of(
        [
            Receipt(SAID.format("a").encode(), "text/xml", source=TO),
            Receipt(SAID.format("b").encode(), "text/xml", source="skycore-2"),
        ]
    ) as ledger:
        report = json.loads(ledger.audit(tracking_id="ONE").to_json())
    sources = {event["source"] for event in report["delivery"]["timeline"]}
    assert sources == {"•••", "skycore-2"}


@pytest.mark.parametrize("status", ["EXPIRED", "Expired", "expired"])
def test_a_word_known_in_any_case_is_shown(tmp_path: Path, status: str) -> None:
    """A masked report shows it as received, with what its code means; other texts are hidden."""
    receipt = f"id:K sub:001 dlvrd:000 done date:2611270101 stat:{status} err:"
    with Ledger(tmp_path / "l.db", providers=["smpp"]) as ledger:
        ledger.record(receipt.encode(), "text/plain")
        said = json.loads(ledger.audit(tracking_id="K").to_json())["delivery"]
    assert said["timeline"][0]["status"] == status
    assert said["reason"] == "EXPIRED: expired before it could be delivered"
