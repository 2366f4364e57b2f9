"""Stories: what a provider tells of its messages and in which form, as TOML.

A story has the *forms* of the wire, the *generations* (a form for postbacks and one for answers),
what can be *said*, and the *paths* that a message takes through what is said of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from importlib.resources import files
from pathlib import Path as File
from typing import Any

import attrs

from postledger.definitions.diagnostics import Faults, read_toml
from postledger.errors import DefinitionError
from postledger.postback import Postback
from postledger.wire.write import write_json, write_xml

Texts = Mapping[str, str]
"""Texts by our name of the field."""


@attrs.frozen
class Form:
    """How a generation writes one message.

    ``names`` are the names on the wire by ours, in the order of the wire. ``mendable`` says that a
    body with an unclosed leaf is still read; ``bundle`` is the element that wraps several messages.
    ``attributes`` are those of the message's element: ``number`` or ``sending``.
    """

    name: str
    content_type: str
    root: str
    names: Mapping[str, str]
    timestamp: str
    zone: tzinfo
    suffix: str
    mendable: bool = False
    bundle: str | None = None
    attributes: Mapping[str, str] = attrs.field(factory=dict)

    def postback(self, texts: Texts, at: datetime) -> Postback:
        """What is said, in this form; ``at`` is the moment of the timestamp."""
        told = dict(texts)
        if "timestamp" in told:
            told["timestamp"] = at.astimezone(self.zone).strftime(self.timestamp) + self.suffix
        fields = tuple((wire, told[ours]) for ours, wire in self.names.items() if ours in told)
        return Postback(self.root, fields)

    def sent(self, postback: Postback, at: datetime, number: int) -> Postback:
        """The postback as it is sent at a moment: with the attributes that tell of the sending."""
        told = {
            "number": str(number),
            "sending": at.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S.%f") + self.suffix,
        }
        said = tuple((name, told[what]) for name, what in self.attributes.items())
        return attrs.evolve(postback, attributes=said)

    def body(self, *postbacks: Postback) -> bytes:
        """The bytes of one postback, or of a bundle of several."""
        if self.content_type.endswith("json"):
            return write_json(*postbacks)
        return write_xml(*postbacks, bundle=self.bundle if len(postbacks) > 1 else None)


@attrs.frozen
class Say:
    """One thing that can be said: the state and the route that it tells (``None``: it tells none).

    ``has`` are the fields of the message that it bears, ``words`` its own texts by generation.
    """

    name: str
    answers: bool
    state: str | None
    route: str | None
    has: frozenset[str]
    words: Mapping[str, Texts]


@attrs.frozen
class Path:
    """One path of a message: what is said of it, in the order in which it happens.

    ``disputed`` is what may be said in contradiction to the end, which overrides it. ``share`` is how
    often the path is taken, in proportion to the others.
    """

    name: str
    chart: str
    key: str
    share: float
    steps: tuple[Say, ...]
    disputed: tuple[Say, ...]
    degraded: bool


@attrs.frozen
class Story:
    """All that a provider may tell; made by ``load_story``."""

    name: str
    forms: Mapping[str, Form]
    generations: Mapping[str, Mapping[str, str]]
    paths: tuple[Path, ...]
    strangers: tuple[Say, ...]
    choices: Mapping[str, tuple[str, ...]]
    details: Mapping[str, tuple[str, ...]]

    def form(self, generation: str, say: Say) -> Form:
        """The form in which a generation says something."""
        return self.forms[self.generations[generation]["answer" if say.answers else "postback"]]

    def postback(self, generation: str, say: Say, texts: Texts, at: datetime) -> Postback:
        """What is said of a message with these texts at a moment, as a generation tells it."""
        told = {name: text for name, text in texts.items() if name in say.has}
        if "timestamp" in say.has:
            told["timestamp"] = ""
        for kind in self.details:
            if kind in say.has:
                told["status_details"] = texts[kind]
        return self.form(generation, say).postback({**told, **say.words[generation]}, at)


def builtin() -> Story:
    """The story that ships with Postledger: all paths of the specification."""
    source = files("postledger.statecharts") / "simulation" / "skycore.toml"
    return load_story(source.read_text("utf-8"), where="skycore.toml")


def load_story(source: str, *, where: str = "story") -> Story:
    """A story from its TOML text; raises ``DefinitionError``: where, and what is missing."""
    return _Loader(Faults(where), read_toml(source, where)).story()


def read_story(path: str | File) -> Story:
    """A story from a TOML file; raises ``DefinitionError``."""
    try:
        return load_story(File(path).read_text("utf-8"), where=str(path))
    except (OSError, UnicodeError) as error:
        raise DefinitionError(f"{path}: can't be read: {error}; name a TOML file") from None


@attrs.frozen
class _Loader:
    faults: Faults
    data: Mapping[str, Any]

    def story(self) -> Story:
        forms = {name: self.form(name, row) for name, row in self.rows_of("forms").items()}
        generations = self.rows_of("generations")
        for name, pair in generations.items():
            for kind in ("postback", "answer"):
                self.one_of(pair.get(kind), forms, f"generations.{name}", kind)
        says = {
            name: self.say(name, row, generations) for name, row in self.rows_of("says").items()
        }
        strangers = self.table(self.data, "strangers", "") if "strangers" in self.data else {}
        return Story(
            name=str(self.data.get("name", "")),
            forms=forms,
            generations=generations,
            paths=tuple(self.paths(says)),
            strangers=self.named(strangers, "says", "strangers", says),
            choices=self.lists("choices"),
            details=self.lists("details"),
        )

    def form(self, name: str, row: Mapping[str, Any]) -> Form:
        table = f"forms.{name}"
        zone = self.text(row, "zone", table)
        return Form(
            name=name,
            content_type=self.text(row, "content_type", table),
            root=self.text(row, "root", table),
            names=self.texts(row, "names", table),
            timestamp=self.text(row, "timestamp", table),
            zone=self.zone(zone, table),
            suffix=zone,
            mendable=row.get("mendable") is True,
            bundle=self.text(row, "bundle", table) if "bundle" in row else None,
            attributes=self.attributes(row, table),
        )

    def attributes(self, row: Mapping[str, Any], table: str) -> Mapping[str, str]:
        given = self.texts(row, "attributes", table) if "attributes" in row else {}
        for name in given.values():
            self.one_of(name, {"number": 0, "sending": 0}, table, "attributes")
        return given

    def zone(self, text: str, table: str) -> tzinfo:
        try:
            zone = datetime.fromisoformat(f"2000-01-01T00:00:00{text}").tzinfo
        except ValueError:
            zone = None
        if zone is None:
            raise self.faults(table, f"zone is {text!r}", 'write "Z" or an offset such as "-05:00"')
        return zone

    def say(self, name: str, row: Mapping[str, Any], generations: Mapping[str, Any]) -> Say:
        table = f"says.{name}"
        common = self.texts(row, "all", table)
        own = {g: self.texts(row, g, table) if g in row else {} for g in generations}
        return Say(
            name=name,
            answers=row.get("form") == "answer",
            state=self.text(row, "state", table) if "state" in row else None,
            route=self.text(row, "route", table) if "route" in row else None,
            has=frozenset(self.listed(row, "has", table)),
            words={generation: {**common, **words} for generation, words in own.items()},
        )

    def paths(self, says: Mapping[str, Say]) -> Iterator[Path]:
        rows = self.data.get("paths")
        if not isinstance(rows, list) or not rows:
            raise self.faults("paths", "missing", "write [[paths]] tables")
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict):
                raise self.faults(f"paths[{number}]", "no table", "write [[paths]] tables")
            yield self.path(f"paths[{number}]", row, says)

    def path(self, table: str, row: Mapping[str, Any], says: Mapping[str, Say]) -> Path:
        steps = self.named(row, "steps", table, says)
        if not steps:
            raise self.faults(table, "no steps", 'write steps = ["…"]')
        share = row.get("share", 1)
        if not isinstance(share, int | float) or not share > 0:
            raise self.faults(table, f"share is {share!r}", "write a number above 0")
        return Path(
            name=str(row.get("name", table)),
            chart=str(row.get("chart", "delivery")),
            key=str(row.get("key", "tracking_id")),
            share=float(share),
            steps=steps,
            disputed=self.named(row, "disputed", table, says),
            degraded=row.get("degraded") is True,
        )

    def named(
        self, row: Mapping[str, Any], key: str, table: str, says: Mapping[str, Say]
    ) -> tuple[Say, ...]:
        return tuple(self.one_of(name, says, table, key) for name in self.listed(row, key, table))

    def lists(self, key: str) -> dict[str, tuple[str, ...]]:
        if key not in self.data:
            return {}
        table = self.table(self.data, key, "")
        found = {name: self.listed(table, name, key) for name in table}
        for name, texts in found.items():
            if not texts:
                raise self.faults(key, f"{name} is empty", "list one text at least")
        return found

    def listed(self, row: Mapping[str, Any], key: str, table: str) -> tuple[str, ...]:
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.faults(table, f"{key} is {value!r}", "write a list of texts")
        return tuple(value)

    def rows_of(self, key: str) -> dict[str, dict[str, Any]]:
        """The tables in a table, by name."""
        rows = self.table(self.data, key, "")
        return {name: self.table(rows, name, key) for name in rows}

    def texts(self, row: Mapping[str, Any], key: str, table: str) -> dict[str, str]:
        held = self.table(row, key, table)
        return {name: self.text(held, name, f"{table}.{key}") for name in held}

    def table(self, row: Mapping[str, Any], key: str, table: str) -> dict[str, Any]:
        value = row.get(key)
        if not isinstance(value, dict) or not value:
            raise self.faults(table, f"{key} is missing", f"write it as a table, {key} = {{ … }}")
        return value

    def text(self, row: Mapping[str, Any], key: str, table: str) -> str:
        value = row.get(key)
        if not isinstance(value, str):
            raise self.faults(table, f"{key} is {value!r}", f'write {key} = "…"')
        return value

    def one_of(self, name: Any, known: Mapping[str, Any], table: str, key: str) -> Any:
        if not isinstance(name, str) or name not in known:
            fix = f"one of {', '.join(known)}"
            raise self.faults(table, f"{key} names {name!r}, which there isn't", fix)
        return known[name]
