"""``postledger show``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from postledger import Ledger
from tests.cli import SAMPLES, Run
from tests.conftest import FIXTURES
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
        "number", "position", "received_at", "occurred_at", "code", "status", "trigger", "verdict",
        "before", "after", "details",
    } <= timeline[0].keys()  # fmt: skip
    assert [step["verdict"] for step in timeline].count("repeated") == 1


def test_show_tells_people_what_happened(run: Run, samples: Path) -> None:
    """The table of a degraded message names its reason and its contradiction."""
    text = run("show", samples, DEGRADED).stdout
    assert "reason         Handset setting: mms with pass via xHTML;" in text
    assert "contradicts position 6  delivered, degraded" in text
    assert re.search(r"(?m)^event +position +received at", text)
    assert re.search(r"(?m)^3 +6 +\d", text)
    assert re.search(r"(?m)^event 1: Handset setting", text)


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


_FORM = "application/x-www-form-urlencoded"
_PARTS = (
    '{"receipted_message_id": "1", "message_state": 2, "source_addr": "+15550100018",'
    ' "destination_addr": "A/1", "sar_msg_ref_num": 7, "sar_total_segments": 1,'
    ' "sar_segment_seqnum": 1}'
)


@pytest.mark.parametrize(
    "typed",
    ["15550100018/A%2F1/7", "15550100018/A/1/7", "+15550100018/A/1/7", "0015550100018/A/1/7"],
)
def test_an_id_of_several_fields_is_typed_as_the_provider_writes_it(
    run: Run, tmp_path: Path, typed: str
) -> None:
    """Slashes within a field needn't be escaped, nor a number be spelled as in the key."""
    path = tmp_path / "l.db"
    with Ledger(path, providers="smpp_parts") as ledger:
        ledger.record(_PARTS.encode(), "application/json")
    for words in ([], ["--space", "smpp_parts"]):
        assert "15550100018/A%2F1/7" in run("show", path, typed, *words).stdout
    assert run("show", path, f"{typed}8").exit_code == 1


def test_an_id_that_may_be_two_is_asked_for(run: Run, tmp_path: Path) -> None:
    """Nothing is guessed: the error has both keys."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        for key in ("a%2Fb/1", "a/b%2F1"):
            ledger.created(key, to="1")
    refused = run("show", path, "a/b/1")
    assert refused.exit_code == 1
    assert "'a/b/1' may be each delivery of 'a/b%2F1', 'a%2Fb/1'; give one" in refused.stderr


def test_an_id_of_several_spaces_is_answered_with_the_command(run: Run, tmp_path: Path) -> None:
    """It can be copied, whatever the id has in it."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        for space in ("one", "other"):
            ledger.created("X 1", to="1", space=space)
    for words, option in ((["show", path, "X 1"], ""), (["audit", path, "--id", "X 1"], "--id ")):
        refused = run(*words)
        assert refused.exit_code == 1
        assert f"postledger {words[0]} {path} {option}'X 1' --space one" in refused.stderr


def test_a_bare_number_is_shown_with_what_it_says(run: Run, tmp_path: Path) -> None:
    """What 8 means only the vocabulary knows."""
    path = tmp_path / "l.db"
    with Ledger(path, providers="kannel") as ledger:
        ledger.record(b"type=8&id=1&to=15550100018&ts=1772359205", query=True)
    assert "8 (sent_sms)" in run("show", path, "1").stdout


@pytest.mark.parametrize(
    "words", [["show", "{}", "X-1"], ["deliveries", "{}"], ["audit", "{}", "--id", "X-1"]]
)
def test_an_unknown_space_is_refused(run: Run, tmp_path: Path, words: list[str]) -> None:
    """With the spaces that there are: those of the vocabularies, and those of events."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.created("X-1", to="1", space="acme")
        ledger.replay(ledger.definitions.with_providers("kannel"))
    refused = run(*(word.format(path) for word in words), "--space", "acne")
    assert refused.exit_code == 1
    assert "Error: unknown space 'acne': expected acme, kannel" in refused.stderr
    assert run("deliveries", path, "--space", "kannel").exit_code == 0
    assert run("deliveries", path, "--space", "").exit_code == 0


def test_the_part_that_an_event_is_about_is_shown(run: Run, tmp_path: Path) -> None:
    """In the table for people and in JSON; an event about the whole message names none."""
    path, samples = tmp_path / "l.db", FIXTURES / "providers" / "smpp_parts"
    with Ledger(path, providers=["smpp_parts"]) as ledger:
        for number in (1, 2):
            ledger.record((samples / f"part-{number}.json").read_bytes())
        (one,) = ledger.deliveries()
        ledger.created(one.tracking_id, to=one.to or "", space="smpp_parts")
    shown = run("show", path, one.tracking_id)
    assert [f"part {number} of 2" in shown.stdout for number in (1, 2, 3)] == [True, True, False]
    timeline = json.loads(run("show", path, one.tracking_id, "--json").stdout)["timeline"]
    assert [step["part"] for step in timeline] == [None, [1, 2], [2, 2]]
