"""Which events and changes are asked for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import UNVERIFIED, Ledger, Receipt
from postledger.cli.narrow import Narrow, codes_of
from tests import strategies
from tests.cli import Run
from tests.conftest import FIXTURES, ledger_of
from tests.samples import delivered, failed, sent

DAY = datetime(2024, 11, 5, tzinfo=UTC)
BUNDLE = (FIXTURES / "generations/g0/bundle.xml").read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Five receipts of two deliveries, an hour between each, the third of them out of order."""
    with Ledger(tmp_path / "l.db") as ledger:
        bodies = [sent("a"), failed("b"), b"?", delivered("a"), sent("a")]
        hours = [1, 2, 0, 3, 4]
        for body, hour in zip(bodies, hours, strict=True):
            ledger.record(body, received_at=DAY + timedelta(hours=hour))
    return tmp_path / "l.db"


Found = Callable[..., list[int]]


@pytest.fixture
def found(run: Run, path: Path) -> Found:
    """The positions that a command finds."""

    def positions(command: str, *options: object) -> list[int]:
        done = run(command, path, *options)
        assert done.exit_code == 0, done.stderr
        return [json.loads(line)["position"] for line in done.stdout.splitlines()]

    return positions


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--since", "2024-11-05 02:00"], [0, 2, 4, 5]),
        (["--since", "2024-11-05 02:00", "--until", "2024-11-06"], [2, 4, 5]),
        (["--until", "2024-11-05 02:00"], [1, 3]),
        (["--until", "2024-11-05 02:00", "--tz", "+01:00"], [3]),
        (["--id", "a"], [1, 4, 5]),
        (["--id", "a", "--since", "2024-11-05 03:00", "--after", 4], [5]),
        (["--id", "nobody"], []),
        (["--code", "N201"], [1, 2, 5]),
        (["--code", "N201", "--id", "a", "--repeats"], [5]),
        (["--state", "delivered"], [4]),
        (["--state", "sms"], [1]),
        (["--state", "sent", "--until", "2024-11-05 01:00"], []),
        (["--state", "failed", "--code", "N202"], []),
    ],
)
def test_events_are_found_by_what_is_asked_for(
    found: Found, options: list[object], positions: list[int]
) -> None:
    """By time of reception, id, code, and the state that they brought about; together an and."""
    assert found("events", "--nl", *options) == positions


@pytest.mark.parametrize(
    ("options", "positions"),
    [
        (["--since", "2024-11-05 02:00"], [2, 4]),
        (["--until", "2024-11-05 03:00"], [1, 2]),
        (["--id", "a"], [1, 4]),
        (["--id", "b", "--after", 2], []),
        (["--id", "nobody"], []),
        (["--code", "N202"], [4]),
        (["--state", "failed"], [2]),
        (["--state", "sms"], [1]),
        (["--since", "tomorrow"], []),
    ],
)
def test_changes_are_found_by_what_is_asked_for(
    found: Found, options: list[object], positions: list[int]
) -> None:
    """Likewise, by the event that made the change."""
    assert found("follow", "--no-live", "--json", *options) == positions


def test_without_a_position_the_last_ten_that_are_asked_for_are_shown(
    run: Run, tmp_path: Path
) -> None:
    """However many others lie between them."""
    with Ledger(tmp_path / "l.db") as ledger:
        for n in range(11):
            ledger.record_many([failed(f"f{n}"), *(sent(f"s{n}.{m}") for m in range(80))])
    done = run("follow", tmp_path / "l.db", "--no-live", "--state", "failed", "--json")
    ids = [json.loads(line)["delivery"]["tracking_id"] for line in done.stdout.splitlines()]
    assert ids == [f"f{n}" for n in range(1, 11)]


def test_until_ends_the_list(run: Run, path: Path) -> None:
    """Nothing is waited for that would not be printed."""
    assert run("follow", path, "--until", "now", "--json").exit_code == 0
    refused = run("follow", path, "--until", "now", "--live")
    assert (refused.exit_code, "--until ends the list" in refused.stderr) == (2, True)


