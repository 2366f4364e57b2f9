"""``postledger ingest``: record what files, folders and streams hold."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path

import attrs
import click

from postledger import wire
from postledger.address import Location
from postledger.cli.common import (
    definition_options,
    ledger_argument,
    only_option,
    progress,
    provider_option,
    reading,
    remark,
)
from postledger.cli.foreign import Foreign, Log, Row, foreign_options
from postledger.cli.forms import json_option, write_json
from postledger.cli.params import AnchorText
from postledger.cli.sources import (
    Bodies,
    Found,
    Lines,
    Stated,
    Stdin,
    Unfit,
    form_hint,
    sources,
)
from postledger.definitions.definitions import Definitions, builtin, load, providers
from postledger.errors import PostledgerError, ReadError
from postledger.ledger.ledger import Ledger
from postledger.ledger.writing import COUNTED, Appended
from postledger.log.event import Envelope, Kind, Part
from postledger.model import UNVERIFIED, Anchor, Receipt, Summary
from postledger.state.patterns import Patterns
from postledger.store.opening import exists

_Source = Bodies | Lines | Stdin | Log

_MOST_REMARKS = 20
_TRIED = 100
"""So many rows of a log are read before any is recorded: an option that is missing shows in each."""

_REMARKED = ("unreadable", "unrecognised", "unverified")
"""Which counts are remarked on."""


@attrs.frozen
class _Said:
    """What the caller says of all that is recorded: no line says it for itself.

    ``read_by`` gives the definitions that it is to be read by.
    """

    source: str
    sources: bool
    statements: bool
    origin: Anchor | None
    read_by: Callable[[], Definitions]

    def given(self, found: Found) -> tuple[Receipt, Kind]:
        """A receipt with the source and the kind that it is to have."""
        kind = found.kind if self.statements else Kind.RECEIPT
        source = found.source if self.sources and found.source else self.source
        return (found if found.source == source else attrs.evolve(found, source=source)), kind


@click.command(
    epilog="""\b
Examples:
  postledger ingest deliveries.db postbacks/ --source skycore
  postledger ingest deliveries.db monday.jsonl.gz tuesday.jsonl
  postledger ingest calls.db callbacks/ --provider skycore --provider sinch
  postledger ingest calls.db posted.txt --content-type application/x-www-form-urlencoded
  curl -s https://example.org/one.xml | postledger ingest deliveries.db -
  postledger ingest copy.db export.jsonl --sources --statements
  postledger ingest deliveries.db dump.csv.gz --source skycore --body payload --received-at created
  postledger ingest deliveries.db access.jsonl --source skycore --body request/body --received-at ts"""
)
@ledger_argument(exists=False)
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@definition_options("A chart for a new ledger")
@provider_option
@only_option
@click.option("--source", default="", metavar="NAME", help="The endpoint that received them.")
@click.option("--sources", is_flag=True, help="Trust the sources that lines name.")
@click.option(
    "--statements", is_flag=True, help="Trust lines that say they are a statement of the program."
)
@click.option(
    "--origin",
    type=AnchorText(),
    help="The anchor of the ledger that the files were exported from.",
)
@foreign_options
@json_option
def ingest(
    ledger: Location,
    paths: tuple[str, ...],
    charts: tuple[Path, ...],
    words: tuple[Path, ...],
    names: tuple[str, ...],
    only: bool,  # noqa: FBT001
    source: str,
    sources: bool,  # noqa: FBT001
    statements: bool,  # noqa: FBT001
    origin: Anchor | None,
    foreign: Foreign | None,
    stated: Stated,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Record bodies from files, folders (recursively) and - (stdin).

    A file is one body; its suffix tells its content type (.xml, .json, .form) or that it is the query
    string of a GET (.query), unless --content-type or --query does. A .jsonl file has one
    {"received_at", "content_type", "body"} a line; .gz is unpacked. Bodies that are unreadable or
    unrecognised are kept too, counted and named; to ingest the same again only adds repeats. A file
    of lines is noted as an import, with its SHA-256. A new LEDGER is created, and keeps the charts
    and vocabularies that it is given then; replay adopts others later. Exit 1 where anything was not
    recorded.

    With --body, files are logs that another program kept: .csv with a header line, .jsonl or .ndjson
    (nested fields as a/b or a.b). Each row is one body. Run again, it goes on where it stopped. A log
    of which none of the first 100 bodies can be read is refused: --content-type may be missing.
    """
    counts: Counter[str] = Counter()
    definitions = _definitions(charts, words, names, only=only)
    said = _Said(source, sources, statements, origin, partial(_read_by, ledger, definitions))
    with ExitStack() as stack:
        advance = stack.enter_context(progress("ingest"))

        @cache
        def opened() -> Ledger:
            # When there is something to record: a mistyped name makes no file.
            return stack.enter_context(Ledger(ledger, definitions=definitions))

        anchor = _record(
            ledger, _found(paths, foreign, stated, ledger), opened, said, counts, advance
        )
    _sum_up(counts, anchor, as_json=as_json)


def _definitions(
    charts: tuple[Path, ...], words: tuple[Path, ...], names: tuple[str, ...], *, only: bool
) -> Definitions | None:
    """What a new ledger is to be read by; ``None`` for what ships, or what the ledger has."""
    if only and not (charts or words):
        raise click.UsageError("--only requires --chart or --vocabulary.")
    if only and charts and names:
        raise click.UsageError("--only and --chart can't go together with --provider.")
    if only and charts:
        return load([*charts, *words])
    if only:
        return builtin(names).with_files((), words)
    return builtin(names or None).with_files(charts, words) if charts or words or names else None


