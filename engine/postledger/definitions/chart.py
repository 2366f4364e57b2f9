"""The statechart: its parts, the machine that the ``transitions`` library makes of it, and its table.

The library is the authority on what a trigger does: a chart is explored through it once and compiled
to a table, by which everything is folded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from transitions.extensions.factory import MachineFactory
from transitions.extensions.nesting import HierarchicalMachine

from postledger.findings import Finding

# It says every state that it adds, at INFO, to programs that show what Postledger says there.
_library = logging.getLogger("transitions")
if _library.level == logging.NOTSET:
    _library.setLevel(logging.WARNING)

_ROOT = "chart"
_SEPARATOR = "__"

TAKEN = frozenset({"state", "to_state", f"is_{_ROOT}"})
"""Names that the library uses itself: no trigger can have one."""


@attrs.frozen
class Trigger:
    """One word of a chart: what an event can say to it.

    ``stage`` is its place in the fold order, ``after`` the stage that it presupposes (an outcome
    presupposes a sending), ``refused`` the finding when no transition takes it. ``parts``: of a
    message in parts it is said only once events of all parts say it.
    """

    name: str
    stage: int
    after: int | None
    refused: Finding
    means: str
    parts: bool = False


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

    def says_again(self, trigger: str, state: str) -> bool:
        """Whether a trigger says of a state that wants a reason what is known already."""
        return state in self.explained and any(
            (one.trigger, one.source, one.dest) == (trigger, state, state)
            for one in self.transitions
        )


@attrs.frozen
class Move:
    """What a trigger does in one configuration.

    ``after`` is the index of the configuration it leads to. ``refused``: a region that knows the
    trigger has no transition for it from its state. ``overrides``: a transition was taken that
    contradicts what stood before.
    """

    after: int
    refused: bool
    overrides: bool


Configuration = tuple[str, ...]
"""The state of each region, in the order of the regions: ``("sent", "xhtml")``."""


@attrs.frozen
class Statechart:
    """A checked and compiled chart.

    ``table[trigger][i]`` is the move that ``trigger`` makes in ``configurations[i]``. Configuration 0
    is the initial one; the others are in the order of the states in the file. ``hash`` is the SHA-256
    of the chart's content, comments apart.

    >>> chart = ledger.definitions.charts["delivery"]
    >>> chart.regions[1].states[:3]
    ('unknown', 'sms', 'binary')
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
    """The configuration that a machine is in, in the order of the regions."""
    by_region = dict(path.split(_SEPARATOR)[1:] for path in _standing(machine))
    return tuple(by_region[region.name] for region in regions)


def _standing(machine: HierarchicalMachine) -> list[str]:
    """The states that a machine is in: the library lists them only where there are several."""
    return machine.state if isinstance(machine.state, list) else [machine.state]


def stand(
    machine: HierarchicalMachine, regions: tuple[Region, ...], configuration: Configuration
) -> None:
    """Put a machine into a configuration."""
    machine.set_state(
        [_path(r.name, state) for r, state in zip(regions, configuration, strict=True)]
    )


def explore(
    regions: tuple[Region, ...], triggers: Mapping[str, Trigger]
) -> tuple[tuple[Configuration, ...], dict[str, tuple[Move, ...]]]:
    """Every configuration that the machine can reach, and what every trigger does there.

    After the initial one they are in the order of the states in the file: their numbers depend on
    nothing that is not in the hash of a chart, as the order of ``[triggers]`` is not.
    """
    moves = [_moves(region) for region in regions]
    initial = tuple(region.initial for region in regions)
    reached: dict[Configuration, dict[str, Configuration]] = {initial: {}}
    for before in (queue := [initial]):
        for name in triggers:
            after = tuple(
                moved.get((state, name), state) for moved, state in zip(moves, before, strict=True)
            )
            reached[before][name] = after
            if after not in reached:
                reached[after] = {}
                queue.append(after)
    configurations = tuple(sorted(reached, key=lambda one: (one != initial, _place(regions, one))))
    index = {configuration: i for i, configuration in enumerate(configurations)}
    return configurations, {
        name: tuple(_move(heard, c, index[reached[c][name]]) for c in configurations)
        for name, heard in ((name, _heard(regions, name)) for name in triggers)
    }


def _moves(region: Region) -> dict[tuple[str, str], str]:
    """The state that each trigger leads to from each state in which the machine hears it.

    Regions don't hear each other, so each is explored alone.
    """
    alone = (region,)
    machine = _machine(alone, HierarchicalMachine)
    moves: dict[tuple[str, str], str] = {}
    for state in region.states:
        stand(machine, alone, (state,))
        # The library logs a warning for each trigger that no transition takes.
        for name in machine.get_triggers(*_standing(machine)):
            stand(machine, alone, (state,))
            machine.trigger(name)
            (moves[state, name],) = configuration_of(machine, alone)
    return moves


def _place(regions: tuple[Region, ...], configuration: Configuration) -> tuple[int, ...]:
    """Where the states of a configuration are in the file."""
    return tuple(r.states.index(state) for r, state in zip(regions, configuration, strict=True))


def _heard(regions: tuple[Region, ...], trigger: str) -> list[tuple[int, dict[str, bool]]]:
    """The regions that know a trigger, and whether it overrides each state that it leads from."""
    heard = [
        {t.source: t.overrides for t in region.transitions if t.trigger == trigger}
        for region in regions
    ]
    return [(number, sources) for number, sources in enumerate(heard) if sources]


def _move(heard: list[tuple[int, dict[str, bool]]], before: Configuration, after: int) -> Move:
    taken = [sources.get(before[number]) for number, sources in heard]
    return Move(after, refused=None in taken, overrides=True in taken)
