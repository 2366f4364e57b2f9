"""``postledger charts``: the statecharts, as text or as diagrams."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import click

from postledger.audit.render import picture
from postledger.cli.common import cell, one_form, paragraph, reading, remark, table
from postledger.cli.trying import tried
from postledger.definitions.chart import Statechart
from postledger.definitions.definitions import Definitions, builtin, providers, shipped
from postledger.definitions.definitions import check as check_files
from postledger.definitions.language import schema_text
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.errors import DefinitionError

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
    subcommand_metavar="| check PATH… | providers | schema | try FILE BODY",
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
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The charts that this ledger reads by, in place of those that ship.",
)
@click.pass_context
def charts(
    ctx: click.Context,
    name: str | None,
    form: str | None,
    ledger: Path | None,
) -> None:
    """Show the statecharts: their states, their policy, and what each trigger does."""
    if ctx.invoked_subcommand is not None:
        return
    if form in ("svg", "toml") and name is None:
        raise click.UsageError(f"--{form} requires the NAME of a chart.")
    if form == "toml" and name in providers():
        click.echo(shipped(name).source.rstrip("\n"))
        return
    forms = {
        "mermaid": Statechart.mermaid,
        "svg": picture,
        "toml": _source,
        None: _described,
    }
    for chart in _named(name, _definitions(ledger)):
        click.echo(forms[form](chart))


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
    remark(f"{len(faults)} faults" if len(faults) != 1 else "1 fault")
    if faults:
        click.get_current_context().exit(1)


@charts.command(
    "providers",
    epilog="""\b
Examples:
  postledger charts providers""",
)
def list_providers() -> None:
    """List the vocabularies that ship, by the names that --provider takes.

    Those marked * are read by default. What is unconfirmed could not be checked against a public page of
    the provider.
    """
    unasked = {one.name for one in builtin().vocabularies}
    rows = [
        [
            name + (" *" if name in unasked else ""),
            one.title + (" (unconfirmed)" if one.unconfirmed else ""),
        ]
        for name, one in ((name, shipped(name)) for name in providers())
    ]
    click.echo(table(rows, ["name", "what it reads"]))


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
  postledger charts try my-words.toml query.txt --query --source carrier""",
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("body", type=click.File("rb"))
@click.option("--content-type", metavar="TYPE", help="The content type with which it is posted.")
@click.option("--query", is_flag=True, help="BODY is the query string of a GET.")
@click.option("--source", default="", help="The source that the event has.")
def try_vocabulary(
    file: Path,
    body: BinaryIO,
    content_type: str | None,
    query: bool,  # noqa: FBT001
    source: str,
) -> None:
    """Show how a vocabulary reads a body, or why it doesn't.

    Nothing is recorded. Of each postback: its fields, the entry that fits, the delivery that it names,
    what it says and when; where none fits, what each entry lacks, the nearest first. BODY is a file, or -
    for stdin. Exit 1 where a postback isn't recognised.
    """
    vocabulary = load_vocabulary(_text_of(file), where=str(file))
    if not tried(vocabulary, body.read(), content_type, source, query=query):
        click.get_current_context().exit(1)


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeError as error:
        raise DefinitionError(f"{file}: can't be read: {error}; name a TOML file") from None


def _definitions(ledger: Path | None) -> Definitions:
    if ledger is None:
        return builtin()
    with reading(ledger) as opened:
        return opened.definitions


def _named(name: str | None, known: Definitions) -> list[Statechart]:
    if name is None:
        return list(known.charts.values())
    if name not in known.charts:
        there = ", ".join(known.charts)
        raise click.BadParameter(f"unknown chart {name!r}: expected {there}", param_hint="NAME")
    return [known.charts[name]]


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
