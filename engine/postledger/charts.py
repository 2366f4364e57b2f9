"""Statecharts: TOML, checked, built with ``transitions``, explored once, compiled to a table.

The ``transitions`` library is the authority on what a trigger does. It accepts much in silence that
would be a mistake in a chart (unknown callbacks, which it would import; states that nothing
reaches), so a chart is checked first for its shape, then for its meaning, and only then built.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from itertools import product
from typing import Any

import attrs
from transitions.extensions.factory import MachineFactory
from transitions.extensions.nesting import HierarchicalMachine

from postledger.errors import DefinitionError
from postledger.findings import Finding, named

NAME = re.compile(r"[a-z]([a-z0-9]|_(?!_))*")
_ROOT = "chart"
_SEPARATOR = "__"


@attrs.frozen
class Trigger:
    """One word that events say to a chart.

    ``stage`` is its place in the fold order, ``after`` the stage that it presupposes (an outcome
    presupposes a sending), ``refused`` the finding when no transition takes it.
    """

    name: str
    stage: int
    after: int | None
    refused: Finding
    means: str


@attrs.frozen
class Transition:
    """One transition of a region; ``overrides`` marks one that contradicts what stood before."""

    trigger: str
    source: str
    dest: str
    overrides: bool


@attrs.frozen
class Region:
    """One region: its states in the order of the file, the first of them entered at the start."""

    name: str
    initial: str
    states: tuple[str, ...]
    final: frozenset[str]
    explained: frozenset[str]
    transitions: tuple[Transition, ...]


@attrs.frozen
class Move:
    """What a trigger does in one configuration.

    ``after`` is the index of the configuration it leads to; ``refused`` says that a region which
    knows the trigger has no transition for it from where it stands; ``overrides`` that a transition
    was taken which contradicts what stood before.
    """

    after: int
    refused: bool
    overrides: bool


Configuration = tuple[str, ...]
"""The state of each region, in the order of the regions: ``("sent", "xhtml")``."""


@attrs.frozen
class Statechart:
    """A checked and compiled chart.

    ``table[trigger][i]`` is the move that ``trigger`` makes in ``configurations[i]``; configuration
    0 is the initial one. ``hash`` is the SHA-256 of the chart's content, comments apart.
    """

    name: str
    version: int
    title: str
    policy: str
    hash: str
    source: str = attrs.field(repr=False)
    stages: tuple[str, ...]
    triggers: Mapping[str, Trigger]
    regions: tuple[Region, ...]
    configurations: tuple[Configuration, ...] = attrs.field(repr=False)
    table: Mapping[str, tuple[Move, ...]] = attrs.field(repr=False)

    @property
    def label(self) -> str:
        """Name, version and the start of the hash: ``delivery 1 (3f2a9c01)``."""
        return f"{self.name} {self.version} ({self.hash[:8]})"

    def machine(self) -> HierarchicalMachine:
        """A fresh machine of the ``transitions`` library, in the initial configuration."""
        return _machine(self.regions, HierarchicalMachine)

    def mermaid(self) -> str:
        """The chart as a Mermaid state diagram, drawn by the ``transitions`` library."""
        graph_machine = MachineFactory.get_predefined(graph=True, nested=True)
        drawn = _machine(self.regions, graph_machine, graph_engine="mermaid", title=self.title)
        return str(drawn.get_graph().draw(None)) + "\n"


def load_chart(source: str, *, where: str = "chart") -> Statechart:
    """Check and compile a chart from its TOML text.

    ``where`` names the text in messages (a path). Raises ``DefinitionError``: the place, the fault,
    and what to write instead.
    """
    data = read_toml(source, where)
    fault = _Fault(where)
    _only(data, {"name", "version", "title", "policy", "stages", "triggers", "states"}, "", fault)
    stages = _stages(data, fault)
    triggers = _triggers(data, stages, fault)
    regions = tuple(_regions(data, triggers, fault))
    configurations, table = _explore(regions, triggers, fault)
    return Statechart(
        name=_name(data, "name", "", fault),
        version=_version(data, fault),
        title=_text(data, "title", "", fault),
        policy=_text(data, "policy", "", fault),
        hash=content_hash(data),
        source=source,
        stages=stages,
        triggers=triggers,
        regions=regions,
        configurations=configurations,
        table=table,
    )


def read_toml(source: str, where: str) -> dict[str, Any]:
    """TOML text to a dict; raises ``DefinitionError`` with the line and column."""
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{where}: not TOML: {error}") from None


def content_hash(data: Mapping[str, Any]) -> str:
    """SHA-256 over the parsed content, so that comments and layout don't count."""
    return sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()


