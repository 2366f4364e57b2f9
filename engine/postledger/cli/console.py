"""``postledger console``: a web page for people who ask what became of a message."""

from __future__ import annotations

from typing import Any

import click

from postledger.address import Location
from postledger.cli.common import ledger_argument
from postledger.cli.listening import address_options, entrance_options


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
@address_options(8100)
@entrance_options
@click.option(
    "--hash",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_hash,
    help="Ask for a password and print its hash, for the file of users.",
)
def console(ledger: Location, *, host: str, port: int, entrance: dict[str, Any]) -> None:
    """Show LEDGER in a browser: search, a page for each delivery, a live list.

    It reads only. Numbers are masked; a user with the role "unmasker" unmasks those of a delivery by
    saying why, and who, when, which and why are appended to the access record first. Without --users
    one user may sign in, with the password that is printed. Stop it with SIGTERM or Ctrl-C. It takes
    the packages of the extra "console". `postledger serve --console` serves it next to the receiver.
    """
    from postledger.console.serving import Entrance, Serving, serve

    serve(Serving(ledger, host, port, Entrance(**entrance)), click.echo)
