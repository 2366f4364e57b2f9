"""XML bodies: parsed by xmltodict, with document types refused and the depth bounded.

Three generations of the wire are XML, and all of them are one thing here: an element whose leaves
are fields. A root with NOTIFICATION children is a bundle; its members are the messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeAlias
from xml.parsers import expat

import xmltodict

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire.encoding import encoded
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType
from postledger.wire.reading import Paths, Reading, bundle, unreadable
from postledger.wire.repair import MEMBER, local, repaired

_MISMATCHED_TAG = expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]
_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
# Where it stands in a comment or in CDATA it begins nothing. One that nobody ends goes to the end of the
# body: otherwise each beginning would be looked through to there, in quadratic time.
_AMPERSAND = re.compile(
    # guard: what nobody ends is looked through once
    rb"(?:<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z))"
    rb"|&(?!#[0-9]+;|#x[0-9A-Fa-f]+;|[A-Za-z_:][\w:.-]*;)",
    re.DOTALL,
)


def read_xml(body: bytes, media: MediaType, limits: Limits) -> Reading:
    """Read an XML body; ``ReadError`` when it isn't well-formed or holds no postback."""
    data, encoding = encoded(body, media.charset)
    try:
        return _messages(_parsed(data, encoding, limits), limits, Paths(len(body)))
    except (expat.ExpatError, ValueError) as error:
        # A ValueError is of an encoding that expat finds in the document and can't take.
        mismatched = getattr(error, "code", None) == _MISMATCHED_TAG
        repair = repaired(data) if mismatched else None
        if repair is None:
            raise _malformed(data, encoding, error) from None
    try:
        root = _parsed(repair.body, encoding, limits)
        return _messages(root, limits, Paths(len(body)), repair.children)
    except expat.ExpatError as error:
        raise _malformed(repair.body, encoding, error) from None


def _malformed(data: bytes, encoding: str | None, error: Exception) -> ReadError:
    """What is wrong with a document: where expat only says that a token is invalid, which one."""
    invalid = getattr(error, "code", None) == _INVALID_TOKEN and encoding is not None
    return unreadable("malformed XML", (_invalid(data, encoding) if invalid else None) or error)


def _invalid(data: bytes, encoding: str | None) -> str | None:
    if encoding == "utf-8":
        try:
            data.decode()
        except UnicodeDecodeError as error:
            byte, at = data[error.start], error.start
            return f"byte 0x{byte:02x} at {at} is not UTF-8, and no other encoding is declared"
    control = _CONTROL.search(data)
    if control:
        return f"control character 0x{control[0][0]:02x} at byte {control.start()}"
    ampersand = next((found for found in _AMPERSAND.finditer(data) if found[0] == b"&"), None)
    return f"an & that begins no entity, at byte {ampersand.start()}" if ampersand else None


class _Pairs:
    """The dictionary that xmltodict fills, keeping repeated names and the document's order.

    xmltodict asks for a name first, to make a list of repeated values; there never is one here.
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, _Node]] = ()) -> None:
        self.pairs = list(pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, name: str) -> NoReturn:
        raise KeyError(name)

    def __setitem__(self, name: str, value: _Node) -> None:
        self.pairs.append((name, value))

    def items(self) -> list[tuple[str, _Node]]:
        return self.pairs

    def text(self) -> str:
        """The element's own text, without that of its children."""
        return next((str(value) for name, value in self.pairs if name == "#text"), "")

    def attributes(self) -> list[tuple[str, str]]:
        """The attributes by their names as written."""
        return [(name[1:], str(value)) for name, value in self.pairs if name[0] == "@"]

    def children(self) -> list[tuple[str, _Node]]:
        """The elements inside by their local names."""
        return [(local(name), value) for name, value in self.pairs if name[0] not in "@#"]


_Node: TypeAlias = "_Pairs | str | None"
_Element: TypeAlias = tuple[str, _Node]


class _BoundedParser:
    """Stands between xmltodict and expat, as the module and as the parser that is made by it.

    xmltodict sets its handlers here. This counts the depth while parsing and refuses every document
    type, with or without entities.
    """

    StartElementHandler: Callable[[str, list[str]], None]
    EndElementHandler: Callable[[str], None]
    CharacterDataHandler: Callable[[str], None]

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.depth
        self._depth = 0

    def ParserCreate(self, encoding: str | None, _: Any) -> _BoundedParser:  # noqa: N802
        self._encoding = encoding
        return self

    def Parse(self, data: bytes, is_final: bool) -> int:  # noqa: N802, FBT001 (expat's own)
        parser = expat.ParserCreate(self._encoding)
        parser.buffer_text = True
        parser.ordered_attributes = True
        parser.StartDoctypeDeclHandler = _refuse_document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self.CharacterDataHandler
        return parser.Parse(data, is_final)

    def _start(self, name: str, attributes: list[str]) -> None:
        self._depth += 1
        if self._depth > self._limit:
            raise ReadError(f"elements are nested deeper than the limit of {self._limit}")
        self.StartElementHandler(name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self.EndElementHandler(name)


def _refuse_document_type(*_: object) -> NoReturn:
    raise ReadError("document type declarations are refused")


def _parsed(data: bytes, encoding: str | None, limits: Limits) -> _Element:
    parser = _BoundedParser(limits)
    tree = xmltodict.parse(data, encoding=encoding, expat=parser, dict_constructor=_Pairs)
    name, node = next(iter(tree.items()))
    return local(name), node


def _messages(
    root: _Element, limits: Limits, paths: Paths, repaired: frozenset[int] = frozenset()
) -> Reading:
    """The messages of a document; ``repaired`` are the numbers of the root's children that were."""
    name, node = root
    children = node.children() if isinstance(node, _Pairs) else []
    if any(child.upper() == MEMBER for child, _ in children):
        members = (
            _member(child, paths, repaired=number in repaired)
            for number, child in enumerate(children)
        )
        return bundle(members, limits)
    return (_message(name, node, paths, repaired=bool(repaired)),)


def _member(child: _Element, paths: Paths, *, repaired: bool) -> Postback | ReadError:
    name, node = child
    if name.upper() != MEMBER:
        return ReadError(f"the bundle holds an element that is not a message: {name[:40]}")
    try:
        return _message(name, node, paths, repaired=repaired)
    except ReadError as error:
        return error


def _message(name: str, node: _Node, paths: Paths, *, repaired: bool) -> Postback:
    children = node.children() if isinstance(node, _Pairs) else []
    if not isinstance(node, _Pairs) or not children:
        raise ReadError(f"there is no postback in it, no element with fields: {name[:40]}")
    fields = [("", node.text())] if node.text() else []
    for child, value in children:
        fields += paths.within(_fields(child, value))
    return Postback(name, tuple(fields), tuple(node.attributes()), repaired)


def _fields(path: str, node: _Node) -> Iterable[tuple[str, str]]:
    return _inner(path, node) if isinstance(node, _Pairs) else ((path, node or ""),)


def _inner(path: str, node: _Pairs) -> Iterator[tuple[str, str]]:
    children = node.children()
    if node.text() or not children:
        yield path, node.text()
    for name, value in node.attributes():
        # A namespace declaration tells about the document, not about the message.
        if name != "xmlns" and not name.startswith("xmlns:"):
            yield f"{path}@{name}", value.strip()
    for name, child in children:
        yield from _fields(f"{path}/{name}", child)
