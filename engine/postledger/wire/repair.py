"""The one repair: a leaf directly inside a message that nobody closed.

The provider's own specification prints such a body (STATUSDETAILS without its end tag), and an
older edition of it "closes" the leaf by a second opening tag. Both are repaired here by writing the
end tag where the text ends: before the next tag, or in place of the second opening tag. Nothing
else is repaired: what is cut off, crossed or nested stays unreadable.

The repair works on bytes, in encodings that agree with ASCII about the tags; the repaired bytes go
through the same reader as any other body.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

MEMBER = "NOTIFICATION"
"""The element that holds one message of a bundle, in upper case."""

# These hold other elements; closing one before its first child would turn the message inside out.
_CONTAINERS = frozenset({"POSTBACK", MEMBER, "BODY"})

_TOKEN = re.compile(
    rb"""<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>"""
    # guard: a name gives nothing back
    rb"""|<(?P<end>/?)(?P<name>[^\s<>/="'&!?]++)(?:[^<>"']|"[^"<]*"|'[^'<]*')*?(?P<empty>/?)>""",
    re.DOTALL,
)


_Tag: TypeAlias = "re.Match[bytes]"


class Repaired(NamedTuple):
    """A body that was repaired.

    ``children`` are the numbers, from 0, of the elements directly inside the root that were touched.
    """

    body: bytes
    children: frozenset[int]


def repaired(body: bytes) -> Repaired | None:
    """The body with the unclosed leaves of its messages closed; ``None`` if it has other faults.

    >>> repaired(b"<P><A>1</A><B>2</P>")
    Repaired(body=b'<P><A>1</A><B>2</B></P>', children=frozenset({1}))
    >>> repaired(b"<P><B>2<B></P>").body
    b'<P><B>2</B></P>'
    >>> repaired(b"<P><A>1</A><B>2")
    """
    tags = _tags(body)
    unclosed = _unclosed(tags) if tags else None
    if not tags or not unclosed:
        return None
    seconds = _second_openings(body, tags, unclosed)
    return Repaired(_closed(body, tags, unclosed, seconds), _children(tags, unclosed, seconds))


def local(name: str) -> str:
    """An element's name without its namespace prefix.

    >>> local("pb:CODE"), local("CODE")
    ('CODE', 'CODE')
    """
    return name.rpartition(":")[2] or name


def _tags(body: bytes) -> list[_Tag] | None:
    tags = []
    start = body.find(b"<")
    while start >= 0:
        token = _TOKEN.match(body, start)
        if token is None:
            return None
        if token["name"]:
            tags.append(token)
        start = body.find(b"<", token.end())
    return tags


def _unclosed(tags: list[_Tag]) -> list[int] | None:
    """The start tags that miss their end, in order; ``None`` if one of them can't be repaired."""
    unclosed: list[int] = []
    open_: list[int] = []
    for index, tag in enumerate(tags):
        if tag["end"]:
            lost = _lost(tags, open_, tag["name"])
            if lost is None:
                return None
            unclosed += lost
        elif not tag["empty"]:
            open_.append(index)
    return None if open_ else sorted(unclosed)


def _lost(tags: list[_Tag], open_: list[int], name: bytes) -> list[int] | None:
    """Take the innermost element of that name off the stack, and what was left open inside it."""
    lost: list[int] = []
    while open_ and tags[open_[-1]]["name"] != name:
        lost.append(open_.pop())
    if not open_:
        return None
    open_.pop()
    holder = _plain(name)
    is_message = not open_ or (len(open_) == 1 and holder == MEMBER)
    are_leaves = all(_plain(tags[index]["name"]) not in _CONTAINERS for index in lost)
    return lost if not lost or (is_message and are_leaves) else None


def _plain(name: bytes) -> str:
    return local(name.decode("latin-1")).upper()


def _closed(body: bytes, tags: list[_Tag], unclosed: list[int], seconds: frozenset[int]) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for index in unclosed:
        if index + 1 in seconds:
            continue
        until, resume = tags[index].span() if index in seconds else (tags[index + 1].start(),) * 2
        pieces += [body[done:until], b"</%b>" % tags[index]["name"]]
        done = resume
    return b"".join([*pieces, body[done:]])


def _second_openings(body: bytes, tags: list[_Tag], unclosed: list[int]) -> frozenset[int]:
    """The unclosed tags that stand where the end tag of the same name belongs."""
    seconds: set[int] = set()
    left_open = set(unclosed)
    for index in unclosed:
        follows = index - 1 in left_open and index - 1 not in seconds
        same = tags[index - 1]["name"] == tags[index]["name"]
        if follows and same and not body[tags[index].end() : tags[index + 1].start()].strip():
            seconds.add(index)
    return frozenset(seconds)


def _children(tags: list[_Tag], unclosed: list[int], seconds: frozenset[int]) -> frozenset[int]:
    """The numbers of the elements directly inside the root that were closed, or hold what was."""
    leaves = set(unclosed)
    found: set[int] = set()
    depth, child = 0, -1
    for index, tag in enumerate(tags):
        if tag["end"]:
            depth -= 1
            continue
        if depth == 1 and index not in seconds:
            child += 1
        if index in leaves:
            found.add(child)
        elif not tag["empty"]:
            depth += 1
    return frozenset(found)
