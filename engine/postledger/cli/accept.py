"""``postledger accept``: take unverified events for genuine after all."""

from __future__ import annotations

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, writing
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import counted
from postledger.cli.params import WholeRange
from postledger.errors import PostledgerError

_POSITION = WholeRange(min=0)


class _OfPositions(click.Command):
    """A command whose arguments are positions: -1 is a wrong one, and not an unknown option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments; a usage error that says what a position must be."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name[1:].isdigit():
                ctx.fail("FIRST and LAST must be whole numbers of at least 0.")
            raise


@click.command(
    cls=_OfPositions,
    epilog="""\b
Examples:
  postledger events deliveries.db --reading unverified
  postledger accept deliveries.db 120 180
  postledger accept deliveries.db 120 180 --source skycore""",
)
@ledger_argument()
@click.argument("first", type=_POSITION)
@click.argument("last", type=_POSITION)
@click.option("--source", metavar="NAME", help="Only those that this endpoint received.")
@json_option
def accept(
    ledger: Location,
    first: int,
    last: int,
    source: str | None,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Accept the unverified events from position FIRST to LAST: they are genuine after all.

    Each is recorded again, at the time at which it was received, with the sender "accepted"; an event
    of kind import says which they were. To accept the same again adds repeats.
    """
    if last < first:
        raise click.UsageError(f"LAST must be at least {first}, got {last}.")
    with writing(ledger) as opened:
        count = opened.accept(first, last, source=source)
        anchor = opened.head()
    if not count:
        of = "" if source is None else f" of the source {source!r}"
        raise PostledgerError(f"{ledger}: no unverified event{of} from position {first} to {last}")
    if as_json:
        write_json({"accepted": count, "anchor": str(anchor)})
    else:
        click.echo(f"accepted {counted(count, 'event')}")
        click.echo(f"anchor {anchor}")
