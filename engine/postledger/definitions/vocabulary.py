"""Vocabularies: what the words of a provider mean, as TOML.

A postback's *wording* (which fields it has, and what its few deciding words say) settles its
reading: the space, the chart, the key, the trigger, the evidence of a receipt, which required nodes
are missing. The reading is looked up once per wording and kept.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, tzinfo

import attrs

from postledger.definitions.conditions import SOURCE, Classes, Condition, Word
from postledger.definitions.said import Counted, Said
from postledger.definitions.timestamps import Timestamps
from postledger.errors import IntegrityError
from postledger.findings import Finding
from postledger.keys import key_of
from postledger.postback import ANYWHERE, UNCUT, Postback, Shape, plain

FIELDS = ("to", "mms_id", "spid", "handset", "aggregator_id")
"""The fields that a projection carries; a vocabulary says where on the wire they stand."""


_MOST_HELD = 200_000
"""How many fields all readings that are kept have."""


class Reads(enum.StrEnum):
    """What a vocabulary reads: what a provider sends, or what the embedding program states.

    One that reads nothing any more still binds the source of its name to its space.
    """

    RECEIPTS = "receipts"
    STATEMENTS = "statements"
    NOTHING = "nothing"


@attrs.frozen
class Row:
    """One row of ``means`` or ``evidence``: where the conditions hold, the triggers are said.

    A row of ``means`` has one trigger; one of ``evidence`` may have none, for a word that is known and
    says nothing to the chart.
    """

    conditions: Mapping[str, Condition]
    triggers: tuple[str, ...]

    @property
    def trigger(self) -> str:
        """The first of them."""
        return self.triggers[0]


@attrs.frozen
class Entry:
    """One type of postback, as a section of the provider's specification describes it.

    ``key`` are the fields that name the delivery together, none where it belongs to none.
    """

    place: str
    section: str
    roots: frozenset[str]
    match: Mapping[str, Condition]
    chart: str | None
    key: tuple[str, ...]
    clock: Timestamps
    requires: tuple[str, ...]
    undated: bool
    reason: tuple[str, ...]
    means: tuple[Row, ...]
    evidence: tuple[Row, ...]
    parts: tuple[str, str] | None = None

    def conditions(self) -> Iterator[tuple[str, Condition]]:
        """All that it asks for, with our names of the fields."""
        for row in (self.match, *(row.conditions for row in (*self.means, *self.evidence))):
            yield from row.items()


Places = Mapping[str, Sequence[int]]
"""The indexes of the fields of a postback, by their plain names."""

KeyPart = tuple[int, bool]
"""A part of a key: the index of a field, and whether it is a phone number."""


@attrs.frozen
class Reading:
    """What postbacks of one wording mean.

    The ``*_at`` values are indexes into the fields of the postback (``None``: it has none).
    ``entry`` is the place of the entry that fits.
    ``chart`` is ``None`` where the postback belongs to no stream; ``trigger`` is ``None`` where it
    says nothing to the chart; ``evidence`` are the triggers taken after it. ``space`` is that of the
    vocabulary that placed the postback in a stream, unless the field at ``space_at`` names another.
    ``picks`` are pairs of an index into ``FIELDS`` and one into the fields. ``key_at`` is empty where
    there is no key. ``reason_said`` are texts that stand in place of those at ``reason_at``, ``labels``
    names with the indexes of their texts. ``missing`` are the required nodes that it lacks, by our name
    of the field. ``ignored`` are the fields that take no part in the identity, as the vocabulary
    ``ignored_by`` wants it; empty where none does. ``meant`` is what the postback means, where
    an equal one that came otherwise means something else; else empty.
    ``parts_at`` are those of the part and of how many there are, ``None`` where neither is said.
    ``problem`` says why a postback is unrecognised whose type is known.
    """

    recognised: bool
    vocabulary: str | None = None
    section: str | None = None
    entry: str | None = None
    space: str = ""
    space_at: int | None = None
    chart: str | None = None
    key_at: tuple[KeyPart, ...] = ()
    trigger: str | None = None
    evidence: tuple[str, ...] = ()
    picks: tuple[tuple[int, int], ...] = ()
    code_at: int | None = None
    status_at: int | None = None
    reason_at: tuple[int, ...] = ()
    reason_said: tuple[str | None, ...] = ()
    reason_class: str | None = None
    labels: tuple[tuple[str, int], ...] = ()
    amounts: tuple[Counted, ...] = ()
    timestamp_at: int | None = None
    naive: tzinfo = UTC
    formats: tuple[str, ...] = ("iso",)
    undated: bool = False
    missing: tuple[str, ...] = ()
    findings: Finding = attrs.field(default=Finding(0))
    ignored: tuple[int, ...] = ()
    ignored_by: str = ""
    meant: tuple[str, ...] = ()
    parts_at: tuple[int | None, int | None] | None = None
    problem: str = ""

    @property
    def kind(self) -> str:
        """``recognised`` or ``unrecognised``."""
        return "recognised" if self.recognised else "unrecognised"

    @property
    def identified_by(self) -> str:
        """What takes part in the identity besides the fields (``Postback.digest``)."""
        if not self.meant:
            return self.ignored_by
        return "\n".join([self.ignored_by, *(f"{len(text)}:{text}" for text in self.meant)])

    def space_of(self, postback: Postback) -> str:
        """The space of a postback of this wording."""
        return self.space if self.space_at is None else postback.fields[self.space_at][1]

    def key_of(self, postback: Postback) -> str:
        """The key of a postback of this wording that has one."""
        return key_of([(postback.fields[at][1], number) for at, number in self.key_at])

    def details(self, texts: Sequence[str | int]) -> list[str | int]:
        """What makes the details of a postback: texts of its fields, or what stands for these."""
        said = self.reason_said or (None,) * len(self.reason_at)
        pairs = zip(self.reason_at, said, strict=True)
        return [texts[at] if one is None else one for at, one in pairs]


_NOTHING = Reading(recognised=False, undated=True, findings=Finding.UNRECOGNISED)


@attrs.frozen(eq=False)
class Vocabulary:
    """The words of one provider, checked; two that say the same have the same ``hash``.

    ``page`` is where they are documented, ``read_on`` when that was read; ``unconfirmed`` where no
    public source confirms them. ``wire`` is how the provider posts, where it is said, ``shape`` how
    bodies are cut.
    ``space`` is the space of the ids that its postbacks name. ``space_field`` is our name of the
    field that names another space, in the postbacks that have it. ``ignore`` are the plain names of the
    fields that say nothing of what a postback means, such as the number of an attempt. ``numbers`` are
    our names of those that are phone numbers.

    >>> ledger.definitions.vocabularies[0].label
    'postledger 1 (...)'
    """

    name: str
    version: int
    title: str
    reads: Reads
    space: str
    space_field: str | None
    ignore: frozenset[str]
    numbers: frozenset[str]
    page: str | None
    read_on: date | None
    unconfirmed: bool
    wire: str | None
    shape: Shape
    hash: str
    where: str = attrs.field(repr=False)
    source: str = attrs.field(repr=False)
    fields: Mapping[str, tuple[str, ...]] = attrs.field(repr=False)
    clock: Timestamps
    entries: tuple[Entry, ...] = attrs.field(repr=False)
    said: Said = attrs.field(factory=Said, repr=False)

    @property
    def label(self) -> str:
        """Name, version and the start of the hash, and whether it reads nothing."""
        reads = "; reads nothing" if self.reads is Reads.NOTHING else ""
        return f"{self.name} {self.version} ({self.hash[:8]}{reads})"

    def conditions(self) -> Iterator[Condition]:
        """All that its entries ask for."""
        for entry in self.entries:
            for _, condition in entry.conditions():
                yield condition

    def fits(self, postback: Postback) -> bool:
        """Whether it reads such postbacks: statements, or what a provider sends."""
        return self.reads is (Reads.STATEMENTS if postback.statement else Reads.RECEIPTS)

    def read(self, postback: Postback, places: Places | None = None) -> Reading:
        """What the postback means in this vocabulary; unrecognised where no row matches.

        ``places`` are those of the postback, where they are known.
        """
        at, texts = self._find(postback, places_of(postback) if places is None else places)
        root = plain(postback.root)
        reading = self._unrecognised(at, texts)
        for entry in self.entries:
            if (not entry.roots or root in entry.roots) and _all_hold(entry.match, texts):
                reading = self._reading(entry, at, texts, postback)
                break
        said = Finding.FIELD_TWICE if None in texts.values() else Finding(0)
        return attrs.evolve(reading, findings=reading.findings | said)

    def texts(self, postback: Postback) -> Mapping[str, str | None]:
        """The texts of a postback by our names of the fields, and its source.

        Empty fields are left out. ``None`` stands for one that is there twice: to choose would be a
        guess.
        """
        return self._find(postback, places_of(postback))[1]

    def lacking(self, entry: Entry, texts: Mapping[str, str | None]) -> dict[str, str]:
        """What keeps such a postback out of the stream that an entry names, by our names of the fields.

        Its key must be there. So must its space, once, where the postback names one at all.
        """
        spaced = entry.chart and self.space_field and texts.get(self.space_field, "") is None
        wanted = (*entry.key, self.space_field) if spaced else entry.key
        return {
            name: "there twice" if name in texts else "missing"
            for name in wanted
            if name is not None and texts.get(name) is None
        }

    def _find(
        self, postback: Postback, by_name: Places
    ) -> tuple[dict[str, int], dict[str, str | None]]:
        """Our names of the fields that are there once and not empty, with their indexes.

        Then the texts, as ``texts`` has them.
        """
        found: dict[str, int] = {}
        texts: dict[str, str | None] = {SOURCE: postback.origin.source}
        for ours, wire in self.fields.items():
            indexes = next((by_name[name] for name in wire if name in by_name), ())
            if len(indexes) > 1:
                texts[ours] = None
            elif indexes:
                (found[ours],) = indexes
                texts[ours] = postback.fields[indexes[0]][1]
        return found, texts

    def _reading(
        self,
        entry: Entry,
        at: Mapping[str, int],
        texts: Mapping[str, str | None],
        postback: Postback,
    ) -> Reading:
        said = next((r for r in entry.means if _all_hold(r.conditions, texts)), None)
        lacking = self.lacking(entry, texts)
        if lacking or (said is None and entry.means):
            lacks = "; ".join(f"{name} is {how}" for name, how in lacking.items())
            lacks = lacks or "no row of its means does"
            problem = f"{entry.section!r} of the vocabulary {self.name} fits, but {lacks}"
            return attrs.evolve(self._unrecognised(at, texts, entry), problem=problem)
        missing = tuple(name for name in entry.requires if name not in at)
        reason = tuple(name for name in entry.reason if name in at)
        findings = Finding.NODE_MISSING if missing else Finding(0)
        if postback.repaired:
            findings |= Finding.REPAIRED
        evidence = next(
            (row.triggers for row in entry.evidence if _all_hold(row.conditions, texts)), None
        )
        if evidence is None and _says_more(entry, said, texts):
            findings |= Finding.WORD_UNKNOWN
        return attrs.evolve(
            self._unrecognised(at, texts, entry),
            recognised=True,
            trigger=said.trigger if said else None,
            evidence=evidence or (),
            reason_at=tuple(at[name] for name in reason),
            reason_said=tuple(self.said.reason(name, texts[name]) for name in reason),
            reason_class=self.said.class_of(reason, texts),
            labels=self.said.labels_at(at),
            amounts=self.said.amounts_at(at, texts),
            undated=entry.undated,
            missing=missing,
            findings=findings,
            ignored=tuple(
                index
                for index, (path, _) in enumerate(postback.fields)
                if plain(path) in self.ignore
            ),
            ignored_by=self.name if self.ignore else "",
            parts_at=_parts(entry, at, texts),
        )

    def _unrecognised(
        self, at: Mapping[str, int], texts: Mapping[str, str | None], entry: Entry | None = None
    ) -> Reading:
        """A reading that says no trigger, but where the postback would belong and what it has."""
        chart, key = self._home(texts, entry)
        clock = entry.clock if entry else self.clock
        return Reading(
            recognised=False,
            vocabulary=self.name,
            section=entry.section if entry else None,
            entry=entry.place if entry else None,
            space=self.space if chart else "",
            space_at=at.get(self.space_field) if chart and self.space_field else None,
            chart=chart,
            key_at=tuple((at[name], name in self.numbers) for name in key),
            picks=tuple((FIELDS.index(name), at[name]) for name in FIELDS if name in at),
            code_at=at.get("code"),
            status_at=at.get("status"),
            reason_at=tuple(at[name] for name in ("status_details",) if name in at),
            timestamp_at=at.get(clock.field),
            naive=clock.naive,
            formats=clock.formats,
            undated=True,
            findings=Finding.UNRECOGNISED,
        )

    def _home(
        self, texts: Mapping[str, str | None], entry: Entry | None
    ) -> tuple[str | None, tuple[str, ...]]:
        """The chart and the key fields of the stream that a postback belongs to, if any.

        One of an unknown type is listed with the first stream whose key it names.
        """
        entries = (entry,) if entry else self.entries
        homes = ((e.chart, e.key) for e in entries if e.chart and not self.lacking(e, texts))
        return next(homes, (None, ()))


def _meaning(reading: Reading) -> tuple[str, ...]:
    """What equal postbacks must agree in, for one to repeat the other."""
    if not reading.recognised:
        return ("unrecognised",)
    said = (reading.vocabulary, reading.entry, reading.trigger, *reading.evidence)
    return tuple([text or "" for text in said])


def places_of(postback: Postback) -> Places:
    """Where the fields stand that are not empty, by their plain names."""
    places: dict[str, list[int]] = {}
    for index, (path, text) in enumerate(postback.fields):
        if text:
            places.setdefault(plain(path), []).append(index)
    return places


def _says_more(entry: Entry, said: Row | None, texts: Mapping[str, str | None]) -> bool:
    """Whether a field that the evidence asks for, and nothing else, is there."""
    asked = {name for row in entry.evidence for name in row.conditions}
    known = {*entry.match, SOURCE, *(said.conditions if said else ())}
    return any(texts.get(name) for name in asked - known)


def _by_name(vocabularies: Iterable[Vocabulary]) -> tuple[Vocabulary, ...]:
    """In the order of their names, so that the order in which they were given decides nothing."""
    return tuple(sorted(vocabularies, key=lambda vocabulary: vocabulary.name))


@attrs.define
class Lexicon:
    """Several vocabularies as one, and the readings already looked up.

    A postback that two vocabularies recognise is unrecognised: to choose would be a guess. One that
    none recognises is listed where the first of them, by name, places it. Statements are read by
    vocabularies of statements alone, and what a provider sends never is.

    What comes from a source that has the name of a vocabulary is read by the vocabularies of its space
    alone: nobody speaks for the ids of another. That holds for vocabularies that read nothing, too.

    ``shapes`` are those by which its vocabularies cut bodies, the first of which doesn't. ``classes``
    say by the plain name of a field which of its texts are told apart, ``words`` which texts any
    condition lists. ``spaces`` are those of the sources that have the name of a vocabulary.
    """

    vocabularies: tuple[Vocabulary, ...] = attrs.field(converter=_by_name)
    shapes: tuple[Shape, ...] = attrs.field(init=False)
    classes: dict[str, Callable[[str], Word]] = attrs.field(init=False, factory=dict, repr=False)
    words: dict[str, frozenset[str]] = attrs.field(init=False, factory=dict)
    spaces: dict[str, str] = attrs.field(init=False)
    _by_source: bool = attrs.field(init=False, default=False, repr=False)
    _known: dict[tuple[object, ...], Reading] = attrs.field(init=False, factory=dict, repr=False)
    _held: int = attrs.field(init=False, default=0, repr=False)

    @shapes.default
    def _shapes_of_all(self) -> tuple[Shape, ...]:
        return (UNCUT, *sorted({one.shape for one in self.vocabularies} - {UNCUT}))

    @spaces.default
    def _spaces_of_providers(self) -> dict[str, str]:
        return {v.name: v.space for v in self.vocabularies if v.reads is not Reads.STATEMENTS}

    def __attrs_post_init__(self) -> None:
        asked: dict[str, list[Condition]] = {}
        # Codes are told apart like the texts of conditions: they decide what a reason says.
        codes = (c for v in self.vocabularies for c in v.said.words(v.fields))
        conditions = (c for v in self.vocabularies for c in v.conditions())
        named = (self._naming(v) for v in self.vocabularies if v.space_field)
        for condition in (*conditions, *codes, *named):
            for name in condition.names:
                asked.setdefault(name, []).append(condition)
        self._by_source = asked.pop(SOURCE, None) is not None
        for name, classes in ((name, Classes(asked[name])) for name in asked):
            if classes.tells:
                self.classes[name] = classes.of
            if classes.texts:
                self.words[name] = classes.texts

    def read(self, postback: Postback) -> Reading:
        """What the postback means."""
        fields = self.wording(postback.fields)
        marks = (postback.root, postback.repaired, postback.statement, postback.origin)
        wording = (*marks, *fields)
        reading = self._known.get(wording)
        if reading is None:
            # The wordings of real traffic are a few dozen; nonsense must not fill the memory.
            self._held += len(wording)
            if len(self._known) > 10_000 or self._held > _MOST_HELD:
                self._known.clear()
                self._held = len(wording)
            reading = self._known[wording] = self._read(postback)
        return reading

    def wording(self, fields: Iterable[tuple[str, str]]) -> tuple[tuple[str, Word | bool], ...]:
        """What the reading depends on: of each field the class of its text, or whether it is empty."""
        classes = self.classes
        told: list[tuple[str, Word | bool]] = []
        for path, text in fields:
            of = classes.get(plain(path))
            told.append((path, bool(text) if of is None or not text else of(text) or True))
        return tuple(told)

    def asked(self, source: str) -> str:
        """The source, where anything depends on it; else empty."""
        return source if self._by_source or source in self.spaces else ""

    def readers(self, postback: Postback) -> list[Vocabulary]:
        """The vocabularies that read such a postback."""
        origin = postback.origin
        if origin.shapes and origin.shapes[-1] >= len(self.shapes):
            raise IntegrityError(f"no vocabulary cuts bodies by shape {origin.shapes[-1]}")
        shapes = {self.shapes[at] for at in origin.shapes}
        space = None if postback.statement else self.spaces.get(origin.source)
        return [
            v
            for v in self.vocabularies
            if v.fits(postback)
            and (not shapes or v.shape in shapes)
            # guard: nobody speaks for the ids of another
            and (space is None or v.space == space)
        ]

    def _read(self, postback: Postback) -> Reading:
        reading = self._as_it_came(postback)
        if postback.origin == ANYWHERE:
            return reading
        # The origin takes no part in the identity: where it decides what an equal postback means,
        # neither may repeat the other.
        elsewhere = self._as_it_came(attrs.evolve(postback, origin=ANYWHERE))
        if _meaning(reading) == _meaning(elsewhere):
            return reading
        source = postback.origin.source
        if not reading.recognised and elsewhere.recognised and source in self.spaces:
            problem = (
                f"it came from the source {source!r}, which is read by the vocabularies of the space"
                f" {self.spaces[source]!r} alone; {elsewhere.vocabulary} would recognise it"
            )
            reading = attrs.evolve(reading, problem=reading.problem or problem)
        return attrs.evolve(reading, meant=_meaning(reading))

    def _naming(self, vocabulary: Vocabulary) -> Condition:
        """Whether the field in which a vocabulary's postbacks name a space names one of others."""
        others = {*self.spaces.values()} - {vocabulary.space}
        return Condition(vocabulary.fields[vocabulary.space_field or ""], frozenset(others))

    def _as_it_came(self, postback: Postback) -> Reading:
        places = places_of(postback)
        readings = [
            self._of_its_own(v.read(postback, places), postback) for v in self.readers(postback)
        ]
        return self._of(readings, postback.origin.rivals)

    def _of_its_own(self, reading: Reading, postback: Postback) -> Reading:
        """The reading, unless it names a space for which the source of the postback doesn't speak."""
        source = postback.origin.source
        if postback.statement or source not in self.spaces or reading.space_at is None:
            return reading
        named = postback.fields[reading.space_at][1]
        # guard: no field names the space of another
        if named == reading.space or named not in self.spaces.values():
            return reading
        problem = f"it names the space {named!r}, for which the source {source!r} doesn't speak"
        return attrs.evolve(_NOTHING, vocabulary=reading.vocabulary, problem=problem)

    def _of(self, readings: list[Reading], rivals: tuple[str, ...]) -> Reading:
        recognised = [reading for reading in readings if reading.recognised]
        if len(recognised) == 1 and not rivals:
            return recognised[0]
        placed = [r for r in recognised or readings if r.chart is not None]
        known = sorted({*(reading.vocabulary or "" for reading in recognised), *rivals})
        problem = f"several vocabularies recognise it: {', '.join(known)}" if known else ""
        problem = problem or "; ".join(r.problem for r in readings if r.problem)
        best = (placed or readings or [_NOTHING])[0]
        best = attrs.evolve(
            best,
            recognised=False,
            trigger=None,
            evidence=(),
            findings=Finding.UNRECOGNISED,
            # What a field of an unknown postback says nobody knows.
            ignored=(),
            ignored_by="",
            problem=problem,
        )
        if len({(r.space, r.space_at, r.chart, r.key_at) for r in placed}) > 1:
            # Vocabularies that don't know it would list it with different streams.
            return attrs.evolve(best, space="", space_at=None, chart=None, key_at=())
        return best


def _parts(
    entry: Entry, at: Mapping[str, int], texts: Mapping[str, str | None]
) -> tuple[int | None, int | None] | None:
    """Where the part and the total stand; what stands twice is said, and can't be read."""
    if entry.parts is None or all(texts.get(name, "") == "" for name in entry.parts):
        return None
    part, total = entry.parts
    return at.get(part), at.get(total)


def _all_hold(conditions: Mapping[str, Condition], texts: Mapping[str, str | None]) -> bool:
    """Whether all hold; of a field that stands twice (``None``) none does, nor that it is missing."""
    said = ((c, texts.get(name, "")) for name, c in conditions.items())
    return all(text is not None and c.holds(text) for c, text in said)