def _read_by(ledger: Location, given: Definitions | None) -> Definitions:
    """What a ledger is read by, or would be if it were made."""
    if not exists(ledger):
        return builtin() if given is None else given
    with reading(ledger) as opened:
        return opened.definitions


def _found(
    paths: tuple[str, ...], foreign: Foreign | None, stated: Stated, ledger: Location
) -> Iterable[_Source]:
    return sources(paths, stated) if foreign is None else foreign.logs(paths, ledger)


def _record(
    path: Location,
    found: Iterable[_Source],
    ledger: Callable[[], Ledger],
    said: _Said,
    counts: Counter[str],
    advance: Callable[[int], None],
) -> Anchor:
    for source in found:
        taken = _taken(source, ledger, said, counts, advance)
        if taken and source.sha256 is not None:
            ledger().imported(source.sha256, taken, said.origin)
    if not counts["taken"] and not exists(path):
        none = f"{path}: nothing to record, so no ledger was created"
        if counts["not recorded"]:
            remark(none)
            click.get_current_context().exit(1)
        raise PostledgerError(none)
    return ledger().head()


def _taken(
    source: _Source,
    ledger: Callable[[], Ledger],
    said: _Said,
    counts: Counter[str],
    advance: Callable[[int], None],
) -> int:
    """Record what a source holds; returns how many receipts that was."""
    given = map(said.given, _fit(source, counts))
    first = list(islice(given, _TRIED if isinstance(source, Log) else 1))
    if not first:
        return 0
    if isinstance(source, Log) and source.checked:
        _require_readable(first, said.read_by())
    taken, last = 0, None
    note = source.note if isinstance(source, Log) else None
    try:
        for batch in ledger()._batches(chain(first, given), note=note):
            for receipt, appended in batch:
                _count(receipt, appended, counts, ledger)
            recorded = len(batch) - (note is not None)
            taken, last = taken + recorded, batch[recorded - 1][0]
            advance(recorded)
    except (KeyboardInterrupt, SystemExit):
        if isinstance(last, Row):
            remark(f"{last.where}: recorded up to this line; run the same command again to go on")
        raise
    counts["taken"] += taken
    return taken


def _require_readable(given: Sequence[tuple[Receipt, Kind]], definitions: Definitions) -> None:
    """Refuse rows of which none can be read: the log keeps for good what is recorded."""
    patterns = Patterns(definitions, wire.Limits())
    problem = ""
    for receipt, kind in given:
        part = Part.QUERY if receipt.query else Part.BODY
        envelope = Envelope(
            kind, source=receipt.source, content_type=receipt.content_type, part=part
        )
        members = patterns.members(receipt.body, envelope)
        found = [one for one in members if isinstance(one, ReadError)]
        if len(found) < len(members):
            return
        problem = problem or f"{found[0]}{_form_hint(receipt)}"
    first = given[0][0]
    where = first.where if isinstance(first, Found) else "-"
    few = len(given) == 1
    tried = "its only body can't" if few else f"none of the first {len(given)} bodies can"
    raise PostledgerError(
        f"{where}: {tried} be read, so nothing of the file is"
        f" recorded: {problem}; --keep-unreadable records them as they are"
    )


def _fit(source: Iterable[Found | Unfit], counts: Counter[str]) -> Iterator[Found]:
    """The receipts that can be recorded; of the others it says why not."""
    for found in source:
        if isinstance(found, Unfit):
            counts["not recorded"] += 1
            remark(f"{found.where}: not recorded: {found.why}")
        else:
            yield found


def _count(
    receipt: Receipt,
    appended: list[Appended],
    counts: Counter[str],
    ledger: Callable[[], Ledger],
) -> None:
    where = receipt.where if isinstance(receipt, Found) else "-"
    for one in appended:
        counts[one.counted_as] += 1
        if one.counted_as in _REMARKED:
            counts["remarks"] += 1
            if counts["remarks"] <= _MOST_REMARKS:
                why = (one.problem or "its line says so") + _hint(receipt, one, ledger)
                # As `events` lists it.
                member = f".{one.member}" if one.member else ""
                place = f"{one.position}{member}"
                remark(f"{where}: {one.counted_as}: {why}; kept at position {place}")


def _hint(receipt: Receipt, one: Appended, ledger: Callable[[], Ledger]) -> str:
    """What to do about a form that nothing says to be one, or about a provider that isn't read."""
    if one.counted_as == "unreadable":
        return _form_hint(receipt)
    if one.counted_as != "unrecognised" or receipt.source not in providers():
        return ""
    if receipt.source in {known.name for known in ledger().definitions.vocabularies}:
        return ""
    words = ("postledger", "replay", ledger().path, "--provider", receipt.source, "--adopt")
    command = shlex.join(map(str, words))
    return f"; the ledger doesn't read by {receipt.source}, which ships; to add it: {command}"


def _form_hint(receipt: Receipt) -> str:
    return form_hint(receipt.body, receipt.content_type, query=receipt.query)


def _sum_up(counts: Counter[str], anchor: Anchor, *, as_json: bool) -> None:
    if counts["remarks"] > _MOST_REMARKS:
        remark(f"and {counts['remarks'] - _MOST_REMARKS} more: postledger events lists them")
    summary = Summary(**{kind: counts[kind] for kind in COUNTED}, anchor=anchor)
    if as_json:
        write_json(summary.to_dict())
    else:
        # Only the lines of an export say that an event was unverified.
        shown = [kind for kind in COUNTED if kind != UNVERIFIED or counts[kind]]
        click.echo(", ".join(f"{kind} {counts[kind]}" for kind in shown))
        click.echo(f"anchor {anchor}")
    if counts["not recorded"]:
        click.get_current_context().exit(1)