# --- the shape of the file ---


@attrs.frozen
class _Fault:
    """Makes the errors of one file: where, what is wrong, how to mend it."""

    where: str

    def __call__(self, table: str, fault: str, mend: str) -> DefinitionError:
        place = f"{self.where}: {table}: " if table else f"{self.where}: "
        return DefinitionError(f"{place}{fault}; {mend}")


def _only(data: Mapping[str, Any], known: set[str], table: str, fault: _Fault) -> None:
    for key in data:
        if key in {
            "on_enter",
            "on_exit",
            "before",
            "after_callback",
            "conditions",
            "unless",
            "prepare",
        }:
            raise fault(table, f"callback {key!r}", "charts hold no code: leave it out")
        if key not in known:
            raise fault(table, f"unknown key {key!r}", f"the keys are {', '.join(sorted(known))}")


def _name(data: Mapping[str, Any], key: str, table: str, fault: _Fault) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise fault(
            table,
            f"{key} is {value!r}",
            "write a name of lower-case letters, digits and single underscores",
        )
    return value


def _text(data: Mapping[str, Any], key: str, table: str, fault: _Fault) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise fault(table, f"{key} is {value!r}", f'write {key} = "a sentence"')
    return value


def _flag(data: Mapping[str, Any], key: str, table: str, fault: _Fault) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        raise fault(table, f"{key} is {value!r}", "write true or false")
    return value


def _version(data: Mapping[str, Any], fault: _Fault) -> int:
    value = data.get("version")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise fault("", f"version is {value!r}", "write version = 1 and count up with each change")
    return value


def _names(data: Mapping[str, Any], key: str, table: str, fault: _Fault) -> tuple[str, ...]:
    value = data.get(key)
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed:
        raise fault(table, f"{key} is {value!r}", f'write {key} = "a_name" or a list of names')
    for one in listed:
        if not isinstance(one, str) or not NAME.fullmatch(one):
            raise fault(
                table,
                f"{key} names {one!r}",
                "names are lower-case letters, digits and single underscores; no dots, no code",
            )
    if len(set(listed)) < len(listed):
        raise fault(table, f"{key} lists a name twice", "name each once")
    return tuple(listed)


def _tables(data: Mapping[str, Any], key: str, table: str, fault: _Fault) -> list[dict[str, Any]]:
    value = data.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
        raise fault(table, f"{key} is missing or no list of tables", f"write [[{key}]] tables")
    return value


def _stages(data: Mapping[str, Any], fault: _Fault) -> tuple[str, ...]:
    return _names(data, "stages", "", fault)


def _triggers(
    data: Mapping[str, Any], stages: tuple[str, ...], fault: _Fault
) -> dict[str, Trigger]:
    listed = data.get("triggers")
    if not isinstance(listed, dict) or not listed:
        raise fault("triggers", "missing", 'write [triggers] with name = { stage = "…" } rows')
    return {name: _trigger(name, row, stages, fault) for name, row in listed.items()}


