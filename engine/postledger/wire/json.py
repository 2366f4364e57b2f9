"""JSON bodies: an object is a postback, an array of objects is a bundle.

Numbers keep the text that was written, since an id or a carrier's code must never become a number.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import NoReturn

from postledger.errors import ReadError
from postledger.wire.encoding import MARK, character_set, marked
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType
from postledger.wire.reading import unreadable
from postledger.wire.tree import Branch, Document, Message, Node, Repaired, leaf


def read_json(body: bytes, media: MediaType, limits: Limits) -> Document:
    """Read a JSON body; ``ReadError`` when it is malformed or holds no object."""
    text, is_marked = _text(body, media.charset)
    value = parsed_json(text, limits)
    if is_marked:
        value = _unmarked(value, marked=False)
    if isinstance(value, list):
        return map(_member, value)
    return _message(value)


def parsed_json(text: str, limits: Limits) -> Node:
    """The node of a JSON text; ``ReadError`` when it is malformed or too deep."""
    try:
        value: Node = json.loads(
            text,
            object_pairs_hook=_branch,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ReadError("the JSON is nested far too deep") from None
    except ValueError as error:
        raise unreadable("malformed JSON", error) from None
    if _deeper(value, limits.depth):
        raise ReadError(f"the JSON is nested deeper than the limit of {limits.depth}")
    return value


def _branch(pairs: list[tuple[str, Node]]) -> Branch:
    return tuple([("/" + name, held) for name, held in pairs])


def _text(body: bytes, charset: str | None) -> tuple[str, bool]:
    """The body as text, and whether what was repaired is marked in it.

    JSON is Unicode, and only where it isn't valid the charset is asked.
    """
    encoding = json.detect_encoding(body)
    try:
        return body.decode(encoding), False
    except UnicodeError as error:
        problem = unreadable("the body is not text", error)
    other = character_set(charset)
    with suppress(UnicodeError):
        if other is not None:
            return body.decode(other), False
    text = marked(body, encoding) if encoding.startswith("utf-8") else None
    if text is None:
        raise problem
    return text, True


def _refuse_constant(name: str) -> NoReturn:
    raise ReadError(f"malformed JSON: {name} is not a JSON value")


def _deeper(value: Node, depth: int) -> bool:
    """Whether the value is nested deeper than so many containers."""
    if not isinstance(value, list | tuple):
        return False
    inner = value if isinstance(value, list) else [held for _, held in value]
    return depth == 0 or any(_deeper(held, depth - 1) for held in inner)


def _unmarked(value: Node, *, marked: bool) -> Node:
    """Without marks: texts that have one, or stand under a name that does, are repaired."""
    if isinstance(value, list):
        return [_unmarked(held, marked=marked) for held in value]
    if isinstance(value, tuple):
        return tuple(
            (name.replace(MARK, ""), _unmarked(held, marked=marked or MARK in name))
            for name, held in value
        )
    if marked or (isinstance(value, str) and MARK in value):
        return Repaired(leaf(value).replace(MARK, ""))  # type: ignore[arg-type]
    return value


def _member(value: Node) -> Message | ReadError:
    try:
        return _message(value)
    except ReadError as error:
        return error


def _message(value: Node) -> Message:
    if not isinstance(value, tuple) or not value:
        raise ReadError("there is no postback in it: expected a JSON object with fields")
    return Message("", value)
