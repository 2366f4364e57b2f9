"""Patterns: what the bodies of one template say under the definitions in force, worked out once.

Reading a body, looking up what it means and making its identity is the same work for all bodies of
one template that have the same deciding words. So it is done once, by the readers of record, and what is
left to do for a body is to put its texts where they belong. The same patterns serve bytes that come in
and events of the log. The plain way, ``read_plainly``, stands next to the quick one; a property test
shows the two equal.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, count
from operator import itemgetter
from typing import NamedTuple, TypeVar

import attrs

from postledger import wire
from postledger.definitions.conditions import Word
from postledger.definitions.definitions import Definitions, effect_of
from postledger.definitions.effects import Effect
from postledger.definitions.timestamps import parse_time
from postledger.definitions.vocabulary import Lexicon, Reading
from postledger.errors import IntegrityError, ReadError
from postledger.findings import Finding
from postledger.keys import key_of
from postledger.log.event import Envelope, Kind, Part
from postledger.model import UNVERIFIED, is_decimal
from postledger.postback import (
    ANYWHERE,
    UNCUT,
    Origin,
    Postback,
    Shape,
    canonical_end,
    canonical_head,
    canonical_pair,
    plain,
)
from postledger.state.fold import REASON, UNHEARD, UNREADABLE, Fact
from postledger.templates import LONGEST, Pieces, Template, joined, kind_of, leaves, split
from postledger.times import UNDATED

NOWHERE = ("", "", "")
"""The stream of what belongs to no stream."""

Stream = tuple[str, str, str]
"""A stream: its space, its chart and its key."""

Where = tuple[Stream, int, bytes, int]
"""Where a postback belongs: its stream, the provider's time, its identity, and findings: about the time
and the amounts, and whether it is unrecognised."""

Heard = tuple[int, str, str]
"""When an event was received, its source, and its reading."""

Unplaced = tuple[Stream, int, bytes, int, int, int, str | None, Heard]
"""What a member of an event says as the index keeps it: as a row of it, with the stream itself."""

_Stream = TypeVar("_Stream", int, Stream)

Texts = Sequence[str]

MOST_PATTERNS = 10_000
"""How many skeletons, families and patterns of each family are remembered."""

MOST_HELD = 200_000
"""How many fields, or texts, all that is remembered of one kind has: bodies may have 200 each."""

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_TIMESTAMP_MISSING = int(Finding.TIMESTAMP_MISSING)
_AMOUNT_UNREADABLE = int(Finding.AMOUNT_UNREADABLE)
_PART_UNREADABLE = int(Finding.PART_UNREADABLE)
_UNRECOGNISED = int(Finding.UNRECOGNISED)

_log = logging.getLogger("postledger")


# --- what a postback says ---


class Occurrence(NamedTuple):
    """When an event occurred by the provider's clock, and the findings about that."""

    occurred_at: int
    findings: int


UNTIMED = Occurrence(UNDATED, 0)

_LENGTHS = tuple(f"{length}:" for length in range(512))
"""Lengths as the canonical form of an identity has them: to look them up is quicker."""


@lru_cache(maxsize=10_000)
def occurrence_at(timestamp: str, formats: tuple[str, ...], naive: tzinfo) -> Occurrence:
    """The occurrence that a TIMESTAMP states; many events share a second."""
    parsed = parse_time(timestamp, formats, naive)
    if parsed is None:
        # What needs no time may leave it out; one that is stated and can't be read shows.
        return Occurrence(UNDATED, _TIMESTAMP_MISSING) if timestamp else UNTIMED
    occurred_at, lacks_zone = parsed
    return Occurrence(occurred_at, int(Finding.TIMESTAMP_NAIVE) if lacks_zone else 0)


class Statement(NamedTuple):
    """What one postback says, under the definitions in force.

    ``identity`` is 16 bytes, equal where two postbacks say the same. ``texts`` are those that
    ``pattern`` takes. Where the body can't be read, ``pattern`` is ``None`` and ``problem`` says why;
    an unverified event is not read, and has neither.
    """

    stream: Stream
    occurred_at: int
    identity: bytes
    findings: int
    pattern: Pattern | None
    texts: Texts
    problem: str = ""

    @property
    def kind(self) -> str:
        """``recognised``, ``unrecognised``, ``unreadable`` or ``unverified``."""
        if self.pattern is None:
            return "unreadable" if self.problem else UNVERIFIED
        return self.pattern.kind

    @property
    def reason(self) -> str:
        """Why it is unreadable or unrecognised; else empty."""
        if self.pattern is None:
            return self.problem
        known = self.pattern.reading.recognised
        return self.pattern.reading.problem or ("" if known else "no vocabulary knows it")

    @property
    def postback(self) -> Postback | None:
        """The postback itself; ``None`` where it can't be read."""
        return None if self.pattern is None else self.pattern.layout.postback(self.texts)


