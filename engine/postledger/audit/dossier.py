"""The dossier of one delivery: its state, each event with its proof, and the path it took."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import attrs

from postledger.audit.argument import Argument, argument
from postledger.audit.mask import Mask, traced
from postledger.audit.request import Request
from postledger.audit.words import text_of
from postledger.definitions.chart import Statechart
from postledger.errors import IntegrityError
from postledger.findings import MEANINGS, named
from postledger.log.log import Log
from postledger.log.proofs import Subtree, inclusion_proof, subtree_from, verify_inclusion
from postledger.log.tree import STRIDE, root_of
from postledger.model import DELIVERY, Anchor, Delivery, Position, Step, Timeline, plain
from postledger.projections.reader import Reader

LONGEST_BODY = 32_768
"""How many characters of a body are shown."""


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

    ``number`` is its place in the fold order, ``position`` that in the log, ``member`` the one in a body
    that bundles several. ``repeats`` and ``against`` are positions.
    ``body`` is ``None`` in a masked report; ``cut`` characters of it are not shown.
    """

    number: int
    position: Position
    member: int
    received_at: datetime
    occurred_at: datetime | None
    imported: bool
    source: str
    sender: str
    repeats: Position | None
    code: str | None
    status: str | None
    trigger: str | None
    verdict: str
    against: Position | None
    before: dict[str, str]
    after: dict[str, str]
    findings: tuple[str, ...]
    missing: tuple[str, ...]
    part: tuple[int, int] | None
    details: str | None
    content_type: str | None
    bytes: int
    body: str | None
    cut: int
    proof: Proof


@attrs.frozen
class Dossier:
    """One delivery with all that is known of it, told by its events in fold order.

    ``argument`` is why the state stands, ``first`` the position of the event that came up first.
    ``problems`` are the events whose proofs don't hold.
    """

    delivery: Delivery
    meanings: tuple[tuple[str, str], ...]
    chart: Statechart = attrs.field(repr=False)
    exhibits: tuple[Exhibit, ...]
    problems: tuple[str, ...]
    argument: Argument
    first: Position

    @property
    def name(self) -> str:
        """The id of the delivery, or the position of its first event where the id is hidden."""
        return traced(self.delivery.tracking_id, self.first)


def dossier(
    reader: Reader, delivery: Delivery, steps: Timeline, request: Request, anchor: Anchor
) -> Dossier:
    """The dossier of a delivery from its timeline, with proofs against ``anchor``."""
    definitions = reader.definitions
    mask = Mask.of(definitions, unmask=request.unmask)
    prover = Prover(reader.log, anchor)
    exhibits = tuple(
        _exhibit(step, delivery.to, mask, prover.proof(step.event.position, step.event.leaf))
        for step in steps
    )
    return Dossier(
        delivery=mask.delivery(delivery),
        meanings=tuple((word, MEANINGS[named(word)]) for word in delivery.findings),
        chart=definitions.chart(DELIVERY),
        exhibits=exhibits,
        problems=tuple(prover.problems),
        argument=argument(steps, definitions.chart(DELIVERY)),
        first=min((step.event.position for step in steps), default=0),
    )


def _exhibit(step: Step, to: str | None, mask: Mask, proof: Proof) -> Exhibit:
    event = step.event
    body = None if mask.words is not None else text_of(event.body)
    return Exhibit(
        number=step.number,
        position=event.position,
        member=event.member,
        received_at=event.received_at,
        occurred_at=event.occurred_at,
        imported=event.imported,
        source=mask.id(event.source, to) or "",
        sender=event.sender,
        repeats=event.repeats,
        code=mask.text(step.code),
        status=mask.text(step.status),
        trigger=step.trigger,
        verdict=str(step.verdict),
        against=step.against,
        before=dict(step.before),
        after=dict(step.after),
        findings=step.findings,
        missing=step.missing,
        part=step.part,
        details=mask.text(step.details),
        content_type=mask.media(event.content_type),
        bytes=len(event.body),
        body=body and body[:LONGEST_BODY],
        cut=max(0, len(body or "") - LONGEST_BODY),
        proof=proof,
    )


class Prover:
    """Makes the proofs of one report, and checks each of them."""

    def __init__(self, log: Log, anchor: Anchor) -> None:
        # The proofs of a delivery share most of the tree.
        self._subtree: Subtree = lru_cache(maxsize=4096)(subtree_from(log.leaves, log.nodes))
        self._log = log
        self._nodes: set[int] = set()
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
        self._check_node(position // STRIDE)
        return Proof(leaf.hex(), tuple(one.hex() for one in path))

    def _check_node(self, number: int) -> None:
        """The node over an event: no proof of its own leaves has it, those of all others do."""
        if number in self._nodes or (number + 1) * STRIDE > self._size:
            return
        self._nodes.add(number)
        try:
            (node,) = self._log.nodes(number, number + 1)
            leaves = self._log.leaves(number * STRIDE, (number + 1) * STRIDE)
        except IntegrityError as error:
            self.problems.append(str(error))
            return
        # guard: nodes over what is shown compared
        if root_of(leaves) != node:
            self.problems.append(f"node {number} of the tree is not what its leaves give")


def to_dict(dossier: Dossier) -> dict[str, object]:
    """The dossier as JSON has it."""
    return {
        **dossier.delivery.to_dict(),
        "argument": dossier.argument.to_dict(),
        "meanings": dict(dossier.meanings),
        "timeline": plain(dossier.exhibits),
    }