def _trigger(name: str, row: Any, stages: tuple[str, ...], fault: _Fault) -> Trigger:
    table = f"triggers.{name}"
    if not NAME.fullmatch(name):
        raise fault(table, "not a name", "use lower-case letters, digits and single underscores")
    if not isinstance(row, dict):
        raise fault(table, f"is {row!r}", 'write { stage = "…", means = "…" }')
    _only(row, {"stage", "after", "refused", "means"}, table, fault)

    def stage(key: str) -> int:
        if row.get(key) not in stages:
            raise fault(table, f"{key} is {row.get(key)!r}", f"the stages are {', '.join(stages)}")
        return stages.index(row[key])

    try:
        refused = named(row.get("refused", "contradiction"))
    except ValueError as error:
        raise fault(table, "refused", str(error)) from None
    after = stage("after") if "after" in row else None
    return Trigger(name, stage("stage"), after, refused, str(row.get("means", "")))


# --- its meaning ---


def _regions(
    data: Mapping[str, Any], triggers: Mapping[str, Trigger], fault: _Fault
) -> Iterator[Region]:
    tables = _tables(data, "states", "", fault)
    seen: set[str] = set()
    for number, row in enumerate(tables, 1):
        region = _region(row, f"states[{number}]", triggers, fault)
        if region.name in seen:
            raise fault(f"states[{number}]", f"region {region.name!r} again", "name each once")
        seen.add(region.name)
        yield region
    used = {t["trigger"] for row in tables for t in _expand(row, "", fault)}
    for unused in triggers.keys() - used:
        raise fault(f"triggers.{unused}", "no transition takes it", "add one or leave it out")


def _region(
    row: dict[str, Any], table: str, triggers: Mapping[str, Trigger], fault: _Fault
) -> Region:
    _only(row, {"name", "initial", "children", "transitions"}, table, fault)
    name = _name(row, "name", table, fault)
    table = f"{table} ({name})"
    children = _tables(row, "children", table, fault)
    for child in children:
        _only(child, {"name", "final", "explained"}, f"{table}.children", fault)
    states = tuple(_name(child, "name", f"{table}.children", fault) for child in children)
    for state in states:
        if states.count(state) > 1:
            raise fault(f"{table}.children", f"state {state!r} twice", "name each state once")
    initial = _name(row, "initial", table, fault)
    if initial not in states:
        raise fault(table, f"initial state {initial!r} is unknown", f"one of {', '.join(states)}")

    def marked(key: str) -> frozenset[str]:
        rows = zip(states, children, strict=True)
        return frozenset(s for s, c in rows if _flag(c, key, f"{table}.children", fault))

    transitions = tuple(_transitions(row, table, states, triggers, fault))
    region = Region(name, initial, states, marked("final"), marked("explained"), transitions)
    return _reachable(region, table, fault)


def _expand(row: dict[str, Any], table: str, fault: _Fault) -> Iterator[dict[str, Any]]:
    """The transitions of a region one by one: ``trigger`` and ``source`` may be lists."""
    for number, entry in enumerate(_tables(row, "transitions", table, fault), 1):
        place = f"{table}.transitions[{number}]"
        _only(entry, {"trigger", "source", "dest", "overrides"}, place, fault)
        dest = _name(entry, "dest", place, fault)
        overrides = _flag(entry, "overrides", place, fault)
        names = (_names(entry, key, place, fault) for key in ("trigger", "source"))
        for trigger, source in product(*names):
            yield {
                "trigger": trigger,
                "source": source,
                "dest": dest,
                "overrides": overrides,
                "place": place,
            }


def _transitions(
    row: dict[str, Any],
    table: str,
    states: tuple[str, ...],
    triggers: Mapping[str, Trigger],
    fault: _Fault,
) -> Iterator[Transition]:
    taken: dict[tuple[str, str], str] = {}
    for entry in _expand(row, table, fault):
        place = entry.pop("place")
        for key in ("source", "dest"):
            if entry[key] not in states:
                mend = f"the states are {', '.join(states)}"
                raise fault(place, f"{key} state {entry[key]!r} is unknown", mend)
        if entry["trigger"] not in triggers:
            mend = f"the triggers are {', '.join(triggers)}"
            raise fault(place, f"trigger {entry['trigger']!r} is unknown", mend)
        case = (entry["trigger"], entry["source"])
        if case in taken:
            clash = f"{case[0]!r} from {case[1]!r} stands already in {taken[case]}"
            raise fault(place, clash, "a trigger leads from a state to one state only")
        taken[case] = place
        yield Transition(**entry)


