"""What a reader gives: the messages of a body in their order, or the reason there are none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


class Paths:
    """Counts the paths of a body's fields, so that nested names don't multiply what is kept of it."""

    def __init__(self, body_bytes: int) -> None:
        self._left = 8 * body_bytes + 1024

    def within(self, fields: Iterable[Field]) -> Iterator[Field]:
        """The fields, as long as their paths together are not many times as long as the body."""
        for field in fields:
            self._left -= len(field[0])
            if self._left < 0:
                raise ReadError("the names of nested fields are far longer than the body")
            yield field


def bundle(members: Iterable[Postback | ReadError], limits: Limits) -> Reading:
    """The members of a bundle; ``ReadError`` when it has none or more than ``limits.members``."""
    found: list[Postback | ReadError] = []
    for member in members:
        if len(found) == limits.members:
            raise ReadError(f"the bundle has more than the limit of {limits.members} members")
        found.append(member)
    if not found:
        raise ReadError("there is no postback in an empty bundle")
    return tuple(found)
