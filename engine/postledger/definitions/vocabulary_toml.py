"""Vocabularies: TOML to vocabularies, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, tzinfo
from functools import lru_cache
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from postledger.definitions.diagnostics import (
    NAME,
    Faults,
    content_hash,
    read_toml,
    version_number,
)
from postledger.definitions.vocabulary import Condition, Entry, Reads, Row, Vocabulary
from postledger.postback import plain

_KEYS = {
    *("section", "root", "match", "chart", "key", "requires", "undated", "reason"),
    *("means", "evidence"),
}
_VOCABULARY_KEYS = {
    *("name", "version", "title", "reads", "space", "space_field", "ignore"),
    *("roots", "inside", "marks", "match", "fields", "timestamps", "postbacks"),
}

Fields = Mapping[str, tuple[str, ...]]
"""Our names of the fields, and the plain names that each has on the wire."""


def load_vocabulary(source: str, *, where: str = "vocabulary") -> Vocabulary:
    """Check a vocabulary from its TOML text.

    ``where`` names the text in messages. Raises ``DefinitionError`` with all that is wrong: the
    place, the fault, and what to write instead.
    """
    return _loaded(source, where)


# A ledger's vocabularies are loaded each time it is opened.
@lru_cache(maxsize=64)
def _loaded(source: str, where: str) -> Vocabulary:
    data = read_toml(source, where)
    faults = Faults(where)
    vocabulary = _vocabulary(data, source, faults)
    faults.settle()
    return vocabulary


def _vocabulary(data: Mapping[str, Any], source: str, faults: Faults) -> Vocabulary:
    """The vocabulary of a parsed file; what is wrong is noted, and something stands in for it."""
    load = _Loader(faults)
    faults.attempt(faults.only, data, _VOCABULARY_KEYS, "")
    name = faults.attempt(load.name, data) or ""
    version = faults.attempt(version_number, data, faults) or 0
    reads = faults.attempt(load.reads, data) or Reads.RECEIPTS
    space = faults.attempt(load.space, data) or ""
    roots = faults.attempt(load.texts, data.get("roots", []), "", "roots") or ()
    fields = load.fields(data)
    marks = load.marked(data, fields)
    load = attrs.evolve(load, marks=marks)
    space_field = faults.attempt(load.space_field, data, fields)
    ignore = faults.attempt(load.ignore, data, {**fields, **marks}) or frozenset()
    timestamp, naive = faults.attempt(load.timestamps, data, fields) or ("", UTC)
    common = faults.attempt(load.conditions, data.get("match", {}), "match", fields) or {}
    return Vocabulary(
        name=name,
        version=version,
        title=str(data.get("title", name)),
        reads=reads,
        space=space,
        space_field=space_field,
        ignore=ignore,
        hash=content_hash(data),
        where=faults.where,
        source=source,
        fields={**fields, **marks},
        timestamp=timestamp,
        naive=naive,
        entries=load.entries(data, fields, roots, common),
    )


@attrs.frozen
class _Loader:
    """Loads the parts of a vocabulary; each method raises, or notes, what is wrong with its part.

    ``marks`` are names that conditions may ask for and that nothing else may use.
    """

    faults: Faults
    marks: Fields = attrs.field(factory=dict)

    def name(self, data: Mapping[str, Any]) -> str:
        name = data.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise self.faults("", f"name is {name!r}", "write a name of lower-case letters")
        return name

    def reads(self, data: Mapping[str, Any]) -> Reads:
        reads = data.get("reads", Reads.RECEIPTS)
        if reads not in list(Reads):
            fix = 'write reads = "receipts" or reads = "statements"'
            raise self.faults("", f"reads is {reads!r}", fix)
        return Reads(reads)

    def space(self, data: Mapping[str, Any]) -> str:
        space = data.get("space")
        if "space" in data and not (isinstance(space, str) and NAME.fullmatch(space)):
            fix = (
                "write a name of lower-case letters, digits and single underscores, or leave it out"
            )
            raise self.faults("", f"space is {space!r}", fix)
        return space or ""

    def space_field(self, data: Mapping[str, Any], fields: Fields) -> str | None:
        """The field that names the space, if any."""
        field = data.get("space_field")
        if "space_field" in data and (not isinstance(field, str) or field not in fields):
            raise self.faults("", f"space_field {field!r} is unknown", "name it in [fields]")
        return field

    def ignore(self, data: Mapping[str, Any], names: Fields) -> frozenset[str]:
        """The plain names of the fields that take no part in the identity.

        What has a meaning can't be left out of it: two postbacks of one identity say the same.
        """
        listed = self.wire_names(data, {"ignore": data.get("ignore", [])}, "")["ignore"]
        for ours, wire in names.items():
            for name in wire:
                if name in listed:
                    fix = "ignore only names that stand neither in fields nor in marks"
                    raise self.faults("", f"ignore has {name!r}, which stands for {ours!r}", fix)
        return frozenset(listed)

    def texts(self, value: Any, table: str, what: str) -> tuple[str, ...]:
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise self.faults(table, f"{what} is {value!r}", "write a text or a list of texts")
        return tuple(listed)

    def fields(self, data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        """The names on the wire of each field."""
        listed = data.get("fields")
        if not isinstance(listed, dict) or not listed:
            fix = 'write [fields] with our_name = "NAME ON THE WIRE"'
            self.faults.note("fields", "missing", fix)
            return {}
        fields = self.wire_names(data, listed, "fields")
        self.one_meaning(fields)
        return fields

    def marked(self, data: Mapping[str, Any], fields: Fields) -> dict[str, tuple[str, ...]]:
        """The marks: names whose presence counts, whatever they mean as a field."""
        listed = data.get("marks", {})
        if not isinstance(listed, dict) or listed.keys() & fields.keys():
            fix = 'write marks = { our_name = "NAME ON THE WIRE" }, and no name of a field'
            self.faults.note("marks", f"is {listed!r}", fix)
            return {}
        return self.wire_names(data, listed, "marks")

    def wire_names(
        self, data: Mapping[str, Any], listed: Mapping[str, Any], table: str
    ) -> dict[str, tuple[str, ...]]:
        """The plain names on the wire; one that may stand inside an element has its path too."""
        inside = self.faults.attempt(self.texts, data.get("inside", []), "", "inside") or ()
        prefixes = ("", *(f"{plain(container)}/" for container in inside))
        names = {
            ours: self.faults.attempt(self.texts, wire, table, ours) or ()
            for ours, wire in listed.items()
        }
        return {
            ours: tuple(prefix + plain(name) for prefix in prefixes for name in wire)
            for ours, wire in names.items()
        }

    def one_meaning(self, fields: Fields) -> None:
        taken: dict[str, str] = {}
        for ours, wire in fields.items():
            for name in wire:
                if name in taken:
                    fault = f"{name!r} stands for {taken[name]!r} and for {ours!r}"
                    self.faults.note("fields", fault, "give each name on the wire one meaning")
                    break
                taken[name] = ours

    def timestamps(self, data: Mapping[str, Any], fields: Fields) -> tuple[str, tzinfo]:
        row = data.get("timestamps", {})
        if not isinstance(row, dict):
            raise self.faults("timestamps", f"is {row!r}", 'write [timestamps] and field = "…"')
        self.faults.only(row, {"field", "naive"}, "timestamps")
        field = row.get("field", "timestamp")
        if not isinstance(field, str) or ("field" in row and field not in fields):
            raise self.faults("timestamps", f"field {field!r} is unknown", "name it in [fields]")
        zone = row.get("naive", "UTC")
        try:
            return field, UTC if zone == "UTC" else ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            fix = 'write a zone such as "UTC" or "America/New_York"'
            raise self.faults("timestamps", f"naive zone {zone!r} is unknown", fix) from None

    def entries(
        self,
        data: Mapping[str, Any],
        fields: Fields,
        roots: Sequence[str],
        common: Mapping[str, Condition],
    ) -> tuple[Entry, ...]:
        """The entries; those without a fault are compared with each other."""
        rows = data.get("postbacks")
        if not isinstance(rows, list) or not rows:
            self.faults.note("postbacks", "missing", "write [[postbacks]] tables")
            return ()
        entries = [
            self.faults.attempt(self.entry, row, number, fields, roots, common)
            for number, row in enumerate(rows, 1)
        ]
        good = tuple(entry for entry in entries if entry is not None)
        self.disjoint(good)
        return good

    def entry(
        self,
        row: Any,
        number: int,
        fields: Fields,
        roots: Sequence[str],
        common: Mapping[str, Condition],
    ) -> Entry:
        section = str(row.get("section", "")) if isinstance(row, dict) else ""
        place = f"postbacks[{number}]" + (f" ({section})" if section else "")
        if not isinstance(row, dict):
            raise self.faults(place, f"is not a table: {row!r}", "write [[postbacks]] tables")
        self.faults.only(row, _KEYS, place)
        if "match" not in row and "root" not in row:
            raise self.faults(place, "matches everything", "write match = { … } or root = …")
        chart, key = self.home(row, place, fields)
        roots = self.texts(row.get("root", list(roots)), place, "root")
        match = self.match(row, f"{place}.match", fields, common)
        means = self.rows(row, "means", place, fields, match)
        if means and chart is None:
            fix = 'write chart = "…" and key = "…"'
            raise self.faults(place, "means without a chart", fix)
        return Entry(
            place=place,
            section=section,
            roots=frozenset(map(plain, roots)),
            match=match,
            chart=chart,
            key=key,
            requires=self.known(row.get("requires", []), place, "requires", fields),
            undated=self.faults.flag(row, "undated", place),
            reason=self.known(row.get("reason", _reason(fields)), place, "reason", fields),
            means=means,
            evidence=self.rows(row, "evidence", place, fields, match),
        )

    def match(
        self, row: Mapping[str, Any], place: str, fields: Fields, common: Mapping[str, Condition]
    ) -> dict[str, Condition]:
        """The conditions of an entry, with those that all share."""
        match = self.conditions(row.get("match", {}), place, fields)
        for name in match.keys() & common.keys():
            fix = "leave it out here, or leave it out of the match that all share"
            raise self.faults(place, f"{name!r} is in the shared match too", fix)
        return {**common, **match}

    def home(
        self, row: Mapping[str, Any], place: str, fields: Fields
    ) -> tuple[str | None, str | None]:
        """The chart and the key field, both or neither."""
        chart, key = row.get("chart"), row.get("key")
        if chart is None and key is None:
            return None, None
        if not isinstance(chart, str) or not isinstance(key, str):
            fix = 'write both, chart = "…" and key = "…", or neither'
            raise self.faults(place, "chart or key is missing", fix)
        self.known([key], place, "key", fields)
        return chart, key

    def known(self, value: Any, place: str, what: str, fields: Fields) -> tuple[str, ...]:
        names = self.texts(value, place, what)
        for name in names:
            if name not in fields:
                fix = f"the fields are {', '.join(fields)}"
                raise self.faults(place, f"{what} names the unknown field {name!r}", fix)
        return names

    def conditions(self, row: Any, place: str, fields: Fields) -> dict[str, Condition]:
        if not isinstance(row, dict):
            fix = 'write { field = "text" } or { field = true }'
            raise self.faults(place, f"is {row!r}", fix)
        names = {**fields, **self.marks}
        self.known(list(row), place, "a condition", names)
        return {name: self.condition(value, place, names[name]) for name, value in row.items()}

    def condition(self, value: Any, place: str, names: tuple[str, ...]) -> Condition:
        if isinstance(value, bool):
            return Condition(names, frozenset({""}), other=value)
        other = isinstance(value, dict)
        if other and value.keys() != {"not"}:
            raise self.faults(place, f"a condition is {value!r}", 'write { not = "text" }')
        texts = self.texts(value["not"] if other else value, place, "a condition")
        if not texts:
            raise self.faults(place, "a condition lists no text", "list one, or leave it out")
        return Condition(names, frozenset(texts), other)

    def rows(
        self,
        entry: Mapping[str, Any],
        what: str,
        place: str,
        fields: Fields,
        match: Mapping[str, Condition],
    ) -> tuple[Row, ...]:
        listed = entry.get(what, [])
        if not isinstance(listed, list) or (what == "means" and "means" not in entry):
            raise self.faults(place, f"{what} is missing or not a list", f"write {what} = [ … ]")
        rows = tuple(
            self.row(row, f"{place}.{what}[{number}]", fields, match)
            for number, row in enumerate(listed, 1)
        )
        for first, second in _pairs(rows):
            if not _exclude(rows[first].conditions, rows[second].conditions):
                raise self.faults(
                    f"{place}.{what}",
                    f"rows {first + 1} and {second + 1} match the same postback",
                    "add a condition in which they differ",
                )
        return rows

    def row(self, row: Any, place: str, fields: Fields, match: Mapping[str, Condition]) -> Row:
        if not isinstance(row, dict) or not isinstance(row.get("trigger"), str):
            raise self.faults(place, "no trigger", 'write { status = "…", trigger = "…" }')
        rest = {key: value for key, value in row.items() if key != "trigger"}
        conditions = self.conditions(rest, place, fields)
        if _exclude(conditions, match):
            fix = "change its conditions or leave the row out"
            raise self.faults(place, "no postback that the entry matches is like this", fix)
        return Row(conditions, row["trigger"])

    def disjoint(self, entries: Sequence[Entry]) -> None:
        for first, second in _pairs(entries):
            one, other = entries[first], entries[second]
            apart = one.roots and other.roots and not one.roots & other.roots
            if not apart and not _exclude(one.match, other.match):
                self.faults.note(
                    one.place,
                    f"matches the same postbacks as {other.place}",
                    "add a condition to match in which they differ",
                )


def _reason(fields: Fields) -> list[str]:
    return ["status_details"] if "status_details" in fields else []


def _pairs(rows: Sequence[object]) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(len(rows)) for j in range(i + 1, len(rows)))


def _exclude(one: Mapping[str, Condition], other: Mapping[str, Condition]) -> bool:
    """Whether no postback satisfies both sets of conditions."""
    return any(one[name].excludes(other[name]) for name in one.keys() & other.keys())


# --- next to other vocabularies ---


def clashes(one: Vocabulary, other: Vocabulary) -> Iterator[str]:
    """Where two vocabularies know the same postbacks, so that neither could read them: a line each.

    Reported are the entries of which one asks for no field that the other doesn't ask for. Entries
    that ask for different fields could meet in one postback too, but no provider sends such a one.
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
