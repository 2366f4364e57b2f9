"""Vocabularies: TOML to vocabularies, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache, partial
from itertools import combinations
from typing import Any

import attrs

from postledger.arguments import checked
from postledger.definitions.clashes import exclude
from postledger.definitions.conditions import SOURCE, Condition, load_condition
from postledger.definitions.diagnostics import (
    NAME_FIX,
    Faults,
    Table,
    content_hash,
    is_name,
    listed,
    read_toml,
)
from postledger.definitions.language import ENTRY, MUTED, TOP, WIRES
from postledger.definitions.said_toml import check_reasons, said_of
from postledger.definitions.timestamps import Timestamps, load_timestamps
from postledger.definitions.vocabulary import Entry, Reads, Row, Vocabulary
from postledger.errors import DefinitionError
from postledger.postback import Shape, plain

Fields = Mapping[str, tuple[str, ...]]
"""Our names of the fields, and the plain names that each has on the wire."""


@checked
def load_vocabulary(source: str, *, where: str = "vocabulary") -> Vocabulary:
    """Check a vocabulary from its TOML text.

    ``where`` names the text in messages. Raises ``DefinitionError`` with all that is wrong: the
    place, the fault, and what to write instead.
    """
    return _loaded(source, where)


# A ledger's vocabularies are loaded each time it is opened.
@lru_cache(maxsize=64)
def _loaded(source: str, where: str) -> Vocabulary:
    """The vocabulary of a text; what is wrong is noted, and something stands in for it."""
    faults = Faults(where)
    read = read_toml(source, where)
    if "states" in read and "postbacks" not in read:
        raise DefinitionError(f"{where}: this is a chart, not a vocabulary; give it as one")
    top = Table(faults, read)
    if read.get("reads") == Reads.NOTHING:
        return _muted(top, source, where)
    attempt = faults.attempt
    attempt(top.only, TOP.keys())
    name = attempt(top.take, "name", is_name, NAME_FIX) or ""
    version = attempt(top.version) or 0
    space = attempt(top.take, "space", is_name, f"{NAME_FIX}, or leave it out", "") or ""
    roots = attempt(_texts, top, "roots", []) or ()
    fields = _fields(top)
    marks = _marks(top, fields)
    space_field = attempt(_field, top, "space_field", fields, None)
    said = said_of(top, fields, partial(_wire_names, top))
    ignore = attempt(_ignore, top, {**fields, **marks, **said.names}) or frozenset()
    clock = attempt(_timestamps, top, fields) or Timestamps()
    entries = _Entries(faults, fields, marks, roots, clock).of(top)
    vocabulary = Vocabulary(
        name=name,
        version=version,
        title=str(top.row.get("title", name)),
        reads=attempt(_reads, top) or Reads.RECEIPTS,
        space=space,
        space_field=space_field,
        ignore=ignore,
        numbers=attempt(_numbers, top, fields) or frozenset(),
        page=attempt(_page, top),
        read_on=attempt(_date, top),
        unconfirmed=attempt(top.flag, "unconfirmed") or False,
        wire=attempt(_wire, top),
        shape=Shape(attempt(_paths, top, "each") or (), attempt(_paths, top, "embedded") or ()),
        hash=content_hash(top.row),
        where=where,
        source=source,
        fields={**fields, **marks, **said.names},
        clock=clock,
        entries=entries,
        said=attrs.evolve(said, folded=check_reasons(top, said.reasons, entries)),
    )
    _check_lists(top, vocabulary)
    faults.settle()
    return vocabulary


def muted(vocabulary: Vocabulary) -> Vocabulary:
    """A vocabulary that reads nothing any more, and binds the source of its name to its space.

    >>> muted(ledger.definitions.vocabularies[-1]).label
    'skycore ... (...; reads nothing)'
    """
    space = f'space = "{vocabulary.space}"\n' if vocabulary.space else ""
    source = (
        f'name = "{vocabulary.name}"\nversion = {vocabulary.version}\n{space}reads = "nothing"\n'
    )
    return load_vocabulary(source, where=vocabulary.where)


def _muted(top: Table, source: str, where: str) -> Vocabulary:
    attempt = top.faults.attempt
    attempt(top.only, set(MUTED))
    name = attempt(top.take, "name", is_name, NAME_FIX) or ""
    vocabulary = Vocabulary(
        name=name,
        version=attempt(top.version) or 0,
        title=str(top.row.get("title", name)),
        reads=Reads.NOTHING,
        space=attempt(top.take, "space", is_name, f"{NAME_FIX}, or leave it out", "") or "",
        space_field=None,
        ignore=frozenset(),
        numbers=frozenset(),
        page=None,
        read_on=None,
        unconfirmed=False,
        wire=None,
        shape=Shape(),
        fields={},
        clock=Timestamps(),
        entries=(),
        hash=content_hash(top.row),
        where=where,
        source=source,
    )
    top.faults.settle()
    return vocabulary


def _reads(top: Table) -> Reads:
    fix = 'write reads = "receipts", reads = "statements" or reads = "nothing"'
    return Reads(top.take("reads", list(Reads).__contains__, fix, Reads.RECEIPTS))


def _numbers(top: Table, fields: Fields) -> frozenset[str]:
    """Our fields that are phone numbers."""
    return frozenset(_known(top, "numbers", _texts(top, "numbers", []), fields))


def _texts(table: Table, key: str, default: object = None) -> tuple[str, ...]:
    return listed(table, key, table.row.get(key, default))


def _field(table: Table, key: str, fields: Fields, default: str | None) -> Any:
    field = table.row.get(key, default)
    if key in table.row and field not in list(fields):
        raise table.fault(f"{key} {field!r} is unknown", "name it in [fields]")
    return field


def _ignore(top: Table, names: Fields) -> frozenset[str]:
    """The plain names of the fields that take no part in the identity.

    What has a meaning can't be left out of it: two postbacks of one identity say the same.
    """
    given = Table(top.faults, {"ignore": top.row.get("ignore", [])})
    ignored = _spelled(top, given)["ignore"]
    for ours, wire in names.items():
        for name, text in ignored.items():
            if name in wire:
                fix = (
                    "ignore only names that stand neither in fields nor in marks, labels or amounts"
                )
                raise top.fault(f"ignore has {text!r}, which stands for {ours!r}", fix)
            if name == plain(ours):
                fix = "ignore names on the wire, and none that has a meaning"
                raise top.fault(f"ignore has {text!r}, which is our name of a field", fix)
    return frozenset(ignored)


def _fields(top: Table) -> dict[str, tuple[str, ...]]:
    """The names on the wire of each field; each of them has one meaning."""
    named = top.row.get("fields")
    if not isinstance(named, dict) or not named:
        fix = 'write [fields] with our_name = "NAME ON THE WIRE"'
        top.faults.note("fields", "missing", fix)
        return {}
    spelled = _spelled(top, Table(top.faults, named, "fields"))
    fields = {ours: tuple(wire) for ours, wire in spelled.items()}
    _not_source(top, "fields", fields)
    taken: dict[str, str] = {}
    for ours, wire in spelled.items():
        for name, text in wire.items():
            if name in taken:
                fault = f"{text!r} stands for {taken[name]!r} and for {ours!r}"
                top.faults.note("fields", fault, "give each name on the wire one meaning")
                break
            taken[name] = ours
    return fields


def _marks(top: Table, fields: Fields) -> dict[str, tuple[str, ...]]:
    """The marks: names whose presence counts, whatever they mean as a field."""
    named = top.row.get("marks", {})
    if not isinstance(named, dict) or named.keys() & fields.keys():
        fix = 'write marks = { our_name = "NAME ON THE WIRE" }, and no name of a field'
        top.faults.note("marks", f"is {named!r}", fix)
        return {}
    marks = _wire_names(top, Table(top.faults, named, "marks"))
    _not_source(top, "marks", marks)
    return marks


def _not_source(top: Table, place: str, names: Fields) -> None:
    if SOURCE in names:
        fix = "give it another name"
        top.faults.note(place, f"{SOURCE!r} is the condition on the source of an event", fix)


def _wire_names(top: Table, given: Table) -> dict[str, tuple[str, ...]]:
    """The plain names on the wire; one that may stand inside an element has its path too."""
    return {ours: tuple(wire) for ours, wire in _spelled(top, given).items()}


def _spelled(top: Table, given: Table) -> dict[str, dict[str, str]]:
    """The plain names on the wire, each with its text as written."""
    inside = top.faults.attempt(_texts, top, "inside", []) or ()
    prefixes = ("", *(f"{plain(container)}/" for container in inside))
    names = {ours: top.faults.attempt(_texts, given, ours) or () for ours in given.row}
    for ours, wire in names.items():
        for name in wire:
            if not plain(name):
                fix = 'write the name that stands in the postback, such as "messageId"'
                given.faults.note(given.place, f"{ours} has the empty name {name!r}", fix)
    return {
        ours: {prefix + plain(name): name for prefix in prefixes for name in wire}
        for ours, wire in names.items()
    }


def _timestamps(top: Table, fields: Fields) -> Timestamps:
    table = Table(top.faults, top.row.get("timestamps", {}), "timestamps")
    if not isinstance(table.row, dict):
        raise table.fault(f"is {table.row!r}", 'write [timestamps] and field = "…"')
    return load_timestamps(table, fields, Timestamps())


def _date(top: Table) -> date | None:
    fix = "write the date on which the page was read, such as read = 2026-11-27"
    read_on: date | None = top.take("read", lambda value: type(value) is date, fix, None)
    return read_on


def _page(top: Table) -> str | None:
    def fits(value: object) -> bool:
        return isinstance(value, str) and value.startswith(("https://", "http://"))

    fix = 'write the address of the documentation, page = "https://…", or leave it out'
    page: str | None = top.take("page", fits, fix, None)
    return page


def _wire(top: Table) -> str | None:
    fix = f"write one of {', '.join(WIRES)}, or leave it out"
    wire: str | None = top.take("wire", WIRES.__contains__, fix, None)
    return wire


def _paths(top: Table, key: str) -> tuple[str, ...]:
    """The paths of lists of postbacks, or of embedded bodies."""
    paths = _texts(top, key, [])
    for path in paths:
        if not path or path != path.strip("/ ") or "//" in path:
            fix = 'write names on the wire, joined by "/", such as "results" or "entry/changes"'
            raise top.fault(f"{key} has {path!r}", fix)
    return tuple({plain(path): path for path in paths}.values())


def _check_lists(top: Table, vocabulary: Vocabulary) -> None:
    """Note the lists of postbacks in which none of the names on the wire stands."""
    names = {name for wire in vocabulary.fields.values() for name in wire}
    paths = vocabulary.shape.each if names else ()
    written = {plain(path): path for path in (_texts(top, "each", []) if paths else ())}
    for path in paths:
        inside = re.compile(rf"{re.escape(path)}(?![^/@])")
        if not any(map(inside.match, names)):
            whole = f'"{written[path]}/NAME"'
            fix = f"write the names of its fields with their whole path, {whole}, or leave it out"
            top.faults.note("", f"each has {written[path]!r}, and no field stands in it", fix)


def _parts(table: Table, fields: Fields) -> tuple[str, str]:
    """The fields of the part that a postback is of, and of how many parts there are."""
    row = table.row["parts"]
    if not isinstance(row, dict) or row.keys() != {"part", "total"}:
        raise table.fault(f"parts is {row!r}", 'write parts = { part = "…", total = "…" }')
    named = Table(table.faults, row, table.place)
    part, total = (_field(named, key, fields, None) for key in ("part", "total"))
    if part == total:
        raise table.fault(f"part and total are both {part!r}", "name two fields")
    return part, total


@attrs.frozen
class _Entries:
    """Loads the entries; each method raises, or notes, what is wrong with its part.

    ``marks`` are names that conditions may ask for and that nothing else may use; ``roots``,
    ``common`` conditions and ``parts`` are those of all entries.
    """

    faults: Faults
    fields: Fields
    marks: Fields
    roots: Sequence[str]
    clock: Timestamps
    common: Mapping[str, Condition] = attrs.field(factory=dict)
    parts: tuple[str, str] | None = None

    def of(self, top: Table) -> tuple[Entry, ...]:
        """The entries, with what the vocabulary says for all of them."""
        common = self.faults.attempt(self.conditions, top.row.get("match", {}), "match") or {}
        parts = self.faults.attempt(_parts, top, self.fields) if "parts" in top.row else None
        return attrs.evolve(self, common=common, parts=parts).load(top)

    def load(self, top: Table) -> tuple[Entry, ...]:
        """The entries; those without a fault are compared with each other."""
        rows = top.row.get("postbacks")
        if not isinstance(rows, list) or not rows:
            self.faults.note("postbacks", "missing", "write [[postbacks]] tables")
            return ()
        loaded = [
            self.faults.attempt(self.entry, row, number) for number, row in enumerate(rows, 1)
        ]
        entries = [entry for entry in loaded if entry is not None]
        for one, other in combinations(entries, 2):
            apart = one.roots and other.roots and not one.roots & other.roots
            if not apart and not exclude(one.match, other.match):
                fix = "add a condition to match in which they differ"
                self.faults.note(one.place, f"matches the same postbacks as {other.place}", fix)
        return tuple(entries)

    def entry(self, row: Any, number: int) -> Entry:
        section = str(row.get("section", "")) if isinstance(row, dict) else ""
        place = f"postbacks[{number}]" + (f" ({section})" if section else "")
        table = Table(self.faults, row, place)
        if not isinstance(row, dict):
            raise table.fault(f"is not a table: {row!r}", "write [[postbacks]] tables")
        table.only(ENTRY.keys())
        if "match" not in row and "root" not in row:
            raise table.fault("matches everything", "write match = { … } or root = …")
        chart, key = self.home(table)
        roots = _texts(table, "root", list(self.roots))
        match = self.match(table)
        means = self.rows(table, "means", match)
        if means and chart is None:
            raise table.fault("means without a chart", 'write chart = "…" and key = "…"')
        reason = ["status_details"] if "status_details" in self.fields else []
        return Entry(
            place=place,
            section=section,
            roots=frozenset(map(plain, roots)),
            match=match,
            chart=chart,
            key=key,
            clock=self.timestamp(table),
            requires=_known(table, "requires", _texts(table, "requires", []), self.fields),
            undated=table.flag("undated"),
            reason=_known(table, "reason", _texts(table, "reason", reason), self.fields),
            means=means,
            evidence=self.rows(table, "evidence", match),
            parts=_parts(table, self.fields) if "parts" in row else self.parts,
        )

    def match(self, table: Table) -> dict[str, Condition]:
        """The conditions of an entry, with those that all share."""
        place = f"{table.place}.match"
        match = self.conditions(table.row.get("match", {}), place)
        for name in match.keys() & self.common.keys():
            fix = "leave it out here, or leave it out of the match that all share"
            raise self.faults(place, f"{name!r} is in the shared match too", fix)
        return {**self.common, **match}

    def timestamp(self, table: Table) -> Timestamps:
        """The clock of an entry: what it leaves out, all entries share."""
        row = table.row.get("timestamp", {})
        return load_timestamps(
            Table(self.faults, row, f"{table.place}.timestamp"), self.fields, self.clock
        )

    def home(self, table: Table) -> tuple[str | None, tuple[str, ...]]:
        """The chart and the key fields, both or neither."""
        chart, given = table.row.get("chart"), table.row.get("key")
        if chart is None and given is None:
            return None, ()
        key = () if given is None else listed(table, "key", given)
        if not isinstance(chart, str) or not key:
            fix = 'write both, chart = "…" and key = "…", or neither'
            raise table.fault("chart or key is missing", fix)
        if len(set(key)) < len(key):
            raise table.fault("key has a field twice", "name each once")
        return chart, _known(table, "key", key, self.fields)

    def conditions(self, row: Any, place: str) -> dict[str, Condition]:
        table = Table(self.faults, row, place)
        if not isinstance(row, dict):
            fix = 'write { field = "text" } or { field = true }'
            raise table.fault(f"is {row!r}", fix)
        names = {**self.fields, **self.marks, SOURCE: (SOURCE,)}
        _known(table, "a condition", tuple(row), names)
        return {name: load_condition(table, value, names[name]) for name, value in row.items()}

    def rows(self, entry: Table, what: str, match: Mapping[str, Condition]) -> tuple[Row, ...]:
        given = entry.row.get(what, [])
        if not isinstance(given, list) or (what == "means" and "means" not in entry.row):
            raise entry.fault(f"{what} is missing or not a list", f"write {what} = [ … ]")
        place = f"{entry.place}.{what}"
        rows = [
            self.row(row, f"{place}[{n}]", match, several=what == "evidence")
            for n, row in enumerate(given, 1)
        ]
        for (n, one), (m, other) in combinations(enumerate(rows, 1), 2):
            if not exclude(one.conditions, other.conditions):
                fault = f"rows {n} and {m} match the same postback"
                raise self.faults(place, fault, "add a condition in which they differ")
        return tuple(rows)

    def row(self, row: Any, place: str, match: Mapping[str, Condition], *, several: bool) -> Row:
        if not isinstance(row, dict) or "trigger" not in row:
            raise self.faults(place, "no trigger", 'write { status = "…", trigger = "…" }')
        said = row["trigger"]
        triggers = said if several and isinstance(said, list) else [said]
        named = all(isinstance(one, str) for one in triggers)
        if not named or len(set(triggers)) < len(triggers):
            lists = " or a list of different ones, [] for none" if several else ""
            raise self.faults(place, f"trigger is {said!r}", f'write trigger = "…"{lists}')
        rest = {key: value for key, value in row.items() if key != "trigger"}
        conditions = self.conditions(rest, place)
        if exclude(conditions, match):
            fix = "change its conditions or leave the row out"
            raise self.faults(place, "no postback can match both this row and its entry", fix)
        return Row(conditions, tuple(triggers))


def _known(table: Table, what: str, names: tuple[str, ...], fields: Fields) -> tuple[str, ...]:
    for name in names:
        if name not in fields:
            fix = f"the fields are {', '.join(fields)}"
            raise table.fault(f"{what} names the unknown field {name!r}", fix)
    return names
