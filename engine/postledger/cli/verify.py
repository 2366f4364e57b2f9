"""``postledger verify``: is the log what was written, and do the states follow from it?"""

from __future__ import annotations

import click

from postledger.address import Location
from postledger.cli.archives import require_ledger, verified
from postledger.cli.common import ledger_argument, progress, remark
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import counted, paragraph
from postledger.cli.params import AnchorText, ArchiveAt
from postledger.cli.terminal import colour_option, toned
from postledger.cli.tones import BAD, GOOD
from postledger.errors import IntegrityError, PostledgerError
from postledger.ledger.ledger import Ledger
from postledger.model import Anchor, Verification


@click.command(
    epilog="""\b
Examples:
  postledger verify deliveries.db
  postledger verify deliveries.db --anchor 1200:5f0c…
  postledger verify 2026-11 --anchor 1200:5f0c…"""
)
@ledger_argument(archives=True)
@click.option(
    "--anchor",
    type=AnchorText(),
    help="An anchor that you kept elsewhere: SIZE:ROOT as printed by ingest.",
)
@click.option("--record", is_flag=True, help="Where all is well, state so in the log.")
@json_option
@colour_option
def verify(
    ledger: Location | ArchiveAt,
    anchor: Anchor | None,
    record: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Check the file, its guards, the log's tree, an anchor, and the states by a new reading.

    LEDGER may be an archive, a folder or the address of one: there every file is checked by its hash,
    every event by its leaf, and what is derived by a new reading and fold.

    With --record the verification becomes an event of the log where all was well: reports say when that
    was last. Where nothing else was recorded since, one a day is enough. Exit 1 where anything is wrong;
    each problem is a line with its position.
    """
    if isinstance(ledger, ArchiveAt):
        require_ledger("--record", record)
        found = verified(ledger, anchor)
    else:
        found = _verified(ledger, anchor)
        if record and found.ok:
            _record(ledger, found)
    if as_json:
        write_json(found.to_dict())
    else:
        for problem in found.problems:
            click.echo(problem)
        verdict = "ok" if found.ok else "NOT ok"
        said = paragraph(f"{verdict}: {counted(found.events, 'event')}, anchor {found.anchor}")
        click.echo(toned(verdict, GOOD if found.ok else BAD) + said.removeprefix(verdict))
    click.get_current_context().exit(0 if found.ok else 1)


def _verified(ledger: Location, anchor: Anchor | None) -> Verification:
    try:
        with (
            Ledger(ledger, readonly=True, guarded=False) as opened,
            progress("verify", opened.head().size) as advance,
        ):
            return opened.verify(anchor, progress=advance)
    except IntegrityError as error:
        # So damaged that nothing can be checked.
        said = str(error).removesuffix("; run verify")
        if "; run replay" in said:
            raise
        raise IntegrityError(f"{said}; restore a backup, and ingest what came since") from error


def _record(ledger: Location, found: Verification) -> None:
    """State it in the log; what was found stands whether that can be written or not."""
    try:
        with Ledger(ledger) as opened:
            opened.verified(found)
    except (PostledgerError, OSError) as error:
        remark(f"the verification is not recorded: {error}")
