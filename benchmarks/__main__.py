"""The command: measure all figures, print the table, write the JSON and the plot."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from benchmarks import figures, growth
from benchmarks.measure import one_core
from benchmarks.report import document, table


@click.command()
@click.option("--events", default=40_000, show_default=True, help="Events of the rates.")
@click.option(
    "--grow-to", default=3_000_000, show_default=True, help="Events of the growth; 0: none."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the JSON and the plot.")
@click.option("--scratch", type=click.Path(path_type=Path), help="Folder for the ledgers measured.")
def main(events: int, grow_to: int, out: Path | None, scratch: Path | None) -> None:
    """Postledger beside its peers on the same events, in one run; rates on one core."""
    one_core()
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        measured = list(figures.of_speed(Path(folder), events))
        stages = list(growth.grow(Path(folder) / "growth.db", grow_to)) if grow_to else []
    measured += growth.figures(stages)
    click.echo(table(measured))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "bench.json").write_text(document(measured, stages) + "\n")
        if stages:
            growth.plot(stages, out / "growth.svg")


if __name__ == "__main__":
    main()
