"""The fold: from the facts of one stream to its state, with the reasons.

The facts of a stream are taken in the fold order: the stage of the trigger, the provider's clock
(facts without a time last), the name of the trigger, the texts. The time of arrival takes no part, so
the state is a function of the set of facts, whatever the order in which they came and however often.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import attrs

from postledger.definitions.chart import Configuration, Statechart
from postledger.definitions.effects import Change, Effect
from postledger.definitions.vocabulary import FIELDS
from postledger.errors import IntegrityError
from postledger.findings import Finding, Verdict
from postledger.phone import digits_of
from postledger.times import UNDATED

UNHEARD = 2**31
"""The stage of a fact that says nothing to the chart: it sorts after every stage."""

REASON = len(FIELDS)
"""The index in ``Fact.texts`` of the details that the event gives."""

_NO_CREATION = int(Finding.NO_CREATION)
_OUTCOME_WITHOUT_SENT = int(Finding.OUTCOME_WITHOUT_SENT)
_CLOCK_DISORDER = int(Finding.CLOCK_DISORDER)
_RECIPIENT_DIFFERS = int(Finding.RECIPIENT_DIFFERS)
_PARTS_MISSING = int(Finding.PARTS_MISSING)
_PARTS_DIFFER = int(Finding.PARTS_DIFFER)
_LATE = int(Finding.LATE)
_LONG_AGO = -(2**63)


class Fact(NamedTuple):
    """One distinct event of a stream, as the fold takes it; ``in_order`` sorts them.

    Times are microseconds since 1970, ``occurred_at`` by the provider's clock (``UNDATED`` without
    one). ``texts`` are those of ``FIELDS`` and then the details (``None``: not said). ``findings``
    are those that the reading of the event alone gives. ``labels`` are names and texts, ``amounts``
    names, decimals and currencies (empty for a plain count). ``part`` is the number of the part that it
    is about and of how many, or ``UNREADABLE``; ``None`` where it is about the whole message, or at a
    stage where nothing waits for parts.
    """

    stage: int
    occurred_at: int
    identity: bytes
    position: int
    received_at: int
    effect: Effect | None
    findings: int
    texts: Sequence[str | None]
    labels: tuple[tuple[str, str], ...] = ()
    amounts: tuple[tuple[str, tuple[str, str]], ...] = ()
    part: tuple[int, int] | None = None


UNREADABLE = (0, 0)
"""What stands in place of a part that can't be read."""


class Noted(NamedTuple):
    """What the fold notes of one fact: the verdict on it and its findings."""

    verdict: Verdict
    findings: int


@attrs.define
class Folded:
    """A stream as far as it is folded: the fold's own, changed in place by ``advance``.

    ``reasons`` are the details of the events by which each region entered a state that wants a reason,
    ``classes`` the classes of these. ``times`` are those of the first fact of each stage, ``UNDATED``
    where it has none and ``None`` where there is no fact of that stage. ``parts`` are the triggers that
    name a part, each with its number, and ``total`` is how many parts there are.
    ``group`` is the stage and time of the last fact, ``arrived_before`` the latest reception of the
    facts before these, ``arrived`` that of all facts.
    """

    chart: Statechart
    configuration: int = 0
    events: int = 0
    findings: int = 0
    texts: list[str | None] = attrs.field(factory=lambda: [None] * len(FIELDS))
    labels: dict[str, str] = attrs.field(factory=dict)
    amounts: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    recipient: str | None = None
    reasons: list[str | None] = attrs.field(init=False)
    classes: list[str | None] = attrs.field(init=False)
    times: list[int | None] = attrs.field(init=False)
    outcome_at: int = UNDATED
    parts: frozenset[tuple[str, int]] = frozenset()
    total: int = 0
    heard: int = 0
    first_received_at: int = UNDATED
    group: tuple[int, int] = (-1, 0)
    arrived_before: int = _LONG_AGO
    arrived: int = _LONG_AGO

    def __attrs_post_init__(self) -> None:
        self.reasons = [None] * len(self.chart.regions)
        self.classes = [None] * len(self.chart.regions)
        self.times = [None] * len(self.chart.stages)

    @property
    def states(self) -> Configuration:
        """The state of each region."""
        return self.chart.configurations[self.configuration]


