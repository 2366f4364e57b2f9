"""``postledger serve``: take postbacks by HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument, only_option, provider_option, vocabulary_option
from postledger.cli.listening import FILE, address_options, entrance_options, require_no_entrance
from postledger.cli.params import NumberRange, WholeRange
from postledger.server.senders import require_source


def _named(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for name in names:
            require_source(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return names


@click.command(
    epilog="""\b
Examples:
  postledger serve deliveries.db
  postledger serve deliveries.db --provider skycore
  postledger serve deliveries.db --vocabulary my-words.toml --only
  postledger serve deliveries.db --host 0.0.0.0 --senders senders.toml --workers 2
  postledger serve deliveries.db --console --access-record access.jsonl"""
)
@ledger_argument(exists=False)
@provider_option
@vocabulary_option("A vocabulary for a new ledger, next to those that ship.")
@only_option
@address_options(8000)
@click.option("--senders", type=FILE, help="Who may post to each source: a TOML file.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME",
    callback=_named,
    help="A source, the first part of a path; by default those of --senders, or the vocabularies.",
)
@click.option(
    "--limit",
    type=WholeRange(1, 1 << 30),
    metavar="BYTES",
    help="The size of the largest body; 10485760 by default.",
)
@click.option(
    "--patience",
    type=NumberRange(min=0, max=86400, min_open=True),
    metavar="SECONDS",
    help="How long a client may take to send a body; 30 by default.",
)
@click.option("--workers", type=WholeRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--metrics", is_flag=True, help="Answer /metrics, for Prometheus.")
@click.option("--access-log/--no-access-log", default=True, help="Log each request (default).")
@click.option(
    "--console", "with_console", is_flag=True, help="Serve the console, too, at /console."
)
@entrance_options
def serve(
    ledger: Location,
    *,
    names: tuple[str, ...],
    words: tuple[Path, ...],
    only: bool,
    limit: int | None,
    patience: float | None,
    with_console: bool,
    entrance: dict[str, Any],
    **options: Any,
) -> None:
    """Record what is posted to /SOURCE, such as /skycore, and answer 200 once it is durable.

    A new LEDGER is created, and keeps the vocabularies that it is given then; replay adopts others
    later. Without --senders it listens on this machine alone: nobody else may
    post without a rule. Stop it with SIGTERM or Ctrl-C: what is in flight is finished first. With
    --console people look into LEDGER at /console, as by `postledger console`. It takes the packages of
    the extra "server", and with --console those of "console".
    """
    from postledger.server.serving import Serving
    from postledger.server.serving import serve as serve_it

    if only and not words:
        raise click.UsageError("--only requires --vocabulary.")
    # ``None``: the vocabularies that are read by default.
    options |= {"providers": names if names or only else None, "vocabulary": words}
    given = {"limit": limit, "patience": patience}
    options |= {name: value for name, value in given.items() if value is not None}
    if not with_console:
        require_no_entrance(entrance, "--console")
        serve_it(Serving(ledger, **options), click.echo)
        return
    if options["workers"] > 1:
        # Sign-ins live in the process that made them.
        raise click.UsageError("--console requires one process: leave --workers out.")
    from postledger.console.serving import Entrance, serve_in_receiver

    serve_in_receiver(Serving(ledger, **options), Entrance(**entrance), click.echo)
