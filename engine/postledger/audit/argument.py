"""The argument: in one sentence why a stream stands in its state, with event numbers and times.

It is made of the timeline and the chart alone, so that it says what it says of any provider, of any
chart, and as of any time. A page shows it part by part, and links each event's number::

    found = argument(ledger.timeline(id), ledger.definitions.chart("delivery"))
    for part in found.parts:
        if part.event is None:
            page += escape(part.text)
        else:
            page += f'<a href="#event-{part.event}">{part.text}</a>'

Each event has the number of its step, as everything that shows a delivery has it.
Nothing of what an event says as text goes into it: it never shows a number or a name of anyone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal

import attrs

from postledger.audit.words import bare, count, lapse, time
from postledger.definitions.chart import Region, Statechart
from postledger.findings import Finding, Verdict, names
from postledger.model import Step, Timeline

QUESTIONING = names(
    Finding.CONTRADICTION | Finding.RECIPIENT_DIFFERS | Finding.WRONG_ROUTE,
)
"""The findings that question an outcome; all others tell of form or arrival."""

(_LATE,) = names(Finding.LATE)
_MOST_CLAIMS = 4
_MOST_NUMBERS = 3
_LONGEST_POLICY = 400


@attrs.frozen
class Part:
    """A piece of the sentence: words, or an event's number, a state, a time or the policy.

    ``event`` is the number of an event where the piece is one, and then ``against`` says that the
    event contradicts another. ``state`` is the state that a word names.
    """

    text: str
    kind: Literal["words", "event", "state", "time", "policy"] = "words"
    event: int | None = None
    state: str | None = None
    against: bool = False


@attrs.frozen
class Question:
    """A finding that questions the outcome, the numbers of its events, and what they say against it."""

    finding: str
    events: tuple[int, ...]
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """What it says, as plain text."""
        return _text(self.parts)


@attrs.frozen
class Argument:
    """Why a stream stands in ``state``.

    ``decided_by`` are the numbers of the events that decide: the one that entered the state, and those
    whose claims contradict each other. ``parts`` are the sentence in pieces. ``questions`` are the
    findings that question the outcome. ``elsewhere`` says what a system shows that keeps only the
    latest postback, where that is another state; empty else.

    >>> steps = ledger.timeline("U01TXzgwNjc4")
    >>> found = argument(steps, ledger.definitions.chart("delivery"))
    >>> print(found.sentence)  # doctest: +NORMALIZE_WHITESPACE
    Event 2 reported delivered at 2013-11-05 10:41:15 UTC, 7 s after event 1 reported sent: it stands
    delivered, and no event says otherwise.
    >>> found.decided_by, found.disputed, found.questions
    ((2,), False, ())
    """

    state: str
    decided_by: tuple[int, ...]
    parts: tuple[Part, ...]
    questions: tuple[Question, ...]
    elsewhere: tuple[Part, ...] = ()

    @property
    def sentence(self) -> str:
        """The sentence as plain text."""
        return _text(self.parts)

    @property
    def disputed(self) -> bool:
        """Whether anything questions the outcome."""
        return bool(self.questions)

    def to_dict(self) -> dict[str, Any]:
        """The argument as JSON has it: the sentence, the numbers that decide, what questions it."""
        return {
            "sentence": self.sentence,
            "decided_by": list(self.decided_by),
            "elsewhere": _text(self.elsewhere) or None,
            "questions": [
                {"finding": one.finding, "events": list(one.events), "text": one.text}
                for one in self.questions
            ],
        }


@attrs.frozen
class Claim:
    """What one event says to the first region: ``says`` is the state that it reports.

    ``against`` is the number of the event that entered the state which it contradicts (0: the chart
    begins in it); ``None`` where it contradicts nothing.
    """

    step: Step
    says: str
    moved: bool
    against: int | None

    @property
    def number(self) -> int:
        """The number of the event."""
        return self.step.number

    @property
    def held(self) -> bool:
        """Whether it changed nothing, since events of other parts are missing."""
        silent = not self.moved and self.against is None
        return silent and self.step.part is not None and self.says not in self.step.after.values()


@attrs.frozen
class _Case:
    """A timeline as its first region took it."""

    chart: Statechart
    steps: Sequence[Step]
    region: Region
    claims: tuple[Claim, ...]
    state: str

    @property
    def entered(self) -> Claim | None:
        """The claim that entered the state that stands; ``None`` where the chart begins in it."""
        return next((one for one in reversed(self.claims) if one.moved), None)

    @property
    def contradictions(self) -> tuple[Claim, ...]:
        """The claims that contradict what stood when they were taken."""
        return tuple(one for one in self.claims if one.against is not None)


def argument(timeline: Timeline, chart: Statechart) -> Argument:
    """The argument of a timeline, by the chart that it was folded by.

    The timeline may be that of any time, and of any chart; that of no event stands where the chart
    begins.
    """
    region = chart.regions[0]
    state = timeline[-1].after[region.name] if timeline else region.initial
    case = _Case(chart, timeline, region, tuple(claims_of(region, timeline)), state)
    disputed = _pairs(case)
    entered = [] if case.entered is None else [case.entered]
    decided = [one.number for one in disputed or entered]
    opening = _dispute(case, disputed) if disputed else _course(case)
    though = tuple(_questions(case))
    clauses = [opening, *_also(case)]
    parts = [*_joined(clauses, "; "), *_stands(case, though)]
    questions = (*_contradictions(case), *though)
    return Argument(state, tuple(decided), tuple(parts), questions, tuple(_elsewhere(case)))


def claims_of(region: Region, steps: Sequence[Step]) -> Iterator[Claim]:
    """What the events say to a region: those that it hears, repeats left out."""
    heard = {one.trigger for one in region.transitions}
    entered = 0
    for step in steps:
        before, after = step.before[region.name], step.after[region.name]
        moved = before != after and step.event.repeats is None
        if not moved and (step.event.repeats is not None or step.trigger not in heard):
            continue
        says = after if moved else _said(region, step)
        yield Claim(step, says, moved, entered if contradicts(region, step) else None)
        entered = step.number if moved else entered


def contradicts(region: Region, step: Step) -> bool:
    """Whether an event contradicts the state of a region, and not only that of another one."""
    if step.verdict != Verdict.CONTRADICTS:
        return False
    known = [one for one in region.transitions if one.trigger == step.trigger]
    taken = next((one for one in known if one.source == step.before[region.name]), None)
    return bool(known) and (taken is None or taken.overrides)


def _said(region: Region, step: Step) -> str:
    """The state that an event reports to a region, whether or not that went there."""
    leads = {one.dest for one in region.transitions if one.trigger == step.trigger}
    # A trigger that leads to several states is named by its own word.
    return leads.pop() if len(leads) == 1 else (step.trigger or "").replace("_", " ")


def _pairs(case: _Case) -> list[Claim]:
    """The claims that contradict each other, in fold order; empty where none do."""
    against = case.contradictions
    numbers = {one.number for one in against} | {one.against for one in against}
    if against and case.entered is not None:
        numbers.add(case.entered.number)
    return [one for one in case.claims if one.number in numbers]


def _dispute(case: _Case, claims: Sequence[Claim]) -> list[Part]:
    """Who said what; of many claims that which stands is named, and the first others."""
    named = list(claims)
    if len(named) > _MOST_CLAIMS:
        deciding = [one for one in claims if one == case.entered]
        rest = [one for one in claims if one != case.entered]
        named = sorted((*deciding, *rest[: _MOST_CLAIMS - len(deciding)]), key=lambda c: c.number)
    said = [[*_reported(one, named[:at])] for at, one in enumerate(named)]
    if 0 in {one.against for one in claims}:
        said.insert(0, [Part("the chart begins in "), _state(case.region.initial)])
    if left := len(claims) - len(named):
        said.append([Part(f"{count(left)} more {'event' if left == 1 else 'events'} contradict")])
    if tied := _tied(named):
        said.append([Part(tied)])
    return [*_joined(said, "; ")]


def _tied(claims: Sequence[Claim]) -> str:
    """That two claims bear one time, so that neither came before the other by the provider's clock."""
    times = [one.step.event.occurred_at for one in claims]
    if len(set(times)) == len(times):
        return ""
    if None in times and times.count(None) > 1:
        return "where the times are missing, their words give the order"
    return "where the times are equal, their words give the order"


