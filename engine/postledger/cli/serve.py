"""``postledger serve``: take postbacks by HTTP."""

from __future__ import annotations

from pathlib import Path

import click

from postledger.cli.common import ledger_argument, only_option, provider_option, vocabulary_option
from postledger.cli.params import NumberRange, WholeRange
from postledger.server.senders import require_source


def _named(_: click.Context, __: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    try:
        for name in names:
            require_source(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return names


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  postledger serve deliveries.db
  postledger serve deliveries.db --provider skycore
  postledger serve deliveries.db --vocabulary my-words.toml --only
  postledger serve deliveries.db --host 0.0.0.0 --senders senders.toml --workers 2"""
)
@ledger_argument(exists=False)
@provider_option
@vocabulary_option("A vocabulary for a new ledger, next to those that ship.")
@only_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=WholeRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port to listen on; 0 takes one that is free.",
)
@click.option("--senders", type=_FILE, help="Who may post to each source: a TOML file.")
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
def serve(
    ledger: Path,
    *,
    names: tuple[str, ...],
    words: tuple[Path, ...],
    only: bool,
    limit: int | None,
    patience: float | None,
    **options: object,
) -> None:
    """Record what is posted to /SOURCE, such as /skycore, and answer 200 once it is durable.

    A new LEDGER is created, and keeps the vocabularies that it is given then; replay adopts others
    later. Without --senders it listens on this machine alone: nobody else may
    post without a rule. Stop it with SIGTERM or Ctrl-C: what is in flight is finished first. It takes
    the packages of the extra "server".
    """
    from postledger.server.serving import Serving
    from postledger.server.serving import serve as serve_it

    if only and not words:
        raise click.UsageError("--only requires --vocabulary.")
    # ``None``: the vocabularies that are read by default.
    options |= {"providers": names if names or only else None, "vocabulary": words}
    given = {"limit": limit, "patience": patience}
    options |= {name: value for name, value in given.items() if value is not None}
    serve_it(Serving(ledger, **options), click.echo)  # type: ignore[arg-type]
