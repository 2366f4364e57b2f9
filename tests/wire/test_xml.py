"""XML bodies."""

from __future__ import annotations

import pytest

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire import Limits, read


def one(body: bytes, content_type: str | None = "text/xml", **limits: int) -> Postback:
    (postback,) = read(body, content_type, Limits(**limits))
    assert isinstance(postback, Postback)
    return postback


def reason(body: bytes, content_type: str | None = "text/xml", **limits: int) -> str:
    with pytest.raises(ReadError) as caught:
        read(body, content_type, Limits(**limits))
    return str(caught.value)


class TestFields:
    def test_leaves_are_fields(self) -> None:
        """Leaves are fields in the document's order, stripped around and untouched inside."""
        body = b"<P><TO> 1 </TO><SPID>0001470</SPID><S>a  b\n c</S><E/><F></F><G> </G></P>"
        assert one(body) == Postback(
            "P",
            (
                ("TO", "1"),
                ("SPID", "0001470"),
                ("S", "a  b\n c"),
                ("E", ""),
                ("F", ""),
                ("G", ""),
            ),
        )

    def test_repeated_leaves(self) -> None:
        """A repeated name gives repeated pairs at their places, even with others in between."""
        assert one(b"<P><A>1</A><B>2</B><A>3</A></P>").fields == (
            ("A", "1"),
            ("B", "2"),
            ("A", "3"),
        )

    def test_nested_leaves(self) -> None:
        """A nested leaf has the path of the elements that it stands in."""
        body = b"<N><BODY><STATUS>x</STATUS><D><E>1</E></D></BODY></N>"
        assert one(body).fields == (("BODY/STATUS", "x"), ("BODY/D/E", "1"))

    def test_attributes_of_leaves(self) -> None:
        """An attribute of a leaf is a field of its own, after the leaf."""
        body = b'<N><STATUS celly="20" text=" Retrieved "/><T a="1">x</T></N>'
        assert one(body).fields == (
            ("STATUS", ""),
            ("STATUS@celly", "20"),
            ("STATUS@text", "Retrieved"),
            ("T", "x"),
            ("T@a", "1"),
        )

    def test_attributes_of_the_root(self) -> None:
        """Attributes of the message's element are no fields."""
        postback = one(b'<NOTIFICATION id ="7"\n created= "now"><CODE>1</CODE></NOTIFICATION>')
        assert postback.attributes == (("id", "7"), ("created", "now"))
        assert postback.fields == (("CODE", "1"),)

    def test_prefixes(self) -> None:
        """Namespace prefixes of elements are dropped, and namespace declarations are no fields."""
        body = b'<p:P xmlns:p="u"><p:A xmlns="v">1</p:A><q:B>2</q:B></p:P>'
        assert one(body) == Postback("P", (("A", "1"), ("B", "2")), (("xmlns:p", "u"),))

    def test_text_of_a_container(self) -> None:
        """Text beside elements is kept under the container's path."""
        assert one(b"<P>x<A>y<B>1</B></A></P>").fields == (("", "x"), ("A", "y"), ("A/B", "1"))

    def test_comments_and_cdata(self) -> None:
        """Comments and CDATA sections inside a leaf don't break its text."""
        body = b"<P><!-- c --><A>1<!-- c -->2<![CDATA[<3>]]>4<?pi x?>5</A></P>"
        assert one(body).fields == (("A", "12<3>45"),)

    def test_entities(self) -> None:
        """The entities that XML itself has are read."""
        body = b"<P><A>?smpp?deliver_sm=4&amp;x&#228;&lt;</A></P>"
        assert one(body).fields == (("A", "?smpp?deliver_sm=4&xä<"),)


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["iso-8859-1", "windows-1252", "utf-8", "Shift_JIS"])
    def test_declared(self, encoding: str) -> None:
        """The encoding that a document declares is honoured."""
        text = "名" if encoding == "Shift_JIS" else "é"
        body = f'<?xml version="1.0" encoding="{encoding}"?><P><A>{text}</A></P>'.encode(encoding)
        assert one(body).fields == (("A", text),)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_unicode(self, encoding: str) -> None:
        """Unicode is recognised by its byte order mark or its zeros, whatever the charset says."""
        body = "<P><A>é</A></P>".encode(encoding)
        assert one(body, "text/xml; charset=iso-8859-1").fields == (("A", "é"),)

    def test_charset(self) -> None:
        """The charset of the content type counts where the document is silent."""
        body = "<P><A>é</A></P>".encode("latin-1")
        assert one(body, 'text/xml; charset="latin1"').fields == (("A", "é"),)

    def test_declaration_before_charset(self) -> None:
        """A document's own declaration goes before the charset that a server added."""
        body = '<?xml version="1.0" encoding="utf-8"?><P><A>é</A></P>'.encode()
        assert one(body, "text/xml; charset=iso-8859-1").fields == (("A", "é"),)

    def test_impossible_declaration(self) -> None:
        """A declaration of UTF-16 in single bytes is no obstacle."""
        body = '<?xml version="1.0" encoding="utf-16"?><P><A>é</A></P>'.encode()
        assert one(body).fields == (("A", "é"),)

    def test_space_before_the_declaration(self) -> None:
        """White space before the XML declaration is no obstacle."""
        assert one(b"\r\n <?xml version='1.0'?><P><A>1</A></P>").fields == (("A", "1"),)

    @pytest.mark.parametrize("name", ["idna", "unicode_escape", "zlib", "utf-99"])
    def test_unknown_encoding(self, name: str) -> None:
        """An encoding that is no character set is refused by name."""
        body = f'<?xml version="1.0" encoding="{name}"?><P><A>1</A></P>'.encode()
        assert reason(body) == f"unknown encoding: '{name}'"

    def test_unknown_charset(self) -> None:
        """A charset that is unknown is ignored."""
        assert one(b"<P><A>1</A></P>", "text/xml; charset=zlib").fields == (("A", "1"),)

    @pytest.mark.parametrize("declared", ["", "utf-8", "gbk", "us-ascii"])
    def test_undeclared_latin_1(self, declared: str) -> None:
        """Bytes that aren't valid in the encoding are read as Latin-1, and the message is repaired."""
        head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else ""
        body = head.encode() + b"<P><A b='\xe4'>\xfc <![CDATA[<\xdf>]]></A></P>"
        assert one(body) == Postback("P", (("A", "ü <ß>"), ("A@b", "ä")), repaired=True)

    def test_sixteen_bits_are_not_repaired(self) -> None:
        """Half a character in UTF-16 is an error of one line."""
        assert reason("<P>".encode("utf-16") + b"<").startswith(
            "the body is not text in its encoding"
        )


