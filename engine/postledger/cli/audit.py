"""``postledger audit``: the state audit report."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click

from postledger.audit import AuditReport
from postledger.cli.common import ledger_argument, progress, reading, remark, time_travel
from postledger.cli.params import Moment

_FILE = click.File("w", encoding="utf-8", lazy=True, atomic=True)


@click.command(
    epilog="""\b
Examples:
  postledger audit deliveries.db --html report.html
  postledger audit deliveries.db --since 2026-11-01 --until 2026-12-01 --json > november.json
  postledger audit deliveries.db --id TU1TXzU5Nzg3Nw== --html dossier.html"""
)
@ledger_argument()
@click.option("--html", type=_FILE, help="Write one page of HTML that holds all it needs.")
@click.option(
    "--markdown",
    type=_FILE,
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write Markdown, to stdout without a file; so does a command without any form.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON for programs, on stdout.")
@click.option("--since", type=Moment(), help="Deliveries that began at that moment or later.")
@click.option("--until", type=Moment(), help="Deliveries that began before that moment.")
@click.option("--id", "tracking_id", metavar="TRACKINGID", help="The dossier of one delivery.")
@click.option("--unmask", is_flag=True, help="Show personal numbers in full.")
@time_travel
def audit(
    ledger: Path,
    html: IO[str] | None,
    markdown: IO[str] | None,
    as_json: bool,  # noqa: FBT001
    **asked: Any,
) -> None:
    """Report what became of the deliveries of a period, or of one delivery, with the proof.

    Outcomes, times, findings and the integrity of the ledger, as of now or of a moment. The anchor
    to keep is printed on stderr. Exit 1 where the ledger contradicts itself: the report says how.
    """
    _check(asked)
    with reading(ledger) as opened, progress("audit", opened.head()[0]) as advance:
        report = opened.audit(progress=advance, **asked)
    if html is not None:
        html.write(report.to_html())
    if markdown is not None:
        markdown.write(report.to_markdown())
    if as_json:
        click.echo(report.to_json(), nl=False)
    elif html is None and markdown is None:
        click.echo(report.to_markdown(), nl=False)
    _conclude(report)


def _check(asked: dict[str, Any]) -> None:
    since: datetime | None = asked["since"]
    until: datetime | None = asked["until"]
    if asked["tracking_id"] is not None and (since or until):
        raise click.UsageError("--id asks for one delivery: leave out --since and --until.")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must be before --until.")


def _conclude(report: AuditReport) -> None:
    """The anchor, what is wrong, and the exit code."""
    remark(f"anchor {report.integrity.anchor}")
    for problem in report.integrity.problems:
        remark(f"Error: {problem}")
    click.get_current_context().exit(0 if report.integrity.ok else 1)