def fold(chart: Statechart, facts: Iterable[Fact]) -> Folded:
    """Fold the facts of one stream, given in any order."""
    folded = Folded(chart)
    for fact in in_order(facts):
        advance(folded, fact)
    return folded


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Facts in the fold order."""
    found = sorted(facts)
    if len({fact[:2] for fact in found}) < len(found):
        # Of one stage and time, what they say decides: a hash is no reason that people could read.
        found.sort(key=fold_key)
    return found


def fold_key(fact: Fact) -> tuple[Any, ...]:
    """What facts are sorted by in the fold order."""
    trigger = None if fact.effect is None else fact.effect.reading.trigger
    texts = [text or "" for text in fact.texts]
    return *fact[:2], trigger or "", texts, fact.labels, fact.amounts, fact.identity


def advance(folded: Folded, fact: Fact) -> Noted:
    """Take the next fact in fold order into the folded stream."""
    findings = fact.findings
    folded.events += 1
    if fact.received_at < folded.first_received_at:
        folded.first_received_at = fact.received_at
    effect = fact.effect
    if effect is None:
        folded.findings |= findings
        unrecognised = findings & Finding.UNRECOGNISED
        return Noted(Verdict.UNRECOGNISED if unrecognised else Verdict.NO_EFFECT, findings)
    # guard: events of another chart refused
    if effect.chart is not folded.chart and effect.chart != folded.chart:
        raise IntegrityError(f"position {fact.position}: it is of another chart than its stream")
    folded.heard += 1
    # Of events of one stage and time neither follows the other: the identity only keeps their order.
    if fact[:2] != folded.group:
        folded.group, folded.arrived_before = fact[:2], folded.arrived
    if fact.received_at < folded.arrived_before:
        folded.findings |= _LATE
    folded.arrived = max(folded.arrived, fact.received_at)
    change = effect.changes[folded.configuration]
    if fact.part is not None and not _is_whole(folded, fact.part, effect):
        change = _HELD
    findings |= change.findings | _of_time(folded, fact, effect) | _of_recipient(folded, fact)
    _keep_texts(folded, fact, took_effect=bool(change.regions))
    for region in change.agreed:
        if not folded.reasons[region]:
            _explain(folded, region, fact)
    if change.regions:
        _enter(folded, fact, change.after, change.regions)
        if change.outcome is not None:
            folded.outcome_at = fact.occurred_at if change.outcome else UNDATED
    folded.findings |= findings
    # The first event that a stream is known by took effect even where it says what charts start at.
    first = folded.heard == 1 and change.verdict is Verdict.NO_EFFECT and change is not _HELD
    return Noted(Verdict.APPLIED if first else change.verdict, findings)


def findings_of(folded: Folded) -> int:
    """The findings of a stream, with what shows only when all facts are in.

    That is: that nothing created it, and that parts are missing.
    """
    findings, stages = folded.findings, folded.chart.stages
    if folded.heard and "created" in stages and folded.times[stages.index("created")] is None:
        findings |= _NO_CREATION
    if folded.parts and not all(_all_heard(folded, trigger) for trigger, _ in folded.parts):
        findings |= _PARTS_MISSING
    return findings


_HELD = Change(0, Verdict.NO_EFFECT, 0, (), (), None)
"""What an event changes that is about one part, while others are missing: nothing."""


def _is_whole(folded: Folded, part: tuple[int, int], effect: Effect) -> bool:
    """Note the part that an event is about; whether it acts, which may wait for those of all parts."""
    # guard: a part that can't be read completes nothing
    if part == UNREADABLE:
        return False
    number, total = part
    trigger = effect.reading.trigger or ""
    folded.parts |= {(trigger, number)}
    if not folded.chart.triggers[trigger].parts:
        return True
    if folded.total not in (0, total):
        folded.findings |= _PARTS_DIFFER
    folded.total = max(folded.total, total)
    return _has_all(folded, {trigger})


def _all_heard(folded: Folded, trigger: str) -> bool:
    """Whether all parts were heard of, where a trigger waits for them: by it or others of its stage."""
    triggers = folded.chart.triggers
    said = triggers[trigger]
    mates = {name for name, one in triggers.items() if one.stage == said.stage}
    return not said.parts or _has_all(folded, mates)


def _has_all(folded: Folded, triggers: Collection[str]) -> bool:
    numbers = {number for one, number in folded.parts if one in triggers}
    return numbers.issuperset(range(1, folded.total + 1))


def _of_time(folded: Folded, fact: Fact, effect: Effect) -> int:
    """Note the first time of each stage; what follows a stage must not be stamped before it."""
    if folded.times[effect.stage] is None:
        folded.times[effect.stage] = fact.occurred_at
    if effect.after is None:
        return 0
    began = folded.times[effect.after]
    if began is None:
        return _OUTCOME_WITHOUT_SENT
    return _CLOCK_DISORDER if fact.occurred_at < began != UNDATED else 0


def _of_recipient(folded: Folded, fact: Fact) -> int:
    recipient = fact.texts[0]
    if recipient is None:
        return 0
    if folded.recipient is None:
        folded.recipient = recipient
    if recipient == folded.recipient or digits_of(recipient) == digits_of(folded.recipient):
        return 0
    return _RECIPIENT_DIFFERS


def _keep_texts(folded: Folded, fact: Fact, *, took_effect: bool) -> None:
    """An event that took effect has the say; others only fill what nobody said before."""
    texts = folded.texts
    for slot in range(REASON):
        text = fact.texts[slot]
        if text is not None and (took_effect or texts[slot] is None):
            texts[slot] = text
    for name, label in fact.labels:
        if took_effect or name not in folded.labels:
            folded.labels[name] = label
    for name, amount in fact.amounts:
        if took_effect or name not in folded.amounts:
            folded.amounts[name] = amount


def _enter(folded: Folded, fact: Fact, after: int, regions: tuple[int, ...]) -> None:
    folded.configuration = after
    states = folded.chart.configurations[after]
    for region in regions:
        explained = states[region] in folded.chart.regions[region].explained
        _explain(folded, region, fact if explained else None)


def _explain(folded: Folded, region: int, fact: Fact | None) -> None:
    """Take the reason of a region's state from an event, or from none."""
    effect = None if fact is None else fact.effect
    folded.reasons[region] = None if fact is None else fact.texts[REASON]
    folded.classes[region] = None if effect is None else effect.reading.reason_class
