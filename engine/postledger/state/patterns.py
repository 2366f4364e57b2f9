"""Intake: what a receipt says, in the form in which the log keeps it.

To read a body, look up its meaning, find its shape and digest it is the same work for all bodies of
one pattern, so it is done once for each pattern that the quick reader knows: what is left to do for
a body is to put its texts where they belong. The plain way stands below the quick one; a test holds
the two equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from hashlib import blake2b
from typing import NamedTuple

from postledger import wire
from postledger.definitions.definitions import Definitions
from postledger.definitions.vocabulary import Reading
from postledger.errors import ReadError
from postledger.log.entry import NOWHERE
from postledger.log.shapes import Shape, shape_of, unreadable, unreadable_digest
from postledger.model import Receipt
from postledger.postback import Postback, plain
from postledger.state.streams import UNTIMED, Occurrence, occurrence, occurrence_at
from postledger.wire.quick import QuickReader, Template

_MOST_PATTERNS = 10_000

Words = tuple[str | None, ...]
"""Of each text in a field that may decide over the meaning: the word that it is, or ``None``."""


class Said(NamedTuple):
    """What one postback says, as the log keeps it.

    ``kind`` is ``postback``, ``unrecognised`` or ``unreadable``; ``shape`` and ``values`` give the
    fields, and the body too where the shape has a template.
    """

    kind: str
    stream: tuple[str, str]
    when: Occurrence
    digest: bytes
    shape: Shape
    values: list[str]


class Intake:
    """Reads and understands receipts by the given definitions; not for several threads at once."""

    def __init__(self, definitions: Definitions, limits: wire.Limits) -> None:
        self._lexicon = definitions.lexicon
        self._limits = limits
        self._quick = QuickReader(limits)
        self._patterns: dict[tuple[Template, Words], Pattern | None] = {}
        self._shapes: dict[Shape, Shape] = {}
        self._deciding: dict[Template, tuple[tuple[int, frozenset[str]], ...]] = {}

    def take(self, receipt: Receipt) -> list[Said]:
        """What each postback of a body says, in their order; one that can't be read says why."""
        quick = self._quick.read(receipt.body, receipt.content_type)
        if quick is not None:
            pattern = self._pattern(receipt, *quick)
            if pattern is not None:
                return [pattern.said(quick[1])]
        return self.take_plainly(receipt)

    def take_plainly(self, receipt: Receipt) -> list[Said]:
        """The same by the reader of record, and without what was learned."""
        members: Sequence[Postback | ReadError]
        try:
            members = wire.read(receipt.body, receipt.content_type, self._limits)
        except ReadError as error:
            members = [error]
        body = receipt.body if len(members) == 1 else None
        return [
            self._said(receipt, body, index, whole(member)) for index, member in enumerate(members)
        ]

    def _said(
        self, receipt: Receipt, body: bytes | None, index: int, member: Postback | ReadError
    ) -> Said:
        if isinstance(member, ReadError):
            return _unreadable(receipt, member, index)
        reading = self._lexicon.read(member)
        shape, values = shape_of(member, body, receipt.content_type, self._lexicon.words)
        if len(self._shapes) >= _MOST_PATTERNS:
            self._shapes.clear()
        # One object for all equal shapes: to look it up again is to compare addresses.
        shape = self._shapes.setdefault(shape, shape)
        when = occurrence(reading, member)
        return Said(_kind(reading), _stream(reading, member), when, member.digest(), shape, values)

    def _pattern(self, receipt: Receipt, template: Template, texts: list[str]) -> Pattern | None:
        deciding = self._deciding.get(template)
        if deciding is None:
            deciding = self._deciding[template] = self._deciding_in(template)
        words = tuple([texts[at] if texts[at] in known else None for at, known in deciding])
        try:
            return self._patterns[template, words]
        except KeyError:
            if len(self._patterns) >= _MOST_PATTERNS:
                self._patterns.clear()
                self._deciding.clear()
            postback = template.postback(texts)
            said = self._said(receipt, receipt.body, 0, postback)
            pattern = _pattern(template, said, self._lexicon.read(postback))
            self._patterns[template, words] = pattern
            return pattern

    def _deciding_in(self, template: Template) -> tuple[tuple[int, frozenset[str]], ...]:
        """The texts that may decide over the meaning, with the words that do."""
        words = self._lexicon.words
        return tuple(
            (at, words[plain(path)])
            for path, at in template.fields
            if isinstance(at, int) and plain(path) in words
        )


