"""Stories: what a provider tells of its messages and in which form, as TOML.

A story has the *forms* of the wire, the *generations* (a form for postbacks and one for answers),
what can be *said*, and the *paths* that a message takes through what is said of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from importlib.resources import files
from pathlib import Path as File
from typing import Any

import attrs

from postledger.arguments import FilePath, checked
from postledger.definitions.diagnostics import Faults, Table, read_toml
from postledger.definitions.timestamps import write_time
from postledger.errors import DefinitionError
from postledger.keys import key_of
from postledger.postback import UNCUT, Postback, Shape
from postledger.times import offset_of
from postledger.wire.write import write_form, write_json, write_receipt, write_xml

Texts = Mapping[str, str]
"""Texts by our name of the field."""


FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain"


@attrs.frozen
class Form:
    """How a generation writes one message.

    ``names`` are the names on the wire by ours, in the order of the wire. ``mendable`` says that a
    body with an unclosed leaf is still read; ``bundle`` is the element that wraps several messages,
    of JSON any text: several are an array.
    ``attributes`` are those of the message's element: ``number`` or ``sending``. ``timestamp`` is the
    format of times, ``clock`` our name of the field that has it. A form without a content type is the
    query string of a GET. ``shape`` is how bodies are cut.
    """

    name: str
    content_type: str | None
    root: str
    names: Mapping[str, str]
    timestamp: str
    zone: tzinfo
    suffix: str
    mendable: bool = False
    bundle: str | None = None
    attributes: Mapping[str, str] = attrs.field(factory=dict)
    clock: str = "timestamp"
    shape: Shape = UNCUT

    @property
    def query(self) -> bool:
        """Whether it is the query string of a GET."""
        return self.content_type is None

    @property
    def shows_cuts(self) -> bool:
        """Whether a body that was cut off can't be taken for a whole one."""
        return (self.content_type or "").endswith(("json", "xml"))

    def postback(self, texts: Texts, at: datetime) -> Postback:
        """What is said, in this form; ``at`` is the moment of the timestamp."""
        told = dict(texts)
        if self.clock in told:
            told[self.clock] = write_time(at, self.timestamp, self.zone) + self.suffix
        fields = tuple((wire, told[ours]) for ours, wire in self.names.items() if ours in told)
        return Postback(self.root, fields)

    def sent(self, postback: Postback, at: datetime, number: int) -> Postback:
        """The postback as it is sent at a time: with the attributes that tell of the sending."""
        told = {
            "number": str(number),
            "sending": at.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S.%f") + self.suffix,
        }
        said = tuple((name, told[what]) for name, what in self.attributes.items())
        return attrs.evolve(postback, attributes=said)

    def body(self, *postbacks: Postback) -> bytes:
        """The bytes of one postback, or of a bundle of several."""
        if self.content_type is None or self.content_type == FORM:
            return write_form(*postbacks, shape=self.shape)
        if self.content_type == TEXT:
            return write_receipt(*postbacks)
        if self.content_type.endswith("json"):
            return write_json(*postbacks, shape=self.shape)
        return write_xml(*postbacks, bundle=self.bundle if len(postbacks) > 1 else None)


@attrs.frozen
class Say:
    """One thing that can be said: the state and the route that it tells (``None``: it tells none).

    ``form`` is which of a generation's forms it is said in. ``has`` are the fields of the message that
    it bears, ``words`` its own texts by generation.
    """

    name: str
    form: str
    state: str | None
    route: str | None
    has: frozenset[str]
    words: Mapping[str, Texts]


@attrs.frozen
class Path:
    """One path of a message: what is said of it, in the order in which it happens.

    ``disputed`` is what may be said in contradiction to the end, which overrides it. ``share`` is how
    often the path is taken, in proportion to the others. ``key`` are the texts that name the delivery
    together, and whether each is a phone number. ``texts`` are texts of the message that others are put
    into: ``{tracking_id}`` and ``{to}``. ``unsaid`` is the state where nothing said any.
    """

    name: str
    chart: str
    key: tuple[tuple[str, bool], ...]
    share: float
    steps: tuple[Say, ...]
    disputed: tuple[Say, ...]
    degraded: bool
    texts: Mapping[str, str] = attrs.field(factory=dict)
    unsaid: str = ""

    def texts_of(self, texts: Texts) -> dict[str, str]:
        """The texts of a message, with those of this path."""
        put = {
            name: text.replace("{tracking_id}", texts["tracking_id"]).replace("{to}", texts["to"])
            for name, text in self.texts.items()
        }
        return {**texts, **put}

    def key_of(self, texts: Texts) -> str:
        """The key of the delivery of a message with these texts."""
        return key_of([(texts[name], is_number) for name, is_number in self.key])


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
        return self.forms[self.generations[generation][say.form]]

    def postback(self, generation: str, say: Say, texts: Texts, at: datetime) -> Postback:
        """What is said of a message with these texts at a time, as a generation tells it."""
        form = self.form(generation, say)
        told = {name: text for name, text in texts.items() if name in say.has}
        if form.clock in say.has:
            told[form.clock] = ""
        for kind in self.details:
            if kind in say.has:
                told["status_details"] = texts[kind]
        return form.postback({**told, **say.words[generation]}, at)


def builtin() -> Story:
    """The story that ships with Postledger: all paths of the specification."""
    source = files("postledger.statecharts") / "simulation" / "skycore.toml"
    return load_story(source.read_text("utf-8"), where="skycore.toml")


