"""Repairs of XML: what is read though it isn't well-formed, and is marked as repaired.

- A leaf directly inside a message that nobody closed. The provider's own specification prints such a
  body (STATUSDETAILS without its end tag), and an older edition of it "closes" the leaf by a second
  opening tag. The end tag is written where the text ends: before the next tag, or in place of the
  second opening tag.
- An ``&`` that begins no entity.
- Text and comments before the XML declaration, text after the root.

Nothing else is repaired: what is cut off, crossed or nested stays unreadable. The repair works on
bytes, in encodings that agree with ASCII about the tags; the repaired bytes go through the same reader
as any other body. A mark stands after each place, so that the reader knows which member it is in.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from postledger.wire.encoding import MARK

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


# Where it stands in a comment or in CDATA it begins nothing. One that nobody ends goes to the end of the
# body: otherwise each beginning would be looked through to there, in quadratic time.
_AMPERSAND = re.compile(
    # guard: what nobody ends is looked through once
    rb"(?:<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z))"
    rb"|&(?!#[0-9]+;|#x[0-9A-Fa-f]+;|[A-Za-z_:][\w:.-]*;)",
    re.DOTALL,
)

_REFERENCE = b"&#%d;" % ord(MARK)
_BEFORE = re.compile(rb"\A(?:[^<]++|<!--.*?-->)*+(?=<)", re.DOTALL)


def trimmed(body: bytes) -> bytes:
    """The body without what stands around the root: text, and comments before the declaration.

    >>> trimmed(b"OK <!-- x --> <P>1</P> OK")
    b'<P>1</P>'
    """
    before = _BEFORE.match(body)
    return body[before.end() if before else 0 : body.rfind(b">") + 1]


def with_entities(body: bytes) -> bytes:
    """The body with each ``&`` that begins no entity written as one, and marked.

    >>> with_entities(b"<A>a=1&b &lt; <!-- & --></A>")
    b'<A>a=1&amp;&#64976;b &lt; <!-- & --></A>'
    """
    return _AMPERSAND.sub(
        lambda found: b"&amp;" + _REFERENCE if found[0] == b"&" else found[0], body
    )


def closed(body: bytes) -> bytes:
    """The body with the unclosed leaves of its messages closed, and marked; itself if it can't be.

    >>> closed(b"<P><A>1</A><B>2</P>")
    b'<P><A>1</A><B>2&#64976;</B></P>'
    >>> closed(b"<P><B>2<B></P>")
    b'<P><B>2&#64976;</B></P>'
    >>> closed(b"<P><A>1</A><B>2")
    b'<P><A>1</A><B>2'
    """
    tags = _tags(body)
    unclosed = _unclosed(tags) if tags else None
    if not tags or not unclosed:
        return body
    return _closed(body, tags, unclosed, _second_openings(body, tags, unclosed))


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
        pieces += [body[done:until], _REFERENCE, b"</%b>" % tags[index]["name"]]
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