def _course(case: _Case) -> list[Part]:
    """What led to a state that nothing contradicts."""
    entered = case.entered
    if entered is None:
        return _nothing(case)
    earlier = [one for one in case.claims if one.moved and one.number < entered.number]
    # The first event of a delivery says, most often, what the chart begins in: it moves nothing.
    earlier = earlier or [one for one in case.claims if one.number < entered.number]
    parts = list(_reported(entered, ()))
    if not earlier:
        return parts
    begun = earlier[-1]
    one, other = begun.step.event.occurred_at, entered.step.event.occurred_at
    if one is not None and other is not None:
        since = lapse(min(one, other), max(one, other))
        parts += [Part(", "), Part(since, "time"), Part(" after " if one <= other else " before ")]
    else:
        parts.append(Part(", after "))
    return [*parts, Part("event "), _event(begun), Part(" reported "), _state(begun.says)]


def _nothing(case: _Case) -> list[Part]:
    """Why a stream stands where the chart begins: by what it was said, or for want of that."""
    agreeing = [one for one in case.claims if one.says == case.state]
    if agreeing:
        return list(_reported(agreeing[0], ()))
    if case.claims:
        return list(_reported(case.claims[0], ()))
    step = next((one for one in case.steps if one.trigger is not None), None)
    if step is None:
        return [Part("No event reported what became of it")]
    parts = [Part("Event "), _number(step), Part(" reported ")]
    word = next((s for r, s in step.after.items() if s != step.before[r]), step.trigger or "")
    parts += [_state(word.replace("_", " ")), *_at(step, None)]
    return [*parts, Part(f", which says nothing of its {case.region.name}")]


