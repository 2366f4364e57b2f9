"""The provider's side, simulated: postbacks of many messages, disturbed, next to the truth about them.

>>> from postledger.simulate import ALL, simulate
>>> truths = []
>>> receipts = list(simulate(3, seed=1, disturbances=ALL, witness=lambda m: truths.append(m.truth)))
>>> [truth.state for truth in truths]
['delivered', 'failed', 'sent']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from postledger.arguments import checked
from postledger.model import Receipt
from postledger.simulate.arrivals import Witness, arrivals
from postledger.simulate.messages import (
    ALL,
    NONE,
    START,
    Disturbances,
    Message,
    Sent,
    Truth,
    messages,
)
from postledger.simulate.story import Story, builtin, load_story, read_story
from postledger.simulate.wording import story_of

__all__ = [
    "ALL",
    "NONE",
    "START",
    "Disturbances",
    "Message",
    "Sent",
    "Story",
    "Truth",
    "arrivals",
    "load_story",
    "messages",
    "read_story",
    "simulate",
    "story_of",
]


@checked
def simulate(
    count: int,
    *,
    seed: int = 0,
    disturbances: Disturbances = NONE,
    generations: Mapping[str, float] | None = None,
    rate: float = 1.0,
    story: Story | None = None,
    witness: Witness = lambda _: None,
) -> Iterator[Receipt]:
    """The receipts of ``count`` messages in order of arrival; the same arguments give the same ones.

    ``witness`` is shown each message, with the truth about it. ``generations`` are those to tell in
    and how often (all alike), ``rate`` messages begin each second, by ``story`` (the one that ships;
    ``story_of`` makes that of any vocabulary).
    Memory holds only what is on its way.
    """
    told = messages(
        story or builtin(),
        count,
        seed=seed,
        disturbances=disturbances,
        generations=generations,
        rate=rate,
    )
    return arrivals(told, bundled=disturbances.bundled, seed=seed, witness=witness)
