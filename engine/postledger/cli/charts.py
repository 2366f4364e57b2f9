"""``postledger charts``: the statecharts, as text or as diagrams."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click

from postledger.address import Location
from postledger.audit.render import picture
from postledger.cli.common import known_providers, reading, remark
from postledger.cli.forms import Record, json_option, one_form, write_json
from postledger.cli.layout import block, cell, counted, paragraph, table
from postledger.cli.params import LedgerPath
from postledger.cli.terminal import paged
from postledger.cli.trying import envelope_of, tried
from postledger.definitions.chart import Statechart
from postledger.definitions.definitions import (
    Definitions,
    builtin,
    providers,
    read_vocabulary,
    shipped,
)
from postledger.definitions.definitions import check as check_files
from postledger.definitions.language import schema_text
from postledger.definitions.vocabulary import Vocabulary

_UNASKED = " *"
_WIDTH = 78
"""Of a terminal of 80 columns, without the gap of two in a table."""

_PATH = click.Path(exists=True, path_type=Path)


class _Name(click.Argument):
    """The name of a chart, which the commands below don't take."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Nothing where it is not the command's own."""
        return super().get_usage_pieces(ctx) if self in ctx.command.params else []


class _Charts(click.Group):
    """A command that shows, unless its first word is that of another command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the first word for NAME, but for the name of a command."""
        ctx.allow_interspersed_args = not (args and args[0] in self.commands)
        return super().parse_args(ctx, args if ctx.allow_interspersed_args else ["", *args])


@click.group(
    cls=_Charts,
    invoke_without_command=True,
    subcommand_metavar="| check PATH… | providers [NAME] | schema | try VOCABULARY BODY",
    epilog="""\b
Examples:
  postledger charts
  postledger charts --mermaid delivery > delivery.mmd
  postledger charts --svg delivery > delivery.svg
  postledger charts --toml delivery > my-delivery.toml
  postledger charts --ledger deliveries.db
  postledger charts providers
  postledger charts try my-words.toml body.json""",
)
@click.argument("name", required=False, cls=_Name)
@one_form(
    mermaid="Mermaid state diagrams.",
    svg="One SVG picture; name the chart.",
    toml="The file that defines it, to begin one of your own from; name the chart or the provider.",
)
@click.option(
    "--ledger",
    type=LedgerPath(exists=True),
    help="The charts and vocabularies that this ledger reads by, in place of those that ship.",
)
@click.pass_context
@paged
def charts(
    ctx: click.Context,
    name: str | None,
    form: str | None,
    ledger: Location | None,
) -> None:
    """Show the statecharts: their states, their policy, and what each trigger does.

    After them the vocabularies by which postbacks are read, those that ship or with --ledger its own.
    """
    if ctx.invoked_subcommand is not None:
        return
    if form in ("svg", "toml") and name is None:
        raise click.UsageError(f"--{form} requires the NAME of a chart.")
    if form == "toml" and name in providers() and ledger is None:
        click.echo(shipped(name).source.rstrip("\n"))
        return
    forms: dict[str | None, Callable[[Statechart], str]] = {
        "mermaid": Statechart.mermaid,
        "svg": picture,
        "toml": _source,
        None: _described,
    }
    known = _definitions(ledger)
    if form == "toml" and name in (words := {v.name: v for v in known.vocabularies}):
        click.echo(words[name].source.rstrip("\n"))
        return
    for chart in _named(name, known, form, ledger):
        click.echo(forms[form](chart))
    if form is None and name is None:
        click.echo(_vocabularies(known))


@charts.command(
    epilog="""\b
Examples:
  postledger charts check my-delivery.toml my-words.toml
  postledger charts check my-definitions/"""
)
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH…")
def check(paths: tuple[Path, ...]) -> None:
    """Check charts and vocabularies: TOML files, and folders of them.

    Every fault is a line: the file, the place in it, the fault, and what to write instead. A
    vocabulary may name the charts among the files and those that ship. Exit 1 where there is a fault.
    """
    faults = check_files(paths)
    for fault in faults:
        click.echo(cell(fault))
    remark(counted(len(faults), "fault"))
    if faults:
        click.get_current_context().exit(1)


@charts.command(
    "providers",
    epilog="""\b
