"""``postledger console``: a web page for people who ask what became of a message."""

from __future__ import annotations

from pathlib import Path

import click

from postledger.cli.common import ledger_argument
from postledger.cli.params import WholeRange

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)


def _print_hash(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001
    if not wanted or context.resilient_parsing:
        return
    from postledger.console.users import hashed

    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    try:
        click.echo(hashed(password))
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    context.exit()


@click.command(
    epilog="""\b
Examples:
  postledger console deliveries.db
  postledger console deliveries.db --access-record access.jsonl
  postledger console --hash
  postledger console deliveries.db --users users.toml --https --allow-host ops.example.com"""
)
@ledger_argument()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=WholeRange(0, 65535),
    default=8100,
    show_default=True,
    help="The port to listen on; 0 takes one that is free.",
)
@click.option("--users", type=_FILE, help="Who may sign in, with which role: a TOML file.")
@click.option(
    "--access-record",
    type=_NEW_FILE,
    help="The file to which each unmasking is appended; without it nobody can unmask.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which it may be asked for, without port; by default those of this machine.",
)
@click.option("--https", is_flag=True, help="HTTPS is in front: cookies are sent by it alone.")
@click.option(
    "--hash",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_hash,
    help="Ask for a password and print its hash, for the file of users.",
)
def console(ledger: Path, **options: object) -> None:
    """Show LEDGER in a browser: search, a page for each delivery, a live list.

    It reads only. Numbers are masked; a user with the role "unmasker" unmasks those of a delivery by
    saying why, and who, when, which and why are appended to the access record first. Without --users
    one user may sign in, with the password that is printed. Stop it with SIGTERM or Ctrl-C. It takes
    the packages of the extra "console".
    """
    from postledger.console.serving import Serving, serve

    serve(Serving(ledger, **options), click.echo)  # type: ignore[arg-type]
