"""A bundle: the report of a period, its data, and the dossiers that it links, in a folder or a zip."""

from __future__ import annotations

import io
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from postledger.audit import AuditReport
from postledger.audit.argument import QUESTIONING
from postledger.audit.mask import Mask
from postledger.audit.render import Beside, render
from postledger.audit.tables import MOST_LATEST, Key, Made, words
from postledger.audit.words import count
from postledger.cli.forms import shown_json, write_csv
from postledger.errors import IntegrityError
from postledger.export.files import Folder
from postledger.ledger.ledger import Ledger
from postledger.ledger.several import Ledgers
from postledger.model import Delivery
from postledger.times import iso

MOST_DISPUTED = 50
"""Of how many deliveries with each finding that questions an outcome there are dossiers: the latest."""

FIELDS = ("tracking_id", "state", "route", "to", "spid", "first_received_at", "findings", "dossier")
"""The columns of ``findings.csv``."""

_Which = tuple[str, str]
"""A delivery, by its space and its id."""

_ODD = re.compile(r"[^A-Za-z0-9_-]")


@attrs.define
class _Found:
    """The latest deliveries with each finding, while all are gone through."""

    latest: dict[str, deque[Delivery]] = attrs.field(factory=dict)
    rows: int = 0

    def take(self, deliveries: Iterable[Delivery]) -> Iterator[Delivery]:
        """Those that have a finding, in the order in which they were first received."""
        for one in deliveries:
            for finding in one.findings:
                most = MOST_DISPUTED if finding in QUESTIONING else MOST_LATEST
                self.latest.setdefault(finding, deque(maxlen=most)).append(one)
            if one.findings:
                self.rows += 1
                yield one

    def chosen(self) -> list[Delivery]:
        """Those that have a dossier, each once: first those with what questions an outcome."""
        order = sorted(self.latest, key=lambda finding: finding not in QUESTIONING)
        named = {(one.space, one.tracking_id): one for name in order for one in self.latest[name]}
        return list(named.values())


def write(
    ledger: Ledger | Ledgers, report: AuditReport, folder: Folder, asked: Mapping[str, Any]
) -> str:
    """Write the bundle of a report of a period; returns what is in it, and what was left out.

    What was recorded since the report was made is in no part of it.
    """
    fixed = {name: asked[name] for name in ("as_of", "occurred_by", "definitions") if name in asked}
    if fixed["as_of"] is None and not isinstance(ledger, Ledgers):
        # Several are as of when they were opened.
        fixed["as_of"] = report.integrity.events - 1
    found = _Found()
    period = {name: asked[name] for name in ("since", "until")}
    mask = Mask.of(ledger.definitions, unmask=asked["unmask"])
    # Which have a dossier is known only after the last: they are gone through twice.
    deque(found.take(ledger.deliveries(**period, **fixed)), maxlen=0)
    links: dict[Key, str] = {}
    chosen, made = found.chosen(), dict[_Which, Made]()
    for number, one in enumerate(chosen, 1):
        try:
            dossier = _dossier(ledger, one, report, fixed)
        except IntegrityError:
            # A damaged event: the report says so, and is made all the same.
            continue
        entry, key = _named(dossier, number)
        made[one.space, one.tracking_id] = entry
        _put(folder, entry.file, render("report.html", dossier, Beside(report="../report.html")))
        # Of two that are hidden alike neither is linked by its id: it would be a guess.
        links[key] = "" if key in links else entry.file
    having = (one for one in ledger.deliveries(**period, **fixed) if one.findings)
    _put_rows(folder, (_row(mask, one, made) for one in having))
    note = _note(found.rows, chosen, len(chosen) - len(made), report)
    known = {key: name for key, name in links.items() if name}
    beside = Beside(known, note, tuple(made.values()))
    _put(folder, "report.json", shown_json(report.to_json()))
    _put(folder, "report.html", render("report.html", report, beside))
    return note


def _put_rows(folder: Folder, rows: Iterable[Mapping[str, Any]]) -> None:
    with folder("findings.csv") as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        write_csv(text, rows, FIELDS)
        text.detach()


def _row(mask: Mask, delivery: Delivery, made: Mapping[_Which, Made]) -> dict[str, Any]:
    several = "recipient_differs" in delivery.findings

    def shown(text: str | None) -> str | None:
        return mask.id(text, delivery.to, several=several)

    dossier = made.get((delivery.space, delivery.tracking_id))
    return {
        "tracking_id": shown(delivery.tracking_id),
        "state": delivery.state,
        "route": delivery.route,
        "to": mask.recipient(delivery.to),
        "spid": shown(delivery.spid),
        "first_received_at": iso(delivery.first_received_at),
        "findings": list(delivery.findings),
        "dossier": None if dossier is None else dossier.file,
    }


def _dossier(
    ledger: Ledger | Ledgers, delivery: Delivery, report: AuditReport, when: Mapping[str, Any]
) -> AuditReport:
    """The dossier of a delivery; its title says what became of it, the rest is as on the report."""
    return ledger.audit(
        tracking_id=delivery.tracking_id,
        space=delivery.space,
        cover=attrs.evolve(report.cover, title=None),
        unmask=report.request.unmask,
        **when,
    )


def _named(dossier: AuditReport, number: int) -> tuple[Made, Key]:
    """A dossier as the report lists it, and what tells its delivery where the report names it."""
    found = dossier.dossier
    assert found is not None
    shown = found.delivery.tracking_id
    name = f"{number:03}-{_ODD.sub('', shown)[:40]}".rstrip("-")
    made = Made(number, f"dossiers/{name}.html", found.name, found.argument.state)
    return made, (shown, found.first)


def _put(folder: Folder, name: str, text: str) -> None:
    with folder(name) as file:
        file.write(text.encode())


def _note(rows: int, chosen: Sequence[Delivery], unmade: int, report: AuditReport) -> str:
    """What is in the bundle, and what was left out, as sentences."""
    assert report.figures is not None
    held = Counter(finding for one in chosen for finding in one.findings)
    left = [
        f"{count(more)} with {words(one.finding)}"
        for one in report.figures.findings
        if (more := one.deliveries - held[one.finding]) > 0
    ]
    return " ".join(
        (
            f"findings.csv lists {count(rows)} deliveries with findings;"
            f" {count(len(chosen) - unmade)} have a dossier here.",
            *([f"Without one, as older: {', '.join(left)}."] if left else []),
            *([f"{count(unmade)} could not be made: run verify."] if unmade else []),
        )
    )