def _reachable(region: Region, table: str, fault: _Fault) -> Region:
    reached = {region.initial}
    while more := {t.dest for t in region.transitions if t.source in reached} - reached:
        reached |= more
    for state in region.states:
        if state not in reached:
            mend = "add a transition that leads there or leave the state out"
            raise fault(table, f"state {state!r} is unreachable from {region.initial!r}", mend)
    return region


# --- the machine and its table ---


def _path(region: str, state: str) -> str:
    return _SEPARATOR.join((_ROOT, region, state))


def _machine(
    regions: tuple[Region, ...], machine: Callable[..., Any], **options: Any
) -> HierarchicalMachine:
    """The regions in the vocabulary of the library, side by side under one parent."""

    class Machine(machine):  # type: ignore[valid-type,misc]
        state_cls = type("State", (machine.state_cls,), {"separator": _SEPARATOR})  # type: ignore[attr-defined]

    parallel = [
        {"name": region.name, "initial": region.initial, "children": list(region.states)}
        for region in regions
    ]
    transitions = [
        {
            "trigger": transition.trigger,
            "source": _path(region.name, transition.source),
            "dest": _path(region.name, transition.dest),
        }
        for region in regions
        for transition in region.transitions
    ]
    return Machine(
        states=[{"name": _ROOT, "parallel": parallel}],
        transitions=transitions,
        initial=_ROOT,
        auto_transitions=False,
        ignore_invalid_triggers=True,
        **options,
    )


def configuration_of(machine: HierarchicalMachine, regions: tuple[Region, ...]) -> Configuration:
    """The configuration that a machine stands in, in the order of the regions."""
    standing = machine.state if isinstance(machine.state, list) else [machine.state]
    by_region = dict(path.split(_SEPARATOR)[1:] for path in standing)
    return tuple(by_region[region.name] for region in regions)


def stand(
    machine: HierarchicalMachine, regions: tuple[Region, ...], configuration: Configuration
) -> None:
    """Put a machine into a configuration."""
    machine.set_state(
        [_path(r.name, state) for r, state in zip(regions, configuration, strict=True)]
    )


def _explore(
    regions: tuple[Region, ...], triggers: Mapping[str, Trigger], fault: _Fault
) -> tuple[tuple[Configuration, ...], dict[str, tuple[Move, ...]]]:
    """Every configuration that the machine can reach, and what every trigger does there."""
    machine = _machine(regions, HierarchicalMachine)
    index = {configuration_of(machine, regions): 0}
    rows: dict[str, list[Move]] = {name: [] for name in triggers}
    for before in (queue := list(index)):
        for name, moves in rows.items():
            stand(machine, regions, before)
            machine.trigger(name)
            after = configuration_of(machine, regions)
            if after not in index:
                index[after] = len(index)
                queue.append(after)
            moves.append(_move(regions, name, before, index[after]))
        if len(index) > 4096:
            raise fault("", "more than 4096 configurations", "use fewer regions or states")
    return tuple(index), {name: tuple(moves) for name, moves in rows.items()}


def _move(regions: tuple[Region, ...], trigger: str, before: Configuration, after: int) -> Move:
    refused = overrides = False
    for region, state in zip(regions, before, strict=True):
        heard = [t for t in region.transitions if t.trigger == trigger]
        taken = [t for t in heard if t.source == state]
        refused = refused or bool(heard and not taken)
        overrides = overrides or any(t.overrides for t in taken)
    return Move(after, refused, overrides)
