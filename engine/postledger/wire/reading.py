"""What a reader gives: the messages of a body in their order, or the reason there are none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from postledger.errors import ReadError
from postledger.postback import Postback
from postledger.wire.limits import Limits

Reading: TypeAlias = tuple[Postback | ReadError, ...]
Field: TypeAlias = tuple[str, str]

_LONGEST_REASON = 200


def unreadable(what: str, error: object) -> ReadError:
    """The error for a body that a parser refused: one line, whatever the reason holds."""
    said = " ".join(f"{what}: {error}".split())
    return ReadError(said[:_LONGEST_REASON].encode("utf-8", "replace").decode())


def too_many(limits: Limits) -> ReadError:
    """The error for a bundle with too many members."""
    return ReadError(f"the bundle has more than the limit of {limits.members} members")


def bundle(members: Iterable[Postback | ReadError], limits: Limits) -> Reading:
    """The members of a bundle; ``ReadError`` when it has none or more than ``limits.members``."""
    found: list[Postback | ReadError] = []
    for member in members:
        if len(found) == limits.members:
            raise too_many(limits)
        found.append(member)
    if not found:
        raise ReadError("there is no postback in an empty bundle")
    return tuple(found)
