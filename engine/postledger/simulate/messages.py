"""Messages: each with all that is sent about it, disturbed, and with the truth about it."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from postledger.arguments import at_least, checked, require_least, typed
from postledger.postback import Postback
from postledger.simulate.corruption import Spoiled, spoil
from postledger.simulate.particulars import amounts_of, labels_of
from postledger.simulate.story import Form, Path, Say, Story

START = datetime(2026, 1, 1, tzinfo=UTC)
_RETRY = timedelta(minutes=5)
_MOST_RETRIES = 5

_rate = attrs.field(default=0.0, validator=at_least(0, 1))


@attrs.frozen(field_transformer=typed)
class Disturbances:
    """How often things go wrong, as rates from 0 to 1, of postbacks or of messages.

    Of postbacks: ``repeats`` are sent again five minutes later (up to five times), ``reordered``
    come up to ``window`` seconds late, ``lost`` never come, ``malformed`` come broken, ``bundled``
    come together with others where the wire has bundles. Of messages: ``degraded`` go out as a link
    after all (``None``: as often as the story has it), ``contradicted`` have a receipt that says
    otherwise, ``skewed`` are stamped by clocks that differ by up to two minutes, ``mixed`` are told
    in several generations at once; ``strangers`` are postbacks that concern no delivery.
    """

    repeats: float = _rate
    reordered: float = _rate
    lost: float = _rate
    malformed: float = _rate
    bundled: float = _rate
    contradicted: float = _rate
    skewed: float = _rate
    mixed: float = _rate
    strangers: float = _rate
    degraded: float | None = attrs.field(default=None, validator=at_least(0, 1))
    window: float = attrs.field(default=600.0, validator=at_least(0))


NONE = Disturbances()
ALL = Disturbances(
    repeats=0.1,
    reordered=0.2,
    lost=0.05,
    malformed=0.02,
    bundled=0.5,
    contradicted=0.05,
    skewed=0.1,
    mixed=0.2,
    strangers=0.02,
)
"""Every disturbance on, at rates that a bad day may have."""


@attrs.frozen
class Truth:
    """What is true of one message, and what of it could be known from what came.

    ``state`` and ``route`` are what became of it (``route`` is ``None`` where the chart has none).
    ``told_state`` and ``told_route`` are what those postbacks tell that came and can be read: equal
    to the former unless something was ``lost``; ``told_state`` is ``None`` where nothing came.
    ``labels`` and ``amounts``, as JSON has them, are those that they tell.
    """

    chart: str
    key: str
    path: str
    generation: str
    state: str
    route: str | None
    told_state: str | None
    told_route: str | None
    lost: tuple[str, ...]
    labels: Mapping[str, str] = attrs.field(factory=dict)
    amounts: Mapping[str, Mapping[str, str | None]] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The truth as JSON has it."""
        return {**attrs.asdict(self, recurse=False), "lost": list(self.lost)}


@attrs.frozen
class Sent:
    """One postback on its way: when it arrives, in which form, and whether it was spoiled."""

    arrives: datetime
    form: Form
    postback: Postback
    spoiled: Spoiled | None = None

    def body(self) -> bytes:
        """The bytes that arrive."""
        return self.spoiled.body if self.spoiled else self.form.body(self.postback)


@attrs.frozen
class Message:
    """One message: when it began, the truth about it, and all that arrives about it."""

    began: datetime
    truth: Truth
    sent: tuple[Sent, ...]


@checked
def messages(
    story: Story,
    count: int,
    *,
    seed: int = 0,
    disturbances: Disturbances = NONE,
    generations: Mapping[str, float] | None = None,
    rate: float = 1.0,
    start: datetime = START,
) -> Iterator[Message]:
    """``count`` messages, ``rate`` of them a second, in the order in which they begin.

    The same arguments give the same messages. ``generations`` are the generations to tell in and how
    often, by default all of the story alike. Raises ``ValueError`` for what no story can tell.
    """
    require_least("count", count, 0)
    if not 0 < rate < float("inf"):
        raise ValueError(f"rate must be a number above 0, got {rate}")
    told = generations or dict.fromkeys(story.generations, 1.0)
    for name, share in told.items():
        if name not in story.generations:
            known = ", ".join(story.generations)
            raise ValueError(f"generations must be of {known}, got {name!r}")
        if not isinstance(share, int | float) or not 0 < share < float("inf"):
            raise ValueError(f"generations must have shares above 0, got {share!r} of {name}")
    return _told(_Maker(story, disturbances, told, random.Random(seed)), count, rate, start)  # noqa: S311


def _told(maker: _Maker, count: int, rate: float, start: datetime) -> Iterator[Message]:
    for number in range(1, count + 1):
        yield maker.message(number, start + timedelta(seconds=int(number / rate)))


