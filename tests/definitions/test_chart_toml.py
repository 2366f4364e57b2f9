"""Charts: what is refused at load, and with what words."""

from __future__ import annotations

import re

import pytest

from postledger.definitions import load_chart
from postledger.errors import DefinitionError
from tests.definitions.samples import CHART


def faults(old: str, new: str) -> tuple[str, ...]:
    """The faults of the good chart with one change."""
    assert old in CHART
    with pytest.raises(DefinitionError) as caught:
        load_chart(CHART.replace(old, new), where="parcel.toml")
    return caught.value.faults


def test_good() -> None:
    """A chart that is right loads, with its marks, stages and triggers."""
    chart = load_chart(CHART)
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
        "states[1] (parcel): initial state 'asleep' is unknown; write one of waiting, posted, lost",
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
        "states[1] (parcel).transitions[2]: 'posted' from 'waiting' is already in"
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
        "triggers.lost: refused is 'odd'; unknown finding 'odd': expected contradiction, no_creation,"
        " outcome_without_sent, recipient_differs, wrong_route, timestamp_missing,"
        " timestamp_naive, node_missing, repaired, clock_disorder, unrecognised, late, repeated,"
        " unfolded, field_twice, word_unknown, timestamp_implausible,"
        " amount_unreadable,"
        " part_unreadable, parts_missing, parts_differ",
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
        ("[[states]]", CHART[CHART.index("[[states]]") :] + "[[states]]"),
        "states[2]: region 'parcel' twice; name each once",
    ),
    "a trigger that is not a name": (
        ("[triggers]", '[triggers]\n"os.system" = { stage = "ended" }'),
        "triggers.os.system: not a name; write a name of lower-case letters, digits and single"
        " underscores",
    ),
    "a trigger that is not a table": (
        ('posted = { stage = "begun" }', 'posted = "begun"'),
        'triggers.posted: is \'begun\'; write { stage = "…", means = "…" }',
    ),
    "no stages": (
        ('stages = ["begun", "ended"]', "stages = []"),
        'stages is []; write stages = "a_name" or a list of names',
    ),
    "no triggers": (
        (CHART[CHART.index("[triggers]") : CHART.index("[[states]]")], ""),
        'triggers: missing; write [triggers] with name = { stage = "…" } rows',
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_fault(case: str) -> None:
    """A fault is refused with the file, the table, what is wrong and what to write."""
    (old, new), message = FAULTS[case]
    # One mistake is one fault: what only follows from it isn't reported.
    assert faults(old, new) == (f"parcel.toml: {message}",)


def test_no_states() -> None:
    """A chart without states says so."""
    (fault,) = faults(CHART[CHART.index("[[states]]") :], "")
    assert (
        fault == "parcel.toml: states is missing or not a list of tables; write [[states]] tables"
    )


def test_not_toml() -> None:
    """A file that is not TOML is refused with line and column."""
    (fault,) = faults("version = 1", "version is 1")
    assert re.fullmatch(r"parcel\.toml: not TOML: .*\(at line 3, column 9\)", fault)


def test_all_faults() -> None:
    """Faults that don't depend on each other are all reported, and the error is one line of the first."""
    bad = CHART.replace('stage = "begun"', 'stage = "bygone"').replace("version = 1", "version = 0")
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
    assert len(load_chart(CHART, where="at the limit").configurations) == 3


def test_hash() -> None:
    """The hash is of the content: comments and layout don't count, a word does."""
    assert load_chart(CHART).hash == load_chart("# a remark\n" + CHART).hash
    assert load_chart(CHART).hash != load_chart(CHART.replace("parcel", "packet")).hash
    assert re.fullmatch(r"parcel 1 \([0-9a-f]{8}\)", load_chart(CHART).label)