class Pattern(NamedTuple):
    """What the bodies of one template and the same words say.

    ``canonical`` are pairs of a fixed text and the index of the text behind it, its length first,
    in the order of the digest; ``end`` is what stands behind the last.
    """

    kind: str
    chart: str
    key: str | int
    naive: tzinfo
    timestamp: str | int | None
    shape: Shape
    varying: tuple[int, ...]
    canonical: tuple[tuple[str, int], ...]
    end: str

    def said(self, texts: list[str]) -> Said:
        """What a body with these texts says."""
        key, at = self.key, self.timestamp
        stream = (self.chart, texts[key] if isinstance(key, int) else key)
        stamp = texts[at] if isinstance(at, int) else at
        pieces = [f"{fixed}{len(texts[i])}:{texts[i]}" for fixed, i in self.canonical]
        digest = blake2b(("".join(pieces) + self.end).encode(), digest_size=16).digest()
        values = [texts[i] for i in self.varying]
        when = UNTIMED if stamp is None else occurrence_at(stamp, self.naive)
        return Said(self.kind, stream, when, digest, self.shape, values)


def _pattern(template: Template, said: Said, reading: Reading) -> Pattern | None:
    """The pattern of which ``said`` is the first; ``None`` where bodies are not that much alike."""
    texts = [
        at if fixed is None else fixed
        for (_, at), (_, fixed) in zip(template.fields, said.shape.fields, strict=True)
    ]
    varying = tuple(at for at in texts if isinstance(at, int))
    names = [plain(path) for path, _ in template.fields]
    # Fields of one name are digested in the order of their texts. A text that the body does not
    # write out (a reference stands for it) is neither fixed by the shape nor varies in the template.
    if len(set(names)) < len(names) or len(varying) < len(said.values):
        return None
    canonical: list[tuple[str, int]] = []
    fixed = plain(template.root) + "\n"
    for name, text in sorted(zip(names, texts, strict=True)):
        if isinstance(text, int):
            canonical.append((f"{fixed}{len(name)}:{name}", text))
            fixed = ""
        elif text:
            fixed += f"{len(name)}:{name}{len(text)}:{text}"
    return Pattern(
        kind=said.kind,
        chart=said.stream[0],
        key=NOWHERE[1] if said.stream == NOWHERE else texts[reading.key_at or 0],
        naive=reading.naive,
        timestamp=None if reading.timestamp_at is None else texts[reading.timestamp_at],
        shape=said.shape,
        varying=varying,
        canonical=tuple(canonical),
        end=fixed,
    )


def _kind(reading: Reading) -> str:
    return "postback" if reading.recognised else "unrecognised"


def _stream(reading: Reading, postback: Postback) -> tuple[str, str]:
    if reading.chart is None or reading.key_at is None:
        return NOWHERE
    return reading.chart, postback.fields[reading.key_at][1]


def whole(member: Postback | ReadError) -> Postback | ReadError:
    """Refuse half characters: JSON can spell a surrogate without its other half, SQLite can't."""
    if isinstance(member, Postback):
        try:
            "".join((member.root, *(name + text for name, text in member.fields))).encode()
        except UnicodeEncodeError:
            return ReadError("a text holds half a character (a lone surrogate)")
    return member


def _unreadable(receipt: Receipt, error: ReadError, index: int) -> Said:
    return Said(
        kind="unreadable",
        stream=NOWHERE,
        when=UNTIMED,
        digest=unreadable_digest(receipt.body, str(error), index),
        shape=unreadable(receipt.content_type),
        values=[str(error)],
    )
