"""The command line: ``postledger COMMAND LEDGER …``.

Results go to stdout, progress and remarks to stderr. Exit 0: done; 1: the answer is no, or it could
not be done; 2: wrong usage; 3: an invoice was reconciled, and something differs.
"""

from __future__ import annotations

import click

from postledger.cli.common import Commands
from postledger.cli.terminal import colour_option, pager_option


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: postledger ingest deliveries.db postbacks/ && postledger deliveries deliveries.db",
)
@click.version_option(package_name="postledger")
@colour_option
@pager_option
def main() -> None:
    """The state of every SMS and MMS delivery, derived from its postbacks, with the reasons.

    LEDGER is a file, or on PostgreSQL an address in quotes:
    'postgresql://user@host/database?schema=postledger'.
    """
