"""Lives: a stream as known so far, brought forward by each event without folding all of it again.

The facts stand in blocks, in the fold order, each with the fold of all before it. An event that comes
last continues that fold. For any other event its block is folded again, and what follows only as far
as that makes a difference.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from copy import copy
from operator import attrgetter
from typing import Any, NamedTuple

import attrs

from postledger.definitions.chart import Statechart
from postledger.findings import Finding, Verdict
from postledger.state.fold import Fact, Folded, Noted, advance, fold_key
from postledger.state.streams import EventRow, Facts
from postledger.state.timeline import as_late
from postledger.times import UNDATED

BLOCK = 64
"""A block of twice as many facts is split."""

LONG, HEAVY = 32, 100_000
"""Streams of more events, or of several with more bytes of texts, are worth keeping."""

_EVENT_BYTES = 900
"""What an event takes in memory, apart from its texts (measured)."""

_DECIDING = attrgetter(
    *("configuration", "texts", "labels", "amounts", "recipient", "reasons", "classes", "times"),
    *("outcome_at", "parts", "total"),
)
_LATE = int(Finding.LATE)


@attrs.define(eq=False)
class _Block:
    """Facts that follow each other; ``before`` is the fold of those before them.

    Of that only what decides the fold of these counts, and the findings. ``changed`` says that
    they are not folded yet.
    """

    facts: list[Fact]
    before: Folded
    changed: bool


class Answer(NamedTuple):
    """What is to be said of an event: the verdict, and the position of the one that it repeats."""

    verdict: Verdict
    repeats: int | None


class Life:
    """One stream as known after the events that were added, in any order.

    ``size`` is about how many bytes it takes in memory.
    """

    def __init__(self, chart: Statechart) -> None:
        self.repeats = 0
        self.size = 0
        self._known: dict[tuple[int, bytes], tuple[EventRow, Fact]] = {}
        self._heard = 0
        self._received = UNDATED
        self._origin = (UNDATED, "")
        self._blocks = [_Block([], Folded(chart), changed=False)]
        self._end = Folded(chart)
        # The number of the first block that is changed.
        self._changed: int | None = None

    @property
    def is_long(self) -> bool:
        """Whether it is worth keeping."""
        events = len(self._known) + self.repeats
        return events > LONG or (events > 1 and self.size > HEAVY)

    @property
    def source(self) -> str:
        """The source of the event that was received first, as ``Facts.source_of`` has it."""
        return self._origin[1]

    def knows(self, occurred_at: int, identity: bytes) -> bool:
        """Whether an event said that."""
        return (occurred_at, identity) in self._known

    def add(self, facts: Facts, row: EventRow) -> int | None:
        """Take an event; returns the position of the one that it repeats, if it does.

        Its row has the types of such rows. Raises ``IntegrityError`` where the event, or its equal, is
        damaged: the life is of no use then.
        """
        same = row[1], row[2]
        self._origin = min(self._origin, (row[5], facts.source(row)))
        known = self._known.get(same)
        if known is not None:
            self.repeats += 1
            if facts.ranked([known[0], row])[0] is known[0]:
                return known[0][3]
        fact = facts.fact(row)
        if known is None:
            self.size += _EVENT_BYTES + len(row[8] or "") + len(row[10] or "")
            self._heard += fact.effect is not None
            self._take(fact)
        else:
            self._replace(known[1], fact)
        self._known[same] = row, fact
        self._received = min(self._received, fact.received_at)
        return None

    def folded(self) -> Folded:
        """The fold of all facts; the next event changes it."""
        if self._changed is not None:
            self._settle(self._changed)
        folded = self._end
        folded.events, folded.heard = len(self._known), self._heard
        folded.first_received_at = self._received
        return folded

    def answer(self, row: EventRow) -> Answer:
        """What is to be said of an event that was added."""
        first, fact = self._known[row[1], row[2]]
        if first[3:5] != row[3:5]:
            return Answer(Verdict.REPEATED, first[3])
        self.folded()
        number = self._number(fact)
        block = self._blocks[number]
        at = bisect_left(block.facts, fold_key(fact), key=fold_key)
        folded = copy_of(block.before)
        noted = Noted(Verdict.NO_EFFECT, 0)
        for one in block.facts[: at + 1]:
            noted = advance(folded, one)
        late = any(fact.received_at > one.received_at for one in self._following(number, at))
        return Answer((as_late(noted) if late else noted).verdict, None)

    def _following(self, number: int, at: int) -> Iterator[Fact]:
        """The facts that follow one strictly: of one stage and time neither follows the other."""
        block = self._blocks[number]
        group = block.facts[at][:2]
        for facts in (block.facts[at:], *(later.facts for later in self._blocks[number + 1 :])):
            if facts[-1][:2] != group:
                yield from (one for one in facts if one.effect is not None and one[:2] != group)

    def _number(self, fact: Fact) -> int:
        """The number of the block to which a fact belongs."""
        return max(0, bisect_right(self._blocks, fold_key(fact), key=_first) - 1)

    def _take(self, fact: Fact) -> None:
        blocks = self._blocks
        last = blocks[-1]
        is_last = not last.facts or fold_key(fact) > fold_key(last.facts[-1])
        if self._changed is None and is_last:
            if len(last.facts) >= BLOCK:
                last = _Block([], copy_of(self._end), changed=False)
                blocks.append(last)
            last.facts.append(fact)
            advance(self._end, fact)
            return
        number = self._number(fact)
        block = blocks[number]
        insort(block.facts, fact, key=fold_key)
        block.changed = True
        if len(block.facts) == 2 * BLOCK:
            blocks.insert(number + 1, _Block(block.facts[BLOCK:], block.before, changed=True))
            del block.facts[BLOCK:]
        self._changed = number if self._changed is None else min(number, self._changed)

    def _replace(self, before: Fact, fact: Fact) -> None:
        """Put a fact in place of its equal that was received later, and fold everything again."""
        facts = [one for block in self._blocks for one in block.facts if one is not before]
        self._end = Folded(self._end.chart)
        self._blocks, self._changed = [_Block([], copy_of(self._end), changed=False)], None
        for one in (*facts, fact):
            self._take(one)

    def _settle(self, number: int) -> None:
        """Fold what changed, and what follows as far as it makes a difference to that."""
        blocks = self._blocks
        ahead = copy_of(blocks[number].before)
        # Once one event came late the stream has that finding, whatever comes.
        ahead.findings |= self._end.findings & _LATE
        while number < len(blocks):
            block = blocks[number]
            if block.changed or not _alike(block.before, ahead, blocks[-1].facts[-1][:2]):
                block.before, block.changed = ahead, False
                ahead = copy_of(ahead)
                for fact in block.facts:
                    advance(ahead, fact)
                number += 1
                if number == len(blocks):
                    self._end = ahead
                continue
            for later in (self._end, *(block.before for block in blocks[number:])):
                later.findings |= ahead.findings
                later.arrived = max(later.arrived, ahead.arrived)
            rest = range(number, len(blocks))
            number = next((one for one in rest if blocks[one].changed), len(blocks))
            if number < len(blocks):
                ahead = blocks[number].before
        self._changed = None


def _alike(before: Folded, now: Folded, last: tuple[int, int]) -> bool:
    """Whether what follows a fold is folded alike after another, but for findings that come with it.

    ``last`` is the stage and time of the last fact of all.
    """
    if _DECIDING(before) != _DECIDING(now) or before.findings & ~now.findings:
        return False
    if now.findings & _LATE:
        # Once something came late it doesn't matter any more when what came before was received.
        return True
    if before.group != now.group or before.arrived_before != now.arrived_before:
        return False
    return before.arrived == now.arrived or now.group == last


def _first(block: _Block) -> tuple[Any, ...]:
    return fold_key(block.facts[0])


def copy_of(folded: Folded) -> Folded:
    """A copy that later events don't change."""
    kept = copy(folded)
    kept.texts, kept.times = list(folded.texts), list(folded.times)
    kept.reasons, kept.classes = list(folded.reasons), list(folded.classes)
    kept.labels, kept.amounts = dict(folded.labels), dict(folded.amounts)
    return kept
