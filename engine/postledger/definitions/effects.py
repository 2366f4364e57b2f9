"""Effects: what an event of one reading does to its stream, compiled from the chart."""

from __future__ import annotations

import attrs

from postledger.definitions.chart import Statechart
from postledger.definitions.vocabulary import Reading
from postledger.findings import Finding, Verdict


@attrs.frozen
class Change:
    """What an event does to a stream in one configuration.

    ``after`` is the index of the configuration it leads to. ``regions`` are the indexes of the
    regions whose state changes, ``agreed`` those of regions in a state that wants a reason, of which
    the trigger says the same again. ``outcome`` is whether the state that the first region enters is
    final, and ``None`` where that region keeps its state.
    """

    after: int
    verdict: Verdict
    findings: int
    regions: tuple[int, ...]
    agreed: tuple[int, ...]
    outcome: bool | None


@attrs.frozen
class Effect:
    """What events of one reading do to their stream: ``changes`` has one for each configuration."""

    reading: Reading
    chart: Statechart
    stage: int
    after: int | None
    changes: tuple[Change, ...]


Compiled = tuple[int, int | None, tuple[Change, ...]]
"""The part of an effect that depends on the trigger and evidence alone: stage, after, changes."""


def compiled(chart: Statechart, trigger: str, evidence: tuple[str, ...]) -> Compiled:
    """What a trigger, with the evidence of the same event, does in every configuration."""
    said = chart.triggers[trigger]
    changes = tuple(_change(chart, i, trigger, evidence) for i in range(len(chart.configurations)))
    return said.stage, said.after, changes


def _change(chart: Statechart, before: int, trigger: str, evidence: tuple[str, ...]) -> Change:
    """The trigger first, then the evidence in its order."""
    move = chart.table[trigger][before]
    contradicts = move.refused or move.overrides
    findings = chart.triggers[trigger].refused if contradicts else Finding(0)
    after = move.after
    for more in evidence:
        move = chart.table[more][after]
        after = move.after
        if move.refused:
            findings |= chart.triggers[more].refused
    one, other = chart.configurations[before], chart.configurations[after]
    regions = tuple(i for i in range(len(one)) if one[i] != other[i])
    outcome = other[0] in chart.regions[0].final if 0 in regions else None
    agreed = tuple(
        i
        for i, region in enumerate(chart.regions)
        if i not in regions and region.says_again(trigger, one[i])
    )
    verdict = Verdict.APPLIED if regions else Verdict.NO_EFFECT
    if contradicts:
        verdict = Verdict.CONTRADICTS
    return Change(after, verdict, int(findings), regions, agreed, outcome)
