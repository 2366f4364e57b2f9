"""``postledger replay``: fold the states again, or see what other definitions would make of the log."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial, reduce
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import click

from postledger.address import Location
from postledger.cli.archives import (
    ArchiveOptions,
    archive_options,
    definitions_of,
    replayed,
    require_ledger,
)
from postledger.cli.archives import opened as opened_archive
from postledger.cli.common import (
    definition_options,
    ledger_argument,
    progress,
    provider_option,
    reading,
    remark,
    writing,
)
from postledger.cli.forms import Form, Record, output_options, shown, write_records, write_table
from postledger.cli.layout import cell, counted, paragraph
from postledger.cli.params import ArchiveAt
from postledger.definitions.definitions import Definitions, apart, builtin
from postledger.definitions.vocabulary import Reads
from postledger.errors import DefinitionError, LedgerError
from postledger.ledger.ledger import Ledger
from postledger.model import GOES_WITHOUT_SAYING, Content, Delivery
from postledger.projections.compare import Difference

_VALUES = tuple(
    dict.fromkeys(
        field.name
        for field in (*attrs.fields(Delivery), *attrs.fields(Content))
        if field.name not in ("tracking_id", "space", "chart", "first_received_at")
    )
)
_FLAT = (
    *("space", "chart", "key", "why"),
    *(f"{side}_{name}" for name in _VALUES for side in ("before", "after")),
)
_KINDS = ("new", "gone", "changed")

Changes = dict[str, dict[str, tuple[int, int]]]
"""By chart and kind: how many rows, and how many events these have."""

_COLUMNS = {"chart": "chart", "key": "key", "from": "from", "to": "to", "why": "why"}


@click.command(
    epilog="""\b