class TestRefusals:
    @pytest.mark.parametrize(
        "doctype",
        [
            b"<!DOCTYPE P>",
            b'<!DOCTYPE P SYSTEM "file:///etc/passwd">',
            b'<!DOCTYPE P [<!ENTITY x "y">]>',
            b'<!DOCTYPE P [<!ENTITY % x SYSTEM "http://localhost/">%x;]>',
        ],
    )
    def test_document_types(self, doctype: bytes) -> None:
        """A document type is refused, with or without entities."""
        assert reason(doctype + b"<P><A>1</A></P>") == "document type declarations are refused"

    def test_unknown_entity(self) -> None:
        """An entity that XML doesn't have is an error."""
        assert "undefined entity" in reason(b"<P><A>&nbsp;</A></P>")

    def test_depth(self) -> None:
        """The depth is bounded, the root being 1."""
        body = b"<a>" * 4 + b"</a>" * 4
        assert one(body, depth=4).fields == (("a/a/a", ""),)
        assert reason(body, depth=3) == "elements are nested deeper than the limit of 3"

    def test_depth_while_parsing(self) -> None:
        """The depth is bounded before the end of the document is seen."""
        assert "nested deeper" in reason(b"<a>" * 100_000)

    @pytest.mark.parametrize("body", [b"<P/>", b"<P>text</P>", b'<P CODE="1"/>'])
    def test_no_fields(self, body: bytes) -> None:
        """An element without elements inside is no postback."""
        assert reason(body) == "there is no postback in it, no element with fields: P"

    @pytest.mark.parametrize(
        "body", [b"<", b"<P>", b"<P><A>1</A>", b"<P><A>1</A></P", b"<P><A>1</A></P><Q/>", b"<P a=>"]
    )
    def test_malformed(self, body: bytes) -> None:
        """Truncated and malformed XML is unreadable, with the parser's reason."""
        assert reason(body).startswith("malformed XML: ")

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            (b"<P><A>\x0b</A></P>", "control character 0x0b at byte 6"),
            (b"<P><A>1</A></P>\n<x>", "junk after document element: line 2, column 0"),
            (b"<P><A>1</A><</P>", "not well-formed (invalid token): line 1, column 12"),
            (
                "<P><A>a & b</A></P>".encode("utf-16-le"),
                "not well-formed (invalid token): line 1, column 9",
            ),
        ],
    )
    def test_faults_are_named(self, body: bytes, fault: str) -> None:
        """What is wrong is named, where expat only says that a token is invalid."""
        assert reason(body) == f"malformed XML: {fault}"


class TestBundles:
    def test_members(self) -> None:
        """A root with notifications is a bundle of them, each with its own attributes."""
        body = (
            b'<POSTBACK a="0"><NOTIFICATION id="1"><CODE>x</CODE></NOTIFICATION>'
            b'<p:Notification ID="2"><CODE>y</CODE></p:Notification></POSTBACK>'
        )
        assert read(body) == (
            Postback("NOTIFICATION", (("CODE", "x"),), (("id", "1"),)),
            Postback("Notification", (("CODE", "y"),), (("ID", "2"),)),
        )

    def test_bad_members(self) -> None:
        """A bad member stands at its place as an error and leaves its neighbours unharmed."""
        good = b"<NOTIFICATION><CODE>x</CODE></NOTIFICATION>"
        bad = b"<NOTIFICATION/><COUNT>2</COUNT><NOTIFICATION>text</NOTIFICATION>"
        members = read(b"<POSTBACK>" + good + bad + good + b"</POSTBACK>")
        assert [type(member) for member in members] == [
            Postback,
            ReadError,
            ReadError,
            ReadError,
            Postback,
        ]
        assert str(members[2]) == "the bundle holds an element that is not a message: COUNT"

    def test_too_many_members(self) -> None:
        """A bundle with more members than the limit is refused as a whole."""
        body = b"<P>" + b"<NOTIFICATION><A>1</A></NOTIFICATION>" * 3 + b"</P>"
        assert len(read(body, limits=Limits(members=3))) == 3
        assert reason(body, members=2) == "the bundle has more than the limit of 2 members"


@pytest.mark.parametrize(
    "body",
    [
        b"<P><TRACKINGID>X</TRACKINGID><%b>%b</%b></P>"
        % (b"x" * 9_000, b"<a/>" * 4_000, b"x" * 9_000),
        b'{"k": {"%b": {%b}}, "z": 1}'
        % (b"x" * 9_000, b",".join(b'"a%d": 1' % n for n in range(4_000))),
    ],
)
def test_names_that_would_multiply_the_body_are_refused(body: bytes) -> None:
    """Each nested field has the names around it in its path: together they stay near the body's size."""
    assert reason(body) == "the names of nested fields are far longer than the body"
