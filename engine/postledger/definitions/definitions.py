"""Definitions: the charts and vocabularies that a ledger folds by, as one value.

A ledger keeps the text of its definitions, so that a state can be derived again from the file
alone, years later, whatever Postledger ships by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import attrs

from postledger.arguments import FilePath, all_of, checked, names_of, paths_of, shown
from postledger.definitions.chart import Statechart
from postledger.definitions.chart_toml import load_chart
from postledger.definitions.clashes import clashes, mixed_keys
from postledger.definitions.diagnostics import Faults, read_toml
from postledger.definitions.effects import Compiled, Effect, compiled
from postledger.definitions.vocabulary import Lexicon, Reading, Reads, Vocabulary
from postledger.definitions.vocabulary_toml import load_vocabulary, muted
from postledger.errors import DefinitionError, UnknownWord
from postledger.keys import KeyFields


@attrs.frozen
class Definitions:
    """The charts and the vocabularies, each in the order of their names.

    >>> sorted(ledger.definitions.charts)
    ['content', 'delivery', ...]
    """

    charts: Mapping[str, Statechart]
    lexicon: Lexicon = attrs.field(repr=False)
    _effects: dict[tuple[str, str, tuple[str, ...]], Compiled] = attrs.field(
        init=False, factory=dict, repr=False
    )

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the hashes of all charts and vocabularies."""
        parts = sorted([c.hash for c in self.charts.values()] + [v.hash for v in self.vocabularies])
        return sha256("".join(parts).encode()).hexdigest()

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """The vocabularies, in the order of their names."""
        return self.lexicon.vocabularies

    @property
    def label(self) -> str:
        """The labels of all charts and vocabularies in one line."""
        return ", ".join(self.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of all charts and vocabularies."""
        charts, vocabularies = self.charts.values(), self.vocabularies
        return (*(one.label for one in charts), *(one.label for one in vocabularies))

    @cached_property
    def spaces(self) -> tuple[str, ...]:
        """The spaces of ids that vocabularies of what providers send read into; ``""`` is one of them.

        >>> ledger.definitions.spaces
        ('',)
        """
        return tuple(sorted({one.space for one in self._received}))

    def reads_into(self, space: str) -> bool:
        """Whether postbacks may name deliveries of that space.

        Of any, where a vocabulary takes the space from a field, or where none has one.
        """
        named = any(one.space_field for one in self._received)
        return named or space in self.spaces or not any(self.spaces)

    def keys_of(self, space: str, chart: str = "delivery") -> tuple[KeyFields, ...]:
        """The fields that name a stream of that space and chart, as postbacks do: a tuple a way.

        >>> ledger.definitions.keys_of("")
        ((('tracking_id', False),),)
        """
        into = [one for one in self._received if one.space == space or one.space_field]
        keys = (
            tuple((name, name in one.numbers) for name in entry.key)
            for one in into
            for entry in one.entries
            if entry.chart == chart
        )
        return tuple(dict.fromkeys(keys))

    @property
    def _received(self) -> list[Vocabulary]:
        return [one for one in self.vocabularies if one.reads is Reads.RECEIPTS]

    @checked
    def chart(self, name: str) -> Statechart:
        """The chart of that name; raises ``UnknownWord``."""
        if name not in self.charts:
            raise UnknownWord(f"unknown chart {name!r}: expected {', '.join(self.charts)}")
        return self.charts[name]

    @checked
    def with_charts(self, charts: Iterable[Statechart]) -> Definitions:
        """These definitions with the given charts in place of those of the same names."""
        return self._with(charts, ())

    @checked
    def with_vocabularies(self, vocabularies: Iterable[Vocabulary]) -> Definitions:
        """These definitions with the given vocabularies in place of those of the same names."""
        return self._with((), vocabularies)

    @checked
    def with_providers(self, providers: str | Iterable[str]) -> Definitions:
        """These definitions with vocabularies that ship, next to those that are here.

        One of the same name takes the place of what is here. Raises ``UnknownWord`` for an unknown
        name, ``DefinitionError`` where a vocabulary doesn't fit the charts or another vocabulary.

        >>> added = ledger.definitions.without_providers().with_providers("skycore")
        >>> [one.name for one in added.vocabularies]
        ['postledger', 'skycore']
        """
        return self.with_files(providers=providers)

    def without_providers(self) -> Definitions:
        """These definitions without what providers send: with the charts, and the program's statements.

        >>> [one.name for one in ledger.definitions.without_providers().vocabularies]
        ['postledger']
        """
        stated = [one for one in self.vocabularies if one.reads is Reads.STATEMENTS]
        return define(self.charts.values(), stated)

    def muted(self) -> Definitions:
        """These definitions with the vocabularies of what providers send muted.

        They read nothing, but their names stay bound to their spaces: what came, or comes, from a
        source of such a name isn't read by others.

        >>> [one.reads.value for one in ledger.definitions.muted().vocabularies]
        ['statements', 'nothing', 'nothing']
        """
        return define(
            self.charts.values(),
            [muted(one) if one.reads is Reads.RECEIPTS else one for one in self.vocabularies],
        )

    def without_muted(self) -> Definitions:
        """These definitions without vocabularies that read nothing."""
        return define(
            self.charts.values(),
            [one for one in self.vocabularies if one.reads is not Reads.NOTHING],
        )

    @checked
    def with_files(
        self,
        charts: FilePath | Iterable[FilePath] = (),
        vocabulary: FilePath | Iterable[FilePath] = (),
        *,
        providers: str | Iterable[str] = (),
    ) -> Definitions:
        """These definitions with those of the given TOML files, and with ``providers``, all at once.

        Raises ``DefinitionError``; for ``providers`` see ``with_providers``.
        """
        files = paths_of("charts", charts), paths_of("vocabulary", vocabulary)
        loaded = {str(path): load_chart(_text(path), where=str(path)) for path in files[0]}
        named = dict.fromkeys(names_of("providers", providers))
        words = [read_vocabulary(path) for path in files[1]] + [shipped(name) for name in named]
        replaced = {vocabulary.name for vocabulary in words}
        kept = [one for one in self.vocabularies if one.name not in replaced]
        faults = [fault for where in loaded for fault in _lacking(where, loaded[where], kept)]
        if faults:
            raise DefinitionError(*faults)
        return self._with(loaded.values(), words)

    def _with(
        self, charts: Iterable[Statechart], vocabularies: Iterable[Vocabulary]
    ) -> Definitions:
        others = all_of(Statechart, "charts", charts)
        words = all_of(Vocabulary, "vocabularies", vocabularies)
        replaced = {c.name: c for c in (*self.charts.values(), *others)}
        named = {v.name for v in words}
        # Those given are named first where two clash: they are the ones to change.
        spoken = (*words, *(v for v in self.vocabularies if v.name not in named))
        return define(replaced.values(), spoken)


def apart(definitions: Definitions, others: Definitions) -> tuple[str, str]:
    """The labels of what only the one has, and of what only the others have, if there is any."""
    ours, theirs = definitions.labels, others.labels
    return (
        ", ".join(label for label in ours if label not in theirs),
        ", ".join(label for label in theirs if label not in ours),
    )


def unshared(one: tuple[str, Definitions], other: tuple[str, Definitions]) -> str:
    """What only the one reads by, and what only the other, each by its name."""
    (name, own), (another, others) = one, other
    labels = zip((name, another), apart(own, others), strict=True)
    return "; ".join(f"{who} alone reads by {said}" for who, said in labels if said)


def adding(kept: Definitions, wanted: Definitions) -> list[str] | None:
    """The options of ``replay`` that add what only ``wanted`` has; ``None`` where none would do.

    Charts that ship are no reason to give up those in force.
    """
    options: list[str] = []
    ships = {one.hash for one in builtin().charts.values()}
    if any(one.hash not in ships for one in _more(kept.charts.values(), wanted.charts.values())):
        return None
    more = _more(kept.vocabularies, wanted.vocabularies)
    try:
        kept.with_vocabularies(more)
    except DefinitionError:
        return None
    for one in more:
        if one.name in providers() and shipped(one.name).hash == one.hash:
            options += ["--provider", one.name]
        elif Path(one.where).is_file():
            options += ["--vocabulary", one.where]
        else:
            return None
    return options


Defined = TypeVar("Defined", Statechart, Vocabulary)


def _more(kept: Iterable[Defined], wanted: Iterable[Defined]) -> list[Defined]:
    known = {one.hash for one in kept}
    return [one for one in wanted if one.hash not in known]


def effect_of(definitions: Definitions, reading: Reading) -> Effect | None:
    """What events of a reading do to their stream; ``None`` where they say nothing."""
    if reading.trigger is None or reading.chart is None:
        return None
    chart, effects = definitions.charts[reading.chart], definitions._effects
    case = (reading.chart, reading.trigger, reading.evidence)
    if case not in effects:
        effects[case] = compiled(chart, *case[1:])
    return Effect(reading, chart, *effects[case])


@checked
def define(charts: Iterable[Statechart], vocabularies: Iterable[Vocabulary]) -> Definitions:
    """Put charts and vocabularies together; raises ``DefinitionError`` where they don't fit.

    They are kept by name: the order in which they are given decides nothing.
    """
    charts = sorted(all_of(Statechart, "charts", charts), key=lambda chart: chart.name)
    by_name = {chart.name: chart for chart in charts}
    given = all_of(Vocabulary, "vocabularies", vocabularies)
    lexicon = Lexicon(given)
    faults = [
        *_named_twice("chart", [chart.name for chart in charts]),
        *_named_twice("vocabulary", [v.name for v in lexicon.vocabularies]),
        *(fault for v in lexicon.vocabularies for fault in _unfit(v, by_name)),
        *_clashing(given),
    ]
    if faults:
        raise DefinitionError(*faults)
    return Definitions(by_name, lexicon)


@checked
def builtin(providers: str | Iterable[str] | None = None) -> Definitions:
    """The definitions that ship with Postledger.

    ``providers`` are those of ``shipped`` to read by, one or several, in place of those that are read
    without being asked for; with an empty list, none of them. Statements of the program are always
    read. Raises ``UnknownWord``.

    >>> [one.name for one in builtin(["skycore"]).vocabularies]
    ['postledger', 'skycore']
    >>> [one.name for one in builtin([]).vocabularies]
    ['postledger']
    """
    top = files("postledger.statecharts")
    if providers is None:
        return load([top, top / "vocabulary"])
    return builtin().without_providers().with_providers(providers)


@checked
def shipped(name: str) -> Vocabulary:
    """A vocabulary that ships, for what a provider sends; raises ``UnknownWord``.

    >>> shipped("skycore").title
    'Skycore SMS/MMS MT postbacks (specification 1.3, and the wire of 2011)'
    """
    if name not in (known := providers()):
        raise UnknownWord(f"unknown provider {shown(name)}: expected one of {', '.join(known)}")
    return load_vocabulary(_text(_providers()[name]), where=f"{name}.toml")


def providers() -> tuple[str, ...]:
    """The names of the vocabularies that ship, for what providers send.

    >>> "skycore" in providers()
    True
    """
    statements = {one.name for one in _unasked() if one.reads is Reads.STATEMENTS}
    return tuple(sorted(_providers().keys() - statements))


def _unasked() -> tuple[Vocabulary, ...]:
    """The vocabularies that are read where nobody chooses."""
    return builtin().vocabularies


def _providers() -> dict[str, Traversable]:
    """The files of the vocabularies that ship, each of which has the name of what it holds."""
    top = files("postledger.statecharts")
    found = [path for name in ("vocabulary", "providers") for path in (top / name).iterdir()]
    return {path.name[: -len(".toml")]: path for path in found if path.name.endswith(".toml")}


def load(paths: FilePath | Traversable | Iterable[FilePath | Traversable]) -> Definitions:
    """Definitions from TOML files and folders of them, and from nothing else.

    A file with ``[[postbacks]]`` is a vocabulary, any other a chart. Raises ``DefinitionError``.
    """
    return from_sources((_where(path), _text(path)) for path in _toml_files(paths))


@checked
def from_sources(sources: Iterable[tuple[str, str]]) -> Definitions:
    """Definitions from pairs of a name for messages and the TOML text."""
    given = tuple(sources)
    for one in given:
        if not (isinstance(one, tuple) and list(map(type, one)) == [str, str]):
            raise TypeError(f"sources must be pairs of texts, got {shown(one)} among them")
    return _from_sources(given)


# To open a ledger means to read its definitions, which most ledgers of a process share.
@lru_cache(maxsize=8)
def _from_sources(sources: tuple[tuple[str, str], ...]) -> Definitions:
    loaded = [_loaded(where, text) for where, text in sources]
    charts = [one for one in loaded if isinstance(one, Statechart)]
    return define(charts, [one for one in loaded if isinstance(one, Vocabulary)])


# A ledger's definitions are loaded each time it is opened.
@lru_cache(maxsize=64)
def _loaded(where: str, text: str) -> Statechart | Vocabulary:
    if not {"postbacks", "reads"}.isdisjoint(read_toml(text, where)):
        return load_vocabulary(text, where=where)
    return load_chart(text, where=where)


def read_vocabulary(path: FilePath) -> Vocabulary:
    """A vocabulary from its TOML file; raises ``DefinitionError``."""
    return load_vocabulary(_text(Path(path)), where=str(path))


def check(paths: FilePath | Iterable[FilePath]) -> list[str]:
    """The faults of TOML files and folders of them: a line for each.

    Each line says where the fault is, what it is and what to write instead. A vocabulary
    may name the charts among the files and those that ship with Postledger.
    """
    faults = Faults("")
    found = faults.attempt(_toml_files, paths) or []
    loaded = [one for path in found if (one := faults.attempt(_file, path)) is not None]
    charts = {one.name: one for one in loaded if isinstance(one, Statechart)}
    shipped = builtin()
    known = {**shipped.charts, **charts}
    lines = [line for error in faults.found for line in error.faults]
    for kind in (Statechart, Vocabulary):
        named = [one.name for one in loaded if isinstance(one, kind)]
        lines += _named_twice("chart" if kind is Statechart else "vocabulary", named)
    # Where a chart could not be loaded, that its triggers are unknown would only be noise.
    if not faults.found:
        words = {one.name: one for one in loaded if isinstance(one, Vocabulary)}
        lines += [line for v in words.values() for line in _unfit(v, known)]
        lines += _clashing((words | {v.name: v for v in shipped.vocabularies} | words).values())
    return lines


def _file(path: Path | Traversable) -> Statechart | Vocabulary:
    return _loaded(_where(path), _text(path))


@checked
def sources(definitions: Definitions) -> list[tuple[str, str]]:
    """The names and TOML texts of all charts and vocabularies: what ``from_sources`` takes."""
    charts = [(chart.name, chart.source) for chart in definitions.charts.values()]
    return charts + [(v.name, v.source) for v in definitions.vocabularies]


def _toml_files(
    paths: FilePath | Traversable | Iterable[FilePath | Traversable],
) -> list[Path | Traversable]:
    """The files that are named, and those of the folders that are."""
    found: list[Path | Traversable] = []
    for top in paths_of("paths", paths):
        if top.is_dir():
            inside = [path for path in top.iterdir() if path.name.endswith(".toml")]
            if not inside:
                raise DefinitionError(
                    f"{top}: no TOML file there; name a file, or a folder of them"
                )
            found += sorted(inside, key=lambda path: path.name)
        else:
            found.append(top)
    return found


def _where(path: Path | Traversable) -> str:
    return str(path) if isinstance(path, Path) else path.name


def _text(path: Path | Traversable) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DefinitionError(f"{path}: can't be read: {reason}; name a TOML file") from None


def _lacking(where: str, chart: Statechart, vocabularies: Iterable[Vocabulary]) -> Iterator[str]:
    """Where a chart of a file takes the place of one whose triggers are still spoken of."""
    for vocabulary in vocabularies:
        rows = [
            row
            for entry in vocabulary.entries
            if entry.chart == chart.name
            for row in (*entry.means, *entry.evidence)
        ]
        said = [trigger for row in rows for trigger in row.triggers]
        lacks = [trigger for trigger in said if trigger not in chart.triggers]
        if lacks:
            yield (
                f"{where}: chart {chart.name!r} lacks triggers of the vocabulary {vocabulary.name!r},"
                f" which is kept: {', '.join(dict.fromkeys(lacks))}; add them, give the chart another"
                " name, or read by your files alone (--only)"
            )


def _named_twice(kind: str, names: list[str]) -> list[str]:
    return [
        f"{kind} {name!r}: two files have that name; give each {kind} a name of its own"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _clashing(vocabularies: Iterable[Vocabulary]) -> list[str]:
    """Where two of the vocabularies know the same postbacks."""
    pairs = combinations(vocabularies, 2)
    return [line for one, other in pairs if one.name != other.name for line in _clashes(one, other)]


@lru_cache(maxsize=256)
def _clashes(one: Vocabulary, other: Vocabulary) -> tuple[str, ...]:
    mixed = mixed_keys(one, other)
    return (*clashes(one, other), *([mixed] if mixed else []))


def _unfit(vocabulary: Vocabulary, charts: Mapping[str, Statechart]) -> Iterator[str]:
    """Where a vocabulary names a chart or a trigger that doesn't exist, or one delivery in two ways."""
    if (mixed := mixed_keys(vocabulary, vocabulary)) is not None:
        yield mixed
    for entry in vocabulary.entries:
        place = f"{vocabulary.where}: {entry.place}"
        if entry.chart is None:
            continue
        if entry.chart not in charts:
            known = f"the charts are {', '.join(charts)}" if charts else "there are no charts"
            yield f"{place}: chart {entry.chart!r} is unknown; {known}"
            continue
        triggers = charts[entry.chart].triggers
        rows = (*entry.means, *entry.evidence)
        for trigger in dict.fromkeys(trigger for row in rows for trigger in row.triggers):
            if trigger not in triggers:
                fault = f"chart {entry.chart!r} has no trigger {trigger!r}"
                yield f"{place}: {fault}; the triggers are {', '.join(triggers)}"
