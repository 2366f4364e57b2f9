"""Tones: which words stand in which colour, where there are colours; all of them can be read without."""

from __future__ import annotations

from postledger.cli.terminal import Tone
from postledger.definitions.definitions import Definitions
from postledger.model import DELIVERY

GOOD, BAD, ODD = "green", "red", "yellow"


def states(definitions: Definitions, chart: str = DELIVERY) -> Tone:
    """The colours of the states of a chart: final ones, by whether they come with a reason.

    Of a step it is the colour of the state after it.

    Raises ``UnknownWord`` for a chart that the definitions don't have.
    """
    region = definitions.chart(chart).regions[0]

    def tone(text: str) -> str | None:
        state = text.rpartition("→ ")[2].partition(",")[0]
        if state not in region.final:
            return None
        return BAD if state in region.explained else GOOD

    return tone


def findings(text: str) -> str | None:
    """The colour of what is odd about a delivery."""
    return ODD if text else None


def readings(text: str) -> str | None:
    """The colour of how an event was read, unless it is as it should be."""
    return None if text in ("", "recognised") else ODD
