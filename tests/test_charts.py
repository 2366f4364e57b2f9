"""Charts: what is refused at load and with what words, and that the table is the machine's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings

from postledger.definitions.chart import TAKEN
from postledger.definitions.chart_toml import Statechart, configuration_of, load_chart, stand
from postledger.definitions.definitions import builtin
from postledger.definitions.tomlfile import NAME
from postledger.errors import DefinitionError
from tests.strategies import charts

SHIPPED = sorted((Path(__file__).parents[1] / "statecharts").glob("*.toml"))

GOOD = """
name = "parcel"
version = 1
title = "What became of one parcel"
policy = "The first word stands."
stages = ["begun", "ended"]

[triggers]
posted = { stage = "begun" }
lost = { stage = "ended", after = "begun", refused = "wrong_route" }

[[states]]
name = "parcel"
initial = "waiting"
children = [{ name = "waiting" }, { name = "posted" }, { name = "lost", final = true, explained = true }]
transitions = [
    { trigger = "posted", source = "waiting", dest = "posted" },
    { trigger = "lost", source = ["waiting", "posted"], dest = "lost" },
]
"""


def faults(old: str, new: str) -> tuple[str, ...]:
    """The faults of the good chart with one change."""
    assert old in GOOD
    with pytest.raises(DefinitionError) as caught:
        load_chart(GOOD.replace(old, new), where="parcel.toml")
    return caught.value.faults


def test_good() -> None:
    """A chart that is right loads, with its marks, stages and triggers."""
    chart = load_chart(GOOD)
    (region,) = chart.regions
    assert (chart.name, chart.version, chart.stages) == ("parcel", 1, ("begun", "ended"))
    assert (region.final, region.explained) == (frozenset({"lost"}), frozenset({"lost"}))
    assert (chart.triggers["lost"].stage, chart.triggers["lost"].after) == (1, 0)
    assert chart.configurations == (("waiting",), ("posted",), ("lost",))


FAULTS = {
    "unknown destination": (
        ('dest = "lost" }', 'dest = "burnt" }'),
        "states[1] (parcel).transitions[2]: dest state 'burnt' is unknown;"
        " the states are waiting, posted, lost",
    ),
    "unknown source": (
        ('source = "waiting"', 'source = "asleep"'),
        "states[1] (parcel).transitions[1]: source state 'asleep' is unknown;"
        " the states are waiting, posted, lost",
    ),
    "unknown initial state": (
        ('initial = "waiting"', 'initial = "asleep"'),
        "states[1] (parcel): initial state 'asleep' is unknown; one of waiting, posted, lost",
    ),
    "unreachable state": (
        ('{ name = "posted" }, ', '{ name = "posted" }, { name = "stolen" }, '),
        "states[1] (parcel): state 'stolen' is unreachable from 'waiting';"
        " add a transition that leads there or leave the state out",
    ),
    "duplicate transition": (
        ('source = ["waiting", "posted"]', 'source = ["waiting", "waiting"]'),
        "states[1] (parcel).transitions[2]: source lists a name twice; name each once",
    ),
    "a trigger with two ways": (
        ('{ trigger = "lost"', '{ trigger = ["posted", "lost"]'),
        "states[1] (parcel).transitions[2]: 'posted' from 'waiting' stands already in"
        " states[1] (parcel).transitions[1]; a trigger leads from a state to one state only",
    ),
    "unknown trigger": (
        ('trigger = "lost"', 'trigger = "eaten"'),
        "states[1] (parcel).transitions[2]: trigger 'eaten' is unknown;"
        " the triggers are posted, lost",
    ),
    "dotted callback": (
        ('dest = "lost" }', 'dest = "lost", before = "os.system" }'),
        "states[1] (parcel).transitions[2]: callback 'before'; charts hold no code: leave it out",
    ),
    "condition": (
        ('dest = "lost" }', 'dest = "lost", conditions = "is_lost" }'),
        "states[1] (parcel).transitions[2]: callback 'conditions';"
        " charts hold no code: leave it out",
    ),
    "callback of a state": (
        ('{ name = "posted" }', '{ name = "posted", on_enter = "os.system" }'),
        "states[1] (parcel).children: callback 'on_enter'; charts hold no code: leave it out",
    ),
    "dotted trigger": (
        ('trigger = "lost"', 'trigger = "os.system"'),
        "states[1] (parcel).transitions[2]: trigger names 'os.system';"
        " names are lower-case letters, digits and single underscores; no dots, no code",
    ),
    "unused trigger": (
        ("[triggers]", '[triggers]\neaten = { stage = "ended" }'),
        "triggers.eaten: no transition takes it; add one or leave the trigger out",
    ),
    "unknown stage": (
        ('posted = { stage = "begun" }', 'posted = { stage = "started" }'),
        "triggers.posted: stage is 'started'; the stages are begun, ended",
    ),
    "unknown stage before": (
        ('after = "begun"', 'after = "started"'),
        "triggers.lost: after is 'started'; the stages are begun, ended",
    ),
    "unknown finding": (
        ('refused = "wrong_route"', 'refused = "odd"'),
        "triggers.lost: refused; no finding 'odd'; there are: contradiction, no_creation,"
        " outcome_without_sent, recipient_differs, wrong_route, timestamp_missing,"
        " timestamp_naive, node_missing, repaired, clock_disorder, unrecognised, late, repeated",
    ),
    "unknown key": (
        ("version = 1", "version = 1\nauthor = 1"),
        "unknown key 'author'; the keys are name, policy, stages, states, title, triggers, version",
    ),
    "state twice": (
        ('{ name = "posted" }, ', '{ name = "posted" }, { name = "posted" }, '),
        "states[1] (parcel).children: state 'posted' twice; name each state once",
    ),
    "version": (
        ("version = 1", "version = true"),
        "version is True; write version = 1 and count up with each change",
    ),
    "name": (
        ('name = "parcel"\nversion', 'name = "Parcel"\nversion'),
        "name is 'Parcel'; write a name of lower-case letters, digits and single underscores",
    ),
    "title": (
        ('title = "What became of one parcel"', 'title = " "'),
        "title is ' '; write title = \"a sentence\"",
    ),
    "mark": (
        ("final = true", 'final = "yes"'),
        "states[1] (parcel).children: final is 'yes'; write true or false",
    ),
    "separator in a name": (
        ('name = "parcel"\ninitial', 'name = "par__cel"\ninitial'),
        "states[1]: name is 'par__cel';"
        " write a name of lower-case letters, digits and single underscores",
    ),
    "region twice": (
        ("[[states]]", GOOD[GOOD.index("[[states]]") :] + "[[states]]"),
        "states[2]: region 'parcel' again; name each once",
    ),
    "a trigger that is no name": (
        ("[triggers]", '[triggers]\n"os.system" = { stage = "ended" }'),
        "triggers.os.system: not a name; use lower-case letters, digits and single underscores",
    ),
    "a trigger that is no table": (
        ('posted = { stage = "begun" }', 'posted = "begun"'),
        'triggers.posted: is \'begun\'; write { stage = "…", means = "…" }',
    ),
    "no stages": (
        ('stages = ["begun", "ended"]', "stages = []"),
        'stages is []; write stages = "a_name" or a list of names',
    ),
    "no triggers": (
        (GOOD[GOOD.index("[triggers]") : GOOD.index("[[states]]")], ""),
        'triggers: missing; write [triggers] with name = { stage = "…" } rows',
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault(case: str) -> None:
    """A fault is refused with the file, the table, what is wrong and what to write."""
    (old, new), message = FAULTS[case]
    separator = ": "
    # One mistake is told once: what only follows from it isn't told.
    assert faults(old, new) == (f"parcel.toml{separator}{message}",)


def test_no_states() -> None:
    """A chart without states says so."""
    (fault,) = faults(GOOD[GOOD.index("[[states]]") :], "")
    assert fault == "parcel.toml: states is missing or no list of tables; write [[states]] tables"


def test_not_toml() -> None:
    """A file that is no TOML is refused with line and column."""
    (fault,) = faults("version = 1", "version is 1")
    assert re.fullmatch(r"parcel\.toml: not TOML: .*\(at line 3, column 9\)", fault)


def test_all_faults() -> None:
    """Faults that don't depend on each other are all told, and the error is one line of the first."""
    bad = GOOD.replace('stage = "begun"', 'stage = "bygone"').replace("version = 1", "version = 0")
    bad = bad.replace('dest = "lost" }', 'dest = "burnt" }').replace(
        'initial = "wai', 'initial = "ai'
    )
    with pytest.raises(DefinitionError) as caught:
        load_chart(bad, where="parcel.toml")
    assert [line.split(": ")[1] for line in caught.value.faults] == [
        "version is 0; write version = 1 and count up with each change",
        "triggers.posted",
        "states[1] (parcel)",
    ]
    assert str(caught.value) == caught.value.faults[0]


