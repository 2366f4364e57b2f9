"""Charts: the table is what the machine of the library does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger.definitions import builtin, load_chart
from postledger.definitions.chart import TAKEN, Statechart, configuration_of, stand
from postledger.definitions.diagnostics import NAME
from postledger.errors import DefinitionError
from tests.definitions.samples import CHART
from tests.strategies import charts

SHIPPED = sorted((Path(__file__).parents[2] / "statecharts").glob("*.toml"))


# Words that the library has for itself, or makes of the names of a chart.
_WORDS = {name for name in dir(load_chart(CHART).machine()) if NAME.fullmatch(name)}
_WORDS -= {"posted", "lost"}
_WORDS |= {"is_chart", "to_chart", "to_parcel", "may_posted", "on_enter_chart", "is_state", "class"}


@pytest.mark.parametrize("word", sorted(_WORDS))
def test_a_word_of_the_library_as_a_name(word: str) -> None:
    """As a trigger, state or region it works as any other name would, or is refused at load."""
    other = CHART.replace("posted = ", f"{word} = ").replace(
        'trigger = "posted"', f'trigger = "{word}"'
    )
    if word in TAKEN:
        with pytest.raises(DefinitionError, match="a name of the transitions library; use another"):
            load_chart(other)
    else:
        chart = load_chart(other)
        assert_machine(chart)
        assert chart.table[word] == load_chart(CHART).table["posted"]
        assert chart.mermaid()
    for state in ('"waiting"', 'name = "parcel"\ninitial'):
        chart = load_chart(
            CHART.replace(state, state.replace("waiting", word).replace("parcel", word))
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
            assert (move.refused, move.overrides) == in_file(chart, name, before)


def in_file(chart: Statechart, trigger: str, before: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether a region refuses the trigger, and whether a transition overrides, by the file."""
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
    shown = repr(load_chart(CHART))
    assert "title='What became of one parcel'" in shown
    assert not any(left_out in shown for left_out in (repr(CHART), "configurations=", "table="))


@given(charts(), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_order_of_triggers_does_not_matter(source: str, random: Random) -> None:
    """Charts of one hash have the same configurations and table, in whatever order triggers are."""
    head, rows, rest = re.split(r"(?<=\[triggers\]\n)|\n(?=\[\[states\]\])", source, maxsplit=2)
    listed = rows.split("\n")
    random.shuffle(listed)
    one, other = load_chart(source), load_chart("\n".join((head, *listed, rest)))
    assert one.hash == other.hash
    assert one.configurations == other.configurations
    assert one.table == other.table


def test_the_library_is_quiet_at_info() -> None:
    """A program that shows its log at INFO sees one line of a new ledger, and one of a replay."""
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True
    )
    said = [line for line in done.stderr.splitlines() if line]
    assert [line.split(":")[:2] for line in said] == [["INFO", "postledger"]] * 2, said
    assert "begun" in said[0]
    assert "reads by" in said[1]


LOGGING = """
import logging, tempfile
from pathlib import Path
logging.basicConfig(level=logging.INFO)
from postledger import Ledger
with tempfile.TemporaryDirectory() as folder:
    with Ledger(Path(folder) / "a.db") as ledger:
        ledger.record(b"?")
    with Ledger(Path(folder) / "a.db") as ledger:
        ledger.replay()
assert logging.getLogger().level == logging.INFO
"""