_DAY = 24 * 3600 * 1_000_000
_OLDEST = 631_152_000_000_000
_TIMESTAMP_IMPLAUSIBLE = int(Finding.TIMESTAMP_IMPLAUSIBLE)


def of_times(occurred_at: int, received_at: int) -> int:
    """The findings about a provider's time that show next to the time of reception.

    A day is allowed for clocks and zones; no SMS was sent before 1990.
    """
    if _OLDEST <= occurred_at <= received_at + _DAY or occurred_at == UNDATED:
        return 0
    return _TIMESTAMP_IMPLAUSIBLE


def placed(
    stream: _Stream,
    statement: Statement,
    received_at: int,
    position: int,
    member: int,
    *,
    given: bool,
) -> tuple[_Stream, int, bytes, int, int, int, str | None]:
    """The row of what a member of an event says; ``given``: the texts of the log give it."""
    postback = None if given or statement.stream == NOWHERE else statement.postback
    return (
        stream,
        statement.occurred_at,
        statement.identity,
        position,
        member,
        statement.findings | of_times(statement.occurred_at, received_at),
        None if postback is None else said_of(postback),
    )


class Layout(NamedTuple):
    """How bodies are read: a postback that has an index in place of each text that varies.

    ``holes`` is how many texts vary. Those of attributes of the message's element stand in no field.
    """

    root: str
    repaired: bool
    statement: bool
    fields: tuple[tuple[str, str | int], ...]
    holes: int
    origin: Origin

    def postback(self, texts: Texts) -> Postback:
        """The postback with these texts."""
        fields = tuple(
            [(path, text if isinstance(text, str) else texts[text]) for path, text in self.fields]
        )
        return Postback(self.root, fields, (), self.repaired, self.statement, self.origin)


def layout_of(postback: Postback) -> tuple[Layout, list[str]]:
    """The layout in which every text of a postback varies that is not empty, and these texts."""
    texts = [text for _, text in postback.fields if text]
    at = iter(range(len(texts)))
    fields = tuple((path, next(at) if text else "") for path, text in postback.fields)
    marks = (postback.root, postback.repaired, postback.statement)
    return Layout(*marks, fields, len(texts), postback.origin), texts


def said_of(postback: Postback) -> str:
    """A postback as the index keeps it where the texts of the log don't give it: JSON."""
    statement: object = int(postback.statement)
    if postback.origin != ANYWHERE:
        statement = [statement, *attrs.astuple(postback.origin)]
    said = [postback.root, int(postback.repaired), statement, *postback.fields]
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def postback_of(said: object) -> Postback:
    """The postback of such a text; raises ``IntegrityError`` where it is damaged."""
    try:
        root, repaired, statement, *fields = json.loads(str(said))
        pairs = tuple((path, text) for path, text in fields)
        origin = ANYWHERE
        if isinstance(statement, list):
            statement, source, shapes, rivals = statement
            if not all(type(number) is int and number >= 0 for number in shapes):
                raise ValueError(f"expected numbers of shapes, got {shapes!r}")
            origin = Origin(source, tuple(shapes), tuple(rivals))
        postback = Postback(root, pairs, (), bool(repaired), bool(statement), origin)
        if said_of(postback) != said or not all(isinstance(one, str) for p in pairs for one in p):
            raise ValueError("it is not written as postbacks are")
        plain(root)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"what the event says is damaged: {error}") from error
    return postback


Key = str | int | tuple[tuple[str | int, bool], ...]
"""A key: its text, the index of its text, or its parts, each a text or index and whether a number."""


def _key(parts: tuple[tuple[str | int, bool], ...], texts: Texts) -> str:
    return key_of([(p if isinstance(p, str) else texts[p], is_number) for p, is_number in parts])


