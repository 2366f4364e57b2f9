"""Shares: what is usual by the past, and the stretch that went worse."""

from __future__ import annotations

import pytest

from postledger.alerts.shares import HOURS, Stretch, Sums, Usual, worse

USUAL = Usual(given=0.1)


def hours(days: int, count: int = 60, share: float = 0.1) -> dict[int, Sums]:
    """The sums of every hour of some days."""
    return {hour: (count, round(count * share)) for hour in range(days * HOURS)}


def slots(*sums: Sums) -> list[tuple[int, int, Sums]]:
    """Slots, the newest first."""
    return [(100 - number, 0, one) for number, one in enumerate(sums)]


def twice(share: float) -> float:
    """A share to look for."""
    return 2 * share


def test_nothing_is_usual_without_a_past() -> None:
    """Three days, and as many as a rule asks for."""
    assert not Usual({}, 100).known
    assert not Usual(hours(2), 100).known
    assert not Usual(hours(3, count=1), 100).known
    assert Usual(hours(3), 100).known


def test_a_bad_day_is_not_usual() -> None:
    """Nor do its hours count as such that vary."""
    bad = dict.fromkeys(range(HOURS, 2 * HOURS), (60, 55))
    usual = Usual({**hours(7), **bad}, 100)
    assert {usual.share(hour) for hour in range(HOURS)} == {0.1}
    assert usual.spread() == 1


def test_each_hour_of_the_day_has_a_usual_share() -> None:
    """With the hours next to it, also across midnight; where these have few, that of all hours."""
    past = hours(7)
    past |= {hour: (60, 30) for hour in past if hour % HOURS in (22, 23, 0, 1)}
    usual = Usual(past, 100)
    assert usual.share(12) == pytest.approx(0.1)
    assert usual.share(23) == usual.share(0) == pytest.approx(0.5)
    assert Usual(past, 2_000).share(23) == pytest.approx(1 / 6)


def test_hours_that_vary_widen_the_spread() -> None:
    """More than chance lets them."""
    past = {hour: (60, 2 if hour % 2 else 10) for hour in range(7 * HOURS)}
    assert Usual(past, 100).spread() > 2


def test_a_worse_stretch_is_found_from_its_beginning() -> None:
    """With what is in it; before it all was usual."""
    bad, good = (50, 20), (50, 5)
    found = worse(slots(*[bad] * 6, *[good] * 20), USUAL, lambda share: 0.4, 100)
    assert found == Stretch(95, 300, 120, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("sums", "what"),
    [
        ([], "nothing"),
        ([(50, 5)] * 100, "all as usual"),
        ([(99, 99)], "too few"),
        ([(10, 2)] * 10, "not certain enough"),
        ([(1000, 150)] * 10, "certain, but nearer to the usual"),
        ([*[(50, 5)] * 2, *[(50, 20)] * 10], "it is over"),
    ],
)
def test_no_stretch_is_found(sums: list[Sums], what: str) -> None:
    """Where there is none to look at."""
    assert worse(slots(*sums), USUAL, twice, 100) is None, what


def test_nothing_is_worse_than_the_worst() -> None:
    """Where nearly all is bad already, no alert says that it is better."""
    usual = Usual(given=0.995)
    assert worse(slots(*[(50, 10)] * 20), usual, lambda share: share + 0.05, 100) is None
