"""From the simulated provider to the command: a drop of a carrier, at 1,000 messages an hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import attrs
import pytest

from postledger import Ledger
from postledger.simulate import START, Disturbances, Message, arrivals, messages
from postledger.simulate.story import Story, builtin
from tests.cli import Run

AN_HOUR = 1_000
DROP = START + timedelta(days=5)
UNTIL = DROP + timedelta(minutes=90)
BAD_DAY = Disturbances(repeats=0.1, reordered=0.2, lost=0.01, malformed=0.01, skewed=0.1)
CARRIERS = ("0001470", "0001570", "0001140")


def story() -> Story:
    """SMS of the story that ships, of which some 93 in a hundred are delivered."""
    shares = {"sms delivered": 93, "sms failed": 5, "sms sent": 2}
    told = builtin()
    paths = tuple(attrs.evolve(p, share=shares[p.name]) for p in told.paths if p.name in shares)
    return attrs.evolve(told, paths=paths, choices={**told.choices, "spid": CARRIERS})


def dropped(told: Iterator[Message], carrier: str, share: float, seed: int) -> Iterator[Message]:
    """The messages, but of that carrier a share has no outcome from the drop on."""
    rng = Random(seed)
    for one in told:
        said = {text for sent in one.sent for _, text in sent.postback.fields}
        if one.began >= DROP and carrier in said and rng.random() < share:
            outcome = one.sent[-1].postback
            kept = tuple(sent for sent in one.sent if sent.postback != outcome)
            yield attrs.evolve(one, sent=kept)
        else:
            yield one


@pytest.mark.long
@pytest.mark.parametrize("seed", [501, 502, 503])
def test_a_drop_is_said_by_the_command_within_an_hour(run: Run, tmp_path: Path, seed: int) -> None:
    """And none of the days before."""
    carrier = CARRIERS[seed % 3]
    count = (UNTIL - START) * AN_HOUR // timedelta(hours=1)
    told = messages(story(), count, seed=seed, disturbances=BAD_DAY, rate=AN_HOUR / 3600)
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record_many(arrivals(dropped(iter(told), carrier, 0.2, seed), seed=seed))
    # What was reordered comes up to ten minutes late: that long no message can be judged.
    for at, status in ((DROP, 0), (DROP + timedelta(minutes=75), 3)):
        found = run("check", tmp_path / "a.db", "--at", at.isoformat())
        assert (found.exit_code, found.stdout.count("\n")) == (status, int(status == 3))
        if status:
            assert found.stdout.startswith(f"ratio: carrier {carrier}: ")
