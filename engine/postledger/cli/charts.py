"""``postledger charts``: the statecharts, as text or as diagrams."""

from __future__ import annotations

from pathlib import Path

import click

from postledger.charts import Statechart
from postledger.cli.common import reading, table
from postledger.definitions import Definitions, builtin


@click.command(
    epilog="""\b
Examples:
  postledger charts
  postledger charts --mermaid delivery > delivery.mmd
  postledger charts --ledger deliveries.db"""
)
@click.argument("name", required=False)
@click.option("--mermaid", is_flag=True, help="Mermaid state diagrams.")
@click.option(
    "--ledger",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The charts that this ledger is folded by, in place of those that ship.",
)
def charts(name: str | None, mermaid: bool, ledger: Path | None) -> None:  # noqa: FBT001
    """Show the statecharts: their states, their policy, and what each trigger does."""
    for chart in _named(name, _definitions(ledger)):
        click.echo(chart.mermaid() if mermaid else _described(chart))


def _definitions(ledger: Path | None) -> Definitions:
    if ledger is None:
        return builtin()
    with reading(ledger) as opened:
        return opened.definitions


def _named(name: str | None, definitions: Definitions) -> list[Statechart]:
    if name is None:
        return list(definitions.charts.values())
    if name not in definitions.charts:
        there = ", ".join(definitions.charts)
        raise click.BadParameter(f"no chart {name!r}; there are: {there}", param_hint="NAME")
    return [definitions.charts[name]]


def _described(chart: Statechart) -> str:
    lines = [f"{chart.label}: {chart.title}", chart.policy, ""]
    lines += [f"{region.name}: {', '.join(region.states)}" for region in chart.regions]
    rows = [
        [trigger.name, chart.stages[trigger.stage], trigger.means]
        for trigger in chart.triggers.values()
    ]
    return "\n".join([*lines, "", table(rows, ["trigger", "stage", "means"]), ""])
