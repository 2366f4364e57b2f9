"""``postledger check``: what somebody should look at, for a timer to run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from postledger.address import Location
from postledger.alerts.rules import Rules
from postledger.alerts.rules_toml import load_rules
from postledger.cli.common import ledger_argument, reading, remark, zone_option
from postledger.cli.forms import json_option, write_json
from postledger.cli.layout import cell
from postledger.cli.params import Time
from postledger.errors import DefinitionError

_ALERTS = 3


@click.command(
    epilog="""\b
Examples:
  postledger check deliveries.db
  postledger check deliveries.db --rules alerts.toml --json
  postledger check deliveries.db --at "yesterday 14:30" --tz Europe/Berlin"""
)
@ledger_argument()
@click.option(
    "--rules",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file of rules; without it the defaults.",
)
@click.option("--at", type=Time(), help="What a check would have said at that time.")
@zone_option
@json_option
def check(ledger: Location, rules: Path | None, at: datetime | None, as_json: bool) -> None:  # noqa: FBT001
    """Say what somebody should look at, one line for each alert.

    A carrier delivers less than usual; more messages than usual have no outcome after a day; more
    postbacks than usual are unreadable or unrecognised; nothing comes any more. What is usual comes from
    the ledger's own past. Exit 0 where there is nothing to look at, 3 where there is, 1 where the check
    itself failed: the ledger can't be read, or the rules are faulty.
    """
    read = None if rules is None else _rules(rules)
    with reading(ledger) as opened:
        found = opened.check(read, at=at)
    if as_json:
        write_json([alert.to_dict() for alert in found])
    else:
        for alert in found:
            click.echo(cell(str(alert)))
    click.get_current_context().exit(_ALERTS if found else 0)


def _rules(path: Path) -> Rules:
    """The rules of a file; where several are wrong, all of them are shown."""
    try:
        return load_rules(path)
    except DefinitionError as error:
        for fault in error.faults[:-1]:
            remark(f"Error: {fault}")
        raise DefinitionError(error.faults[-1]) from None
