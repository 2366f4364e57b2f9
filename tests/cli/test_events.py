"""``postledger events``."""

from __future__ import annotations

import json
from pathlib import Path

from postledger import UNVERIFIED, Ledger
from tests.cli import Run
from tests.conftest import FIXTURES
from tests.samples import sent

BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()


def test_each_member_of_each_event_is_a_row(run: Run, tmp_path: Path) -> None:
    """The position names the member; kind, reading, source, stream and repeats stand next to it."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(BUNDLE, source="here")
        ledger.record_many([sent("a"), sent("a"), b"?"])
        ledger.created("b", to="1")
    lines = run("events", path).stdout.splitlines()
    assert lines[0].split() == (
        ["position", "received", "at", "kind", "reading", "source", "stream", "repeats", "problem"]
    )
    rows = [line.split() for line in lines[2:]]
    assert rows[0][0] == "0"
    assert rows[0][2:] == ["adoption"]
    assert [row[0] for row in rows[1:3]] == ["1", "1.1"]
    assert rows[1][2:6] == ["receipt", "recognised", "here", "delivery"]
    by_position = {row[0]: row for row in rows}
    assert by_position["2"][2:] == ["receipt", "recognised", "delivery", "a"]
    assert by_position["3"][2:] == ["receipt", "recognised", "delivery", "a", "2"]
    assert by_position["4"][2:4] == ["receipt", "unreadable"]
    assert by_position["5"][2:] == ["statement", "recognised", "delivery", "b"]


def test_events_are_found_by_kind_reading_and_repetition(run: Run, tmp_path: Path) -> None:
    """Each is an option, and all together are an and."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record_many([sent("a"), sent("a"), b"?", b"?", sent("a", CODE="N333")])
        ledger.created("b", to="1")

    def found(*options: object) -> list[int]:
        lines = run("events", path, "--nl", *options).stdout.splitlines()
        return [json.loads(line)["position"] for line in lines]

    assert found() == [0, 1, 2, 3, 4, 5, 6]
    assert found("--kind", "adoption") == [0]
    assert found("--kind", "statement") == [6]
    assert found("--reading", "unreadable") == [3, 4]
    assert found("--reading", "unrecognised") == [5]
    assert found("--repeats") == [2, 4]
    assert found("--repeats", "--reading", "recognised") == [2]
    assert found("--after", 4) == [5, 6]


def test_events_are_found_by_source_and_sender(run: Run, tmp_path: Path) -> None:
    """As ``accept`` takes them; the empty text finds those without one."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(sent("a"), sender=UNVERIFIED, source="here")
        ledger.record(sent("b"), sender=UNVERIFIED, source="there")
        ledger.record(sent("c"), sender="hmac", source="here")
        ledger.accept(1, 1)

    def found(*options: object) -> list[int]:
        lines = run("events", path, "--nl", *options).stdout.splitlines()
        return [json.loads(line)["position"] for line in lines]

    assert found("--source", "here") == [1, 3, 4]
    assert found("--sender", "unverified") == [1, 2]
    assert found("--source", "here", "--sender", "unverified") == [1]
    assert found("--sender", "accepted") == [4]
    assert found("--sender", "hmac") == [3]
    assert found("--source", "", "--sender", "") == [0, 5]


def test_senders_are_shown_where_there_are_any(run: Run, tmp_path: Path) -> None:
    """A column of nothing says nothing."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(sent("a"), source="here")
        assert "sender" not in run("events", path).stdout
        ledger.record(sent("b"), source="here", sender="hmac")
    *_, head, _, first, second = ["", *run("events", path, "--after", 0).stdout.splitlines()]
    assert "source    sender    stream" in head
    assert first.split()[-3:] == ["here", "delivery", "a"]
    assert second.split()[-4:] == ["here", "hmac", "delivery", "b"]


def test_an_unrecognised_event_of_a_known_type_says_why(run: Run, tmp_path: Path) -> None:
    """Which section of which vocabulary fits, and what it lacks, or that nothing fits."""
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        ledger.record(b'{"origin": "SMS_MT", "code": "N202", "tracking-id": "a"}')
        ledger.record(b'{"origin": "SMS_MT", "code": "N202", "status": "20"}')
        ledger.record(b'{"origin": "SMS_MT", "code": "N333", "tracking-id": "a"}')
    rows = json.loads(run("events", path, "--after", 0, "--json").stdout)
    assert [row["reading"] for row in rows] == ["unrecognised"] * 3
    section = "'SMS MT Status' of the vocabulary skycore fits, but"
    wordless, keyless, strange = (row["problem"] for row in rows)
    assert f"{section} no row of its means does" in wordless
    assert f"{section} tracking_id is missing" in keyless
    assert strange == "no vocabulary knows it"


def test_a_row_for_programs_has_all_that_an_event_has(run: Run, samples: Path) -> None:
    """Its names are those of the Python interface."""
    (row,) = json.loads(run("events", samples, "--after", 10, "--json").stdout)
    with Ledger(samples) as ledger:
        event = next(ledger.events(10))
    assert {
        "position",
        "member",
        "kind",
        "reading",
        "source",
        "sender",
        "space",
        "leaf",
    } <= row.keys()
    assert all(hasattr(event, name) for name in row)
    assert row["leaf"] == event.leaf.hex()
