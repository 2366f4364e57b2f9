"""The report: what an audit found, as HTML, Markdown or JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib import metadata
from typing import Any, TypeVar

import attrs

from postledger.arguments import typed
from postledger.audit import dossier as dossiers
from postledger.audit.dossier import Dossier
from postledger.audit.durations import Durations, Percentiles
from postledger.audit.figures import Figures, figures_of
from postledger.audit.integrity import Integrity, integrity
from postledger.audit.mask import Mask
from postledger.audit.outcomes import Before
from postledger.audit.plots.calendar import headline
from postledger.audit.render import render
from postledger.audit.request import Request
from postledger.model import Delivery, Place, Timeline, plain
from postledger.projections.queries import Listing
from postledger.projections.reader import Reader
from postledger.times import iso
from postledger.verify import Standing


@attrs.frozen(field_transformer=typed)
class Cover:
    """What stands on the first page besides what was found: texts of whoever makes the report.

    ``parties`` are those between whom it is, such as a provider and a customer; ``reference`` is what
    they call the matter.

    >>> report = ledger.audit(cover=Cover("Dispute of June", ["Skycore", "Acme"], "ACME-7"))
    >>> report.to_markdown().splitlines()[0], report.to_dict()["cover"]["parties"]
    ('# Dispute of June', ['Skycore', 'Acme'])
    """

    title: str | None = None
    parties: Sequence[str] = attrs.field(default=(), converter=tuple)
    reference: str | None = None
    author: str | None = None

    def lines(self) -> list[tuple[str, str]]:
        """What is said, each with its name; without the title."""
        named = {
            "Parties": " \u00b7 ".join(self.parties),
            "Reference": self.reference,
            "Author": self.author,
        }
        return [(name, text) for name, text in named.items() if text]


@attrs.frozen
class Included:
    """One of several ledgers that a report is over: the name in its places, its file, its integrity."""

    name: str
    ledger: str
    integrity: Integrity

    @property
    def argument(self) -> str:
        """The ledger as the command line takes it."""
        return shlex.quote(self.ledger)


@attrs.frozen
class AuditReport:
    """What an audit found; ``figures`` of a period, or else the ``dossier`` of one delivery.

    ``ledger`` is the name of its file, or its address, ``as_of`` the time it is as of,
    ``definitions`` the label of those it was read by. The same figures come again from the anchor that
    it states: by ``as_of`` the last position before the anchor's size, and ``definitions="then"``. A
    report over several ledgers has each in ``ledgers``, with an anchor of its own, and names the ledger
    at positions.

    >>> report = ledger.audit()
    >>> report.integrity.ok, report.figures.outcomes.all.total
    (True, 3)
    >>> report.to_markdown().splitlines()[0]
    '# Delivery state audit of specification.db'
    """

    ledger: str
    request: Request
    as_of: datetime
    definitions: str
    integrity: Integrity
    figures: Figures | None = None
    dossier: Dossier | None = None
    cover: Cover = Cover()
    ledgers: tuple[Included, ...] = ()

    @property
    def _stands(self) -> tuple[Included, ...]:
        """The ledgers that it is over: several, or the one."""
        return self.ledgers or (Included(self.ledger, self.ledger, self.integrity),)

    @property
    def arguments(self) -> str:
        """The ledgers as the command line takes them."""
        return " --with ".join(one.argument for one in self._stands)

    @property
    def headline(self) -> str:
        """What was found, in a line."""
        if self.dossier is not None:
            return f"{self.dossier.name} stands {self.dossier.argument.state}"
        assert self.figures is not None
        return headline(self.figures, self.request)

    @property
    def counted_until(self) -> datetime:
        """Up to when deliveries were counted: the end of the period, or what the report is as of.

        A period that has ended when the report is made is counted to its end, though nothing came then.
        """
        asked = self.request
        if asked.until is None:
            return self.as_of
        fixed = asked.as_of is not None or asked.occurred_by is not None
        return min(asked.until, self.as_of if fixed else max(self.as_of, asked.now))

    @property
    def version(self) -> str:
        """The version of Postledger that made the report."""
        return metadata.version("postledger")

    def to_html(self) -> str:
        """One page that holds all it needs; raises ``PostledgerError`` without Jinja2."""
        return render("report.html", self)

    def to_markdown(self) -> str:
        """The report as Markdown (tables as GitHub has them); raises as ``to_html`` does."""
        return render("report.md", self)

    def to_json(self) -> str:
        """The report as JSON for programs, with a newline at the end."""
        # In a damaged file a text may be anything; the integrity says so.
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, default=repr) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """What JSON has: the names of the attributes, times in ISO 8601 UTC, durations in seconds."""
        request, as_of = self.request, self.request.as_of
        return {
            "ledger": self.ledger,
            **({} if self.cover == Cover() else {"cover": plain(self.cover)}),
            "generated_at": iso(request.now),
            "postledger": self.version,
            "as_of": iso(self.as_of),
            "definitions": self.definitions,
            "request": {
                "since": iso(request.since),
                "until": iso(request.until),
                "as_of": iso(as_of) if isinstance(as_of, datetime) else as_of,
                "occurred_by": iso(request.occurred_by),
                "definitions": request.definitions,
                "masked": not request.unmask,
            },
            "integrity": {"ok": self.integrity.ok, **plain(self.integrity)},
            **({} if not self.ledgers else {"ledgers": [_included(one) for one in self.ledgers]}),
            **({} if self.figures is None else _figures(self.figures)),
            **({} if self.dossier is None else {"delivery": dossiers.to_dict(self.dossier)}),
        }


def of_period(
    reader: Reader,
    snapshot: Listing,
    request: Request,
    ledger_name: str,
    standing: Standing,
) -> AuditReport:
    """The report on the deliveries of a period, from a snapshot of the states.

    That is of the events that the ledger stands at, so that all figures are of one time.
    """
    size = standing.verification.events
    bounds = request.bounds.within(size)
    as_of = request.time_of(reader.log, size, standing.newest)
    return AuditReport(
        ledger=Mask.of(reader.definitions, unmask=request.unmask).file(ledger_name),
        request=request,
        as_of=as_of,
        definitions=reader.definitions.label,
        integrity=integrity(reader.log, reader.definitions, standing),
        figures=figures_of(reader, snapshot, request, bounds, as_of),
    )


def of_delivery(
    reader: Reader,
    delivery: Delivery,
    steps: Timeline,
    request: Request,
    ledger_name: str,
    standing: Standing,
) -> AuditReport:
    """The report on one delivery, from its state and its timeline.

    A proof that doesn't hold is a problem of the ledger's integrity.
    """
    verification = standing.verification
    found = dossiers.dossier(reader, delivery, steps, request, verification.anchor)
    checked = integrity(reader.log, reader.definitions, standing)
    return AuditReport(
        ledger=Mask.of(reader.definitions, unmask=request.unmask).file(ledger_name),
        request=request,
        as_of=request.time_of(reader.log, verification.events, standing.newest),
        definitions=reader.definitions.label,
        integrity=attrs.evolve(checked, problems=(*checked.problems, *found.problems)),
        dossier=found,
    )


T = TypeVar("T")

_POSITIONS = {"Position", "Position | None"}
"""How the fields that hold one are annotated."""


def placed(value: T, place: Callable[[int], Place]) -> T:
    """A report, or a part of one, in which each position names the ledger that it is of."""
    changed: Any = value
    if isinstance(value, tuple):
        held = [placed(one, place) for one in value]
        if any(one is not before for one, before in zip(held, value, strict=True)):
            changed = tuple(held)
    elif attrs.has(type(changed)):
        changes = {}
        for field in attrs.fields(type(changed)):
            before = getattr(value, field.name)
            is_position = field.type in _POSITIONS and before is not None
            after = place(before) if is_position else placed(before, place)
            if after is not before:
                changes[field.alias] = after
        if changes:
            changed = attrs.evolve(changed, **changes)
    return changed  # type: ignore[no-any-return]


def _included(one: Included) -> dict[str, Any]:
    found = one.integrity
    return {"name": one.name, "ledger": one.ledger, "ok": found.ok, **plain(found)}


def _figures(figures: Figures) -> dict[str, Any]:
    named = figures.outcomes.states
    outcomes_ = plain(figures.outcomes)
    for part in ("spaces", "routes", "days", "carriers", "handsets", "reason_classes"):
        outcomes_[part]["groups"] = [_group(g, named) for g in outcomes_[part]["groups"]]
        outcomes_[part]["rest"] = _group(outcomes_[part]["rest"], named)
    outcomes_["all"] = _group(outcomes_["all"], named)
    others = [plain(other) for other in figures.others]
    return {
        "outcomes": outcomes_,
        "durations": _durations(figures.durations),
        "findings": [plain(one) for one in figures.findings],
        **plain(figures.events),
        "amounts": plain(figures.amounts),
        "contradictions": plain(figures.contradictions),
        "before": None if figures.before is None else _before(figures.before, named),
        "others": [{**other, "all": _group(other["all"], other["states"])} for other in others],
    }


def _before(found: Before, named: Any) -> dict[str, Any]:
    said = plain(found)
    groups = {part: [_group(g, named) for g in said[part]] for part in ("days", "carriers")}
    return {**said, "all": _group(said["all"], named), **groups}


def _group(group: dict[str, Any] | None, states: Any) -> dict[str, Any] | None:
    """A group with its counts by the names of the states."""
    if group is None:
        return None
    return {**group, "states": dict(zip(states, group["states"], strict=True))}


def _durations(durations: Durations) -> dict[str, Any]:
    routes, carriers = (
        [{"label": label, **_seconds(found)} for label, found in named.items()]
        for named in (durations.by_route, durations.by_carrier)
    )
    overall = None if durations.overall is None else _seconds(durations.overall)
    named = {"overall": overall, "by_route": routes, "by_carrier": carriers}
    return {**plain(durations), **named}


def _seconds(found: Percentiles) -> dict[str, float]:
    micros = attrs.asdict(found)
    return {name: n if name == "count" else n / 1_000_000 for name, n in micros.items()}
