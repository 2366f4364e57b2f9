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
from postledger.wire.encoding import MARK, encoded, marked
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType
from postledger.wire.reading import unreadable
from postledger.wire.repair import MEMBER, closed, local, trimmed, with_entities
from postledger.wire.tree import Document, Message, Node, Repaired

_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def read_xml(body: bytes, media: MediaType, limits: Limits) -> Document:
    """Read an XML body; ``ReadError`` when it isn't well-formed or holds no postback."""
    return _messages(*parsed_xml(*encoded(body, media.charset), limits))


def parsed_xml(data: bytes, encoding: str | None, limits: Limits) -> tuple[Element, bool]:
    """The root of an XML document, and whether something around it was left out to read it.

    Texts that were repaired are ``Repaired``. Raises ``ReadError`` for what can't be read.
    """
    try:
        return _parsed(data, encoding, limits, _Pairs), False
    except (expat.ExpatError, ValueError) as error:
        # A ValueError is of an encoding that expat finds in the document and can't take.
        problem = _malformed(data, encoding, error)
        text = None if encoding is None else marked(data, encoding)
    if text is None:
        raise problem
    whole = text.encode()
    inner = trimmed(whole)
    fixed = closed(with_entities(inner))
    try:
        return _parsed(fixed, "utf-8", limits, _Marked), inner != whole.strip()
    except expat.ExpatError as error:
        raise problem if fixed in data else _malformed(fixed, "utf-8", error) from None


def _malformed(data: bytes, encoding: str | None, error: Exception) -> ReadError:
    """What is wrong with a document: where expat only says that a token is invalid, which one."""
    invalid = getattr(error, "code", None) == _INVALID_TOKEN and encoding is not None
    control = _CONTROL.search(data) if invalid else None
    if control is None:
        return unreadable("malformed XML", error)
    where = f"control character 0x{control[0][0]:02x} at byte {control.start()}"
    return unreadable("malformed XML", where)


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

    def __iter__(self) -> Iterator[tuple[str, Node]]:
        """Its own text, its attributes, and the elements inside by their local names."""
        text, children = self.text(), self.children()
        if text or not children:
            yield "", text
        for name, value in self.attributes():
            # A namespace declaration tells about the document, not about the message.
            if name != "xmlns" and not name.startswith("xmlns:"):
                yield "@" + name, value
        yield from children

    def text(self) -> str:
        """The element's own text, without that of its children."""
        return next((self.read(str(value)) for name, value in self.pairs if name == "#text"), "")

    def attributes(self) -> list[tuple[str, str]]:
        """The attributes by their names as written."""
        return [(name[1:], self.read(str(value))) for name, value in self.pairs if name[0] == "@"]

    def children(self) -> list[tuple[str, Node]]:
        """The elements inside by their local names."""
        return [
            ("/" + local(name), self.read(value) if isinstance(value, str) else value)
            for name, value in self.pairs
            if name[0] not in "@#"
        ]

    @staticmethod
    def read(text: str) -> str:
        """A text of the document as it is meant."""
        return text


class _Marked(_Pairs):
    """The pairs of a document in which marks stand after what was repaired."""

    __slots__ = ()

    @staticmethod
    def read(text: str) -> str:
        return Repaired(text.replace(MARK, "")) if MARK in text else text


_Node: TypeAlias = "_Pairs | str | None"
Element: TypeAlias = tuple[str, Node]


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


def _parsed(data: bytes, encoding: str | None, limits: Limits, pairs: type[_Pairs]) -> Element:
    parser = _BoundedParser(limits)
    tree: Any = xmltodict.parse(data, encoding=encoding, expat=parser, dict_constructor=pairs)
    step, node = tree.children()[0]
    return step[1:], node


def _messages(root: Element, repaired: bool) -> Document:  # noqa: FBT001
    _, node = root
    children = node.children() if isinstance(node, _Pairs) else []
    if any(_is_member(step) for step, _ in children):
        return (_member(step, held, repaired=repaired) for step, held in children)
    return _message(*root, repaired=repaired)


def _is_member(step: str) -> bool:
    return step[1:].upper() == MEMBER


def _member(step: str, node: Node, *, repaired: bool) -> Message | ReadError:
    if not _is_member(step):
        return ReadError(f"the bundle holds an element that is not a message: {step[1:41]}")
    try:
        return _message(step[1:], node, repaired=repaired)
    except ReadError as error:
        return error


def _message(name: str, node: Node, *, repaired: bool) -> Message:
    children = node.children() if isinstance(node, _Pairs) else []
    if not isinstance(node, _Pairs) or not children:
        raise ReadError(f"there is no postback in it, no element with fields: {name[:40]}")
    own = [("", node.text())] if node.text() else []
    return Message(name, [*own, *children], tuple(node.attributes()), repaired)