def test_too_many_configurations() -> None:
    """A chart whose configurations multiply beyond reason is refused."""
    region = '[[states]]\nname = "r{0}"\ninitial = "a"\nchildren = [{{ name = "a" }}, {{ name = "b" }}]\n'
    region += 'transitions = [{{ trigger = "t{0}", source = "a", dest = "b" }}]\n'
    head = 'name = "wide"\nversion = 1\ntitle = "Wide"\npolicy = "None."\nstages = ["only"]\n[triggers]\n'
    triggers = "".join(f't{n} = {{ stage = "only" }}\n' for n in range(13))
    with pytest.raises(DefinitionError, match="more than 4096 configurations; use fewer"):
        load_chart(head + triggers + "".join(region.format(n) for n in range(13)))


def test_as_many_configurations_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last number that is allowed is."""
    monkeypatch.setattr("postledger.definitions.chart_toml._MOST_CONFIGURATIONS", 3)
    assert len(load_chart(GOOD, where="at the limit").configurations) == 3


def test_hash() -> None:
    """The hash is of the content: comments and layout don't count, a word does."""
    assert load_chart(GOOD).hash == load_chart("# a remark\n" + GOOD).hash
    assert load_chart(GOOD).hash != load_chart(GOOD.replace("parcel", "packet")).hash
    assert re.fullmatch(r"parcel 1 \([0-9a-f]{8}\)", load_chart(GOOD).label)


