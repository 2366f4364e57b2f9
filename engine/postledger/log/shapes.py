"""Shapes: what many bodies have in common, kept once.

The bodies of one type of postback differ in a few texts only. A shape holds what they share: the
names of the fields, the texts of the deciding ones, and the body with a hole (``%s``) for each text
that varies. An event then keeps its varying texts, and its body is the template with the holes
filled, byte for byte. A body that doesn't come back so exactly is kept whole beside the shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from functools import cached_property
from hashlib import blake2b

import attrs

from postledger.postback import Postback, plain

MOST_HOLES = 40
"""The most texts that a template may leave open: the views of the file fill no more."""

_LEAF = re.compile(r"<([A-Za-z_][\w.-]*)(?:\s[^<>]*)?>([^<>&]*)</\1\s*>")
_JSON_LEAF = re.compile(r'"([^"\\]*)"\s*:\s*"([^"\\]*)"')
_SENDING = re.compile(r"(?!xmlns|xsi:)", re.IGNORECASE)


@attrs.frozen(cache_hash=True)
class Shape:
    """What bodies of one shape share.

    ``fields`` are pairs of a path and its text, ``None`` where the text varies (it is then the next
    of the event's values). ``template`` is ``None`` where events keep their bodies whole. A shape
    with ``root`` ``None`` is one of unreadable bodies.
    """

    content_type: str | None
    root: str | None
    repaired: bool
    template: str | None
    fields: tuple[tuple[str, str | None], ...]

    @cached_property
    def holes(self) -> int:
        """How many texts an event of the shape has."""
        return sum(text is None for _, text in self.fields)

    def postback(self, values: list[str]) -> Postback | None:
        """The postback whose varying texts are ``values``."""
        if self.root is None:
            return None
        return Postback(self.root, tuple(self.texts(values)), (), self.repaired)

    def texts(self, values: list[str]) -> list[tuple[str, str]]:
        """The fields with all their texts."""
        rest = iter(values)
        return [(path, next(rest) if text is None else text) for path, text in self.fields]

    def body(self, values: list[str]) -> bytes | None:
        """The body whose varying texts are ``values``; ``None`` where events keep it whole."""
        return None if self.template is None else (self.template % tuple(values)).encode()

    def fields_json(self) -> str:
        """The fields as the file has them: a JSON array of pairs."""
        return json.dumps(self.fields, ensure_ascii=False, separators=(",", ":"))


def unreadable(content_type: str | None) -> Shape:
    """The shape of bodies that can't be read; their one value is the reason."""
    return Shape(content_type, None, repaired=False, template=None, fields=())


def unreadable_digest(body: bytes, reason: str, index: int) -> bytes:
    """The identity of what can't be read: 16 bytes over the reason, the body, the place in it."""
    said = f"{len(reason)}:{reason}".encode("utf-8", "surrogatepass")
    salt = index.to_bytes(8)
    return blake2b(said + body, digest_size=16, salt=salt, person=b"unreadable").digest()


def shape_of(
    postback: Postback,
    body: bytes | None,
    content_type: str | None,
    words: Mapping[str, Set[str]],
) -> tuple[Shape, list[str]]:
    """The shape of a postback and its varying texts.

    ``words`` are the texts that decide over the meaning, by the plain names of their fields: such a
    text becomes part of the shape, which so are no more than there are ways to say something.
    ``body`` is ``None`` for a member of a bundle, whose body is kept elsewhere.
    """
    fields = tuple(
        (path, text if not text or text in words.get(plain(path), ()) else None)
        for path, text in postback.fields
    )
    values = [
        text for (_, text), (_, fixed) in zip(postback.fields, fields, strict=True) if fixed is None
    ]
    template = None if body is None else _template(postback, body, fields)
    return Shape(content_type, postback.root, postback.repaired, template, fields), values


def _template(
    postback: Postback, body: bytes, fields: tuple[tuple[str, str | None], ...]
) -> str | None:
    """The body with holes for the varying texts, or ``None`` where that would not be exact."""
    try:
        text = body.decode("ascii" if b"encoding" in body[:100] else "utf-8")
    except UnicodeDecodeError:
        return None
    # An attribute that tells of the sending differs from one sending to the next.
    if "\0" in text or any(_SENDING.match(name) for name, _ in postback.attributes):
        return None
    leaves = list((_JSON_LEAF if postback.root == "" else _LEAF).finditer(text))
    if [(leaf[1], leaf[2].strip()) for leaf in leaves] != list(postback.fields):
        return None
    if sum(fixed is None for _, fixed in fields) > MOST_HOLES:
        return None
    pieces, end = [], 0
    for leaf, (_, fixed) in zip(leaves, fields, strict=True):
        if fixed is None:
            if leaf[2] != leaf[2].strip():
                return None
            pieces += [text[end : leaf.start(2)].replace("%", "%%"), "%s"]
            end = leaf.end(2)
    return "".join([*pieces, text[end:].replace("%", "%%")])
