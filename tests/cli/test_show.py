"""``postledger show``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli import Run
from tests.samples import DEGRADED


def test_show_prints_the_json_of_the_design(run: Run, samples: Path) -> None:
    """The delivery with its timeline, under the names of the design."""
    shown = json.loads(run("show", samples, DEGRADED, "--json").stdout)
    timeline = shown.pop("timeline")
    assert list(shown) == [
        "tracking_id", "state", "route", "reason", "to", "mms_id", "spid", "handset",
        "aggregator_id", "created_at", "sent_at", "outcome_at", "events", "repeats", "findings",
        "space",
    ]  # fmt: skip
    assert (shown["state"], shown["route"]) == ("delivered", "degraded")
    assert shown["sent_at"] == "2012-06-07T12:27:34Z"
    assert {
        "position", "received_at", "occurred_at", "code", "status", "trigger", "verdict", "before",
        "after", "details",
    } <= timeline[0].keys()  # fmt: skip
    assert [step["verdict"] for step in timeline].count("repeated") == 1


def test_show_tells_people_what_happened(run: Run, samples: Path) -> None:
    """The table of a degraded message names its reason and its contradiction."""
    text = run("show", samples, DEGRADED).stdout
    assert "reason         Handset setting: mms with pass via xHTML;" in text
    assert "contradicts  delivered, degraded" in text