Examples:
  postledger charts providers
  postledger charts providers skycore
  postledger charts providers --json""",
)
@click.argument("named", required=False, metavar="[NAME]")
@json_option
def list_providers(named: str | None, *, as_json: bool) -> None:
    """List the vocabularies that ship, by the names that --provider takes.

    With NAME it shows one: the space of its ids, how the provider posts, the page that documents it.
    Those marked * are read by default. What is unconfirmed could not be checked against a public page
    of its provider.
    """
    names = providers() if named is None else known_providers(None, None, (named,))
    unasked = {one.name for one in builtin().vocabularies}
    records = [_record(shipped(name), unasked=name in unasked) for name in names]
    if as_json:
        write_json(records if named is None else records[0])
    elif named is not None:
        click.echo(
            "\n".join(block((key.replace("_", " "), cell(v)) for key, v in records[0].items()))
        )
    else:
        left = max(map(len, names)) + len(_UNASKED)
        click.echo(
            table([_listed(one, _WIDTH - left) for one in records], ["name", "what it reads"])
        )
        click.echo(f"\n{_UNASKED.strip()} is read by default")


def _listed(record: Record, width: int) -> list[str]:
    title = record["title"] + (" (unconfirmed)" if record["unconfirmed"] else "")
    name = record["name"] + (_UNASKED if record["by_default"] else "")
    return [name, "\n".join(textwrap.wrap(title, width))]


def _record(one: Vocabulary, *, unasked: bool) -> Record:
    return {
        "name": one.name,
        "title": one.title,
        "space": one.space,
        "wire": one.wire,
        "page": one.page,
        "read_on": None if one.read_on is None else str(one.read_on),
        "unconfirmed": one.unconfirmed,
        "by_default": unasked,
    }


@charts.command(
    "schema",
    epilog="""\b
Examples:
  postledger charts schema > vocabulary.schema.json""",
)
def print_schema() -> None:
    """Print the JSON Schema of vocabularies, by which editors complete and check them as you write."""
    click.echo(schema_text())


@charts.command(
    "try",
    epilog="""\b
Examples:
  postledger charts try my-words.toml body.json
  postledger charts try skycore body.xml
  postledger charts try my-words.toml query.txt --query --source carrier""",
)
@click.argument("file", metavar="VOCABULARY")
@click.argument("body", type=click.File("rb"))
@click.option(
    "--content-type",
    metavar="TYPE",
    help="The content type with which it is posted; else told by how it begins, or by wire.",
)
@click.option("--query", is_flag=True, help="BODY is the query string of a GET.")
@click.option("--source", default="", help="The source that the event has.")
@click.option(
    "--chart",
    "own",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A chart that it speaks to, next to those that ship.",
)
def try_vocabulary(
    file: str,
    body: BinaryIO,
    content_type: str | None,
    query: bool,  # noqa: FBT001
    source: str,
    own: tuple[Path, ...],
) -> None:
    """Show how a vocabulary reads a body, or why it doesn't.

    VOCABULARY is a TOML file, or the name of one that ships; BODY is a file, or - for stdin. Nothing
    is recorded. Of each postback: its fields, the entry that fits, the delivery that it names, what it
    says and when, and what becomes of the delivery by it alone; where no entry fits, what each lacks,
    the nearest first. Exit 1 where a postback isn't recognised.
    """
    vocabulary = _vocabulary(file)
    given = envelope_of(vocabulary, content_type, source, query=query)
    known = builtin([]).with_files(own).charts
    if not tried(vocabulary, known, body.read(), given):
        click.get_current_context().exit(1)


def _vocabulary(named: str) -> Vocabulary:
    """A vocabulary by its file, or by the name of one that ships."""
    if named in providers() and not Path(named).is_file():
        return shipped(named)
    if not Path(named).is_file():
        fault = f"unknown {named!r}: expected a TOML file, or of those that ship {', '.join(providers())}"
        raise click.BadParameter(fault, param_hint="VOCABULARY")
    return read_vocabulary(named)


def _definitions(ledger: Location | None) -> Definitions:
    if ledger is None:
        return builtin()
    with reading(ledger) as opened:
        return opened.definitions


def _named(
    name: str | None, known: Definitions, form: str | None, ledger: Location | None
) -> list[Statechart]:
    if name is None:
        return list(known.charts.values())
    if name in known.charts:
        return [known.charts[name]]
    fault = f"unknown chart {name!r}: expected {', '.join(known.charts)}"
    if form == "toml":
        words = providers() if ledger is None else [one.name for one in known.vocabularies]
        fault += f"; or a vocabulary: {', '.join(words)}"
    elif name in providers():
        fault += f"; `charts providers {name}` shows the provider, `charts --toml {name}` its file"
    raise click.BadParameter(fault, param_hint="NAME")


def _vocabularies(known: Definitions) -> str:
    """The vocabularies by which postbacks are read, a row for each."""
    rows = [
        [one.label, one.space, "\n".join(textwrap.wrap(one.title, _WIDTH // 2))]
        for one in known.vocabularies
    ]
    return table(rows, ["vocabulary", "space", "what it reads"])


def _source(chart: Statechart) -> str:
    return chart.source.rstrip("\n")


def _described(chart: Statechart) -> str:
    lines = [f"{chart.label}: {chart.title}", paragraph(chart.policy), ""]
    lines += [f"{region.name}: {', '.join(region.states)}" for region in chart.regions]
    rows = [
        [trigger.name, chart.stages[trigger.stage], trigger.means]
        for trigger in chart.triggers.values()
    ]
    return "\n".join([*lines, "", table(rows, ["trigger", "stage", "means"]), ""])
