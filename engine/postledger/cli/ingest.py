"""``postledger ingest``: record what files, folders and streams hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from postledger.cli.common import json_option, ledger_argument, progress, remark, write_json
from postledger.cli.sources import Found, Unfit, receipts
from postledger.definitions.definitions import Definitions, builtin, load
from postledger.ledger.ledger import Ledger
from postledger.ledger.writing import Appended
from postledger.model import Receipt, Summary

_MOST_REMARKS = 20
_TOML = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  postledger ingest deliveries.db postbacks/
  postledger ingest deliveries.db monday.jsonl.gz tuesday.jsonl
  curl -s https://example.org/one.xml | postledger ingest deliveries.db -"""
)
@ledger_argument(exists=False)
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option(
    "--chart", "--charts", "charts", type=_TOML, multiple=True, help="A chart for a new ledger."
)
@click.option(
    "--vocabulary", "words", type=_TOML, multiple=True, help="A vocabulary for a new ledger."
)
@click.option("--only", is_flag=True, help="By these alone, without those that ship.")
@json_option
def ingest(
    ledger: Path,
    paths: tuple[str, ...],
    charts: tuple[Path, ...],
    words: tuple[Path, ...],
    only: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Record bodies from files, folders (recursively) and - (stdin).

    A file is one body; a .jsonl file has one {"received_at", "content_type", "body"} a line; .gz is
    unpacked. Whatever can't be read or isn't known is kept too, counted and named; to ingest the
    same again only adds repeats. LEDGER is created where there is none, and keeps the charts and
    vocabularies that it is given then; replay adopts others later.
    """
    counts: Counter[str] = Counter()
    definitions = _definitions(charts, words, only=only)
    with Ledger(ledger, definitions=definitions) as open_ledger:
        with progress("ingest") as advance:
            for batch in open_ledger.record_batches(_fit(paths, counts)):
                for receipt, appended in batch:
                    _count(receipt, appended, counts)
                advance(len(batch))
        position, head = open_ledger.head()
    _sum_up(counts, position, head, as_json=as_json)


def _definitions(
    charts: tuple[Path, ...], words: tuple[Path, ...], *, only: bool
) -> Definitions | None:
    """What a new ledger is to be folded by; ``None`` for what ships, or what the ledger has."""
    if only and not (charts or words):
        raise click.UsageError("--only what? Give --chart and --vocabulary with it.")
    if only:
        return load([*charts, *words])
    return builtin().with_files(charts, words) if charts or words else None


def _fit(paths: tuple[str, ...], counts: Counter[str]) -> Iterator[Receipt]:
    """The receipts that can be recorded; of the others it says why not."""
    for found in receipts(paths):
        if isinstance(found, Unfit):
            counts["not recorded"] += 1
            remark(f"{found.where}: not recorded: {found.why}")
        else:
            yield found


def _count(receipt: Receipt, appended: list[Appended], counts: Counter[str]) -> None:
    where = receipt.where if isinstance(receipt, Found) else "-"
    for one in appended:
        counts[one.counted_as] += 1
        if one.counted_as in ("unreadable", "unrecognised"):
            counts["remarks"] += 1
            if counts["remarks"] <= _MOST_REMARKS:
                why = f": {one.problem}" if one.kind == "unreadable" else ""
                remark(f"{where}: {one.kind}{why}; kept at position {one.position}")


def _sum_up(counts: Counter[str], position: int, head: str, *, as_json: bool) -> None:
    if counts["remarks"] > _MOST_REMARKS:
        remark(f"and {counts['remarks'] - _MOST_REMARKS} more: postledger events lists them")
    kinds = ("recorded", "repeated", "unrecognised", "unreadable")
    summary = Summary(
        recorded=counts["recorded"],
        repeated=counts["repeated"],
        unrecognised=counts["unrecognised"],
        unreadable=counts["unreadable"],
        position=position,
        head=head,
    )
    if as_json:
        write_json(summary.to_dict())
        remark(f"anchor {position}:{head}")
    else:
        click.echo(", ".join(f"{kind} {counts[kind]}" for kind in kinds))
        click.echo(f"anchor {position}:{head}")
    if counts["not recorded"]:
        click.get_current_context().exit(1)
