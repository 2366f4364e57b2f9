"""Charts: TOML to statecharts, checked.

The ``transitions`` library accepts much in silence that would be a mistake in a chart (unknown
callbacks, which it would import; states that nothing reaches), so a chart is checked first for its
shape, then for its meaning, and only then built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

from postledger.arguments import checked
from postledger.definitions.chart import (
    TAKEN,
    Region,
    Statechart,
    Transition,
    Trigger,
    explore,
)
from postledger.definitions.diagnostics import (
    NAME_FIX,
    Faults,
    Table,
    content_hash,
    is_name,
    read_toml,
)
from postledger.errors import DefinitionError
from postledger.findings import Finding, named

_MOST_CONFIGURATIONS = 4096


@checked
def load_chart(source: str, *, where: str = "chart") -> Statechart:
    """Check and compile a chart from its TOML text.

    ``where`` names the text in messages (a path). Raises ``DefinitionError`` with all that is
    wrong: the place, the fault, and what to write instead.
    """
    return _compiled(source, where)


# A ledger's charts are loaded each time it is opened, and exploring one takes tens of milliseconds.
@lru_cache(maxsize=64)
def _compiled(source: str, where: str) -> Statechart:
    faults = Faults(where)
    read = read_toml(source, where)
    if not {"postbacks", "reads"}.isdisjoint(read) and "states" not in read:
        raise DefinitionError(f"{where}: this is a vocabulary, not a chart; give it as one")
    top = Table(faults, read)
    faults.attempt(top.only, _CHART_KEYS)
    name = faults.attempt(_name, top, "name") or ""
    version = faults.attempt(top.version) or 0
    title = faults.attempt(_sentence, top, "title") or ""
    policy = faults.attempt(_sentence, top, "policy") or ""
    stages = faults.attempt(_names, top, "stages")
    triggers = _triggers(top, stages)
    regions = _regions(top, triggers)
    faults.settle()
    if prod(len(region.states) for region in regions) > _MOST_CONFIGURATIONS:
        fault = f"more than {_MOST_CONFIGURATIONS} configurations"
        raise top.fault(fault, "use fewer regions or states")
    configurations, table = explore(regions, triggers)
    return Statechart(
        name=name,
        version=version,
        title=title,
        policy=policy,
        hash=content_hash(top.row),
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


def _only(table: Table, known: set[str]) -> None:
    for key in table.row:
        if key in _CALLBACKS - known:
            raise table.fault(f"callback {key!r}", "charts hold no code: leave it out")
    table.only(known)


def _name(table: Table, key: str) -> str:
    name: str = table.take(key, is_name, NAME_FIX)
    return name


def _sentence(table: Table, key: str) -> str:
    fix = f'write {key} = "a sentence"'
    text: str = table.take(key, lambda value: isinstance(value, str) and value.strip(), fix)
    return text


def _names(table: Table, key: str) -> tuple[str, ...]:
    value = table.row.get(key)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise table.fault(f"{key} is {value!r}", f'write {key} = "a_name" or a list of names')
    for one in listed:
        if not is_name(one):
            fix = "names are lower-case letters, digits and single underscores; no dots, no code"
            raise table.fault(f"{key} names {one!r}", fix)
    if len(set(listed)) < len(listed):
        raise table.fault(f"{key} lists a name twice", "name each once")
    return tuple(listed)


def _tables(table: Table, key: str, place: str) -> list[Table]:
    """The tables in a list; ``{}`` in their place stands for the number of each."""
    value = table.row.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        fix = f"write [[{key}]] tables"
        raise table.fault(f"{key} is missing or not a list of tables", fix)
    return [Table(table.faults, row, place.format(number)) for number, row in enumerate(value, 1)]


def _triggers(top: Table, stages: tuple[str, ...] | None) -> dict[str, Trigger]:
    """The triggers by name; one with a fault is noted, and kept so that its name is known."""
    listed = top.row.get("triggers")
    if not isinstance(listed, dict) or not listed:
        fix = 'write [triggers] with name = { stage = "…" } rows'
        top.faults.note("triggers", "missing", fix)
        return {}
    stand_in = Trigger("", 0, None, Finding(0), "")
    return {
        name: top.faults.attempt(_trigger, name, row, stages, top.faults) or stand_in
        for name, row in listed.items()
    }


def _trigger(name: str, row: Any, stages: tuple[str, ...] | None, faults: Faults) -> Trigger:
    table = Table(faults, row, f"triggers.{name}")
    if not is_name(name):
        raise table.fault("not a name", NAME_FIX)
    if name in TAKEN:
        raise table.fault("a name of the transitions library", "use another")
    if not isinstance(row, dict):
        raise table.fault(f"is {row!r}", 'write { stage = "…", means = "…" }')
    _only(table, {"stage", "after", "refused", "means", "parts"})

    def stage(key: str) -> int:
        if stages is None:
            return 0
        fix = f"the stages are {', '.join(stages)}"
        return stages.index(table.take(key, stages.__contains__, fix))

    try:
        refused = named(str(row.get("refused", "contradiction")))
    except ValueError as error:
        raise table.fault(f"refused is {row['refused']!r}", str(error)) from None
    after = stage("after") if "after" in row else None
    fix = 'write parts = "all", or leave it out'
    parts = "parts" in row and table.take("parts", "all".__eq__, fix) == "all"
    return Trigger(name, stage("stage"), after, refused, str(row.get("means", "")), parts)


# --- its meaning ---


def _regions(top: Table, triggers: Mapping[str, Trigger]) -> tuple[Region, ...]:
    """The regions; faults are noted, so that those of all regions are reported."""
    faults = top.faults
    tables = faults.attempt(_tables, top, "states", "states[{}]") or []
    regions: dict[str, Region] = {}
    before = len(faults.found)
    for table in tables:
        region = faults.attempt(_region, table, triggers.keys())
        if region is not None and region.name in regions:
            faults.note(table.place, f"region {region.name!r} twice", "name each once")
        elif region is not None:
            regions[region.name] = region
    if tables and len(faults.found) == before:
        used = {t.trigger for region in regions.values() for t in region.transitions}
        for name, trigger in triggers.items():
            # The fault of one that is wrong was noted already.
            if trigger.name and name not in used:
                fix = "add one or leave the trigger out"
                faults.note(f"triggers.{name}", "no transition takes it", fix)
    return tuple(regions.values())


def _region(table: Table, triggers: Set[str]) -> Region:
    faults = table.faults
    _only(table, {"name", "initial", "children", "transitions"})
    name = _name(table, "name")
    table = Table(faults, table.row, f"{table.place} ({name})")
    children = _children(table)
    states = tuple(child.row["name"] for child in children)
    final, explained = (
        frozenset(child.row["name"] for child in children if child.flag(mark))
        for mark in ("final", "explained")
    )
    initial = _name(table, "initial")
    if initial not in states:
        raise table.fault(
            f"initial state {initial!r} is unknown", f"write one of {', '.join(states)}"
        )
    before = len(faults.found)
    region = Region(
        name, initial, states, final, explained, tuple(_transitions(table, states, triggers))
    )
    if len(faults.found) == before:
        _check_reachable(region, table)
    return region


def _children(table: Table) -> list[Table]:
    children = _tables(table, "children", f"{table.place}.children")
    for child in children:
        _only(child, {"name", "final", "explained"})
    states = [_name(child, "name") for child in children]
    for state in states:
        if states.count(state) > 1:
            raise children[0].fault(f"state {state!r} twice", "name each state once")
    return children


def _transitions(
    region: Table, states: tuple[str, ...], triggers: Set[str]
) -> Iterator[Transition]:
    """The transitions one by one: ``trigger`` and ``source`` of an entry may be lists."""
    faults = region.faults
    taken: dict[tuple[str, str], str] = {}
    for table in _tables(region, "transitions", f"{region.place}.transitions[{{}}]"):
        for transition in faults.attempt(_expanded, table, states, triggers) or ():
            case = (transition.trigger, transition.source)
            if case in taken:
                clash = f"{case[0]!r} from {case[1]!r} is already in {taken[case]}"
                fix = "a trigger leads from a state to one state only"
                faults.note(table.place, clash, fix)
            taken[case] = table.place
            yield transition


def _expanded(table: Table, states: tuple[str, ...], triggers: Set[str]) -> list[Transition]:
    _only(table, {"trigger", "source", "dest", "overrides"})
    dest = _name(table, "dest")
    overrides = table.flag("overrides")
    names, sources = _names(table, "trigger"), _names(table, "source")
    for trigger in names:
        # Where all are missing, that was noted already.
        if triggers and trigger not in triggers:
            fix = f"the triggers are {', '.join(triggers)}"
            raise table.fault(f"trigger {trigger!r} is unknown", fix)
    for key, state in (*(("source", source) for source in sources), ("dest", dest)):
        if state not in states:
            fix = f"the states are {', '.join(states)}"
            raise table.fault(f"{key} state {state!r} is unknown", fix)
    return [Transition(t, source, dest, overrides) for t, source in product(names, sources)]


def _check_reachable(region: Region, table: Table) -> None:
    reached = {region.initial}
    while more := {t.dest for t in region.transitions if t.source in reached} - reached:
        reached |= more
    for state in region.states:
        if state not in reached:
            fix = "add a transition that leads there or leave the state out"
            fault = f"state {state!r} is unreachable from {region.initial!r}"
            table.faults.note(table.place, fault, fix)
