"""Shapes: what bodies share is kept once, and every body comes back byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from postledger import Ledger, Receipt, wire
from postledger.definitions.definitions import builtin
from postledger.log.chain import START
from postledger.log.entry import IMPORTED
from postledger.log.schema import APPLICATION_ID, FORMAT
from postledger.log.shapes import Shape, shape_of, unreadable, unreadable_digest
from tests.conftest import ledger_of

WORDS = builtin().lexicon.words


def shaped(body: bytes, content_type: str | None = None) -> tuple[Shape, list[str]]:
    """The shape of a body with one message, and its varying texts."""
    (message,) = wire.read(body, content_type, wire.Limits())
    assert not isinstance(message, Exception)
    return shape_of(message, body, content_type, WORDS)


def fields(count: int) -> bytes:
    """A body of so many fields, none of which decides over the meaning."""
    return b"<A>%b</A>" % b"".join(b"<F%d>%d</F%d>" % (n, n, n) for n in range(count))


@pytest.mark.parametrize(
    ("body", "template"),
    [
        (b"<A><TO>1</TO></A>", "<A><TO>%s</TO></A>"),
        (b"<A><TO>1</TO>\r\n</A> ", "<A><TO>%s</TO>\r\n</A> "),
        (b"<A><TO>1</TO><B/></A>", None),
        (b"<A><CODE>N101</CODE><TO>1</TO></A>", "<A><CODE>N101</CODE><TO>%s</TO></A>"),
        (b"<A> 5% <TO>100%</TO> %s</A>", None),
        (b"<A><TO>100%</TO><CODE>N101</CODE></A>", "<A><TO>%s</TO><CODE>N101</CODE></A>"),
        (b"<A x='5%'><TO>1</TO></A>", None),
        (b"<A><!-- 5% --><TO>1</TO></A>", "<A><!-- 5%% --><TO>%s</TO></A>"),
        (b"<A xmlns:xsi='u' xsi:s='5%'><TO>1</TO></A>", "<A xmlns:xsi='u' xsi:s='5%%'><TO>%s</TO></A>"),
        (b"<A created='now'><TO>1</TO></A>", None),
        ("<A><TO>\u00fc</TO></A>".encode(), "<A><TO>%s</TO></A>"),
        (b"<?xml version='1.0' encoding='latin-1'?><A><TO>1</TO></A>",
         "<?xml version='1.0' encoding='latin-1'?><A><TO>%s</TO></A>"),
        ("<?xml version='1.0' encoding='latin-1'?><A><TO>\u00fc</TO></A>".encode("latin-1"), None),
        ("<?xml version='1.0' encoding='utf-8'?><A><TO>\u00fc</TO></A>".encode(), None),
        (b"<A><TO> 1</TO></A>", None),
        (b"<A><TO>1 </TO></A>", None),
        (b"<A><CODE> N101 </CODE><TO>1</TO></A>", "<A><CODE> N101 </CODE><TO>%s</TO></A>"),
        (b"<A><TO>a &amp; b</TO></A>", None),
        (b"<A><TO><![CDATA[1]]></TO></A>", None),
        (b"<A><B><TO>1</TO></B></A>", None),
        (b'{"to": "1", "code": "N101"}', '{"to": "%s", "code": "N101"}'),
        (b'{"to": "5%"}', '{"to": "%s"}'),
        (b'{"to": 1}', None),
        (b'{"to": "a\\n"}', None),
    ],
)  # fmt: skip
def test_a_template_has_holes_where_texts_vary(body: bytes, template: str | None) -> None:
    """Its texts give the body back; a body that would not come back so has no template."""
    shape, values = shaped(body)
    assert shape.template == template
    assert shape.body(values) == (None if template is None else body)


@pytest.mark.parametrize(("count", "has_template"), [(39, True), (40, True), (41, False)])
def test_a_template_leaves_no_more_open_than_the_views_fill(count: int, has_template: bool) -> None:
    """With more holes than that a body is kept whole; the views show it either way."""
    body = fields(count)
    shape, values = shaped(body)
    assert (shape.template is not None) == has_template
    assert len(values) == count
    with ledger_of([body]) as ledger:
        ((shown,),) = ledger._connections.own().log.db.execute("SELECT body FROM event_log")
        assert shown == body.decode()


def test_words_that_decide_are_part_of_the_shape() -> None:
    """Two bodies share a shape where the same words decide and only other texts differ."""
    form = b"<A><CODE>%b</CODE><TO>%b</TO></A>"
    one, other, third = (
        shaped(form % said) for said in ((b"N101", b"1"), (b"N101", b"2"), (b"N102", b"1"))
    )
    assert one[0] == other[0] != third[0]
    assert (one[1], other[1], third[1]) == (["1"], ["2"], ["1"])
    assert one[0].fields == (("CODE", "N101"), ("TO", None))


def test_an_empty_text_is_part_of_the_shape() -> None:
    """What says nothing varies in nothing."""
    shape, values = shaped(b"<A><TO></TO><SPID>1</SPID></A>")
    assert (shape.fields, values) == ((("TO", ""), ("SPID", None)), ["1"])


def test_the_shape_of_what_cannot_be_read() -> None:
    """It has no root and no fields, and was not mended."""
    assert unreadable("a/b") == Shape("a/b", None, False, None, ())
    assert unreadable("a/b").postback(["why"]) is None


def test_what_is_written_in_files_stays_what_it_is(ledger: Ledger) -> None:
    """Marks, flags, identities and the chain are part of the format: older files hold them."""
    assert (APPLICATION_ID.to_bytes(4), FORMAT, IMPORTED, START) == (b"PLGR", 2, 65536, bytes(32))
    assert unreadable_digest(b"?", "why", 0).hex() == "75c62bcd04441b70749f0a5045ac467a"
    assert unreadable_digest(b"?", "why", 1).hex() == "814864715f9c43bbe45282c06aeb8353"
    shape, _ = shaped("<\u00dc><CODE>N101</CODE><TO>1</TO></\u00dc>".encode())
    assert shape.fields_json() == '[["CODE","N101"],["TO",null]]'
    assert (
        Shape(None, "", False, None, (("\u00fc", "\u00e9"),)).fields_json()
        == '[["\u00fc","\u00e9"]]'
    )
    body = b"<POSTBACK><CODE>N101</CODE><TRACKINGID>a</TRACKINGID><TO>1</TO></POSTBACK>"
    told = [
        Receipt(body, "text/xml", datetime(2026, 1, 1, tzinfo=UTC)),
        Receipt(b"?", None, datetime(2026, 1, 2, tzinfo=UTC), imported=True),
    ]
    ledger.record_many(told)
    first, second = ledger.events()
    assert (first.digest.hex(), first.hash.hex()) == (
        "852c67d9f3b1383ea4a637ddccf86266",
        "a34de23fea203ddead960992ad3118cc5aa03724df6bb50cd32ff9fce1aafa03",
    )
    assert (second.digest.hex(), second.hash.hex()) == (
        "5d1dd3e029a19f4bb284a16f862f630c",
        "602d8d6a7bb3d3de8c7976b56786ef20ff9fbe54f58d2a14b0aeb1eda0de9ec5",
    )
