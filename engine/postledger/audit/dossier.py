"""The dossier of one delivery: its state, each event with its proof, and the path it took."""

from __future__ import annotations

import shlex
from datetime import datetime

import attrs

from postledger import wire
from postledger.audit.mask import DOT, mask, mask_in, tells
from postledger.audit.request import CHART, Request
from postledger.definitions.chart_toml import Statechart
from postledger.definitions.vocabulary import FIELDS
from postledger.findings import MEANINGS, named
from postledger.log.event import Stored
from postledger.log.log import Log
from postledger.model import Delivery, Step, Timeline
from postledger.postback import Postback
from postledger.projections.reader import Reader
from postledger.times import iso

LONGEST_BODY = 32_768
"""How many characters of a body are shown."""

_TO = FIELDS.index("to")


@attrs.frozen
class Proof:
    """What the hash at a position is made of: ``SHA-256(previous ‖ head ‖ newline ‖ body)``."""

    previous: str
    head: str
    hash: str
    anchor: str


@attrs.frozen
class Exhibit:
    """One event of the delivery, with its body as received and what proves it.

    ``number`` is its place in the fold order. ``body`` is ``None`` where it can't be shown without
    telling a number that is to be masked; ``cut`` characters of it are not shown.
    """

    number: int
    position: int
    received_at: datetime
    occurred_at: datetime | None
    imported: bool
    repeats: int | None
    code: str | None
    status: str | None
    trigger: str | None
    verdict: str
    before: dict[str, str]
    after: dict[str, str]
    findings: tuple[str, ...]
    missing: tuple[str, ...]
    details: str | None
    content_type: str | None
    bytes: int
    body: str | None
    cut: int
    masked: bool
    proof: Proof


@attrs.frozen
class Dossier:
    """One delivery with all that is known of it, told by its events in fold order."""

    delivery: Delivery
    meanings: tuple[tuple[str, str], ...]
    chart: Statechart = attrs.field(repr=False)
    exhibits: tuple[Exhibit, ...]
    check: str


def dossier(
    log: Log, facts: Reader, delivery: Delivery, steps: Timeline, asked: Request, ledger: str
) -> Dossier:
    """The dossier of a delivery from its timeline."""
    known = [] if asked.unmask else _recipients(facts, log, steps)
    masked = attrs.evolve(
        delivery,
        to=mask(delivery.to) if known and delivery.to else delivery.to,
        reason=_shown(delivery.reason, known),
    )
    return Dossier(
        delivery=masked,
        meanings=tuple((word, MEANINGS[named(word)]) for word in delivery.findings),
        chart=facts.definitions.chart(CHART),
        exhibits=tuple(
            _exhibit(number, log, facts, step, known, masked=not asked.unmask)
            for number, step in enumerate(steps, 1)
        ),
        check=f"postledger verify {shlex.quote(ledger)} --anchor",
    )


def _exhibit(
    number: int, log: Log, facts: Reader, step: Step, known: list[str], *, masked: bool
) -> Exhibit:
    stored = log.at(step.event.position)
    # A body that bundles several postbacks tells the recipients of others too.
    hidden = [*known, *_others(facts, stored)] if masked else []
    text = _text(stored.body)
    body = mask_in(text, hidden)
    return Exhibit(
        number=number,
        position=stored.position,
        received_at=step.event.received_at,
        occurred_at=step.event.occurred_at,
        imported=step.event.imported,
        repeats=step.event.repeats,
        code=step.code,
        status=step.status,
        trigger=step.trigger,
        verdict=step.verdict,
        before=dict(step.before),
        after=dict(step.after),
        findings=step.findings,
        missing=step.missing,
        details=_shown(step.details, hidden),
        content_type=stored.content_type,
        bytes=len(stored.body),
        body=None if tells(body, hidden) else body[:LONGEST_BODY],
        cut=max(0, len(body) - LONGEST_BODY),
        masked=body != text,
        proof=_proof(log, stored),
    )


def _proof(log: Log, stored: Stored) -> Proof:
    previous = log.at(stored.position - 1).chain if stored.position > 1 else START
    return Proof(
        previous=previous.hex(),
        head=stored.head(),
        hash=stored.chain.hex(),
        anchor=f"{stored.position}:{stored.chain.hex()}",
    )


def _recipients(facts: Reader, log: Log, steps: Timeline) -> list[str]:
    """All recipients that the events name, in the order in which they do."""
    texts = (facts.of_stored(log.at(s.event.position)).texts[_TO] for s in steps)
    return list(dict.fromkeys(text for text in texts if text))


def _others(facts: Reader, stored: Stored) -> list[str]:
    """All recipients that the members of the event's body name."""
    size = max(1, len(stored.body))
    members = wire.read(stored.body, stored.content_type, wire.Limits(size, 200, size))
    return [
        member.fields[index][1]
        for member in members
        if isinstance(member, Postback)
        for slot, index in facts.definitions.lexicon.read(member).picks
        if slot == _TO
    ]


def _shown(text: str | None, recipients: list[str]) -> str | None:
    """A text with the recipients masked; nothing of it where escapes keep them from being."""
    if text is None:
        return None
    shown = mask_in(text, recipients)
    return DOT * 3 if tells(shown, recipients) else shown


def _text(body: bytes) -> str:
    """The body as text, bytes that are none written out as ``\\xff``."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        return body.decode(encoding, "backslashreplace")


def to_dict(dossier: Dossier) -> dict[str, object]:
    """The dossier as JSON has it."""
    return {
        **dossier.delivery.to_dict(),
        "meanings": dict(dossier.meanings),
        "timeline": [_exhibit_dict(exhibit) for exhibit in dossier.exhibits],
    }


def _exhibit_dict(exhibit: Exhibit) -> dict[str, object]:
    said = attrs.asdict(exhibit)
    for key in ("received_at", "occurred_at"):
        said[key] = iso(said[key])
    return said
