"""Arguments: what a program gives is checked at the call, by the types that the signature states.

What is wrong is a ``TypeError`` or ``ValueError`` of one line: the name, what was expected, what came.
"""

from __future__ import annotations

import inspect
import re
import types
from collections import abc
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache, wraps
from itertools import chain, repeat
from os import PathLike
from pathlib import Path
from reprlib import Repr
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, Union, get_args, get_origin
from typing import get_type_hints as hints_of

import attrs

from postledger.times import aware

P = ParamSpec("P")
T = TypeVar("T")

FilePath = str | PathLike[str]
"""The path of a file, as programs give it."""

_WORDS: Mapping[Any, str] = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    datetime: "a timezone-aware datetime",
    types.NoneType: "None",
}
_TEXTS = (str, bytes, bytearray, memoryview)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HINTS = {"Anchor": "; Anchor.parse reads a text", "Senders": "; load_senders reads a file"}
_SOME = "some of "
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class _Expected(NamedTuple):
    """What an argument must be: in words, and as a test."""

    words: str
    fits: Callable[[Any], bool]
    error: type[Exception] = TypeError


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """Have each call check its arguments first, by their annotations; see ``check``."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        check(function, args, kwargs)
        return function(*args, **kwargs)

    return call


def check(function: Callable[..., object], args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise ``TypeError`` for the first argument that is not what its annotation says.

    Raises ``ValueError`` for a time without a zone, and for what is not a number.
    """
    names, rest, expected = _signature(function)
    for given in (zip(chain(names, repeat(rest)), args, strict=False), kwargs.items()):
        for name, value in given:
            if name in expected:
                _require(name, value, expected[name])


def require(name: str, value: object, kind: Any) -> None:
    """Raise ``TypeError`` or ``ValueError`` for a value that is not of a kind."""
    _require(name, value, _expected(kind))


def typed(_: type, fields: list[attrs.Attribute[Any]]) -> list[attrs.Attribute[Any]]:
    """A field transformer of attrs: each field is checked by its annotation, before other checks."""
    return [
        one.evolve(validator=attrs.validators.and_(*filter(None, (_field, one.validator))))
        for one in fields
        if one.init
    ] + [one for one in fields if not one.init]


def at_least(least: float, most: float | None = None) -> Callable[[Any, Any, Any], None]:
    """A check of attrs that a number, if given, is no less than ``least`` and no more than ``most``."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: float | None) -> None:
        if value is not None:
            require_least(attribute.name, value, least, most)

    return validate


def require_least(name: str, value: float, least: float, most: float | None = None) -> None:
    """Raise ``ValueError`` for a number that is less than ``least`` or more than ``most``."""
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {bounds}, got {value}")


def require_order(since: datetime | None, until: datetime | None) -> None:
    """Raise ``ValueError`` for a period that ends before it begins."""
    if since is not None and until is not None and since >= until:
        raise ValueError(f"since must be before until, got {since} and {until}")


def require_name(name: str, text: str) -> None:
    """Raise ``ValueError`` for a text that can't name anything: blank, padded or not on one line."""
    if not text.strip() or text != text.strip():
        raise ValueError(
            f"{name} must be non-empty text without white space around it, got {text!r}"
        )
    if _CONTROL.search(text):
        raise ValueError(f"{name} must be text without control characters, got {text!r}")


def paths_of(name: str, given: object) -> list[Any]:
    """The paths that are given, one or several; raises ``TypeError`` for what is not a path."""
    if isinstance(given, str | PathLike) or hasattr(given, "read_text"):
        given = [given]
    if isinstance(given, _TEXTS) or not isinstance(given, abc.Iterable):
        raise TypeError(f"{name} must be a path or an iterable of paths, got {shown(given)}")
    found = []
    for one in given:
        if not isinstance(one, str | PathLike) and not hasattr(one, "read_text"):
            raise TypeError(f"{name} must be paths, got {shown(one)} among them")
        _require_no_nul(name, one)
        found.append(Path(one) if isinstance(one, str | PathLike) else one)
    return found


def names_of(name: str, given: str | Iterable[str]) -> tuple[str, ...]:
    """The names that are given, one or several; raises ``TypeError`` for what is not a text."""
    return (given,) if isinstance(given, str) else all_of(str, name, given)