# Words that the library has for itself, or makes of the names of a chart.
_WORDS = {name for name in dir(load_chart(GOOD).machine()) if NAME.fullmatch(name)}
_WORDS -= {"posted", "lost"}
_WORDS |= {"is_chart", "to_chart", "to_parcel", "may_posted", "on_enter_chart", "is_state", "class"}


@pytest.mark.parametrize("word", sorted(_WORDS))
def test_a_word_of_the_library_as_a_name(word: str) -> None:
    """As a trigger, state or region it works as any other name would, or is refused at load."""
    other = GOOD.replace("posted = ", f"{word} = ").replace(
        'trigger = "posted"', f'trigger = "{word}"'
    )
    if word in TAKEN:
        with pytest.raises(DefinitionError, match="a name of the transitions library; use another"):
            load_chart(other)
    else:
        chart = load_chart(other)
        assert_machine(chart)
        assert chart.table[word] == load_chart(GOOD).table["posted"]
        assert chart.mermaid()
    for state in ('"waiting"', 'name = "parcel"\ninitial'):
        chart = load_chart(
            GOOD.replace(state, state.replace("waiting", word).replace("parcel", word))
        )
        assert_machine(chart)
        assert chart.mermaid()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_table(path: Path) -> None:
    """The table of each shipped chart is what the machine does in every configuration."""
    assert_machine(load_chart(path.read_text()))


@given(charts())
@settings(max_examples=60, deadline=None)
def test_table_is_the_machine(source: str) -> None:
    """The table of any chart is what the machine does, whatever the trigger and configuration."""
    assert_machine(load_chart(source))


def assert_machine(chart: Statechart) -> None:
    """Every trigger in every configuration, through the library, and as the table has it."""
    machine = chart.machine()
    assert configuration_of(machine, chart.regions) == chart.configurations[0]
    assert len(set(chart.configurations)) == len(chart.configurations)
    for name, moves in chart.table.items():
        for before, move in zip(chart.configurations, moves, strict=True):
            stand(machine, chart.regions, before)
            machine.trigger(name)
            assert configuration_of(machine, chart.regions) == chart.configurations[move.after]
            assert (move.refused, move.overrides) == told(chart, name, before)


def told(chart: Statechart, trigger: str, before: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether a region refuses the trigger, and whether a transition overrides, as the file has it."""
    refused = overrides = False
    for region, state in zip(chart.regions, before, strict=True):
        ways = {t.source: t for t in region.transitions if t.trigger == trigger}
        refused |= bool(ways) and state not in ways
        overrides |= state in ways and ways[state].overrides
    return refused, overrides


@pytest.mark.parametrize("name", sorted(builtin().charts))
def test_mermaid(name: str) -> None:
    """The diagram is the library's own and names every state of every region."""
    chart = builtin().charts[name]
    drawn = chart.mermaid()
    assert "stateDiagram-v2" in drawn
    assert all(state in drawn for region in chart.regions for state in region.states)


def test_a_chart_is_shown_without_its_text_and_its_table() -> None:
    """Both are long, and say nothing that the regions don't."""
    shown = repr(load_chart(GOOD))
    assert "title='What became of one parcel'" in shown
    assert not any(left_out in shown for left_out in (repr(GOOD), "configurations=", "table="))
