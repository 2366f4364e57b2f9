"""``postledger show``."""

from __future__ import annotations

import json
from pathlib import Path

from postledger import Ledger
from tests.cli import SAMPLES, Run
from tests.samples import DEGRADED, chart


def test_show_prints_the_json_of_the_design(run: Run, samples: Path) -> None:
    """The delivery with its timeline, under the names of the design."""
    shown = json.loads(run("show", samples, DEGRADED, "--json").stdout)
    timeline = shown.pop("timeline")
    assert list(shown) == [
        "tracking_id", "state", "route", "read", "grade", "reason", "to", "mms_id", "spid", "handset",
        "aggregator_id", "created_at", "sent_at", "outcome_at", "events", "repeats", "findings",
        "space", "reason_class", "labels", "amounts",
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
    assert "contradicts 6  delivered, degraded" in text


def test_a_stream_of_another_chart_or_space_is_shown(run: Run, tmp_path: Path) -> None:
    """An id is unique within its chart and its space alone: both are options."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.created("X-1", to="1", space="acme")
        ledger.record_many(sample.read_bytes() for sample in SAMPLES)
    assert run("show", path, "X-1", "--space", "other").exit_code == 1
    assert run("show", path, "X-1").stdout == run("show", path, "X-1", "--space", "acme").stdout
    shown = json.loads(run("show", path, "X-1", "--space", "acme", "--json").stdout)
    assert (shown["state"], shown["space"]) == ("created", "acme")
    content = json.loads(run("show", path, "35674", "--chart", "content", "--json").stdout)
    assert content["state"] == "failed"
    assert "acme" in run("show", path, "X-1", "--space", "acme").stdout
    rows = run("deliveries", path, "--space", "acme", "--nl").stdout.splitlines()
    assert [json.loads(row)["tracking_id"] for row in rows] == ["X-1"]
    rows = run("deliveries", path, "--chart", "content", "--nl").stdout.splitlines()
    assert [json.loads(row)["tracking_id"] for row in rows] == ["35674"]


def test_what_was_known_is_read_by_the_definitions_of_now_or_then(
    run: Run, samples: Path, tmp_path: Path
) -> None:
    """``--definitions then`` shows what was shown then."""
    adopted = chart(tmp_path, last_stands=True)
    assert run("replay", samples, "--chart", adopted, "--adopt").exit_code == 0
    for command in (["show", samples, DEGRADED, "--json"], ["deliveries", samples, "--nl"]):
        states = [
            [
                one
                for one in run(*command, "--as-of", 11, *options).stdout.split('"')
                if one == "failed"
            ]
            for options in ([], ["--definitions", "now"], ["--definitions", "then"])
        ]
        assert states[0] == states[1] != states[2]
