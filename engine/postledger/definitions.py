"""Definitions: the charts and vocabularies that a ledger folds by, as one value.

A ledger keeps the text of its definitions, so that a state can be derived again from the file
alone, years later, whatever Postledger ships by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import attrs

from postledger.charts import Statechart, load_chart
from postledger.errors import DefinitionError
from postledger.findings import Finding
from postledger.vocabulary import Lexicon, Reading, Vocabulary, load_vocabulary

APPLIED, NO_EFFECT, CONTRADICTS = "applied", "no_effect", "contradicts"


@attrs.frozen
class Change:
    """What an event does to a stream in one configuration.

    ``regions`` are the indexes of the regions whose state changes; ``outcome`` is ``True`` where
    the first region enters a final state, ``False`` where it leaves one, else ``None``.
    """

    after: int
    verdict: str
    findings: int
    regions: tuple[int, ...]
    outcome: bool | None


@attrs.frozen
class Effect:
    """What events of one reading do to their stream: by configuration, compiled."""

    reading: Reading
    chart: Statechart
    stage: int
    after: int | None
    changes: tuple[Change, ...]


@attrs.frozen
class Definitions:
    """The charts by name, and the vocabularies."""

    charts: Mapping[str, Statechart]
    lexicon: Lexicon = attrs.field(repr=False)
    _effects: dict[tuple[str, str, str | None], tuple[int, int | None, tuple[Change, ...]]] = (
        attrs.field(init=False, factory=dict, repr=False)
    )

    @property
    def hash(self) -> str:
        """SHA-256 over the hashes of all charts and vocabularies."""
        parts = sorted([c.hash for c in self.charts.values()] + [v.hash for v in self.vocabularies])
        return sha256("".join(parts).encode()).hexdigest()

    @property
    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """The vocabularies, in the order in which they are asked."""
        return self.lexicon.vocabularies

    @property
    def label(self) -> str:
        """The labels of all charts and vocabularies in one line."""
        labels = [c.label for c in self.charts.values()] + [v.label for v in self.vocabularies]
        return ", ".join(labels)

    def effect(self, reading: Reading) -> Effect | None:
        """What events of this reading do to their stream; ``None`` where they say nothing."""
        if reading.trigger is None or reading.chart is None:
            return None
        case = (reading.chart, reading.trigger, reading.evidence)
        if case not in self._effects:
            self._effects[case] = _effect(self.charts[reading.chart], *case[1:])
        return Effect(reading, self.charts[reading.chart], *self._effects[case])

    def with_charts(self, charts: Iterable[Statechart]) -> Definitions:
        """These definitions with the given charts in place of those of the same names."""
        replaced = {**self.charts, **{chart.name: chart for chart in charts}}
        return define(replaced.values(), self.vocabularies)

    def with_vocabularies(self, vocabularies: Iterable[Vocabulary]) -> Definitions:
        """These definitions with the given vocabularies in place of those of the same names."""
        replaced = {v.name: v for v in (*self.vocabularies, *vocabularies)}
        return define(self.charts.values(), replaced.values())

    def with_files(
        self, charts: Iterable[str | Path] = (), vocabularies: Iterable[str | Path] = ()
    ) -> Definitions:
        """These definitions with those of the given TOML files; raises ``DefinitionError``."""
        loaded = [load_chart(_text(path), where=str(path)) for path in charts]
        words = [load_vocabulary(_text(path), where=str(path)) for path in vocabularies]
        replaced = {c.name: c for c in (*self.charts.values(), *loaded)}
        spoken = {v.name: v for v in (*self.vocabularies, *words)}
        return define(replaced.values(), spoken.values())


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise DefinitionError(f"{path}: can't be read: {error}; name a TOML file") from None


def define(charts: Iterable[Statechart], vocabularies: Iterable[Vocabulary]) -> Definitions:
    """Put charts and vocabularies together; raises ``DefinitionError`` where they don't fit."""
    by_name = {chart.name: chart for chart in charts}
    lexicon = Lexicon(tuple(vocabularies))
    for vocabulary in lexicon.vocabularies:
        _fits(vocabulary, by_name)
    return Definitions(by_name, lexicon)


def builtin() -> Definitions:
    """The definitions that ship with Postledger."""
    return load([files("postledger.statecharts"), files("postledger.statecharts") / "vocabulary"])


def load(paths: Iterable[Path | Traversable]) -> Definitions:
    """Definitions from TOML files and folders of them.

    A file with ``[[postbacks]]`` is a vocabulary, any other a chart. Raises ``DefinitionError``.
    """
    return from_sources(
        (path.name, path.read_text("utf-8")) for top in paths for path in _toml_files(top)
    )


def from_sources(sources: Iterable[tuple[str, str]]) -> Definitions:
    """Definitions from pairs of a name for messages and the TOML text."""
    charts: list[Statechart] = []
    vocabularies: list[Vocabulary] = []
    for where, text in sources:
        if "[[postbacks]]" in text:
            vocabularies.append(load_vocabulary(text, where=where))
        else:
            charts.append(load_chart(text, where=where))
    return define(charts, vocabularies)


def sources(definitions: Definitions) -> list[tuple[str, str]]:
    """The names and TOML texts of all charts and vocabularies: what ``from_sources`` takes."""
    charts = [(chart.name, chart.source) for chart in definitions.charts.values()]
    return charts + [(v.name, v.source) for v in definitions.vocabularies]


def _toml_files(top: Path | Traversable) -> list[Path | Traversable]:
    if not top.is_dir():
        return [top]
    return sorted((p for p in top.iterdir() if p.name.endswith(".toml")), key=lambda p: p.name)


def _fits(vocabulary: Vocabulary, charts: Mapping[str, Statechart]) -> None:
    for entry in vocabulary.entries:
        if entry.chart is None:
            continue
        place = f"{vocabulary.name}: {entry.place}"
        if entry.chart not in charts:
            known = ", ".join(charts)
            raise DefinitionError(f"{place}: chart {entry.chart!r} is unknown; there are: {known}")
        triggers = charts[entry.chart].triggers
        for row in (*entry.means, *entry.evidence):
            if row.trigger not in triggers:
                known = ", ".join(triggers)
                raise DefinitionError(
                    f"{place}: chart {entry.chart!r} has no trigger {row.trigger!r};"
                    f" there are: {known}"
                )


def _effect(
    chart: Statechart, trigger: str, evidence: str | None
) -> tuple[int, int | None, tuple[Change, ...]]:
    said = chart.triggers[trigger]
    changes = tuple(_change(chart, i, trigger, evidence) for i in range(len(chart.configurations)))
    return said.stage, said.after, changes


def _change(chart: Statechart, before: int, trigger: str, evidence: str | None) -> Change:
    """The trigger first, then what the receipt tells beside it."""
    move = chart.table[trigger][before]
    contradicts = move.refused or move.overrides
    findings = chart.triggers[trigger].refused if contradicts else Finding(0)
    after = move.after
    if evidence is not None:
        beside = chart.table[evidence][after]
        after = beside.after
        if beside.refused:
            findings |= chart.triggers[evidence].refused
    one, other = chart.configurations[before], chart.configurations[after]
    regions = tuple(i for i in range(len(one)) if one[i] != other[i])
    verdict = CONTRADICTS if contradicts else APPLIED if regions else NO_EFFECT
    outcome = other[0] in chart.regions[0].final if 0 in regions else None
    return Change(after, verdict, int(findings), regions, outcome)
