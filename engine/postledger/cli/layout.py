"""Layout: how values stand on a terminal, as tables, blocks and paragraphs that fit it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tabulate import tabulate

from postledger.cli.terminal import Tone, toned, width

_NARROWEST = 20
_GAP = 2
_UNTONED: Mapping[str, Tone] = {}

# Control characters, and those that are not seen but move or hide others.
CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def table(
    rows: Iterable[Iterable[str]], headings: Sequence[str], tones: Mapping[str, Tone] = _UNTONED
) -> str:
    """A plain table of texts; numbers stay as they are, with their leading zeros.

    Where the terminal is too narrow for it, texts are wrapped at blanks, or else each row stands as a
    block of lines. ``tones`` says by the heading in which colour a text stands.
    """
    listed, columns_there = [list(row) for row in rows], width()
    columns = list(zip(headings, *listed, strict=True))
    # A heading takes two blanks more.
    widths = [max([len(head) + _GAP, *map(len, texts)]) for head, *texts in columns]
    if columns_there is not None and _total(widths) > columns_there:
        narrowed = _narrowed(columns, widths, columns_there)
        if narrowed is None:
            blocks = ("\n".join(block(zip(headings, row, strict=True), tones)) for row in listed)
            return "\n\n".join(blocks)
        widths = narrowed
    how = [(tones.get(head, _plain), most) for head, most in zip(headings, widths, strict=True)]
    return tabulate(
        [
            ["\n".join(_toned(text, *one)) for text, one in zip(row, how, strict=True)]
            for row in listed
        ],
        headers=[toned(heading, "bold") for heading in headings],
        tablefmt="simple",
        disable_numparse=True,
    )


def block(fields: Iterable[tuple[str, str]], tones: Mapping[str, Tone] = _UNTONED) -> Iterator[str]:
    """Lines of names and texts, without those that are empty, wrapped where the terminal is narrow."""
    given, columns = list(fields), width()
    left = max(len(name) for name, _ in given) + _GAP
    most = None if columns is None else max(_NARROWEST, columns - left)
    for name, text in given:
        if text:
            lines = _toned(text, tones.get(name, _plain), most)
            yield from (f"{name * (not n):<{left}}{line}" for n, line in enumerate(lines))


def paragraph(text: str) -> str:
    """A text, wrapped where the terminal is narrow."""
    columns = width()
    return text if columns is None else "\n".join(_wrapped(text, columns))


def counted(count: int, noun: str) -> str:
    """A number of things: 1 event, 2 events."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def cell(value: object) -> str:
    """A value for people, on one line; what could move the cursor is shown, not done."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [f"{name}: {_member(held)}" for name, held in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return escaped(text)


def escaped(text: str) -> str:
    """A text in which control characters, and others that aren't seen, stand as escapes."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _plain(_: str) -> None:
    """No colour."""


def _toned(text: str, tone: Tone, width: int | None) -> list[str]:
    """The lines of a text in its colour: laid out first, since what colours is not seen."""
    named = tone(text)
    return [toned(line, named) for line in (_wrapped(text, width) if width else [text])]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _narrowed(
    columns: Sequence[Sequence[str]], widths: Sequence[int], width: int
) -> list[int] | None:
    """Narrower widths that fit, the widest columns first; ``None`` where words are too long."""
    words = [
        max(len(word) for text in column for word in text.split() or [""]) for column in columns
    ]
    # A heading is not wrapped.
    least = [max(len(column[0]) + _GAP, word) for column, word in zip(columns, words, strict=True)]
    narrow = list(widths)
    while _total(narrow) > width:
        spare = [(now, at) for at, now in enumerate(narrow) if now > least[at]]
        if not spare:
            return None
        narrow[max(spare)[1]] -= 1
    return narrow


def _wrapped(text: str, width: int) -> list[str]:
    if len(text) <= width:
        return [text]
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _member(held: object) -> str:
    """What stands under a name: a text, or the parts of an amount."""
    parts = held.values() if isinstance(held, Mapping) else [held]
    return " ".join(str(part) for part in parts if part is not None)