def all_of(kind: type[T], name: str, given: Iterable[T]) -> tuple[T, ...]:
    """Several values of one kind; raises ``TypeError`` for another among them."""
    found = tuple(given)
    for one in found:
        if not isinstance(one, kind):
            raise TypeError(f"{name} must be {kind.__name__}, got {shown(one)} among them")
    return found


def shown(value: object) -> str:
    """A value in a message: short, on one line."""
    return " ".join(_SHORT.repr(value).split())


def _require(name: str, value: Any, expected: _Expected) -> None:
    if not expected.fits(value):
        hint = next((text for kind, text in _HINTS.items() if kind in expected.words), "")
        if expected.words.startswith(_SOME) and isinstance(value, str):
            hint = f"; write {name}=[{shown(value)}]"
        raise expected.error(f"{name} must be {expected.words}, got {shown(value)}{hint}")
    if isinstance(value, datetime):
        aware(value, name)
    elif isinstance(value, float) and value != value:
        raise ValueError(f"{name} must be {expected.words}, got {value}")
    elif expected.words.startswith("a path") and isinstance(value, str | PathLike):
        _require_no_nul(name, value)


def _require_no_nul(name: str, path: Any) -> None:
    if "\0" in str(path):
        raise ValueError(f"{name} must be a path without NUL, got {shown(path)}")


def _field(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    _require(attribute.name, value, _fields(instance.__class__)[attribute.name])


@lru_cache(maxsize=256)
def _signature(
    function: Callable[..., object],
) -> tuple[list[str], str, dict[str, _Expected]]:
    """The names of the parameters in order, that of all further ones, and what each must be.

    What may have any name is not checked.
    """
    hints = hints_of(function)
    parameters = inspect.signature(function).parameters.values()
    further = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    expected = {
        one.name: _expected(hints[one.name])
        for one in parameters
        if one.name in hints and one.kind is not inspect.Parameter.VAR_KEYWORD
    }
    given = (*further, inspect.Parameter.KEYWORD_ONLY)
    rest = next((one.name for one in parameters if one.kind is further[0]), "")
    return [one.name for one in parameters if one.kind not in given], rest, expected


@lru_cache(maxsize=64)
def _fields(kind: Hashable) -> dict[str, _Expected]:
    return {name: _expected(hint) for name, hint in hints_of(kind).items()}


def _expected(hint: Any) -> _Expected:
    """What an annotation asks for."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in (Any, object) or isinstance(hint, TypeVar) or getattr(hint, "_is_protocol", False):
        return _Expected("anything", lambda _: True)
    if origin in (Union, types.UnionType):
        return _any_of(inner)
    if origin is Literal:
        words = " or ".join(f'"{one}"' for one in inner)
        return _Expected(words, lambda value: isinstance(value, str) and value in inner, ValueError)
    kind = types.NoneType if hint is None else origin or hint
    if kind is abc.Callable:
        return _Expected("callable", callable)
    return _Expected(_words(kind, inner), lambda value: _is_a(value, kind))


def _any_of(kinds: tuple[Any, ...]) -> _Expected:
    options = [_expected(kind) for kind in kinds]
    named = [one.words for one in options if one.words != "None"]
    if any(get_origin(kind) is PathLike for kind in kinds):
        # Text alone is a path, whatever else may be.
        named = [
            "a path (str or PathLike)",
            *(words for words in named if words not in ("text", "a PathLike")),
        ]
    words = " or ".join(dict.fromkeys(named))
    return _Expected(words, lambda value: any(one.fits(value) for one in options))


def _words(kind: Any, inner: tuple[Any, ...]) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    name = kind.__name__
    article = "" if name.endswith("s") else "an " if name[0] in "AEIOU" else "a "
    words = f"{article}{name.lower() if kind.__module__ == 'collections.abc' else name}"
    if kind is not abc.Iterable:
        return words
    if get_origin(inner[0]) is Literal:
        return f"{_SOME}{', '.join(get_args(inner[0]))}"
    named = (str(getattr(one, "__name__", one)) for one in _flat(inner))
    return f"an iterable of {' or '.join(named)}"


def _flat(kinds: tuple[Any, ...]) -> Iterable[Any]:
    for kind in kinds:
        yield from get_args(kind) if isinstance(kind, types.UnionType) else (kind,)


def _is_a(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    # A text is an iterable of its letters, which nobody means.
    if kind in (abc.Iterable, abc.Sequence) and isinstance(value, _TEXTS):
        return False
    return isinstance(value, kind)