def _also(case: _Case) -> Iterator[list[Part]]:
    """What else a reader needs: parts, order of arrival, repeats, what stands next to the state."""
    yield from _of_parts(case)
    late = [one for one in case.claims if _LATE in one.step.findings]
    if late and not case.contradictions:
        last = max(late, key=lambda one: one.step.event.received_at)
        known = last.step.event if case.entered is None else case.entered.step.event
        shown = _day(last.step.event.received_at, known.occurred_at)
        parts = [Part("event "), _event(last), Part(" arrived only at "), Part(shown, "time")]
        yield [*parts, Part(", and the order of arrival has no say")]
    repeats = [step.number for step in case.steps if step.event.repeats is not None]
    if repeats:
        verb = " repeats another and changes nothing"
        yield [
            *_numbers(repeats),
            Part(verb if len(repeats) == 1 else " are repeats and change nothing"),
        ]
    yield from _next_to_it(case)


def _of_parts(case: _Case) -> Iterator[list[Part]]:
    """Which parts of a message were not heard of, where the state waits for them."""
    held = [one for one in case.claims if one.held and one.step.part is not None]
    if not held:
        return
    says = held[-1].says
    heard = {one.step.part[0] for one in held if one.step.part}
    total = max(one.step.part[1] for one in held if one.step.part)
    missing = total - len([number for number in heard if number <= total])
    if missing <= 0:
        return
    first = list(islice((str(n) for n in range(1, total + 1) if n not in heard), _MOST_NUMBERS))
    listed = ", ".join(first) + ("" if missing <= _MOST_NUMBERS else ", …")
    numbers = [one.number for one in held]
    verb = " reports " if len(numbers) == 1 else " report "
    parts = [*_numbers(numbers), Part(verb), _state(says), Part(f" of {count(len(heard))}")]
    word = "part" if missing == 1 else "parts"
    yield [*parts, Part(f" of {count(total)} parts, and {word} {listed} "
                        f"{'is' if missing == 1 else 'are'} not reported")]  # fmt: skip


def _next_to_it(case: _Case) -> Iterator[list[Part]]:
    """The regions in which an event put a state that is noteworthy: one explained, or read too."""
    for region in case.chart.regions[1:]:
        step = _entered(region, case.steps)
        if step is None:
            continue
        state = step.after[region.name]
        heard = {one.trigger for one in region.transitions}
        alone = step.trigger in heard and step.number not in {one.number for one in case.claims}
        if state in region.explained or (alone and case.claims):
            parts = [Part("by event "), _number(step)]
            yield [*parts, Part(f" its {region.name} is "), _state(state)]


def _entered(region: Region, steps: Sequence[Step]) -> Step | None:
    """The event that entered the state in which a region stands."""
    moved = (one for one in reversed(steps) if one.before[region.name] != one.after[region.name])
    return next(moved, None)


def _stands(case: _Case, though: Sequence[Question]) -> Iterator[Part]:
    """How the sentence ends: in which state it stands, what is missing, and what questions it."""
    if case.contradictions:
        policy = case.chart.policy.strip().rstrip(".")
        policy = policy if len(policy) <= _LONGEST_POLICY else f"{policy[:_LONGEST_POLICY]}…"
        yield Part("; by the policy ")
        yield Part(f"“{policy}”", "policy")
    yield Part(" it stands " if case.contradictions else ": it stands ")
    yield _state(case.state)
    final = case.state in case.region.final
    if case.region.final and not final and not case.contradictions:
        yield Part(", since no event has decided its outcome yet")
    if though:
        yield Part(", though ")
        yield from _joined([one.parts for one in though], ", and ")
    elif final and not case.contradictions:
        yield Part(", and no event says otherwise")
    yield Part(".")