Examples:
  postledger replay deliveries.db
  postledger replay deliveries.db --index
  postledger replay deliveries.db --chart my-delivery.toml
  postledger replay deliveries.db --provider smpp --adopt
  postledger replay deliveries.db --provider smpp --only --adopt
  postledger replay deliveries.db --builtin --adopt
  postledger replay 2026-11 --chart my-delivery.toml
  postledger replay 2026-11 --provider smpp --out by-smpp
  postledger replay 2026-11 --with lyon/2026-11 --builtin --out states
  postledger replay 2026-11 --engine spark --out states"""
)
@ledger_argument(archives=True)
@definition_options("Compare with this chart")
@provider_option
@click.option(
    "--only", is_flag=True, help="Of what providers send, read what is named here and no more."
)
@click.option(
    "--builtin",
    "shipped",
    is_flag=True,
    help="Compare with those that ship, in place of those in force.",
)
@click.option("--adopt", is_flag=True, help="Count what changes, then read by them from now on.")
@click.option("--index", is_flag=True, help="Read the log itself again, not its index.")
@archive_options
@output_options(pages=False)
def replay(
    ledger: Location | ArchiveAt,
    charts: tuple[Path, ...],
    words: tuple[Path, ...],
    names: tuple[str, ...],
    only: bool,  # noqa: FBT001
    shipped: bool,  # noqa: FBT001
    adopt: bool,  # noqa: FBT001
    index: bool,  # noqa: FBT001
    options: ArchiveOptions,
    form: Form,
) -> None:
    """Fold the states again, next to the live ones, and switch to them.

    Other processes may go on recording. Interrupted, it leaves the live states untouched and goes on
    where it was when it is called again. With --chart, --vocabulary, --provider or --builtin it only
    shows which deliveries would change by those, from what to what, and why, and writes nothing. What
    is named is added to the definitions in force, and takes the place of what has the same name.

    LEDGER may be an archive, a folder or the address of one, which stays as it is: with --out its
    states are folded, by what is named or by its own definitions, to another folder as Parquet. Only
    that takes --as-of, --occurred-by and --engine spark. Archives that were read by different
    definitions fold with --builtin, whose definitions take the place of all.
    """
    named = _Named(charts, words, names, only, shipped)
    if adopt and not named.given:
        raise click.UsageError("--adopt requires --chart, --vocabulary, --provider or --builtin.")
    if only and not (words or names):
        raise click.UsageError("--only requires --provider or --vocabulary.")
    if isinstance(ledger, ArchiveAt):
        require_ledger("--adopt", adopt)
        require_ledger("--index", index)
        _replay_archive(ledger, named, options, form)
        return
    options.require_unset()
    if index and named.given and not adopt:
        raise click.UsageError("--index requires --adopt when comparing.")
    if named.given and not adopt:
        with reading(ledger) as opened:
            own, size = opened.definitions, opened.head().size
            _compare(opened.differences, size, own, named.with_those_of(own), form)
        return
    _replay(ledger, named if adopt else None, index, form)


@attrs.frozen
class _Named:
    """The definitions that are named next to those in force, or in their place."""

    charts: tuple[Path, ...]
    words: tuple[Path, ...]
    providers: tuple[str, ...]
    only: bool
    shipped: bool

    @property
    def given(self) -> bool:
        """Whether there are any."""
        return bool(self.charts or self.words or self.providers or self.shipped)

    def with_those_of(self, own: Definitions, *others: Definitions) -> Definitions:
        """All that is to be read by; raises ``DefinitionError`` where they don't fit together.

        Others are those of further archives, which may differ where built-in ones take their place.
        """
        base = reduce(_with_names_of, (own, *others), builtin()) if self.shipped else own
        base = base.muted() if self.only else base
        return _with(base, self.charts, self.words, self.providers)


def _replay(ledger: Location, named: _Named | None, index: bool, form: Form) -> None:  # noqa: FBT001
    """Fold the states again, by what is named from now on."""
    with writing(ledger) as opened:
        definitions = None if named is None else named.with_those_of(opened.definitions)
        changes = None if definitions is None else _announced(opened, definitions)
        with progress("replay", opened.head().size) as advance:
            opened.replay(definitions, index=index, progress=advance)
        last, label = opened.head().size - 1, opened.definitions.label
    if form.for_people:
        click.echo(paragraph(f"replayed to position {last} by {label}"))
    else:
        said = {} if changes is None else {"changes": _plain(changes)}
        write_records([{"position": last, "definitions": label, **said}], form, {})


def _replay_archive(place: ArchiveAt, named: _Named, options: ArchiveOptions, form: Form) -> None:
    """Fold an archive to a folder, or show what would change."""
    options.require_consistent()
    if options.out is None and not named.given:
        raise click.UsageError(
            "An archive is folded with --out, or compared with --chart, --vocabulary, --provider"
            " or --builtin."
        )
    with opened_archive(place, options.beside) as archive:
        before = definitions_of(place, *options.beside) if named.shipped else [archive.definitions]
        definitions = named.with_those_of(*before)
        if options.out is None:
            engine = None if options.engine == "spark" else options.engine
            differing = partial(archive.differences, engine=engine)
            _compare(differing, archive.size, archive.definitions, definitions, form)
            return
        states = replayed(archive, definitions, options)
    if form.for_people:
        click.echo(paragraph(f"wrote {counted(states, 'state')} by {definitions.label}"))
    else:
        write_records([{"states": states, "definitions": definitions.label}], form, {})


def _with_names_of(base: Definitions, others: Definitions) -> Definitions:
    """The definitions, with the names that others bind, so that nobody else is read in their place."""
    bound = [one for one in others.muted().vocabularies if one.reads is Reads.NOTHING]
    known = {one.name for one in base.vocabularies}
    return base.with_vocabularies([one for one in bound if one.name not in known])


def _with(
    base: Definitions, charts: tuple[Path, ...], words: tuple[Path, ...], names: tuple[str, ...]
) -> Definitions:
    try:
        return base.with_files(charts, words, providers=names)
    except DefinitionError as error:
        raise DefinitionError(f"{error}{_advice(str(error), base)}") from None


def _advice(fault: str, base: Definitions) -> str:
    """What to do where a vocabulary that ships wants more of a chart than the one in force has."""
    ships = builtin().charts
    for chart in base.charts.values():
        other = chart.name in ships and ships[chart.name].hash != chart.hash
        if other and f"chart {chart.name!r} has no trigger" in fault:
            print_it = f"postledger charts --toml {chart.name}"
            return (
                f"; if the chart that ships has it, print that ({print_it}) and add it with --chart"
            )
    return ""


def _announced(ledger: Ledger, definitions: Definitions) -> Changes:
    """Say what other definitions change, before they are adopted."""
    dropped, added = apart(ledger.definitions.without_muted(), definitions.without_muted())
    for verb, labels in (("adding", added), ("dropping", dropped)):
        if labels:
            remark(f"{verb} {labels}")
    try:
        changes = _changes(ledger, definitions)
    except LedgerError as error:
        # A replay is what fixes a damaged index: that it can't be counted must not hold it up.
        remark(f"what changes can't be counted: {error}")
        return {}
    for chart, counts in sorted(changes.items()):
        told = (f"{n} {kind} ({counted(m, 'event')})" for kind, (n, m) in counts.items())
        remark(f"{chart}: {', '.join(told)}")
    if not changes:
        remark("no delivery is new, gone or changed")
    if any(counts["gone"][0] for counts in changes.values()):
        remark("the events of what is gone stay in the log: another --adopt brings it back")
    return changes


def _changes(ledger: Ledger, definitions: Definitions) -> Changes:
    changes: Changes = {}
    with progress("compare", ledger.head().size) as advance:
        for one in ledger.differences(definitions, progress=advance):
            kind = "new" if one.before is None else "gone" if one.after is None else "changed"
            counts = changes.setdefault(one.chart, dict.fromkeys(_KINDS, (0, 0)))
            states, events = counts[kind]
            counts[kind] = states + 1, events + max(map(_events, (one.before, one.after)))
    return changes


def _plain(changes: Changes) -> Record:
    return {
        chart: {kind: {"states": n, "events": m} for kind, (n, m) in counts.items()}
        for chart, counts in changes.items()
    }


def _events(row: Delivery | None) -> int:
    return 0 if row is None else row.events + row.repeats


def _compare(
    differing: Callable[..., Iterator[Difference]],
    size: int,
    own: Definitions,
    definitions: Definitions,
    form: Form,
) -> None:
    turns: Counter[tuple[str, str, str]] = Counter()
    with progress("compare", size, printing=not form.for_people) as advance:
        found = _counted(differing(definitions, progress=advance), turns)
        if not form.for_people:
            write_records(map(_flat if form.is_flat else _record, found), form, {}, _FLAT)
        else:
            listed = [_row(one) for one in islice(found, shown(form, None))]
            deque(found, maxlen=0)
    if form.for_people and turns:
        rows = [[*turn, str(count)] for turn, count in sorted(turns.items())]
        write_table(rows, ["chart", "from", "to", "states"], form)
        click.echo()
        write_records(listed, form, _COLUMNS)
    count = turns.total()
    if form.for_people and count > len(listed):
        remark(f"the first {len(listed)} of {count}; --json, --nl or --csv give all")
    ours, others = apart(own.without_muted(), definitions.without_muted())
    by = f"with {others}" if others else f"without {ours}" if ours else "with the same definitions"
    remark(f"{counted(count, 'state')} would change {by}; nothing was written")


def _counted(
    differences: Iterable[Difference], turns: Counter[tuple[str, str, str]]
) -> Iterator[Difference]:
    for one in differences:
        was, to_be = ("-" if row is None else row.state for row in (one.before, one.after))
        turns[one.chart, was, "the same state" if was == to_be else to_be] += 1
        yield one


def _record(difference: Difference) -> dict[str, Any]:
    return {
        "space": difference.space,
        "chart": difference.chart,
        "key": difference.key,
        "before": None if difference.before is None else difference.before.to_dict(),
        "after": None if difference.after is None else difference.after.to_dict(),
        "why": difference.why,
    }


def _flat(difference: Difference) -> Record:
    """The record with a column for each value, as a spreadsheet wants it."""
    record = _record(difference)
    for side in ("before", "after"):
        row = record.pop(side) or {}
        record.update({f"{side}_{name}": row.get(name) for name in _VALUES})
    return {name: record[name] for name in _FLAT}


def _row(difference: Difference) -> Record:
    return {
        "chart": difference.chart,
        "key": " ".join(filter(None, (difference.space, difference.key))),
        "from": _shown(difference, was=True),
        "to": _shown(difference, was=False),
        "why": difference.why,
    }


def _shown(difference: Difference, *, was: bool) -> str:
    """What a delivery is on one side, as far as the sides differ."""
    one, other = difference.before, difference.after
    here, there = (one, other) if was else (other, one)
    if here is None:
        return "-"
    shown, against = here.to_dict(), {} if there is None else there.to_dict()
    # Of what is only on one side all would differ: the forms for programs have it.
    others = () if there is None else shown
    names = ("state", "route", *(name for name in others if name not in ("state", "route")))
    parts = [
        cell(shown[name]) if name in ("state", "route") else f"{name} {cell(shown[name])}"
        for name in names
        if shown[name] not in (None, "", {})
        and shown[name] != against.get(name)
        and (name, shown[name]) not in (() if name in against else GOES_WITHOUT_SAYING)
    ]
    return "; ".join(parts) or "the same"
