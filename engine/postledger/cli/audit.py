"""``postledger audit``: the state audit report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from postledger.address import Location
from postledger.audit import AuditReport, Cover
from postledger.cli.bundle import write as write_bundle
from postledger.cli.common import (
    asking_space,
    beside_words,
    check_period,
    ledger_argument,
    progress,
    reading_with,
    remark,
    remark_end,
    require_space,
    space_option,
    time_travel,
    when_of,
    with_option,
)
from postledger.cli.forms import shown_json
from postledger.cli.params import Time, zone_of_times
from postledger.cli.terminal import pager_option, paging
from postledger.export.files import whole, whole_folder
from postledger.ledger.ledger import Ledger
from postledger.ledger.several import Ledgers

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  postledger audit deliveries.db --html report.html
  postledger audit deliveries.db --since 2026-11-01 --json > november.json
  postledger audit deliveries.db --id TU1TXzU5Nzg3Nw== --html dossier.html
  postledger audit deliveries.db --title "Dispute of June" --party Skycore --party Acme
  postledger audit deliveries.db --since 2026-11-01 --until 2026-12-01 --bundle november.zip
  postledger audit berlin.db --with lyon.db --with oslo.db --html report.html"""
)
@ledger_argument()
@with_option
@click.option("--html", type=_FILE, help="Write one page of HTML that holds all it needs.")
@click.option(
    "--markdown",
    type=_FILE,
    is_flag=False,
    flag_value="-",
    metavar="[FILE]",
    help="Write Markdown, to stdout without a file (the default form).",
)
@click.option("--json", "as_json", is_flag=True, help="JSON for programs, on stdout.")
@click.option(
    "--bundle",
    type=click.Path(allow_dash=False, path_type=Path),
    metavar="FOLDER|FILE.zip",
    help="Write the report with its data, a list of all findings and linked dossiers.",
)
@click.option("--since", type=Time(), help="Deliveries that began at that time or later.")
@click.option("--until", type=Time(), help="Deliveries that began before that time.")
@click.option("--id", "tracking_id", metavar="TRACKINGID", help="The dossier of one delivery.")
@space_option("The space of that delivery's id, where several have it.")
@click.option("--verify", is_flag=True, help="Verify the whole ledger first.")
@click.option("--title", help="What the report is called, in place of the ledger or the delivery.")
@click.option(
    "--party", "parties", multiple=True, help="One of those between whom it is; repeatable."
)
@click.option("--reference", help="What they call the matter.")
@click.option("--author", help="Who makes the report.")
@click.option("--unmask", is_flag=True, help="Show personal numbers in full.")
@time_travel
@pager_option
def audit(
    ledger: Location,
    beside: tuple[Location, ...],
    html: Path | None,
    markdown: Path | None,
    as_json: bool,  # noqa: FBT001
    bundle: Path | None,
    **asked: Any,
) -> None:
    """Report what became of the deliveries of a period, or of one delivery, with the proof.

    Outcomes, times, findings and the integrity of the ledger, as of now or of an earlier time. Figures
    are read from the states as they stand, unless --verify; one delivery is always folded from its
    events, and each is proven. The anchor to keep is printed on stderr. Exit 1 where the ledger
    contradicts itself: the report says how.
    """
    cover = Cover(*(asked.pop(name) for name in ("title", "parties", "reference", "author")))
    asked = when_of(beside, asked)
    _check(asked, bundle)
    # Its months are those of the zone.
    asked |= {
        end: asked[end] and asked[end].astimezone(zone_of_times()) for end in ("since", "until")
    }
    _check_outputs(html, markdown, bundle, as_json=as_json)
    with ExitStack() as files:
        # Before the work: a file that can't be written is known at once.
        forms = [
            (path if path == _STDOUT else files.enter_context(whole(path)), written)
            for path, written in _forms(html, markdown, bundle, as_json=as_json)
        ]
        folder = None if bundle is None else files.enter_context(whole_folder(bundle))
        key = asked["tracking_id"]
        with (
            # A dropped guard is what a report is to tell: it doesn't stop it.
            reading_with(ledger, beside, key=key, guarded=False) as opened,
            progress("audit", _size(opened) if asked["verify"] else None) as advance,
            asking_space("audit", ledger, *beside_words(beside), "--id", key),
        ):
            require_space(opened, asked["space"])
            remark_end(opened, asked["as_of"])
            report = opened.audit(progress=advance, cover=cover, **asked)
            if folder is not None:
                remark(write_bundle(opened, report, folder, asked))
        for path, written in forms:
            _write(path, written(report))
    _conclude(report)


_STDOUT = Path("-")


def _size(opened: Ledger | Ledgers) -> int:
    """How many events there are to verify."""
    if isinstance(opened, Ledgers):
        return sum(anchor.size for anchor in opened.anchors.values())
    return opened.head().size


def _forms(
    html: Path | None, markdown: Path | None, bundle: Path | None, *, as_json: bool
) -> Iterator[tuple[Path, Callable[[AuditReport], str]]]:
    """Where each form that is asked for goes; Markdown to stdout where none is."""
    if html is not None:
        yield html, AuditReport.to_html
    if markdown is not None:
        yield markdown, AuditReport.to_markdown
    if as_json:
        yield _STDOUT, lambda report: shown_json(report.to_json())
    if not (html or markdown or as_json or bundle):
        yield _STDOUT, AuditReport.to_markdown


def _write(path: Path, text: str) -> None:
    if path == _STDOUT:
        with paging():
            click.echo(text, nl=False)
    else:
        path.write_text(text, "utf-8")


def _check(asked: dict[str, Any], bundle: Path | None) -> None:
    if asked["tracking_id"] is not None and (asked["since"] or asked["until"]):
        raise click.UsageError("--id asks for one delivery: leave out --since and --until.")
    if asked["tracking_id"] is not None and bundle is not None:
        raise click.UsageError("--bundle is of a period: leave out --id.")
    if asked["space"] is not None and asked["tracking_id"] is None:
        raise click.UsageError("--space requires --id.")
    check_period(asked["since"], asked["until"])


def _check_outputs(
    html: Path | None, markdown: Path | None, bundle: Path | None, *, as_json: bool
) -> None:
    given = {"--html": html, "--markdown": markdown, "--bundle": bundle}
    given["--json"] = _STDOUT if as_json else None
    places = [
        path if path == _STDOUT else path.absolute() for path in given.values() if path is not None
    ]
    if len(set(places)) < len(places):
        flags = " and ".join(name for name, path in given.items() if path is not None)
        raise click.UsageError(f"{flags} must go to different files.")


def _conclude(report: AuditReport) -> None:
    """The anchor, what is wrong, and the exit code."""
    for problem in report.integrity.problems:
        remark(f"Error: {problem}")
    for one in report._stands:
        remark(f"anchor {f'of {one.name} ' if report.ledgers else ''}{one.integrity.anchor}")
    click.get_current_context().exit(0 if report.integrity.ok else 1)
