"""JSON bodies: an object is a postback, an array of objects is a bundle.

Numbers keep the text that was written, since an id or a carrier's code must never become a number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NoReturn, TypeAlias

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire.encoding import character_set
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType
from postledger.wire.reading import Paths, Reading, bundle, unreadable

_Pairs: TypeAlias = "tuple[tuple[str, _Value], ...]"
_Value: TypeAlias = "str | bool | list[_Value] | _Pairs | None"


def read_json(body: bytes, media: MediaType, limits: Limits) -> Reading:
    """Read a JSON body; ``ReadError`` when it is malformed or holds no object."""
    value = _parsed(_text(body, media.charset))
    if _deeper(value, limits.depth):
        raise ReadError(f"the JSON is nested deeper than the limit of {limits.depth}")
    paths = Paths(len(body))
    if isinstance(value, list):
        return bundle((_member(one, paths) for one in value), limits)
    return (_message(value, paths),)


def _text(body: bytes, charset: str | None) -> str:
    """The body as text: JSON is Unicode, and only where it isn't valid the charset is asked."""
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeError as error:
        other = character_set(charset)
        problem = unreadable("the body is not text", error)
    try:
        if other is not None:
            return body.decode(other)
    except UnicodeError:
        pass
    raise problem


def _parsed(text: str) -> _Value:
    try:
        value: _Value = json.loads(
            text,
            object_pairs_hook=tuple,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
        )
    except RecursionError:
        raise ReadError("the JSON is nested far too deep") from None
    except ValueError as error:
        raise unreadable("malformed JSON", error) from None
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ReadError(f"malformed JSON: {name} is not a JSON value")


def _deeper(value: _Value, depth: int) -> bool:
    """Whether the value is nested deeper than so many containers."""
    if not isinstance(value, list | tuple):
        return False
    inner = value if isinstance(value, list) else [held for _, held in value]
    return depth == 0 or any(_deeper(held, depth - 1) for held in inner)


def _member(value: _Value, paths: Paths) -> Postback | ReadError:
    try:
        return _message(value, paths)
    except ReadError as error:
        return error


def _message(value: _Value, paths: Paths) -> Postback:
    if not isinstance(value, tuple) or not value:
        raise ReadError("there is no postback in it: expected a JSON object with fields")
    root, fields = _unwrapped(value)
    said = (pair for name, held in fields for pair in _fields(name, held))
    return Postback(root, tuple(paths.within(said)))


def _unwrapped(value: _Pairs) -> tuple[str, _Pairs]:
    """The message and its root: an object that only holds an object gives it its name."""
    name, held = value[0]
    if len(value) == 1 and isinstance(held, tuple) and held:
        return name, held
    return "", value


def _fields(path: str, value: _Value) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for held in value:
            yield from _fields(path, held)
    elif isinstance(value, tuple) and value:
        for name, held in value:
            yield from _fields(f"{path}/{name}", held)
    else:
        yield path, _leaf(value)


def _leaf(value: _Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.strip() if isinstance(value, str) else ""
