"""Vocabularies: TOML to vocabularies, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import lru_cache
from itertools import combinations, product
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from postledger.arguments import checked
from postledger.definitions.diagnostics import (
    NAME_FIX,
    Faults,
    Table,
    content_hash,
    is_name,
    read_toml,
)
from postledger.definitions.vocabulary import Condition, Entry, Reads, Row, Vocabulary
from postledger.errors import DefinitionError
from postledger.postback import plain

_KEYS = {
    *("section", "root", "match", "chart", "key", "requires", "undated", "reason"),
    *("means", "evidence", "parts"),
}
_VOCABULARY_KEYS = {
    *("name", "version", "title", "reads", "space", "space_field", "ignore"),
    *("roots", "inside", "marks", "match", "fields", "timestamps", "postbacks"),
    "parts",
}

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
    attempt = faults.attempt
    attempt(top.only, _VOCABULARY_KEYS)
    name = attempt(top.take, "name", is_name, NAME_FIX) or ""
    fix = 'write reads = "receipts" or reads = "statements"'
    version = attempt(top.version) or 0
    reads = attempt(top.take, "reads", list(Reads).__contains__, fix, Reads.RECEIPTS)
    space = attempt(top.take, "space", is_name, f"{NAME_FIX}, or leave it out", "") or ""
    roots = attempt(_texts, top, "roots", []) or ()
    fields = _fields(top)
    marks = _marks(top, fields)
    space_field = attempt(_field, top, "space_field", fields, None)
    ignore = attempt(_ignore, top, {**fields, **marks}) or frozenset()
    timestamp, naive = attempt(_timestamps, top, fields) or ("", UTC)
    entries = _Entries(faults, fields, marks, roots)
    common = attempt(entries.conditions, top.row.get("match", {}), "match") or {}
    parts = attempt(_parts, top, fields) if "parts" in top.row else None
    vocabulary = Vocabulary(
        name=name,
        version=version,
        title=str(top.row.get("title", name)),
        reads=Reads(reads or Reads.RECEIPTS),
        space=space,
        space_field=space_field,
        ignore=ignore,
        hash=content_hash(top.row),
        where=where,
        source=source,
        fields={**fields, **marks},
        timestamp=timestamp,
        naive=naive,
        entries=attrs.evolve(entries, common=common, parts=parts).load(top),
    )
    faults.settle()
    return vocabulary


def _texts(table: Table, key: str, default: object = None) -> tuple[str, ...]:
    return _listed(table, key, table.row.get(key, default))


def _listed(table: Table, what: str, value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise table.fault(f"{what} is {value!r}", "write a text or a list of texts")
    return tuple(listed)


def _field(table: Table, key: str, fields: Fields, default: str | None) -> Any:
    field = table.row.get(key, default)
    if key in table.row and field not in list(fields):
        raise table.fault(f"{key} {field!r} is unknown", "name it in [fields]")
    return field


def _ignore(top: Table, names: Fields) -> frozenset[str]:
    """The plain names of the fields that take no part in the identity.

    What has a meaning can't be left out of it: two postbacks of one identity say the same.
    """
    ignored = _wire_names(top, Table(top.faults, {"ignore": top.row.get("ignore", [])}))["ignore"]
    for ours, wire in names.items():
        for name in wire:
            if name in ignored:
                fix = "ignore only names that stand neither in fields nor in marks"
                raise top.fault(f"ignore has {name!r}, which stands for {ours!r}", fix)
    return frozenset(ignored)


def _fields(top: Table) -> dict[str, tuple[str, ...]]:
    """The names on the wire of each field; each of them has one meaning."""
    listed = top.row.get("fields")
    if not isinstance(listed, dict) or not listed:
        fix = 'write [fields] with our_name = "NAME ON THE WIRE"'
        top.faults.note("fields", "missing", fix)
        return {}
    fields = _wire_names(top, Table(top.faults, listed, "fields"))
    taken: dict[str, str] = {}
    for ours, wire in fields.items():
        for name in wire:
            if name in taken:
                fault = f"{name!r} stands for {taken[name]!r} and for {ours!r}"
                top.faults.note("fields", fault, "give each name on the wire one meaning")
                break
            taken[name] = ours
    return fields


def _marks(top: Table, fields: Fields) -> dict[str, tuple[str, ...]]:
    """The marks: names whose presence counts, whatever they mean as a field."""
    listed = top.row.get("marks", {})
    if not isinstance(listed, dict) or listed.keys() & fields.keys():
        fix = 'write marks = { our_name = "NAME ON THE WIRE" }, and no name of a field'
        top.faults.note("marks", f"is {listed!r}", fix)
        return {}
    return _wire_names(top, Table(top.faults, listed, "marks"))


def _wire_names(top: Table, listed: Table) -> dict[str, tuple[str, ...]]:
    """The plain names on the wire; one that may stand inside an element has its path too."""
    inside = top.faults.attempt(_texts, top, "inside", []) or ()
    prefixes = ("", *(f"{plain(container)}/" for container in inside))
    names = {ours: top.faults.attempt(_texts, listed, ours) or () for ours in listed.row}
    return {
        ours: tuple(prefix + plain(name) for prefix in prefixes for name in wire)
        for ours, wire in names.items()
    }


def _timestamps(top: Table, fields: Fields) -> tuple[str, tzinfo]:
    table = Table(top.faults, top.row.get("timestamps", {}), "timestamps")
    if not isinstance(table.row, dict):
        raise table.fault(f"is {table.row!r}", 'write [timestamps] and field = "…"')
    table.only({"field", "naive"})
    field = _field(table, "field", fields, "timestamp")
    zone = table.row.get("naive", "UTC")
    try:
        return field, UTC if zone == "UTC" else ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        fix = 'write a zone such as "UTC" or "America/New_York"'
        raise table.fault(f"naive zone {zone!r} is unknown", fix) from None


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
    common: Mapping[str, Condition] = attrs.field(factory=dict)
    parts: tuple[str, str] | None = None

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
            if not apart and not _exclude(one.match, other.match):
                fix = "add a condition to match in which they differ"
                self.faults.note(one.place, f"matches the same postbacks as {other.place}", fix)
        return tuple(entries)

    def entry(self, row: Any, number: int) -> Entry:
        section = str(row.get("section", "")) if isinstance(row, dict) else ""
        place = f"postbacks[{number}]" + (f" ({section})" if section else "")
        table = Table(self.faults, row, place)
        if not isinstance(row, dict):
            raise table.fault(f"is not a table: {row!r}", "write [[postbacks]] tables")
        table.only(_KEYS)
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

    def home(self, table: Table) -> tuple[str | None, str | None]:
        """The chart and the key field, both or neither."""
        chart, key = table.row.get("chart"), table.row.get("key")
        if chart is None and key is None:
            return None, None
        if not isinstance(chart, str) or not isinstance(key, str):
            fix = 'write both, chart = "…" and key = "…", or neither'
            raise table.fault("chart or key is missing", fix)
        _known(table, "key", (key,), self.fields)
        return chart, key

    def conditions(self, row: Any, place: str) -> dict[str, Condition]:
        table = Table(self.faults, row, place)
        if not isinstance(row, dict):
            fix = 'write { field = "text" } or { field = true }'
            raise table.fault(f"is {row!r}", fix)
        names = {**self.fields, **self.marks}
        _known(table, "a condition", tuple(row), names)
        return {name: _condition(table, value, names[name]) for name, value in row.items()}

    def rows(self, entry: Table, what: str, match: Mapping[str, Condition]) -> tuple[Row, ...]:
        listed = entry.row.get(what, [])
        if not isinstance(listed, list) or (what == "means" and "means" not in entry.row):
            raise entry.fault(f"{what} is missing or not a list", f"write {what} = [ … ]")
        place = f"{entry.place}.{what}"
        rows = [
            self.row(row, f"{place}[{n}]", match, several=what == "evidence")
            for n, row in enumerate(listed, 1)
        ]
        for (n, one), (m, other) in combinations(enumerate(rows, 1), 2):
            if not _exclude(one.conditions, other.conditions):
                fault = f"rows {n} and {m} match the same postback"
                raise self.faults(place, fault, "add a condition in which they differ")
        return tuple(rows)

    def row(self, row: Any, place: str, match: Mapping[str, Condition], *, several: bool) -> Row:
        if not isinstance(row, dict) or "trigger" not in row:
            raise self.faults(place, "no trigger", 'write { status = "…", trigger = "…" }')
        said = row["trigger"]
        triggers = said if several and isinstance(said, list) else [said]
        named = all(isinstance(one, str) for one in triggers)
        if not named or not triggers or len(set(triggers)) < len(triggers):
            lists = " or a list of different ones" if several else ""
            raise self.faults(place, f"trigger is {said!r}", f'write trigger = "…"{lists}')
        rest = {key: value for key, value in row.items() if key != "trigger"}
        conditions = self.conditions(rest, place)
        if _exclude(conditions, match):
            fix = "change its conditions or leave the row out"
            raise self.faults(place, "no postback can match both this row and its entry", fix)
        return Row(conditions, tuple(triggers))


def _known(table: Table, what: str, names: tuple[str, ...], fields: Fields) -> tuple[str, ...]:
    for name in names:
        if name not in fields:
            fix = f"the fields are {', '.join(fields)}"
            raise table.fault(f"{what} names the unknown field {name!r}", fix)
    return names


def _condition(table: Table, value: Any, names: tuple[str, ...]) -> Condition:
    if isinstance(value, bool):
        return Condition(names, frozenset({""}), other=value)
    other = isinstance(value, dict)
    if other and value.keys() != {"not"}:
        raise table.fault(f"a condition is {value!r}", 'write { not = "text" }')
    texts = _listed(table, "a condition", value["not"] if other else value)
    if not texts:
        raise table.fault("a condition lists no text", "list one, or leave it out")
    return Condition(names, frozenset(texts), other)


def _exclude(one: Mapping[str, Condition], other: Mapping[str, Condition]) -> bool:
    """Whether no postback satisfies both sets of conditions."""
    return any(one[name].excludes(other[name]) for name in one.keys() & other.keys())


# --- next to other vocabularies ---


def clashes(one: Vocabulary, other: Vocabulary) -> Iterator[str]:
    """Where two vocabularies know the same postbacks, so that neither could read them: a line each.

    Reported are the entries of which one asks for no field that the other doesn't ask for. Entries
    that ask for different fields could meet in one postback too, but no provider sends such a postback.
    One vocabulary of statements and one of receipts never read the same.
    """
    if one.reads is not other.reads:
        return
    for first, second in product(one.entries, other.entries):
        if not (first.roots and second.roots) or first.roots & second.roots:
            pairs = product(_ways(one, first), _ways(other, second))
            if any(_meet(this, that) for this, that in pairs):
                place = f"{one.where}: {first.place}"
                yield (
                    f"{place}: matches the same postbacks as {other.where}: {second.place}; add a"
                    " condition in which they differ, or give the vocabulary the name of the other"
                    " to take its place"
                )


def _ways(vocabulary: Vocabulary, entry: Entry) -> list[list[Condition]]:
    """The ways in which a postback is known to an entry: all conditions of each, and its key."""
    match = list(entry.match.values())
    if entry.key is not None:
        match.append(Condition(vocabulary.fields[entry.key], frozenset({""}), other=True))
    return [[*match, *row.conditions.values()] for row in entry.means] or [match]


def _meet(this: list[Condition], that: list[Condition]) -> bool:
    """Whether one postback may be known in both ways, with no more fields than one requires."""
    for one, other in product(this, that):
        if not set(one.names).isdisjoint(other.names) and one.excludes(other):
            return False
    return _requires(this, that) or _requires(that, this)


def _requires(this: list[Condition], that: list[Condition]) -> bool:
    """Whether each field that one way requires is required by the other too."""
    required = {name for condition in that if not condition.holds("") for name in condition.names}
    return all(not required.isdisjoint(c.names) for c in this if not c.holds(""))
