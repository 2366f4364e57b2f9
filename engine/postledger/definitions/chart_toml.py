"""Charts: TOML to statecharts, checked.

The ``transitions`` library accepts much in silence that would be a mistake in a chart (unknown
callbacks, which it would import; states that nothing reaches), so a chart is checked first for its
shape, then for its meaning, and only then built.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

from postledger.definitions.chart import (
    TAKEN,
    Region,
    Statechart,
    Transition,
    Trigger,
    explore,
)
from postledger.definitions.diagnostics import (
    NAME,
    Faults,
    content_hash,
    read_toml,
    version_number,
)
from postledger.findings import Finding, named

_MOST_CONFIGURATIONS = 4096


def load_chart(source: str, *, where: str = "chart") -> Statechart:
    """Check and compile a chart from its TOML text.

    ``where`` names the text in messages (a path). Raises ``DefinitionError`` with all that is
    wrong: the place, the fault, and what to write instead.
    """
    return _compiled(source, where)


# A ledger's charts are loaded each time it is opened, and exploring one takes tens of milliseconds.
@lru_cache(maxsize=64)
def _compiled(source: str, where: str) -> Statechart:
    data = read_toml(source, where)
    faults = Faults(where)
    faults.attempt(faults.only, data, _CHART_KEYS, "")
    name = faults.attempt(_name, data, "name", "", faults) or ""
    version = faults.attempt(version_number, data, faults) or 0
    title = faults.attempt(_text, data, "title", "", faults) or ""
    policy = faults.attempt(_text, data, "policy", "", faults) or ""
    stages = faults.attempt(_names, data, "stages", "", faults)
    triggers = _triggers(data, stages, faults)
    regions = _regions(data, triggers, faults)
    faults.settle()
    if prod(len(region.states) for region in regions) > _MOST_CONFIGURATIONS:
        fault = f"more than {_MOST_CONFIGURATIONS} configurations"
        raise faults("", fault, "use fewer regions or states")
    configurations, table = explore(regions, triggers)
    return Statechart(
        name=name,
        version=version,
        title=title,
        policy=policy,
        hash=content_hash(data),
        source=source,
        stages=stages or (),
        triggers=triggers,
        regions=regions,
        configurations=configurations,
        table=table,
    )


# --- the shape of the file ---

_CHART_KEYS = {"name", "version", "title", "policy", "stages", "triggers", "states"}

# What the library would call, and import by a dotted name.
_CALLBACKS = {
    *("before", "after", "conditions", "unless", "prepare", "on_enter", "on_exit", "on_final"),
    *("before_state_change", "after_state_change", "prepare_event", "finalize_event"),
    *("on_exception", "on_timeout", "callbacks"),
}


def _only(data: Mapping[str, Any], known: set[str], table: str, faults: Faults) -> None:
    for key in data:
        if key in _CALLBACKS and key not in known:
            raise faults(table, f"callback {key!r}", "charts hold no code: leave it out")
    faults.only(data, known, table)


def _name(data: Mapping[str, Any], key: str, table: str, faults: Faults) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise faults(
            table,
            f"{key} is {value!r}",
            "write a name of lower-case letters, digits and single underscores",
        )
    return value


def _text(data: Mapping[str, Any], key: str, table: str, faults: Faults) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise faults(table, f"{key} is {value!r}", f'write {key} = "a sentence"')
    return value


def _names(data: Mapping[str, Any], key: str, table: str, faults: Faults) -> tuple[str, ...]:
    value = data.get(key)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise faults(table, f"{key} is {value!r}", f'write {key} = "a_name" or a list of names')
    for one in listed:
        if not isinstance(one, str) or not NAME.fullmatch(one):
            raise faults(
                table,
                f"{key} names {one!r}",
                "names are lower-case letters, digits and single underscores; no dots, no code",
            )
    if len(set(listed)) < len(listed):
        raise faults(table, f"{key} lists a name twice", "name each once")
    return tuple(listed)


def _tables(data: Mapping[str, Any], key: str, table: str, faults: Faults) -> list[dict[str, Any]]:
    value = data.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        raise faults(table, f"{key} is missing or not a list of tables", f"write [[{key}]] tables")
    return value


def _triggers(
    data: Mapping[str, Any], stages: tuple[str, ...] | None, faults: Faults
) -> dict[str, Trigger]:
    """The triggers by name; one with a fault is noted, and kept so that its name is known."""
    listed = data.get("triggers")
    if not isinstance(listed, dict) or not listed:
        fix = 'write [triggers] with name = { stage = "…" } rows'
        faults.note("triggers", "missing", fix)
        return {}
    stand_in = Trigger("", 0, None, Finding(0), "")
    loaded = {
        name: faults.attempt(_trigger, name, row, stages, faults) for name, row in listed.items()
    }
    return {name: trigger or stand_in for name, trigger in loaded.items()}


def _trigger(name: str, row: Any, stages: tuple[str, ...] | None, faults: Faults) -> Trigger:
    table = f"triggers.{name}"
    if not NAME.fullmatch(name):
        raise faults(table, "not a name", "use lower-case letters, digits and single underscores")
    if name in TAKEN:
        raise faults(table, "a name of the transitions library", "use another")
    if not isinstance(row, dict):
        raise faults(table, f"is {row!r}", 'write { stage = "…", means = "…" }')
    _only(row, {"stage", "after", "refused", "means"}, table, faults)

    def stage(key: str) -> int:
        if stages is None:
            return 0
        if row.get(key) not in stages:
            raise faults(table, f"{key} is {row.get(key)!r}", f"the stages are {', '.join(stages)}")
        return stages.index(row[key])

    try:
        refused = named(str(row.get("refused", "contradiction")))
    except ValueError as error:
        raise faults(table, "refused", str(error)) from None
    after = stage("after") if "after" in row else None
    return Trigger(name, stage("stage"), after, refused, str(row.get("means", "")))


# --- its meaning ---


def _regions(
    data: Mapping[str, Any], triggers: Mapping[str, Trigger], faults: Faults
) -> tuple[Region, ...]:
    """The regions; faults are noted, so that those of all regions are reported."""
    tables = faults.attempt(_tables, data, "states", "", faults) or []
    regions: list[Region] = []
    before = len(faults.found)
    for number, row in enumerate(tables, 1):
        place = f"states[{number}]"
        region = faults.attempt(_region, row, place, triggers.keys(), faults)
        if region is not None and region.name in [other.name for other in regions]:
            faults.note(place, f"region {region.name!r} twice", "name each once")
        elif region is not None:
            regions.append(region)
    if tables and len(faults.found) == before:
        used = {transition.trigger for region in regions for transition in region.transitions}
        for name, trigger in triggers.items():
            # The fault of one that is wrong was noted already.
            if trigger.name and name not in used:
                fix = "add one or leave the trigger out"
                faults.note(f"triggers.{name}", "no transition takes it", fix)
    return tuple(regions)


def _region(row: dict[str, Any], table: str, triggers: Set[str], faults: Faults) -> Region:
    _only(row, {"name", "initial", "children", "transitions"}, table, faults)
    name = _name(row, "name", table, faults)
    table = f"{table} ({name})"
    states, marks = _children(row, table, faults)
    initial = _name(row, "initial", table, faults)
    if initial not in states:
        raise faults(table, f"initial state {initial!r} is unknown", f"one of {', '.join(states)}")
    before = len(faults.found)
    transitions = _transitions(row, table, states, triggers, faults)
    region = Region(name, initial, states, marks["final"], marks["explained"], transitions)
    return _reachable(region, table, faults) if len(faults.found) == before else region


def _children(
    row: dict[str, Any], table: str, faults: Faults
) -> tuple[tuple[str, ...], dict[str, frozenset[str]]]:
    """The states of a region, and which of them bear which mark."""
    children = _tables(row, "children", table, faults)
    table = f"{table}.children"
    for child in children:
        _only(child, {"name", "final", "explained"}, table, faults)
    states = tuple(_name(child, "name", table, faults) for child in children)
    for state in states:
        if states.count(state) > 1:
            raise faults(table, f"state {state!r} twice", "name each state once")
    marks = {
        mark: frozenset(c["name"] for c in children if faults.flag(c, mark, table))
        for mark in ("final", "explained")
    }
    return states, marks


def _transitions(
    row: dict[str, Any],
    table: str,
    states: tuple[str, ...],
    triggers: Set[str],
    faults: Faults,
) -> tuple[Transition, ...]:
    """The transitions one by one: ``trigger`` and ``source`` of an entry may be lists."""
    taken: dict[tuple[str, str], str] = {}
    transitions: list[Transition] = []
    for number, entry in enumerate(_tables(row, "transitions", table, faults), 1):
        place = f"{table}.transitions[{number}]"
        expanded = faults.attempt(_expanded, entry, place, states, triggers, faults)
        for transition in expanded or ():
            case = (transition.trigger, transition.source)
            if case in taken:
                clash = f"{case[0]!r} from {case[1]!r} is already in {taken[case]}"
                fix = "a trigger leads from a state to one state only"
                faults.note(place, clash, fix)
            taken[case] = place
            transitions.append(transition)
    return tuple(transitions)


def _expanded(
    entry: dict[str, Any],
    place: str,
    states: tuple[str, ...],
    triggers: Set[str],
    faults: Faults,
) -> list[Transition]:
    _only(entry, {"trigger", "source", "dest", "overrides"}, place, faults)
    dest = _name(entry, "dest", place, faults)
    overrides = faults.flag(entry, "overrides", place)
    names = _names(entry, "trigger", place, faults)
    sources = _names(entry, "source", place, faults)
    for trigger in names:
        # Where all are missing, that was noted already.
        if triggers and trigger not in triggers:
            fix = f"the triggers are {', '.join(triggers)}"
            raise faults(place, f"trigger {trigger!r} is unknown", fix)
    for key, named_states in (("source", sources), ("dest", (dest,))):
        for state in named_states:
            if state not in states:
                fix = f"the states are {', '.join(states)}"
                raise faults(place, f"{key} state {state!r} is unknown", fix)
    return [Transition(t, source, dest, overrides) for t, source in product(names, sources)]


def _reachable(region: Region, table: str, faults: Faults) -> Region:
    reached = {region.initial}
    while more := {t.dest for t in region.transitions if t.source in reached} - reached:
        reached |= more
    for state in region.states:
        if state not in reached:
            fix = "add a transition that leads there or leave the state out"
            fault = f"state {state!r} is unreachable from {region.initial!r}"
            faults.note(table, fault, fix)
    return region
