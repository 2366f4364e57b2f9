"""Templates: what many bodies have in common, and the texts in which they differ.

A body is split into the texts of its leaves and attributes (XML), its strings and numbers (JSON) or
the values of its fields (forms and query strings), and what stands between them. Filled with its texts
again, a template gives the body back byte for byte. What stands between the texts is markup and nothing
else: a body with anything more (a comment, an entity, a section of character data, a text that isn't
plain) has no template, and neither has one whose fixed part holds seven digits in a row, or in one name
or word, whatever stands between them. So no template holds the number of a recipient that stands in a
name. One whose digits are spread over several names, with letters between, would not be noticed: no
provider spells a number so. Names are markup: of 64 characters at most, without white space, so that no
sentence passes for one.

A plain text is printable ASCII without ``&``, ``<``, ``>``, a backslash or a quote where these would
end or escape it, and without a space at its ends. The values of forms are texts as they are read, and
encoded again where a body is filled: a form that is encoded in another way than ``quote_plus`` does has
no template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from json.encoder import encode_basestring
from urllib.parse import quote_plus

import attrs

LONGEST = 4096
"""Bodies of more bytes have no template: they are rare, and templates are kept in memory."""

MOST_TEXTS = 200
"""Bodies of more texts have no template."""

_PLAIN_LEAF = r"[!-%'-;=?-~][ -%'-;=?-~]*(?<! )"
_LEAF = re.compile(rf">({_PLAIN_LEAF})</")

# Printable ASCII without what would end the value or begin a reference or a tag.
_DOUBLE, _SINGLE = "[!#-%'-;=?-~]", "[!-%(-;=?-~]"
_IN_DOUBLE = rf"""{_DOUBLE}(?:{_DOUBLE}|[ ](?!["\0]|$))*"""
_IN_SINGLE = rf"""{_SINGLE}(?:{_SINGLE}|[ ](?!['\0]|$))*"""
_VARYING_XML = re.compile(
    rf"(?<=>){_PLAIN_LEAF}(?=</)"
    rf"""|\s([\w.:-]+)\s*=\s*(?:"({_IN_DOUBLE})\"|'({_IN_SINGLE})')"""
)
_PROLOG = re.compile(r"\s*<\?xml\s[^<>&]*\?>")
_NAMESPACE = re.compile(r"xmlns$|xmlns:|xsi:", re.IGNORECASE)
_NAMESPACE_VALUE = re.compile(r"[!-~]{0,200}")
_ATTRIBUTE = r"""\s+([\w.:-]{1,64})\s*=\s*("[^"<>&]*"|'[^'<>&]*')"""
_TAG = re.compile(rf"</?[A-Za-z_][\w.:-]{{0,63}}((?:{_ATTRIBUTE})*)\s*/?>")
_ATTRIBUTES = re.compile(_ATTRIBUTE)

_PLAIN_JSON = r"[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?"
_PLAIN_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_VARYING_JSON = re.compile(
    # guard: a string that nobody ends goes to the end
    r'"((?:[^"\\]|\\[\s\S])*+)(?:"|\\?\Z)(\s*:)?'
    rf"|(?<=[\s:,\[])({_PLAIN_NUMBER})(?=[\s,}}\]])"
)
_PLAIN_TEXT = re.compile(_PLAIN_JSON)
# Values as most writers set them, behind what leads to each: one that begins otherwise is found slowly.
_VALUE_JSON = re.compile(
    r'([:,\[] ?"?)'
    r'((?<=")[!#-\[\]-~][ !#-\[\]-~]*+(?<! )(?="[\s,}\]])'
    rf'|(?<!"){_PLAIN_NUMBER}(?=[\s,}}\]]))'
)
_JSON_MARKUP = re.compile(
    # An empty name is markup twice over: to try both would take twice the time for each.
    # guard: markup is tried in one way
    r'(?:[\s{}\[\]:,]|true|false|null|\0|"\0?"|"[!#-\[\]-~]{0,64}"(?=\s*:))*+'
)

_PLAIN_VALUE = r"[!-~](?:[ -~]*[!-~])?"
# A value as quote_plus writes a plain text: what it leaves, and the others in upper-case hexadecimal.
_LETTER = r"(?:[\w.~-]|%(?:2[1-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]))"
_PAIR = rf"[\w.%\[\]-]{{1,64}}=(?:{_LETTER}++(?:\++{_LETTER}++)*+)?"
_FORM = re.compile(rf"{_PAIR}(?:&{_PAIR})*+", re.ASCII)
_VALUE = re.compile("(?<==)([^&]+)")
_ENCODED = {ord(one): quote_plus(one) for one in map(chr, range(0x80))}
_CHARACTERS = {written[1:]: chr(one) for one, written in _ENCODED.items() if len(written) == 3}
_AS_IT_IS = re.compile(r"[\w.~-]*", re.ASCII).fullmatch

_NUMBER = re.compile(r"\d{7}")
_IN_A_NAME = re.compile(r"""(?:\d[^\s\d<>="'/&,{}]*+){7}""")
_HOLE = "\0"

Pieces = tuple[str, ...]
"""What stands before, between and after the texts of a body: one more than there are texts."""

Split = tuple[Pieces, list[str]]


@attrs.frozen
class Template:
    """What bodies of one kind share: ``pieces`` stand before, between and after their texts."""

    pieces: Pieces

    @cached_property
    def _hash(self) -> int:
        return hash(self.pieces)

    def __hash__(self) -> int:
        return self._hash

    @property
    def holes(self) -> int:
        """How many texts a body of it has."""
        return len(self.pieces) - 1

    @cached_property
    def digest(self) -> bytes:
        """What tells it from any other template: 16 bytes."""
        return digest_of(self.pieces)

    def fill(self, texts: Sequence[str]) -> bytes:
        """The body with these texts; raises ``ValueError`` where they are not as many as it takes."""
        if len(texts) != len(self.pieces) - 1:
            raise ValueError(f"expected {self.holes} texts, got {len(texts)}")
        parts = [""] * (2 * len(texts) + 1)
        parts[::2], parts[1::2] = self.pieces, self._written(texts)
        return "".join(parts).encode()

    @cached_property
    def _is_form(self) -> bool:
        return kind_of(self.pieces[0]) == "form"

    @cached_property
    def _plain(self) -> re.Pattern[str]:
        """What texts that are plain where they stand match, put together with holes between them."""
        kind = kind_of(self.pieces[0])
        return re.compile(_HOLE.join(_plain_behind(piece, kind) for piece in self.pieces[:-1]))

    def takes(self, texts: Sequence[str]) -> bool:
        """Whether each text is plain where it stands, so that it can say no more than a text."""
        return self._plain.fullmatch(_HOLE.join(texts)) is not None

    def splits(self, texts: Sequence[str]) -> bool:
        """Whether its body with these texts is split where its holes are, and maybe elsewhere too."""
        # What tells a number is a rule of what is kept from now on: older files may have such templates.
        found = _split(self.fill(texts))
        return found is not None and self._spans(texts) <= Template(found[0])._spans(found[1])

    def _spans(self, texts: Sequence[str]) -> set[tuple[int, int]]:
        """Where each text begins and ends in the body."""
        found: set[tuple[int, int]] = set()
        at = 0
        for piece, text in zip(self.pieces, self._written(texts), strict=False):
            at += len(piece)
            found.add((at, at + len(text)))
            at += len(text)
        return found

    def _written(self, texts: Sequence[str]) -> Sequence[str]:
        """The texts as they stand in the body."""
        if not self._is_form:
            return texts
        return [text if _AS_IT_IS(text) else text.translate(_ENCODED) for text in texts]

    def fixing(self, texts: Sequence[str], at: Iterable[int]) -> Template | None:
        """The template in which the texts at some indexes are fixed.

        ``None`` where a number could stand in it then.
        """
        fixed = frozenset(at)
        pieces = [self.pieces[0]]
        for index, text in enumerate(self._written(texts)):
            if index in fixed:
                pieces[-1] += text + self.pieces[index + 1]
            else:
                pieces.append(self.pieces[index + 1])
        return None if _tells_a_number(pieces) else Template(tuple(pieces))


def kind_of(start: str) -> str:
    """What a body is that begins in that way, if it has a template: ``xml``, ``json`` or ``form``."""
    return {"<": "xml", "{": "json", "[": "json"}.get(start.lstrip()[:1], "form")


def _plain_behind(piece: str, kind: str) -> str:
    """What a plain text behind a piece matches: a value, a leaf, in quotes of either kind, a number."""
    quote = piece[-1:]
    if kind == "form":
        return _PLAIN_VALUE
    if kind == "json":
        return _PLAIN_JSON if quote == '"' else _PLAIN_NUMBER
    return {'"': _IN_DOUBLE, "'": _IN_SINGLE}.get(quote, _PLAIN_LEAF)


def digest_of(pieces: Iterable[str]) -> bytes:
    """16 bytes over pieces, their lengths written out."""
    written = "".join(f"{len(piece)}:{piece}" for piece in pieces)
    return blake2b(written.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def leaves(body: bytes) -> tuple[Sequence[str], Sequence[str]] | None:
    """What stands between the plain texts of a body, and these: leaves, values, fields.

    This is quick, and enough to recognise a body whose attributes are those of a known one, or that is
    written as JSON mostly is. What stands between is not in its order, and the brackets around leaves
    are left out: ``joined`` makes pieces of it. ``None`` for a body that has no template.
    """
    if len(body) > LONGEST or not body.isascii():
        return None
    text = body.decode("ascii")
    match kind_of(text):
        case "json":
            parts = _VALUE_JSON.split(text)
            return (*parts[::3], *parts[1::3]), parts[2::3]
        case "xml":
            parts = _LEAF.split(text)
            return parts[::2], parts[1::2]
    return _split_form(text)


def joined(between: Sequence[str]) -> Pieces:
    """What stands between the texts that ``leaves`` gave, as pieces of a template."""
    match kind_of(between[0]):
        case "json":
            count = len(between) // 2
            before = zip(between[:count], between[count + 1 :], strict=True)
            return (*map("".join, before), between[count])
        case "xml" if len(between) > 1:
            first, *rest = between
            return (first + ">", *(f"</{piece}>" for piece in rest[:-1]), "</" + rest[-1])
    return tuple(between)


def split(body: bytes) -> Split | None:
    """The pieces and the texts of a body; ``None`` for a body that has no template.

    >>> split(b'<P id="7"><A>1 2</A><B/></P>')
    (('<P id="', '"><A>', '</A><B/></P>'), ['7', '1 2'])
    >>> split(b'{"a": "x", "b": 12, "c": ""}')
    (('{"a": "', '", "b": ', ', "c": ""}'), ['x', '12'])
    >>> split(b"a=x+y&b=%2B12&c=")
    (('a=', '&b=', '&c='), ['x y', '+12'])
    >>> split(b"<P><A>1</A><!-- 2 --></P>") is None
    True
    """
    found = _split(body)
    return None if found is None or _tells_a_number(found[0]) else found


def _split(body: bytes) -> Split | None:
    """Split a body, even where a number stands in the pieces."""
    if len(body) > LONGEST or not body.isascii() or b"\0" in body:
        return None
    text = body.decode("ascii")
    kind = kind_of(text)
    found: Split | None
    if kind == "form":
        found = _split_form(text)
        fits = True
    elif kind == "xml":
        found = _split_xml(text)
        fits = _is_xml_markup(_HOLE.join(found[0]))
    else:
        found = _split_json(text)
        fits = _JSON_MARKUP.fullmatch(_HOLE.join(found[0])) is not None
    if not fits or found is None or len(found[1]) > MOST_TEXTS:
        return None
    return found


def _split_form(text: str) -> Split | None:
    """Split a form; ``None`` where it is encoded in another way than ``quote_plus`` does."""
    if _FORM.fullmatch(text) is None:
        return None
    parts = _VALUE.split(text)
    texts = parts[1::2]
    if "%" in text or "+" in text:
        texts = [_decoded(one) if "%" in one or "+" in one else one for one in texts]
    return tuple(parts[::2]), texts


def _decoded(value: str) -> str:
    first, *rest = value.replace("+", " ").split("%")
    return first + "".join([_CHARACTERS[one[:2]] + one[2:] for one in rest])


def _split_xml(text: str) -> Split:
    prolog = _PROLOG.match(text)
    pieces: list[str] = []
    texts: list[str] = []
    done = 0
    for found in _VARYING_XML.finditer(text, prolog.end() if prolog else 0):
        name = found[1]
        if name is not None and _NAMESPACE.match(name):
            # A namespace declaration says how the document is written, and nothing about a message.
            continue
        group = 0 if name is None else found.lastindex or 0
        pieces.append(text[done : found.start(group)])
        texts.append(found[group])
        done = found.end(group)
    return (*pieces, text[done:]), texts


def _split_json(text: str) -> Split:
    pieces: list[str] = []
    texts: list[str] = []
    done = 0
    for found in _VARYING_JSON.finditer(text):
        group = 3 if found[3] is not None else 1
        if found[2] is not None or (group == 1 and not _PLAIN_TEXT.fullmatch(found[1])):
            continue
        pieces.append(text[done : found.start(group)])
        texts.append(found[group])
        done = found.end(group)
    return (*pieces, text[done:]), texts


def _is_xml_markup(fixed: str) -> bool:
    """Whether what is fixed of an XML body is tags, namespaces, white space and holes alone."""
    prolog = _PROLOG.match(fixed)
    at = prolog.end() if prolog else 0
    for tag in _TAG.finditer(fixed, at):
        if fixed[at : tag.start()].strip(" \t\r\n" + _HOLE):
            return False
        for name, quoted in _ATTRIBUTES.findall(tag[1]):
            value = quoted[1:-1]
            namespace = _NAMESPACE.match(name) and _NAMESPACE_VALUE.fullmatch(value)
            if value not in ("", _HOLE) and not namespace:
                return False
        at = tag.end()
    return not fixed[at:].strip(" \t\r\n" + _HOLE)


def _tells_a_number(pieces: Iterable[str]) -> bool:
    """Whether the fixed part has seven digits in one name, or in a row of letters and digits alone."""
    fixed = "".join(pieces)
    if _IN_A_NAME.search(fixed):
        return True
    return _NUMBER.search("".join(filter(str.isalnum, fixed))) is not None


def written(texts: Iterable[str]) -> str:
    """The texts of an event as a JSON array; quicker than a JSON encoder for each."""
    return f"[{','.join(map(encode_basestring, texts))}]"


def texts_of(fields: str) -> list[str]:
    """The texts of an event from its JSON array; quicker than JSON where nothing is escaped."""
    # Without a backslash no text holds a quote, so every second piece is a text.
    if "\\" not in fields:
        return fields.split('"')[1::2]
    texts: list[str] = json.loads(fields)
    return texts