def _contradictions(case: _Case) -> Iterator[Question]:
    """The contradictions of the state itself, one of each pair."""
    by_number = {one.number: one for one in case.claims}
    for one in case.contradictions:
        other = by_number.get(one.against or 0)
        held = [_state(case.region.initial)] if other is None else [
            *(Part("event "), _event(other), Part(" reported "), _state(other.says))
        ]  # fmt: skip
        parts = [*held, Part(", and event "), _event(one), Part(" reported "), _state(one.says)]
        numbers = (one.number,) if other is None else (other.number, one.number)
        yield Question(QUESTIONING[0], numbers, tuple(parts))


def _questions(case: _Case) -> Iterator[Question]:
    """What questions the outcome without contradicting the state."""
    for region in case.chart.regions[1:]:
        against = [step.number for step in case.steps if contradicts(region, step)]
        if against:
            stands = case.steps[-1].after[region.name]
            said = [
                Part(f" contradict{'s' * (len(against) == 1)} its {region.name}, which stands ")
            ]
            yield _question(QUESTIONING[0], against, [*said, _state(stands)])
    differs, *others = QUESTIONING[1:]
    named = [step.number for step in case.steps if differs in step.findings]
    if named:
        yield _question(differs, named, [Part(f" name{'s' * (len(named) == 1)} another recipient")])
    for word in others:
        found = [step.number for step in case.steps if word in step.findings]
        if found:
            finding = word.replace("_", " ")
            yield _question(word, found, [Part(f" name{'s' * (len(found) == 1)} a {finding}")])


def _question(finding: str, numbers: Sequence[int], said: Sequence[Part]) -> Question:
    return Question(finding, tuple(numbers), (*_numbers(numbers), *said))


def _elsewhere(case: _Case) -> Iterator[Part]:
    """What a system shows that keeps only the latest postback, where it isn't the state."""
    heard = {one.trigger for one in case.region.transitions}
    told = [step for step in case.steps if step.trigger in heard]
    if not told:
        return
    last = max(told, key=lambda one: (one.event.received_at, one.number))
    says = _said(case.region, last)
    # What the chart begins in is said by whoever sends the message, in the answer to it.
    if says in (case.state, case.region.initial) or (
        last.part is not None and says not in last.after.values()
    ):
        return
    at = last.event
    yield Part("A system that keeps only the latest postback shows ")
    yield _state(says)
    yield Part(": event ")
    yield _number(last)
    yield Part(" was received last, at ")
    yield Part(_day(at.received_at, at.occurred_at), "time")
    if at.occurred_at is not None and at.received_at > at.occurred_at:
        yield Part(", ")
        yield Part(lapse(at.occurred_at, at.received_at), "time")
        yield Part(" after its own time")
    yield Part(".")


def _reported(claim: Claim, before: Sequence[Claim]) -> Iterator[Part]:
    """What a claim says and when; a date is not said again that stands before."""
    yield Part("event " if before else "Event ")
    yield _event(claim)
    yield Part(" reported ")
    yield _state(claim.says)
    yield from _at(claim.step, before[-1].step.event.occurred_at if before else None)


def _at(step: Step, before: datetime | None) -> Iterator[Part]:
    if step.event.occurred_at is not None:
        yield Part(" at ")
        yield Part(_day(step.event.occurred_at, before), "time")
    else:
        yield Part(" without a time (received at ")
        yield Part(_day(step.event.received_at, before), "time")
        yield Part(")")


def _day(at: datetime, known: datetime | None) -> str:
    """A time, without its date where a time of the same date stands before it."""
    shown = bare(at)
    day, _, clock = shown.partition(" ")
    return f"{clock} UTC" if known is not None and bare(known).startswith(day) else time(at)


def _numbers(numbers: Sequence[int]) -> Iterator[Part]:
    """Events by their numbers, the first few of many."""
    shown = numbers[:_MOST_NUMBERS]
    yield Part("event " if len(numbers) == 1 else "events ")
    for at, number in enumerate(shown):
        last = at == len(numbers) - 1
        yield Part("" if not at else " and " if last else ", ")
        yield Part(str(number), "event", number)
    if left := len(numbers) - len(shown):
        yield Part(f" and {count(left)} more")


def _event(claim: Claim) -> Part:
    return attrs.evolve(_number(claim.step), against=claim.against is not None)


def _number(step: Step) -> Part:
    return Part(str(step.number), "event", step.number)


def _state(state: str) -> Part:
    return Part(state, "state", state=state)


def _joined(clauses: Iterable[Iterable[Part]], between: str) -> Iterator[Part]:
    for at, clause in enumerate(clauses):
        if at:
            yield Part(between)
        yield from (part for part in clause if part.text)


def _text(parts: Iterable[Part]) -> str:
    return "".join(part.text for part in parts)