@pytest.mark.parametrize("command", ["events", "follow"])
def test_an_unknown_state_is_refused(run: Run, path: Path, command: str) -> None:
    """With those that there are, of any region."""
    refused = run(command, path, "--state", "lost")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Error: unknown state 'lost': expected created, ")
    backwards = run(command, path, "--since", "now", "--until", "today")
    assert (backwards.exit_code, "--since must be before" in backwards.stderr) == (2, True)


def test_of_a_bundle_only_the_members_with_the_id_are_listed(run: Run, tmp_path: Path) -> None:
    """The others are of other deliveries."""
    with Ledger(tmp_path / "l.db") as ledger:
        ledger.record(BUNDLE)
        members = [event for event in ledger.events(0) if event.key is not None]
        assert len({event.key for event in members}) > 1
        for event in members:
            assert list(ledger.events(key=event.key)) == [
                one for one in members if one.key == event.key
            ]


def test_a_code_is_that_of_the_timeline(filled: Path) -> None:
    """Whichever field of the body holds it."""
    with Ledger(filled) as ledger:
        for key in ("U01TXzgwNjc4", "TU1TXzU5Nzg3Nw=="):
            for step in ledger.timeline(key):
                assert codes_of(step.event, ledger.definitions) == {step.code}


HOURS = st.integers(0, 3).map(lambda n: DAY + timedelta(hours=n))
RECEIPTS = st.builds(
    Receipt, strategies.postbacks() | strategies.contents() | st.just(b"?"), received_at=HOURS
)
ASKED = {
    "since": HOURS,
    "until": HOURS,
    "key": st.sampled_from([*strategies.KEYS, *strategies.MMS]),
    "state": st.sampled_from(["sent", "delivered", "failed", "sms"]),
    "code": st.sampled_from(["N101", "N202"]),
}


@pytest.mark.parametrize("names", [(name,) for name in ASKED] + [tuple(ASKED)], ids=" ".join)
@settings(max_examples=40)
@given(st.data())
def test_what_is_found_is_what_a_look_at_each_event_finds(
    names: tuple[str, ...], data: st.DataObject
) -> None:
    """Neither paging nor indexes leave anything out or add anything."""
    receipts = data.draw(st.lists(RECEIPTS, max_size=12))
    after = data.draw(st.integers(-1, 6))
    asked = {name: data.draw(ASKED[name]) for name in names}
    since, until, key, state, code = (asked.get(name) for name in ASKED)
    if since is not None and until is not None and since >= until:
        since = None
    narrow = Narrow(since, until, key, state, code)
    with ledger_of(receipts) as ledger:
        changes = {
            (change.position, change.event.member): change for change in ledger.follow(live=False)
        }

        def is_asked_for(event: Any) -> bool:
            change = changes.get((event.position, event.member))
            entered = (
                set(change.after.items()) - set((change.before or {}).items()) if change else set()
            )
            return (
                (since is None or event.received_at >= since)
                and (until is None or event.received_at < until)
                and key in (None, event.key)
                and (state is None or state in {one for _, one in entered})
                and (code is None or code in codes_of(event, ledger.definitions))
            )

        expected = [event for event in ledger.events(after) if is_asked_for(event)]
        assert list(narrow.events(ledger, after)) == expected
        lets = [c for c in ledger.follow(after, live=False) if narrow.lets(c, ledger.definitions)]
        assert [c.position for c in lets] == [
            c.position for c in changes.values() if c.position > after and is_asked_for(c.event)
        ]


def test_an_accepted_event_is_marked_whatever_is_asked_for() -> None:
    """The mark doesn't depend on which page of the log holds the acceptance."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l.db") as ledger:
        ledger.record(sent("a"), sender=UNVERIFIED, received_at=DAY)
        ledger.accept(1, 1)
        found = list(ledger.events(until=DAY + timedelta(hours=1)))
        assert [(event.position, event.accepted) for event in found] == [(1, True), (2, False)]
