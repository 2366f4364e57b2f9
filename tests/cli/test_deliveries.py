"""``postledger deliveries``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli import Run


def test_deliveries_prints_rows_as_json_lines_and_csv(run: Run, samples: Path) -> None:
    """All three forms for programs hold the same deliveries."""
    rows = json.loads(run("deliveries", samples, "--json").stdout)
    lines = run("deliveries", samples, "--nl").stdout.splitlines()
    table = run("deliveries", samples, "--csv").stdout.splitlines()
    assert rows == [json.loads(line) for line in lines]
    assert "timeline" not in rows[0]
    assert len(table) == len(rows) + 1 == 4
    assert table[0].startswith("tracking_id,state,route,read,grade,reason,to,")


def test_deliveries_without_any_is_an_empty_list(run: Run, samples: Path) -> None:
    """Nothing found is an empty array, no line, and exit 0."""
    empty = run("deliveries", samples, "--state", "failed", "--json")
    assert (json.loads(empty.stdout), empty.exit_code) == ([], 0)
    assert run("deliveries", samples, "--state", "failed", "--nl").stdout == ""