@checked
def load_story(source: str, *, where: str = "story") -> Story:
    """A story from its TOML text; raises ``DefinitionError``: where, and what is missing."""
    return _story(Table(Faults(where), read_toml(source, where)))


@checked
def read_story(path: FilePath) -> Story:
    """A story from a TOML file; raises ``DefinitionError``."""
    try:
        return load_story(File(path).read_text("utf-8"), where=str(path))
    except (OSError, UnicodeError) as error:
        raise DefinitionError(f"{path}: can't be read: {error}; name a TOML file") from None


def _story(top: Table) -> Story:
    forms = {name: _form(name, row) for name, row in _tables(top, "forms").items()}
    generations = _tables(top, "generations")
    for row in generations.values():
        for kind in ("postback", "answer"):
            _one_of(row, kind, row.row.get(kind), forms)
    says = {name: _say(name, row, generations) for name, row in _tables(top, "says").items()}
    strangers = _table(top, "strangers") if "strangers" in top.row else Table(top.faults, {})
    rows = top.row.get("paths")
    if not isinstance(rows, list) or not rows:
        raise top.faults("paths", "missing", "write [[paths]] tables")
    tables = [Table(top.faults, row, f"paths[{number}]") for number, row in enumerate(rows, 1)]
    return Story(
        name=str(top.row.get("name", "")),
        forms=forms,
        generations={name: row.row for name, row in generations.items()},
        paths=tuple(_path(table, says) for table in tables),
        strangers=_said(strangers, "says", says),
        choices=_lists(top, "choices"),
        details=_lists(top, "details"),
    )


def _form(name: str, row: Table) -> Form:
    zone = _text(row, "zone")
    form = Form(
        name=name,
        content_type=_text(row, "content_type"),
        root=_text(row, "root"),
        names=_texts(row, "names"),
        timestamp=_text(row, "timestamp"),
        zone=_zone(row, zone),
        suffix=zone,
        mendable=row.row.get("mendable") is True,
        bundle=_text(row, "bundle") if "bundle" in row.row else None,
        attributes=_texts(row, "attributes") if "attributes" in row.row else {},
    )
    for what in form.attributes.values():
        _one_of(row, "attributes", what, {"number": 0, "sending": 0})
    return form


def _zone(row: Table, text: str) -> tzinfo:
    # It stands behind the time as it is written: a name wouldn't be read back.
    try:
        return offset_of(text)
    except ValueError:
        raise row.fault(f"zone is {text!r}", 'write "Z" or an offset such as "-05:00"') from None


def _say(name: str, row: Table, generations: Iterable[str]) -> Say:
    common = _texts(row, "all")
    own = {name: _texts(row, name) if name in row.row else {} for name in generations}
    return Say(
        name=name,
        form="answer" if row.row.get("form") == "answer" else "postback",
        state=_text(row, "state") if "state" in row.row else None,
        route=_text(row, "route") if "route" in row.row else None,
        has=frozenset(_listed(row, "has")),
        words={generation: {**common, **words} for generation, words in own.items()},
    )


def _path(table: Table, says: Mapping[str, Say]) -> Path:
    if not isinstance(table.row, dict):
        raise table.fault(f"is not a table: {table.row!r}", "write [[paths]] tables")
    steps = _said(table, "steps", says)
    if not steps:
        raise table.fault("no steps", 'write steps = ["…"]')
    share = table.take(
        "share", lambda one: isinstance(one, int | float) and one > 0, "write a number above 0", 1
    )
    return Path(
        name=str(table.row.get("name", table.place)),
        chart=str(table.row.get("chart", "delivery")),
        key=((str(table.row.get("key", "tracking_id")), False),),
        share=float(share),
        steps=steps,
        disputed=_said(table, "disputed", says),
        degraded=table.row.get("degraded") is True,
    )


def _said(row: Table, key: str, says: Mapping[str, Say]) -> tuple[Say, ...]:
    return tuple(_one_of(row, key, name, says) for name in _listed(row, key))


def _lists(top: Table, key: str) -> dict[str, tuple[str, ...]]:
    if key not in top.row:
        return {}
    table = _table(top, key)
    found = {name: _listed(table, name) for name in table.row}
    for name, texts in found.items():
        if not texts:
            raise table.fault(f"{name} is empty", "list one text at least")
    return found


def _listed(row: Table, key: str) -> tuple[str, ...]:
    def fits(value: object) -> bool:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)

    return tuple(row.take(key, fits, "write a list of texts", []))


def _tables(top: Table, key: str) -> dict[str, Table]:
    """The tables in a table, by name."""
    rows = _table(top, key)
    return {name: _table(rows, name) for name in rows.row}


def _texts(row: Table, key: str) -> dict[str, str]:
    held = _table(row, key)
    return {name: _text(held, name) for name in held.row}


def _table(row: Table, key: str) -> Table:
    value = row.row.get(key)
    if not isinstance(value, dict) or not value:
        raise row.fault(f"{key} is missing", f"write it as a table, {key} = {{ … }}")
    return Table(row.faults, value, f"{row.place}.{key}".removeprefix("."))


def _text(row: Table, key: str) -> str:
    text: str = row.take(key, lambda value: isinstance(value, str), f'write {key} = "…"')
    return text


def _one_of(row: Table, key: str, name: object, known: Mapping[str, Any]) -> Any:
    if not isinstance(name, str) or name not in known:
        fix = f"write one of {', '.join(known)}"
        raise row.fault(f"{key} names the unknown {name!r}", fix)
    return known[name]