@attrs.frozen
class _Maker:
    """Makes messages one after the other from one stream of random numbers."""

    story: Story
    rates: Disturbances
    generations: Mapping[str, float]
    rng: random.Random

    def message(self, number: int, began: datetime) -> Message:
        path = self.path()
        generation = self.generation()
        texts = self.texts(path, number)
        skewed = self.happens(self.rates.skewed)
        mixed = self.happens(self.rates.mixed)
        sent: list[Sent] = []
        came: set[str] = set()
        steps = self.steps(path)
        at = began
        for say in steps:
            by = self.generation() if mixed else generation
            stamp = at + timedelta(seconds=self.rng.randint(-120, 120) if skewed else 0)
            copies = list(self.copies(say, by, texts, stamp, at, number))
            if any(copy.spoiled is None or copy.spoiled.readable for copy in copies):
                came.add(say.name)
            sent += copies
            at += timedelta(seconds=self.rng.randint(1, 5 if say is steps[0] else 300))
        # A postback that concerns no delivery, though it may name one.
        if self.story.strangers and self.happens(self.rates.strangers):
            say = self.rng.choice(self.story.strangers)
            sent += self.copies(say, generation, texts, began, began, number)
        truth = _truth(path, generation, texts, steps, came)
        return Message(began, truth, tuple(sent))

    def path(self) -> Path:
        paths = self.story.paths
        if self.rates.degraded is not None:
            degraded = self.happens(self.rates.degraded)
            paths = tuple(path for path in paths if path.degraded is degraded) or paths
        return self.rng.choices(paths, [path.share for path in paths])[0]

    def steps(self, path: Path) -> tuple[Say, ...]:
        """What is said of the message; what is disputed comes before the end that overrides it."""
        if not path.disputed or not self.happens(self.rates.contradicted):
            return path.steps
        return (*path.steps[:-1], self.rng.choice(path.disputed), path.steps[-1])

    def generation(self) -> str:
        return self.rng.choices(tuple(self.generations), tuple(self.generations.values()))[0]

    def happens(self, rate: float) -> bool:
        return rate > 0 and self.rng.random() < rate

    def texts(self, path: Path, number: int) -> dict[str, str]:
        """The texts of one message; ids are base64 as the provider's are."""
        kind = "SMS" if any(say.route == "sms" for say in path.steps) else "MMS"
        lists = (*self.story.choices.items(), *self.story.details.items())
        texts = {name: self.rng.choice(texts) for name, texts in lists} | {
            "tracking_id": b64encode(f"{kind}_{number}".encode()).decode(),
            "mms_id": str(30_000 + number),
            "to": f"1650{self.rng.randrange(10_000_000):07}",
        }
        return path.texts_of(texts)

    def copies(
        self,
        say: Say,
        generation: str,
        texts: Mapping[str, str],
        stamp: datetime,
        at: datetime,
        number: int,
    ) -> Iterator[Sent]:
        """A postback and its repeats, those of them that come."""
        form = self.story.form(generation, say)
        postback = self.story.postback(generation, say, texts, stamp)
        for again in range(_MOST_RETRIES + 1):
            if again and not self.happens(self.rates.repeats):
                return
            if self.happens(self.rates.lost):
                continue
            # Postbacks are queued and sent every second.
            late = self.rates.window if self.happens(self.rates.reordered) else 1
            delay = timedelta(seconds=round(1 + self.rng.random() * late, 6))
            arrives = at + again * _RETRY + delay
            told = form.sent(postback, arrives, number) if form.attributes else postback
            spoiled = spoil(form, told, self.rng) if self.happens(self.rates.malformed) else None
            yield Sent(arrives, form, told, spoiled)


def _truth(
    path: Path, generation: str, texts: Mapping[str, str], steps: tuple[Say, ...], came: set[str]
) -> Truth:
    told = [say for say in steps if say.name in came]
    borne = {name for say in told for name in say.has}
    has_route = any(say.route for say in steps) or path.chart == "delivery"
    unknown = "unknown" if has_route else None
    return Truth(
        chart=path.chart,
        key=path.key_of(texts),
        path=path.name,
        generation=generation,
        state=_state(path, path.steps),
        route=next((say.route for say in path.steps if say.route), unknown),
        told_state=_state(path, told) if told else None,
        told_route=next((say.route for say in told if say.route), unknown) if told else None,
        lost=tuple(say.name for say in steps if say.name not in came),
        labels=labels_of(texts, borne),
        amounts=amounts_of(texts, borne),
    )


def _state(path: Path, told: Sequence[Say]) -> str:
    """The state that is told last; to have been read, for one, tells none."""
    return next((say.state for say in reversed(told) if say.state), path.unsaid)
