"""The dossier of one delivery: its state, each event with its proof, and the path it took."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

import attrs

from postledger.audit.mask import DOT, hide_numbers, mask, mask_in, tells
from postledger.audit.request import CHART, Request
from postledger.definitions.chart import Statechart
from postledger.definitions.definitions import Definitions
from postledger.definitions.vocabulary import FIELDS
from postledger.errors import IntegrityError
from postledger.findings import MEANINGS, named
from postledger.log.log import Log
from postledger.log.proofs import Subtree, inclusion_proof, subtree_from, verify_inclusion
from postledger.model import Anchor, Delivery, Step, Timeline, plain
from postledger.postback import Postback
from postledger.projections.reader import Reader
from postledger.state.patterns import read
from postledger.wire import Limits

LONGEST_BODY = 32_768
"""How many characters of a body are shown."""

_TO = FIELDS.index("to")


@attrs.frozen
class Proof:
    """That the leaf of an event stands at its position under the root of the report's anchor.

    ``path`` is the inclusion proof of RFC 9162, section 2.1.3: all are hashes in hexadecimal. It is
    empty where the log has one event, or where it could not be made.
    """

    leaf: str
    path: tuple[str, ...]


@attrs.frozen
class Exhibit:
    """One event of the delivery, with its body as received and what proves it.

    ``number`` is its place in the fold order, ``member`` its place in a body that bundles several.
    ``body`` is ``None`` where it can't be shown without telling a number that is to be masked;
    ``cut`` characters of it are not shown.
    """

    number: int
    position: int
    member: int
    received_at: datetime
    occurred_at: datetime | None
    imported: bool
    source: str
    sender: str
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
    """One delivery with all that is known of it, told by its events in fold order.

    ``problems`` are the events whose proofs don't hold.
    """

    delivery: Delivery
    meanings: tuple[tuple[str, str], ...]
    chart: Statechart = attrs.field(repr=False)
    exhibits: tuple[Exhibit, ...]
    problems: tuple[str, ...]


def dossier(
    reader: Reader, delivery: Delivery, steps: Timeline, request: Request, anchor: Anchor
) -> Dossier:
    """The dossier of a delivery from its timeline, with proofs against ``anchor``."""
    definitions = reader.definitions
    known = (
        [] if request.unmask else _recipients(definitions, (step.event.postback for step in steps))
    )
    masked = attrs.evolve(
        delivery,
        to=mask(delivery.to) if known and delivery.to else delivery.to,
        reason=_shown(delivery.reason, known, masked=not request.unmask),
    )
    prover = _Prover(reader.log, anchor)
    exhibits = tuple(
        _exhibit(number, reader, step, known, prover, masked=not request.unmask)
        for number, step in enumerate(steps, 1)
    )
    return Dossier(
        delivery=masked,
        meanings=tuple((word, MEANINGS[named(word)]) for word in delivery.findings),
        chart=definitions.chart(CHART),
        exhibits=exhibits,
        problems=tuple(prover.problems),
    )


def _exhibit(
    number: int,
    reader: Reader,
    step: Step,
    known: list[str],
    prover: _Prover,
    *,
    masked: bool,
) -> Exhibit:
    event = step.event
    # A body that bundles several postbacks tells the recipients of others too.
    others = _recipients(reader.definitions, _members(reader, event.position)) if masked else []
    hidden = [*known, *others]
    text = _text(event.body)
    body = mask_in(text, hidden)
    return Exhibit(
        number=number,
        position=event.position,
        member=event.member,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        imported=event.imported,
        source=event.source,
        sender=event.sender,
        repeats=event.repeats,
        code=_shown(step.code, hidden, masked=masked),
        status=_shown(step.status, hidden, masked=masked),
        trigger=step.trigger,
        verdict=str(step.verdict),
        before=dict(step.before),
        after=dict(step.after),
        findings=step.findings,
        missing=step.missing,
        details=_shown(step.details, hidden, masked=masked),
        content_type=event.content_type,
        bytes=len(event.body),
        body=None if tells(body, hidden) else body[:LONGEST_BODY],
        cut=max(0, len(body) - LONGEST_BODY),
        masked=body != text,
        proof=prover.proof(event.position, event.leaf),
    )


class _Prover:
    """Makes the proofs of one report, and checks each of them."""

    def __init__(self, log: Log, anchor: Anchor) -> None:
        # The proofs of a delivery share most of the tree.
        self._subtree: Subtree = lru_cache(maxsize=4096)(subtree_from(log.leaves, log.nodes))
        self._size, self._root = anchor.size, bytes.fromhex(anchor.root)
        self.problems: list[str] = []

    def proof(self, position: int, leaf: bytes) -> Proof:
        """The proof that a leaf stands at a position; one that doesn't hold is a problem."""
        try:
            path = inclusion_proof(position, self._size, self._subtree)
        except (IntegrityError, ValueError) as error:
            self.problems.append(f"position {position}: no proof can be made: {error}")
            return Proof(leaf.hex(), ())
        if not verify_inclusion(leaf, position, self._size, path, self._root):
            self.problems.append(f"position {position}: its proof doesn't lead to the anchor")
        return Proof(leaf.hex(), tuple(one.hex() for one in path))


def _members(reader: Reader, position: int) -> Iterable[object]:
    """What the body of an event says, all of it."""
    stored = reader.log.at(position)
    size = max(1, len(stored.body))
    # Read whatever its size: what is shown of it must be masked.
    return read(stored.body, stored.envelope, Limits(size, 200, size))


def _recipients(definitions: Definitions, said: Iterable[object]) -> list[str]:
    """The recipients that postbacks name, by any vocabulary that reads such ones, in their order."""
    found: dict[str, None] = {}
    for postback in said:
        if isinstance(postback, Postback):
            readings = [definitions.lexicon.read(postback)]
            readings += [v.read(postback) for v in definitions.vocabularies if v.fits(postback)]
            picks = (pick for reading in readings for pick in reading.picks)
            found |= {postback.fields[at][1]: None for slot, at in picks if slot == _TO}
    return [text for text in found if text]


def _shown(text: str | None, recipients: list[str], *, masked: bool) -> str | None:
    """A text with the recipients, and all that may be a number, masked.

    Nothing of it is shown where escapes keep a recipient from being masked.
    """
    if text is None or not masked:
        return text
    shown = mask_in(text, recipients)
    return DOT * 3 if tells(shown, recipients) else hide_numbers(shown)


def _text(body: bytes) -> str:
    """The body as text; bytes that are not text are written out as ``\\xff``."""
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
        "timeline": plain(dossier.exhibits),
    }
