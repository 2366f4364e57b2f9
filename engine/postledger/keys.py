"""Keys: what names a stream, one field of a postback or several together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from postledger.phone import digits_of

KeyFields = tuple[tuple[str, bool], ...]
"""Our names of the fields that a key is made of, and whether each is a phone number."""

_MOST_PIECES = 5
"""So many pieces between slashes are tried; each more would take four times as long."""


def key_of(parts: Sequence[tuple[str, bool]]) -> str:
    """The key that texts name together; of a phone number only its digits count.

    >>> key_of([("a/b", False)]), key_of([("a/b", False), ("+1-650", True)])
    ('a/b', 'a%2Fb/1650')
    """
    texts = [digits_of(text) if is_number else text for text, is_number in parts]
    if len(texts) == 1:
        return texts[0]
    return "/".join([text.replace("%", "%25").replace("/", "%2F") for text in texts])


def keys_meant(text: str) -> Iterator[str]:
    """The keys of several fields that a text may stand for, with the fields as a provider writes them.

    A slash may be part of a field or stand between two, and a phone number be spelled in another way.

    >>> "a%2Fb/1650" in keys_meant("a/b/+1650")
    True
    """
    for parts in _parted(text):
        if len(parts) > 1:
            spelled = (dict.fromkeys((p, digits_of(p), f"+{digits_of(p)}")) for p in parts)
            yield from (key_of([(p, False) for p in said]) for said in product(*spelled))


def keys_by(given: str | Sequence[str], fields: KeyFields) -> list[str]:
    """The keys of some fields that a text or a sequence of texts may stand for.

    A sequence has the fields one by one. A text is the key itself, as it is shown, or has the fields
    as the provider writes them, with ``/`` between; more than one key where that is ambiguous.

    >>> keys_by("a/+1650", (("id", False), ("to", True))), keys_by(["a/b", "c"], (("id", False),))
    (['a/1650'], [])
    """
    if not isinstance(given, str):
        return [_made(given, fields)] if len(given) == len(fields) else []
    if len(fields) == 1:
        return [_made([given], fields)]
    pieces = given.split("/")
    shown = [piece.replace("%2F", "/").replace("%25", "%") for piece in pieces]
    if all(pieces) and len(pieces) == len(fields) and _made(shown, fields) == given:
        return [given]
    every = (parts for parts in _parted(given) if len(parts) == len(fields) and all(parts))
    return list(dict.fromkeys(_made(parts, fields) for parts in every))


def named(fields: KeyFields) -> str:
    """The fields of a key in a message: ``batch / to``."""
    return " / ".join(name for name, _ in fields)


def require_key(name: str, given: str | Sequence[str], ways: Iterable[KeyFields]) -> str:
    """The one key that is given, made of the fields of any of ``ways``; raises ``ValueError``.

    >>> require_key("tracking_id", ["a", "+1650"], [(("batch", False), ("to", True))])
    'a/1650'
    """
    known = list(ways) or [(("tracking_id", False),)]
    keys = list(dict.fromkeys(key for fields in known for key in keys_by(given, fields)))
    if len(keys) == 1:
        return keys[0]
    expected = " or ".join(dict.fromkeys(map(named, known)))
    if keys:
        meant = " or ".join(map(repr, keys))
        raise ValueError(
            f"{name} must be a list of {expected}, got {given!r}, which may be {meant}"
        )
    given = given if isinstance(given, str) else list(given)
    raise ValueError(
        f"{name} must have the fields {expected}, as a list or with / between, got {given!r}"
    )


def _made(parts: Sequence[str], fields: KeyFields) -> str:
    return key_of([(p, is_number) for p, (_, is_number) in zip(parts, fields, strict=True)])


def _parted(text: str) -> Iterator[list[str]]:
    """The ways to part a text at some of its slashes."""
    pieces = text.split("/")
    if len(pieces) > _MOST_PIECES:
        return
    for apart in product((True, False), repeat=len(pieces) - 1):
        parts = pieces[:1]
        for piece, begins in zip(pieces[1:], apart, strict=True):
            if begins:
                parts.append(piece)
            else:
                parts[-1] += f"/{piece}"
        yield parts
