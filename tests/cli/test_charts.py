"""``postledger charts``."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from postledger.definitions.chart_toml import load_chart
from postledger.definitions.definitions import builtin
from tests.cli import Run


def test_charts_prints_what_the_library_draws(run: Run, samples: Path) -> None:
    """Mermaid for diagrams, tables for people, of those that ship or of a ledger's own."""
    drawn = run("charts", "delivery", "--mermaid").stdout
    assert "stateDiagram-v2" in drawn
    assert 'state "degraded"' in drawn
    assert "delivered wins over any other outcome" in run("charts").stdout
    assert run("charts", "--ledger", samples).stdout == run("charts").stdout


def test_providers_are_listed(run: Run) -> None:
    """With their titles; those that are read unasked are marked."""
    listed = run("charts", "providers").stdout
    assert re.search(r"^skycore \*\s+Skycore SMS/MMS MT postbacks", listed, re.M)


def test_a_chart_can_be_had_as_a_picture(run: Run) -> None:
    """One well-formed SVG with every state of every region in it; which chart must be said."""
    drawn = run("charts", "--svg", "delivery")
    assert drawn.exit_code == 0
    texts = {node.text for node in ElementTree.fromstring(drawn.stdout).iter() if node.text}
    regions = builtin().charts["delivery"].regions
    assert {state for region in regions for state in region.states} <= texts
    assert run("charts", "--svg").exit_code == 2


def test_the_file_of_a_chart_is_one_to_begin_from(run: Run, tmp_path: Path) -> None:
    """``--toml`` prints what the chart was read from; ``check`` has nothing to say against it."""
    mine = tmp_path / "mine.toml"
    mine.write_text(run("charts", "--toml", "delivery").stdout)
    assert run("charts", "check", mine).exit_code == 0
    assert load_chart(mine.read_text()).source == mine.read_text()
    assert load_chart(mine.read_text()).regions == builtin().charts["delivery"].regions
    assert run("charts", "--toml").exit_code == 2
