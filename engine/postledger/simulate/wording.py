"""Wording: how a provider says what became of a message, as its vocabulary has it, read backwards.

A row of a vocabulary says what a postback means that fulfils its conditions; here a postback is made
that fulfils them. The vocabulary then reads it, and where that gives another meaning, nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from postledger.arguments import checked
from postledger.definitions.chart import Statechart
from postledger.definitions.conditions import Condition
from postledger.definitions.definitions import builtin
from postledger.definitions.effects import compiled
from postledger.definitions.timestamps import write_time
from postledger.definitions.vocabulary import Entry, Reading, Row, Vocabulary
from postledger.errors import DefinitionError, ReadError
from postledger.postback import Postback
from postledger.simulate import particulars
from postledger.simulate.spelling import Spelling
from postledger.simulate.story import FORM, TEXT, Form, Path, Say, Story
from postledger.times import EPOCH
from postledger.wire import read

_TYPES = {"form": FORM, "query": None, "json": "application/json", "xml": "text/xml", "text": TEXT}
_CHART, _ROUTE = "delivery", "route"
_WHOLE = "1"
_SAMPLE = {"tracking_id": "U01TXzE=", "to": "16505550100"}

Rows = Mapping[str, tuple[Entry, Row]]
"""For each trigger the row by which it is said."""

Told = tuple[dict[str, str], dict[str, tuple[Say, Form]]]
"""The texts of a message, and how each trigger is said of it."""


@checked
def story_of(vocabulary: Vocabulary) -> Story:
    """The story that a vocabulary can tell of deliveries: a path for each trigger that it can say.

    Raises ``DefinitionError`` where it doesn't say how the provider posts, or can say nothing.

    >>> from postledger.definitions import shipped
    >>> [path.name for path in story_of(shipped("skycore")).paths][:3]
    ['created', 'sent_sms', 'sending_failed']
    """
    if vocabulary.wire is None:
        raise DefinitionError(
            f"{vocabulary.where}: wire is missing, so nothing can be simulated; write how the provider"
            ' posts, such as wire = "json"'
        )
    teller = _Teller(vocabulary, builtin().charts[_CHART], Spelling.of(vocabulary))
    told = [found for trigger in teller.triggers if (found := teller.path(trigger))]
    if not told:
        raise DefinitionError(
            f"{vocabulary.where}: no postback can be simulated; write rows of means for the chart"
            f" {_CHART!r} whose conditions one postback can fulfil"
        )
    forms = {form.name: form for _, those in told for form in those}
    return Story(
        name=vocabulary.name,
        forms=forms,
        generations={vocabulary.name: {name: name for name in forms}},
        paths=tuple(path for path, _ in told),
        strangers=(),
        choices=particulars.choices(vocabulary.said),
        details={},
    )


@attrs.frozen
class _Teller:
    """Finds how one vocabulary says the triggers of the chart of deliveries."""

    vocabulary: Vocabulary
    chart: Statechart
    spelling: Spelling

    @property
    def triggers(self) -> tuple[str, ...]:
        """Those that it names, in its order."""
        return tuple(dict.fromkeys(row.trigger for _, row in self.rows()))

    def rows(self) -> Iterator[tuple[Entry, Row]]:
        for entry in self.vocabulary.entries:
            if entry.chart == _CHART:
                yield from ((entry, row) for row in entry.means)

    def path(self, trigger: str) -> tuple[Path, list[Form]] | None:
        """The path that ends with a trigger, after what can be said of the same message before."""
        rows: Rows = self.more({}, trigger)
        if not rows:
            return None
        for several in self.before(trigger):
            longer = (found for name in several if (found := self.more(rows, name)) != rows)
            rows = next(longer, rows)
        steps = sorted(rows, key=self.stage)
        for name in self.disputed(trigger):
            rows = self.more(rows, name)
        texts, told = self.told(rows) or ({}, {})
        said = {name: self.accompanied(*one, texts) for name, one in told.items()}
        says = {
            name: attrs.evolve(say, form=f"{trigger}/{name}") for name, (say, _) in said.items()
        }
        forms = [attrs.evolve(form, name=f"{trigger}/{name}") for name, (_, form) in said.items()]
        path = Path(
            name=trigger,
            chart=_CHART,
            key=self.key(rows[trigger][0]),
            share=1.0,
            steps=tuple(says[name] for name in steps),
            disputed=tuple(say for name, say in says.items() if name not in steps),
            degraded=False,
            texts={**particulars.texts(self.vocabulary.said), **texts},
            unsaid=self.chart.regions[0].initial,
        )
        return path, forms

    def key(self, entry: Entry) -> tuple[tuple[str, bool], ...]:
        return tuple((name, name in self.vocabulary.numbers) for name in entry.key)

    def stage(self, trigger: str) -> int:
        return self.chart.triggers[trigger].stage

    def before(self, trigger: str) -> Iterator[list[str]]:
        """For each stage that comes before a trigger, what can be said there.

        What presupposes no stage, as others of its own stage do, comes without it.
        """
        said = self.chart.triggers[trigger]
        mates = {one.after for one in self.chart.triggers.values() if one.stage == said.stage}
        stages = range(said.stage if said.after is None else said.after + 1)
        for stage in stages:
            if said.after is not None or stage not in mates:
                yield [name for name in self.triggers if self.stage(name) == stage]

    def disputed(self, trigger: str) -> Iterator[str]:
        """What a trigger overrides."""
        moves = self.chart.regions[0].transitions
        over = {move.source for move in moves if move.trigger == trigger and move.overrides}
        leads = {move.trigger for move in moves if move.dest in over}
        after = self.chart.triggers[trigger].after
        for name in self.triggers:
            if name in leads and self.chart.triggers[name].after == after:
                yield name

    def more(self, rows: Rows, trigger: str) -> Rows:
        """With the first row that says a trigger of the same message too, if there is one."""
        tried = ({**rows, trigger: one} for one in self.rows() if one[1].trigger == trigger)
        return next((found for found in tried if self.told(found) is not None), rows)

    def told(self, rows: Rows) -> Told | None:
        """How triggers are said of one message by these rows; ``None`` where they can't be."""
        if len({entry.key for entry, _ in rows.values()}) > 1:
            return None
        texts = self.texts(rows)
        if texts is None:
            return None
        said: dict[str, tuple[Say, Form] | None] = {}
        words: dict[str, str] = {}
        # What a later postback has to say of the message, the earlier ones say too, if they may.
        for name in (*sorted(rows, key=self.stage), *sorted(rows, key=self.stage)):
            said[name] = self.say(name, *rows[name], texts, words)
        found = {name: one for name, one in said.items() if one is not None}
        return (texts, found) if len(found) == len(said) else None

    def texts(self, rows: Rows) -> dict[str, str] | None:
        """The texts that postbacks of one message have in common: its key and its recipient."""
        texts: dict[str, str] = {}
        keys = {name for entry, _ in rows.values() for name in entry.key}
        for name in sorted({*keys, "to"} & self.spelling.names.keys()):
            asked = [one for entry, row in rows.values() for one in _asked(entry, row, name)]
            is_number = name == "to" or name in self.vocabulary.numbers
            put = "{to}" if name == "to" else particulars.SENDER if is_number else "{tracking_id}"
            prefixes = sorted({prefix for one in asked for prefix in one.prefixes})
            tried = [put, *(prefix + put for prefix in prefixes), *([] if name in keys else [""])]
            fits = (text for text in tried if all(one.holds(_filled(text)) for one in asked))
            found = next(fits, None)
            if found is None:
                return None
            texts[name] = found
        return texts

    def say(
        self, trigger: str, entry: Entry, row: Row, texts: dict[str, str], words: dict[str, str]
    ) -> tuple[Say, Form] | None:
        """How a row says a trigger.

        To ``texts``, those of the message, and ``words``, said of it already, it adds its own.
        """
        clock = entry.clock.field
        own: dict[str, str] = {}
        conditions = (*entry.match, *row.conditions)
        parts = self.parts(entry, row, words)
        names = (*entry.key, "to", *conditions, *entry.requires, *parts, clock)
        for name in dict.fromkeys(names):
            text = texts.get(name)
            found = self.text(name, entry, row, words) if text is None else text
            if found is None:
                return None
            own[name] = found
        there = [name for name, text in own.items() if text]
        placed = self.spelling.placed(there, own.keys() - there)
        if placed is None:
            return None
        words |= {name: own[name] for name in there if name not in texts and name != clock}
        # An id that a receipt text has next to what is asked for.
        texts |= {name: "{tracking_id}" for name in placed if name not in own}
        own = {name: own[name] for name in placed if name not in texts and name != clock}
        common = {name: _filled(text) for name, text in texts.items() if name in placed}
        form = self.form(entry, placed)
        reading = self.reading(form, form.postback({clock: "", **common, **own}, EPOCH))
        if reading is None or reading.trigger != trigger:
            return None
        if any(own.get(name) != _WHOLE for name in particulars.parts(reading, form)):
            return None
        state, route = self.states(trigger, reading.evidence)
        has = frozenset(placed.keys() - own.keys())
        return Say(trigger, "", state, route, has, {self.vocabulary.name: own}), form

    def parts(self, entry: Entry, row: Row, words: Mapping[str, str]) -> tuple[str, ...]:
        """The fields that say the part and the total, where a postback may have both.

        Messages are of one part: all receipts of the others would have to be told with it.
        """
        said = entry.parts or ()
        return said if all(self.text(name, entry, row, words) == _WHOLE for name in said) else ()

    def accompanied(self, say: Say, form: Form, texts: dict[str, str]) -> tuple[Say, Form]:
        """With the labels and amounts that the same postback can have, and means what it meant.

        To ``texts``, those of the message, it adds those that stand in a field of another meaning.
        """
        said, words = self.vocabulary.said, {**texts, **say.words[self.vocabulary.name]}
        samples = {name: one for name, (one, *_) in particulars.choices(said).items()}
        filled = {**particulars.texts(said), **samples, **words, form.clock: ""}
        filled = {name: _filled(text) for name, text in filled.items()}
        meant, borne = self.meaning(form, filled)
        stated = {name: words[ours] for name, ours in borne.items() if ours in words}
        texts |= stated
        has = say.has.union(stated)
        for group in particulars.groups(said):
            names = self.spelling.joined(form.names, group)
            longer = form if names is None else attrs.evolve(form, names=names)
            again, more = self.meaning(longer, filled)
            if again == meant and more.keys() - borne.keys() == set(group):
                form, has, borne = longer, has.union(group), more
        return attrs.evolve(say, has=has), form

    def meaning(self, form: Form, texts: Mapping[str, str]) -> tuple[object, dict[str, str]]:
        """What a postback of these texts means; its labels and amounts, with our names of the fields."""
        postback = form.postback(texts, EPOCH)
        reading = self.reading(form, postback)
        if reading is None:
            return None, {}
        ours = {wire: name for name, wire in form.names.items()}
        borne = particulars.borne(reading)
        said = reading.section, reading.trigger, reading.evidence, reading.missing, reading.findings
        parts = particulars.parts(reading, form)
        return (
            (*said, *parts, reading.key_of(postback), reading.space_of(postback)),
            {name: ours[postback.fields[at][0]] for name, at in borne.items()},
        )

    def text(self, name: str, entry: Entry, row: Row, words: Mapping[str, str]) -> str | None:
        """The text of a field that fulfils all that is asked of it, empty for one that stays out."""
        asked = _asked(entry, row, name)
        if name not in self.spelling.names:
            missing = name not in entry.key and all(one.holds("") for one in asked)
            return "" if missing else None
        if name == entry.clock.field:
            tried = [write_time(EPOCH, entry.clock.formats[0], entry.clock.naive), ""]
        else:
            codes = self.vocabulary.said.reasons.get(name, {})
            tried = [*self.spelling.candidates(asked), *codes, "1", "other", ""]
            if name in words and any(not one.other or one.texts == {""} for one in asked):
                tried.insert(0, words[name])
        return next((text for text in tried if all(one.holds(text) for one in asked)), None)

    def form(self, entry: Entry, placed: Mapping[str, str]) -> Form:
        wire = self.vocabulary.wire or ""
        return Form(
            name="",
            content_type=_TYPES[wire],
            root=self.spelling.root(entry.roots, wanted=wire == "xml"),
            names=placed,
            timestamp=entry.clock.formats[0],
            zone=entry.clock.naive,
            suffix="",
            bundle="array" if wire == "json" else None,
            clock=entry.clock.field,
            shape=self.vocabulary.shape,
        )

    def reading(self, form: Form, postback: Postback) -> Reading | None:
        """How the vocabulary reads a postback in its form; ``None`` where it doesn't."""
        try:
            found = read(form.body(postback), form.content_type, query=form.query, shape=form.shape)
        except (ReadError, ValueError):
            return None
        if len(found) != 1 or not isinstance(found[0], Postback):
            return None
        reading = self.vocabulary.read(found[0])
        return reading if reading.recognised else None

    def states(self, trigger: str, evidence: tuple[str, ...]) -> tuple[str | None, str | None]:
        """The state and the route that a trigger tells, with the evidence of the same postback."""
        first = self.chart.regions[0]
        _, _, changes = compiled(self.chart, trigger, evidence)
        after = self.chart.configurations[changes[0].after]
        reached = {
            region.name: state
            for region, state in zip(self.chart.regions, after, strict=True)
            if state != region.initial
        }
        known = any(move.trigger == trigger for move in first.transitions)
        return after[0] if known else None, reached.get(_ROUTE)


def _asked(entry: Entry, row: Row, name: str) -> list[Condition]:
    """The conditions of an entry and a row on one field."""
    return [held[name] for held in (entry.match, row.conditions) if name in held]


def _filled(text: str) -> str:
    """A text of a message, with those of a sample put in."""
    for name, sample in _SAMPLE.items():
        text = text.replace(f"{{{name}}}", sample)
    return text
