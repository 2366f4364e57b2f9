"""Times, positions and spans as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli import Run
from tests.samples import SMS, sent


def test_spans_and_moments_are_read_as_people_write_them(run: Run, tmp_path: Path) -> None:
    """``24h`` and a bare date are enough."""
    path = tmp_path / "l.db"
    run("ingest", path, "-", stdin=sent("a"))
    assert len(run("deliveries", path, "--stuck", "24h", "--nl").stdout.splitlines()) == 1
    assert run("deliveries", path, "--since", "2013-11-06", "--nl").stdout == ""
    assert len(run("deliveries", path, "--until", "2013-11-06", "--nl").stdout.splitlines()) == 1
    assert run("show", path, "a", "--as-of", "2013-11-06").exit_code == 1
    assert run("show", path, "a", "--occurred-by", "2013-11-06").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["show", "{}", SMS, "--as-of", "0001-01-01T00:00:00+14:00"],
        ["show", "{}", SMS, "--occurred-by", "9999-12-31T23:59:59-14:00"],
        ["show", "{}", SMS, "--as-of", "9" * 5000],
        ["deliveries", "{}", "--since", "0001-01-01T00:00:00+10:00"],
        ["audit", "{}", "--json", "--until", "last week"],
    ],
)
def test_a_moment_that_is_none_is_told(run: Run, samples: Path, words: list[str]) -> None:
    """Out of the years there are in UTC, too, and a number that Python takes for none."""
    done = run(*(word.format(samples) for word in words))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "invalid time" in done.stderr
    assert ": expected 2026-11-05, 2026-11-05 14:30, " in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["events", "{}", "--after", str(10**30)],
        ["events", "{}", "--limit", str(10**30)],
        ["follow", "{}", "--no-live", "--after", str(10**30)],
        ["export", "{}", "-", "--after", str(10**30)],
        ["deliveries", "{}", "--limit", str(10**30)],
        ["deliveries", "{}", "--as-of", str(10**30)],
        ["deliveries", "{}", "--stuck", "999999w"],
        ["show", "{}", SMS, "--as-of", str(10**30)],
        ["audit", "{}", "--json", "--as-of", str(10**30)],
    ],
)
def test_a_number_beyond_all_positions_is_a_number_like_others(
    run: Run, samples: Path, words: list[str]
) -> None:
    """Behind the last position there is nothing, as of a later one there is all."""
    done = run(*(word.format(samples) for word in words))
    assert (done.exit_code, done.exception) == (0, None)