@attrs.frozen(eq=False)
class Pattern:
    """What the postbacks of one layout and the same deciding words say.

    ``key``, ``space`` and ``timestamp`` are texts, or the indexes of texts; ``key`` is a tuple where it
    takes more than one text as it is. ``canonical`` are pairs of
    a fixed text and the index of the text after it, in the order of the identity, its length first;
    ``end`` stands after the last; ``None`` where the order depends on the texts. ``stage`` and all
    below it are what the fold takes: ``fixed`` are the texts that the pattern itself gives, ``picks``
    pairs of an index into ``Fact.texts`` and one of a text, ``reasons`` what makes the details where
    a text has part in them. ``labels`` are names with a text or its index, ``amounts`` names with the
    same of the value and of the currency. ``parts`` are the part and the total, texts or the indexes of
    texts, where a trigger of its stage waits for all parts.
    """

    layout: Layout
    reading: Reading = attrs.field(repr=False)
    space: str | int
    chart: str
    key: Key
    naive: tzinfo
    formats: tuple[str, ...]
    timestamp: str | int | None
    canonical: tuple[tuple[str, int], ...] | None
    end: str
    stage: int
    effect: Effect | None = attrs.field(repr=False)
    findings: int
    wants_time: bool
    fixed: tuple[str | None, ...]
    picks: tuple[tuple[int, int], ...]
    reasons: tuple[str | int, ...]
    labels: tuple[tuple[str, str | int], ...]
    amounts: tuple[tuple[str, str | int, str | int], ...]
    parts: tuple[str | int, str | int] | None
    kind: str = attrs.field(init=False, repr=False)
    _said: tuple[str, ...] = attrs.field(init=False, repr=False)
    _told: Callable[[Texts], Iterable[str]] = attrs.field(init=False, repr=False)

    @kind.default
    def _kind_of_reading(self) -> str:
        return self.reading.kind

    @_said.default
    def _said_without_texts(self) -> tuple[str, ...]:
        # After each fixed text is room for the length of the text that varies, and for this.
        return (
            *chain.from_iterable((fixed, "", "") for fixed, _ in self.canonical or ()),
            self.end,
        )

    @_told.default
    def _told_texts(self) -> Callable[[Texts], Iterable[str]]:
        at = [index for _, index in self.canonical or ()]
        if len(at) > 1:
            return itemgetter(*at)
        return lambda texts: [texts[index] for index in at]

    @property
    def _waits(self) -> bool:
        """Whether its trigger says nothing before that of all parts is in."""
        trigger = self.reading.trigger or ""
        return self.effect is not None and self.effect.chart.triggers[trigger].parts

    def statement(self, texts: Texts) -> Statement:
        """What a postback with these texts says."""
        return Statement(*self.place(texts), self, texts)

    def place(self, texts: Texts) -> Where:
        """Where a postback with these texts belongs."""
        key, space, at = self.key, self.space, self.timestamp
        stream = (
            space if isinstance(space, str) else texts[space],
            self.chart,
            texts[key]
            if isinstance(key, int)
            else key
            if isinstance(key, str)
            else _key(key, texts),
        )
        stamp = texts[at] if isinstance(at, int) else at
        occurred_at, findings = (
            UNTIMED if stamp is None else occurrence_at(stamp, self.formats, self.naive)
        )
        findings |= self.findings & _UNRECOGNISED
        for _, value, _ in self.amounts:
            if not is_decimal(value if isinstance(value, str) else texts[value]):
                findings |= _AMOUNT_UNREADABLE
        return stream, occurred_at, self.identity(texts), findings

    def identity(self, texts: Texts) -> bytes:
        """The identity of a postback with these texts."""
        if self.canonical is None:
            reading = self.reading
            return self.layout.postback(texts).digest(reading.ignored, reading.identified_by)
        said, told = list(self._said), self._told(texts)
        try:
            said[1::3] = [_LENGTHS[len(text)] for text in told]
        except IndexError:
            said[1::3] = [f"{len(text)}:" for text in told]
        said[2::3] = told
        return blake2b("".join(said).encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def fact(
        self,
        occurred_at: int,
        identity: bytes,
        position: int,
        received_at: int,
        texts: Texts,
        findings: int,
    ) -> Fact:
        """The fact of one event, as the fold takes it."""
        told = list(self.fixed)
        for slot, at in self.picks:
            told[slot] = texts[at]
        if self.reasons:
            told[REASON] = "; ".join(
                [at if isinstance(at, str) else texts[at] for at in self.reasons]
            )
        findings |= self.findings
        if occurred_at == UNDATED and self.wants_time:
            findings |= _TIMESTAMP_MISSING
        part = None if self.parts is None else self.part(texts)
        if part == UNREADABLE:
            findings |= _PART_UNREADABLE
        return Fact(
            self.stage,
            occurred_at,
            identity,
            position,
            received_at,
            self.effect,
            findings,
            told,
            tuple([(name, _text(at, texts)) for name, at in self.labels]) if self.labels else (),
            self._amounts(texts, findings) if self.amounts else (),
            part,
        )

    def part(self, texts: Texts) -> tuple[int, int] | None:
        """The part that an event is about and of how many, as a ``Fact`` has it."""
        if self.parts is None:
            return None
        part = part_of(*(_text(at, texts) for at in self.parts))
        return None if part == UNREADABLE and not self._waits else part

    def _amounts(self, texts: Texts, findings: int) -> tuple[tuple[str, tuple[str, str]], ...]:
        """The amounts that are decimals."""
        said = [(name, (_text(v, texts), _text(c, texts))) for name, v, c in self.amounts]
        if findings & _AMOUNT_UNREADABLE:
            # Where there is no such finding all are: plans are learned of marks in place of them.
            said = [one for one in said if is_decimal(one[1][0])]
        return tuple(said)


def _text(at: str | int, texts: Texts) -> str:
    return at if isinstance(at, str) else texts[at]


class Family:
    """The patterns of one layout: one for each combination of its deciding words.

    ``number`` is that of no other family, and stands for it in keys that outlive it.
    """

    _numbers = count(1)

    def __init__(self, layout: Layout, definitions: Definitions) -> None:
        self.number = next(self._numbers)
        self.layout = layout
        self.holes = layout.holes
        self.deciding = tuple(deciding(layout, definitions.lexicon.classes))
        self._definitions = definitions
        self._most = _most_of(self.holes)
        self._patterns: dict[tuple[Word, ...], Pattern] = {}

    def words(self, texts: Texts) -> tuple[Word, ...]:
        """For each text that may decide the meaning, the class that it is of."""
        if not self.deciding:
            return ()
        return tuple([class_of(texts[at]) for at, class_of in self.deciding])

    def of(self, texts: Texts) -> Pattern:
        """The pattern of a postback with these texts; raises ``IntegrityError`` for a wrong number."""
        if len(texts) != self.holes:
            raise IntegrityError("its texts don't fit its template")
        words = self.words(texts) if self.deciding else ()
        return self._patterns.get(words) or self.by_words(words, texts)

    def by_words(self, words: tuple[Word, ...], texts: Texts) -> Pattern:
        """The pattern of those words; ``texts`` are any that have them."""
        pattern = self._patterns.get(words)
        if pattern is None:
            if len(self._patterns) >= self._most:
                self._patterns.clear()
            pattern = self._patterns[words] = pattern_of(self.layout, texts, self._definitions)
        return pattern


def _most_of(holes: int) -> int:
    """How many patterns with that number of texts are remembered."""
    return min(MOST_PATTERNS, MOST_HELD // (holes + 1))


def deciding(
    layout: Layout, classes: Mapping[str, Callable[[str], Word]]
) -> Iterator[tuple[int, Callable[[str], Word]]]:
    """The indexes of the texts that may decide the meaning, and what gives the class of each."""
    for path, text in layout.fields:
        if isinstance(text, int) and plain(path) in classes:
            yield text, classes[plain(path)]


def pattern_of(layout: Layout, texts: Texts, definitions: Definitions) -> Pattern:
    """The pattern of which a postback with these texts is one."""
    reading = definitions.lexicon.read(layout.postback(texts))
    effect = effect_of(definitions, reading)
    at = [text for _, text in layout.fields]
    fixed: list[str | None] = [None] * (REASON + 1)
    picks: list[tuple[int, int]] = []
    for slot, index in reading.picks:
        text = at[index]
        if isinstance(text, int):
            picks.append((slot, text))
        else:
            fixed[slot] = text
    reasons, fixed[REASON] = _reasons(reading.details(at))
    canonical, end = _canonical(layout, reading)
    placed = reading.chart is not None and bool(reading.key_at)
    return Pattern(
        layout=layout,
        reading=reading,
        space=_space(reading, at) if placed else NOWHERE[0],
        chart=reading.chart or NOWHERE[1] if placed else NOWHERE[1],
        key=_key_of(reading, at) if placed else NOWHERE[2],
        naive=reading.naive,
        formats=reading.formats,
        timestamp=None if reading.timestamp_at is None else at[reading.timestamp_at],
        canonical=canonical,
        end=end,
        stage=UNHEARD if effect is None else effect.stage,
        effect=effect,
        findings=int(reading.findings),
        wants_time=not reading.undated,
        fixed=tuple(fixed),
        picks=tuple(picks),
        reasons=reasons,
        labels=tuple((name, at[index]) for name, index in reading.labels),
        amounts=tuple(
            (one.name, at[one.value], one.unit if one.currency is None else at[one.currency])
            for one in reading.amounts
        ),
        parts=_parts(reading, effect, at),
    )


MOST_PARTS = 255
"""A long SMS counts its parts in one byte (3GPP TS 23.040, 9.2.3.24.1)."""


def part_of(part: str, total: str) -> tuple[int, int] | None:
    """The part that an event is about and of how many.

    ``None`` where it is the whole message, ``UNREADABLE`` where that can't be said.

    >>> part_of("1", "2"), part_of("1", "1"), part_of("3", "2"), part_of("1", "")
    ((1, 2), None, (0, 0), (0, 0))
    """
    if not all(text.isascii() and text.isdigit() and len(text) <= 3 for text in (part, total)):
        return UNREADABLE
    said = int(part), int(total)
    if not 1 <= said[0] <= said[1] <= MOST_PARTS:
        return UNREADABLE
    return None if said == (1, 1) else said


def _parts(
    reading: Reading, effect: Effect | None, at: list[str | int]
) -> tuple[str | int, str | int] | None:
    """Where the part and the total of a postback stand, if anything of its stage waits for all parts."""
    if effect is None or reading.parts_at is None:
        return None
    if not any(one.parts and one.stage == effect.stage for one in effect.chart.triggers.values()):
        return None
    part, total = ("" if index is None else at[index] for index in reading.parts_at)
    return part, total


def _space(reading: Reading, at: list[str | int]) -> str | int:
    return reading.space if reading.space_at is None else at[reading.space_at]


def _key_of(reading: Reading, at: list[str | int]) -> Key:
    parts = tuple([(at[index], is_number) for index, is_number in reading.key_at])
    if any(isinstance(part, int) for part, _ in parts):
        return parts[0][0] if len(parts) == 1 and not parts[0][1] else parts
    return _key(parts, ())


def _reasons(at: list[str | int]) -> tuple[tuple[str | int, ...], str | None]:
    """What makes the details: texts and indexes of texts, or the details where the layout has all."""
    if any(isinstance(text, int) for text in at):
        return tuple(at), None
    return (), "; ".join(map(str, at)) or None


def _canonical(layout: Layout, reading: Reading) -> tuple[tuple[tuple[str, int], ...] | None, str]:
    """The canonical form of the identity (``Postback.digest``) with holes for the texts."""
    counted = [
        (plain(path), text)
        for index, (path, text) in enumerate(layout.fields)
        if index not in reading.ignored
    ]
    if len({name for name, _ in counted}) < len(counted):
        # Fields of one name are put in the order of their texts.
        return None, ""
    said: list[tuple[str, int]] = []
    fixed = canonical_head(plain(layout.root), layout.repaired, layout.statement)
    for name, text in sorted(counted):
        if isinstance(text, int):
            said.append((f"{fixed}{len(name)}:{name}", text))
            fixed = ""
        elif text:
            fixed += canonical_pair(name, text)
    return tuple(said), fixed + canonical_end(reading.identified_by)


# --- bodies that come in ---


class Taken(NamedTuple):
    """What a body says, and the templates by which it may be kept (``None``: whole).

    ``texts`` are those of ``template``, ``all_texts`` those of ``plain``, which fixes no word.
    """

    statements: list[Statement]
    template: Template | None = None
    plain: Template | None = None
    texts: Texts = ()
    all_texts: Texts = ()


class _Variant(NamedTuple):
    """A skeleton with some words: the template that fixes them, and what is left to keep."""

    template: Template
    open: tuple[int, ...]
    pattern: Pattern


class _Skeleton:
    """What bodies share that differ in their texts alone."""

    def __init__(self, template: Template, family: Family) -> None:
        self.template = template
        self.family = family
        self.variants: dict[tuple[Word, ...], _Variant] = {}

    def variant(self, texts: Texts) -> _Variant:
        family = self.family
        words = family.words(texts)
        known = self.variants.get(words)
        if known is None:
            if len(self.variants) >= _most_of(family.holes):
                self.variants.clear()
            known = self.variants[words] = self._made(words, texts)
        return known

    def _made(self, words: tuple[Word, ...], texts: Texts) -> _Variant:
        # A class of other texts than one stands for more than a template could fix.
        fixed = [
            at
            for (at, _), word in zip(self.family.deciding, words, strict=True)
            if isinstance(word, str)
        ]
        template = self.template.fixing(texts, fixed) if fixed else self.template
        if template is None:
            template, fixed = self.template, []
        open_ = tuple(at for at in range(len(texts)) if at not in fixed)
        return _Variant(template, open_, self.family.by_words(words, texts))


class Patterns:
    """The patterns of bodies under given definitions; not for several threads at once."""

    def __init__(self, definitions: Definitions, limits: wire.Limits) -> None:
        self.definitions = definitions
        self.limits = limits
        self._skeletons: dict[tuple[object, ...], _Skeleton | None] = {}
        self._families: dict[Layout, Family] = {}
        self._skeletons_held = self._families_held = 0
        self._asked = lru_cache(1024)(definitions.lexicon.asked)

    def take(self, body: bytes, envelope: Envelope) -> Taken:
        """What a body says, and by which template it may be kept."""
        found = self._skeleton(body, envelope)
        if found is None:
            return Taken(self.read_plainly(body, envelope))
        skeleton, texts = found
        template, open_, pattern = skeleton.variant(texts)
        kept = [texts[at] for at in open_]
        return Taken([pattern.statement(texts)], template, skeleton.template, kept, texts)

    def read_plainly(self, body: bytes, envelope: Envelope) -> list[Statement]:
        """What each postback of a body says, by the readers of record, in their order."""
        # guard: what is unverified says nothing
        if not envelope.is_verified:
            return [_unread(body, envelope)]
        return [
            _unread(body, envelope, index, str(member))
            if isinstance(member, ReadError)
            else self.statement(member)
            for index, member in enumerate(self.members(body, envelope))
        ]

    def members(self, body: bytes, envelope: Envelope) -> Sequence[Postback | ReadError]:
        """The postbacks of an event's bytes, cut as the vocabularies do that recognise one of them.

        Where several ways to cut them do, none counts. Where none does, the plain one stands if it says
        where it belongs; else a refusal of one, as it is why none does; else the plain one.
        """
        lexicon = self.definitions.lexicon
        ways = _ways(body, envelope, self.limits, lexicon)
        if len(ways) == 1:
            return ways[0]
        known = [_recognising(lexicon, members) for members in ways]
        recognised = [members for members, names in zip(ways, known, strict=True) if names]
        if len(recognised) > 1:
            return _contested(ways[0], set().union(*known))
        at_home = [members for members in ways[:1] if _at_home(lexicon, members)]
        refused = [one for one in ways if all(isinstance(member, ReadError) for member in one)]
        return (recognised or at_home or refused or ways)[0]

    def statement(self, postback: Postback) -> Statement:
        """What a postback says."""
        layout, texts = layout_of(postback)
        return self.family(layout).of(texts).statement(texts)

    def plainly(self, postback: Postback) -> Statement:
        """What a postback says, without what was learned of others."""
        layout, texts = layout_of(postback)
        pattern = pattern_of(layout, texts, self.definitions)
        return Statement(*self.place(postback)[0], pattern, texts)

    def place(self, postback: Postback) -> tuple[Where, Reading]:
        """Where a postback belongs, without any pattern: what the vocabularies say of it."""
        reading = self.definitions.lexicon.read(postback)
        stream = NOWHERE
        if reading.chart is not None and reading.key_at:
            stream = (reading.space_of(postback), reading.chart, reading.key_of(postback))
        when = UNTIMED
        if reading.timestamp_at is not None:
            stamp = postback.fields[reading.timestamp_at][1]
            when = occurrence_at(stamp, reading.formats, reading.naive)
        identity = postback.digest(reading.ignored, reading.identified_by)
        amounts = (postback.fields[one.value][1] for one in reading.amounts)
        findings = when.findings | int(reading.findings) & _UNRECOGNISED
        if not all(map(is_decimal, amounts)):
            findings |= _AMOUNT_UNREADABLE
        return (stream, when.occurred_at, identity, findings), reading

    def family(self, layout: Layout) -> Family:
        """The patterns of a layout."""
        known = self._families.get(layout)
        if known is None:
            self._families_held += len(layout.fields) + 1
            if len(self._families) >= MOST_PATTERNS or self._families_held > MOST_HELD:
                self._families.clear()
                self._families_held = len(layout.fields) + 1
            known = self._families[layout] = Family(layout, self.definitions)
        return known

    @property
    def quick(self) -> bool:
        """Whether bodies may be read by their patterns: not where limits bound what has a template."""
        return self.limits.body_bytes >= LONGEST

    def family_of(self, template: Template, envelope: Envelope) -> Family | None:
        """The patterns of events of a template; ``None`` where it proves nothing."""
        layout = self._probed(template.pieces, envelope)
        return None if layout is None else self.family(layout)

    def _probed(self, pieces: Pieces, envelope: Envelope) -> Layout | None:
        """How bodies of a template are read, where that is the same in all shapes."""
        lexicon = self.definitions.lexicon
        layout = probed(pieces, envelope, self.limits, lexicon.shapes)
        return layout and layout._replace(origin=_origin(envelope, lexicon))

    def _source(self, envelope: Envelope) -> str:
        return self._asked(envelope.source)

    def _skeleton(self, body: bytes, envelope: Envelope) -> tuple[_Skeleton, Texts] | None:
        """What is known of bodies like this one, and its texts; ``None`` where it is read plainly."""
        found = None if envelope.is_whole or not self.quick else leaves(body)
        if found is None:
            return None
        between, texts = found
        mark = (envelope.kind, envelope.part, envelope.content_type, self._source(envelope))
        key = (*mark, True, *between)
        try:
            known = self._skeletons[key]
        except KeyError:
            return self._other(body, envelope, between, mark)
        return None if known is None else (known, texts)

    def _other(
        self, body: bytes, envelope: Envelope, between: Sequence[str], mark: tuple[object, ...]
    ) -> tuple[_Skeleton, Texts] | None:
        """The skeleton and texts of a body whose attributes vary, or that is the first of its kind."""
        found = split(body)
        if found is None:
            return None
        pieces, texts = found
        # Where only leaves vary, they are found the quick way from now on.
        # What stands between leaves is told from what stands between any texts: the pieces of one body
        # may be the markup of another.
        only_leaves = joined(between) == pieces
        key = (*mark, only_leaves, *(between if only_leaves else pieces))
        if key not in self._skeletons:
            self._skeletons_held += len(pieces)
            if len(self._skeletons) >= MOST_PATTERNS or self._skeletons_held > MOST_HELD:
                self._skeletons.clear()
                self._skeletons_held = len(pieces)
            layout = self._probed(pieces, envelope)
            self._skeletons[key] = (
                None if layout is None else _Skeleton(Template(pieces), self.family(layout))
            )
        known = self._skeletons[key]
        return None if known is None else (known, texts)


Members = Sequence[Postback | ReadError]


def _origin(envelope: Envelope, lexicon: Lexicon, shapes: tuple[int, ...] = ()) -> Origin:
    source = lexicon.asked(envelope.source)
    return Origin(source, shapes) if source or shapes else ANYWHERE


def _ways(body: bytes, envelope: Envelope, limits: wire.Limits, lexicon: Lexicon) -> list[Members]:
    """What a body is, cut by each shape of the vocabularies, the plain one first.

    Shapes that give the same are one way.
    """
    ways: dict[tuple[object, ...], tuple[Members, list[int]]] = {}
    same: dict[int, tuple[object, ...]] = {}
    for number, members in enumerate(read(body, envelope, limits, lexicon.shapes)):
        if id(members) not in same:
            same[id(members)] = _told(members)
        ways.setdefault(same[id(members)], (members, []))[1].append(number)
    alike = len(ways) == 1
    return [
        _evolved(members, _origin(envelope, lexicon, () if alike else tuple(shapes)))
        for members, shapes in ways.values()
    ]


def _told(members: Members) -> tuple[object, ...]:
    return tuple([str(one) if isinstance(one, ReadError) else one for one in members])


def _evolved(members: Members, origin: Origin) -> Members:
    if origin == ANYWHERE:
        return members
    return [m if isinstance(m, ReadError) else attrs.evolve(m, origin=origin) for m in members]


def _recognising(lexicon: Lexicon, members: Members) -> set[str]:
    """The vocabularies that recognise one of the members."""
    readings = [lexicon.read(one) for one in members if isinstance(one, Postback)]
    return {reading.vocabulary or "" for reading in readings if reading.recognised}


def _at_home(lexicon: Lexicon, members: Members) -> bool:
    """Whether one of the members says to which stream it belongs."""
    readings = [lexicon.read(one) for one in members if isinstance(one, Postback)]
    return any(reading.chart is not None and reading.key_at for reading in readings)


def _contested(members: Members, rivals: Iterable[str]) -> Members:
    """The members as postbacks that vocabularies of several shapes recognise, so that none counts."""
    told = tuple(sorted(rivals))
    return [
        m
        if isinstance(m, ReadError)
        else attrs.evolve(m, origin=attrs.evolve(m.origin, rivals=told))
        for m in members
    ]


def read(
    body: bytes,
    envelope: Envelope,
    limits: wire.Limits,
    shapes: Sequence[Shape] = (UNCUT,),
    least: int | None = None,
) -> list[Members]:
    """The postbacks of an event's bytes by each shape, by the readers of record; never raises.

    Where shapes give the same because the body has none of their paths, that is one object. ``least``
    is as in ``wire.readings``.
    """
    encoding, query = envelope.content_encoding, envelope.part is Part.QUERY
    try:
        found = wire.readings(
            body,
            envelope.content_type,
            limits,
            content_encoding=encoding,
            query=query,
            shapes=shapes,
            least=least,
        )
    except ReadError as error:
        # Without its traceback, in which this very frame would keep the body alive.
        found = [ReadError(str(error))] * len(shapes)
    except Exception as error:
        # To record must not depend on a reader: the body is kept, and says what went wrong.
        _log.exception("a reader failed")
        found = [ReadError(f"the reader failed: {type(error).__name__}")] * len(shapes)
    # guard: no body imitates a statement
    statement = envelope.kind == Kind.STATEMENT
    whole = {id(one): _members(one, statement=statement) for one in found}
    return [whole[id(one)] for one in found]


def _members(found: wire.Reading | ReadError, *, statement: bool) -> Members:
    members = (found,) if isinstance(found, ReadError) else found
    return [_whole(member, statement=statement) for member in members]


def _whole(member: Postback | ReadError, *, statement: bool) -> Postback | ReadError:
    """Refuse half characters: JSON can spell a surrogate without its other half, no store can."""
    if isinstance(member, ReadError):
        return member
    try:
        "".join((member.root, *(name + text for name, text in member.fields))).encode()
    # guard: half characters refused
    except UnicodeEncodeError:
        return ReadError("a text holds half a character (a lone surrogate)")
    return attrs.evolve(member, statement=statement)


def _unread(body: bytes, envelope: Envelope, index: int = 0, problem: str = "") -> Statement:
    identity = unread_identity(body, index, envelope)
    return Statement(NOWHERE, UNDATED, identity, 0, None, (), problem)


def unread_identity(body: bytes, index: int, envelope: Envelope) -> bytes:
    """The identity of what is not read: 16 bytes over the body, the place in it, and what it is.

    Why it can't be read takes no part: parsers word it otherwise from one version to the next.
    """
    # So no receipt repeats a statement, and nothing that is verified what is not.
    what = b"unreadable" if envelope.is_verified else b"unverified"
    person = what if envelope.kind == Kind.RECEIPT else what + b" said"
    return blake2b(body, digest_size=16, salt=index.to_bytes(8), person=person).digest()


@lru_cache(maxsize=1024)
def probed(
    pieces: Pieces, envelope: Envelope, limits: wire.Limits, shapes: tuple[Shape, ...] = (UNCUT,)
) -> Layout | None:
    """How bodies of a template are read: the readers of record read it with a probe for each text.

    Where every probe comes back as the whole text of one field, other plain texts in its place will
    come back in the same way. ``None`` where that is not proven, or not the same in all shapes.
    """
    if envelope.is_whole:
        return None
    kind = kind_of(pieces[0])
    probes = [_probe(number, piece[-1:], kind) for number, piece in enumerate(pieces[:-1])]
    template = Template(pieces)
    body, least = template.fill(probes), len(template.fill([""] * len(probes)))
    # The probes make it longer than the bodies that it stands for.
    # guard: a template is read as the shortest body of it
    ways = read(body, envelope, attrs.evolve(limits, body_bytes=1 << 20), shapes, least)
    if len(set(map(_told, {id(one): one for one in ways}.values()))) > 1:
        return None
    members = ways[0]
    if len(members) != 1 or isinstance(members[0], ReadError):
        return None
    message = members[0]
    at = {probe: number for number, probe in enumerate(probes)}
    of_sending = {text for _, text in message.attributes}
    fields = tuple((path, at.pop(text, text)) for path, text in message.fields)
    # Attributes of the message's element say nothing about the message, and stand in no field.
    if any(probe not in of_sending for probe in at) or message.repaired:
        return None
    # A text that is no probe may itself be a body there.
    embedded = {path for shape in shapes for path in shape.embedded}
    if any(isinstance(text, int) and plain(path) in embedded for path, text in fields):
        return None
    return Layout(message.root, message.repaired, message.statement, fields, len(probes), ANYWHERE)


def _probe(number: int, before: str, kind: str) -> str:
    """A text that no other equals, of all characters that may stand in its place."""
    if kind == "json" and before != '"':
        return str(10**15 + number)
    barred = {"xml": "&<>" + before, "json": '"\\', "form": ""}[kind]
    return f"{number}{_PRINTABLE.translate(dict.fromkeys(map(ord, barred)))}{number}"
