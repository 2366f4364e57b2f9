"""Reasons, labels and amounts of a vocabulary: from TOML, checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from postledger.definitions.diagnostics import NAME_FIX, Table, is_name
from postledger.definitions.said import CLASSES, Meaning, Said
from postledger.definitions.vocabulary import Entry

Reasons = Mapping[str, Mapping[str, Meaning]]
"""The codes of each field, with what they mean."""

Names = Callable[[Table], dict[str, tuple[str, ...]]]
"""Turns a table of our names into their plain names on the wire."""

_AMOUNT_FIX = (
    'write "NAME ON THE WIRE" for a count, or { value = "NAME", currency = "NAME" } or'
    ' { value = "NAME", unit = "EUR" } for money'
)


def said_of(top: Table, fields: Collection[str], names: Names) -> Said:
    """The reasons, labels and amounts of a vocabulary; what is wrong is noted."""
    attempt = top.faults.attempt
    labels = attempt(_named, top, "labels") or {}
    amounts = attempt(_named, top, "amounts") or {}
    wire = {f"label {name}": value for name, value in labels.items()}
    units: dict[str, str] = {}
    for name, value in amounts.items():
        wire |= attempt(_amount, Table(top.faults, amounts, "amounts"), name, value, units) or {}
    return Said(
        reasons=attempt(_reasons, top, fields) or {},
        labels=tuple(sorted(labels)),
        amounts=tuple(sorted(amounts)),
        units=units,
        names=names(Table(top.faults, wire, "labels and amounts")),
    )


def check_reasons(top: Table, reasons: Reasons, entries: Iterable[Entry]) -> frozenset[str]:
    """The fields with codes whose case doesn't matter, since a condition asks for them by ``fold``.

    Noted are codes that differ in nothing else, and the tables of reasons that no type of postback takes
    its reason from.
    """
    entries, rows = tuple(entries), top.row.get("postbacks")
    # Where one can't be loaded, what it takes its reason from isn't known.
    is_whole = isinstance(rows, list) and len(entries) == len(rows)
    used = {field for entry in entries for field in entry.reason}
    folded = {name for entry in entries for name, one in entry.conditions() if one.folds}
    for field, codes in reasons.items():
        if is_whole and field not in used:
            fix = f'write reason = ["{field}"] in the [[postbacks]] whose reason it is'
            top.faults.note(f"reasons.{field}", "no postback has that field in its reason", fix)
        first = {code.casefold(): code for code in reversed(list(codes))}
        for code in codes:
            if field in folded and (other := first[code.casefold()]) != code:
                fault = (
                    f"{other!r} and {code!r} are one code: a condition asks for the field by fold"
                )
                top.faults.note(f"reasons.{field}", fault, "leave one of them out")
    return frozenset(folded & reasons.keys())


def _named(top: Table, what: str) -> dict[str, Any]:
    """A table of names of ours."""
    listed = top.row.get(what, {})
    if not isinstance(listed, dict):
        raise top.fault(f"{what} is {listed!r}", f'write [{what}] and name = "NAME ON THE WIRE"')
    for name in listed:
        if not is_name(name):
            raise Table(top.faults, listed, what).fault(f"{name!r} is not a name", NAME_FIX)
    return listed


def _amount(table: Table, name: str, value: Any, units: dict[str, str]) -> dict[str, Any]:
    """The names on the wire of an amount and of its currency; a fixed currency goes to ``units``."""
    if not isinstance(value, dict):
        return {f"amount {name}": value}
    known = value.keys() in ({"value"}, {"value", "currency"}, {"value", "unit"})
    unit = value.get("unit", "-")
    if not known or not isinstance(unit, str) or not unit:
        raise table.fault(f"{name} is {value!r}", _AMOUNT_FIX)
    if "unit" in value:
        units[name] = unit
    currency = {f"unit {name}": value["currency"]} if "currency" in value else {}
    return {f"amount {name}": value["value"], **currency}


def _reasons(top: Table, fields: Collection[str]) -> dict[str, dict[str, Meaning]]:
    listed = top.row.get("reasons", {})
    fix = 'write [reasons.FIELD] and "CODE" = { text = "what it means", class = "blocked" }'
    if not isinstance(listed, dict):
        raise top.fault(f"reasons is {listed!r}", fix)
    found: dict[str, dict[str, Meaning]] = {}
    for field, codes in listed.items():
        table = Table(top.faults, {}, f"reasons.{field}")
        if field not in fields:
            raise table.fault("the field is unknown", f"the fields are {', '.join(fields)}")
        if not isinstance(codes, dict) or not codes:
            raise table.fault(f"is {codes!r}", fix)
        read = {c: top.faults.attempt(_meaning, table, c, value) for c, value in codes.items()}
        found[field] = {code: one for code, one in read.items() if one is not None}
    return found


def _meaning(table: Table, code: str, value: Any) -> Meaning:
    row = {"text": value} if isinstance(value, str) else value
    given = isinstance(row, dict) and "text" in row and not row.keys() - {"text", "class"}
    if not code or not given or not isinstance(row["text"], str) or not row["text"]:
        fix = f'write "{code or "CODE"}" = {{ text = "what it means", class = "blocked" }}'
        raise table.fault(f"{code!r} is {value!r}", fix)
    meaning = Meaning(row["text"], row.get("class", Meaning("").reason_class))
    if meaning.reason_class not in CLASSES:
        fix = f"the classes are {', '.join(CLASSES)}"
        raise table.fault(f"{code!r} has the unknown class {meaning.reason_class!r}", fix)
    return meaning
