"""The access record, and the ledger that the console reads."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from postledger import Ledger, NotALedger, PostledgerError
from postledger.console import User, Users, app, load_users
from postledger.console.access import Access, AccessRecord, Unrecorded
from postledger.console.asking import Asking
from postledger.phone import digits_of
from tests.cli import Run
from tests.console import HASH
from tests.samples import SMS


def test_what_did_not_reach_the_disk_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that the system only holds in memory may be lost with the power."""

    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    record = AccessRecord(tmp_path / "access.jsonl")
    record.require_writable()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(Unrecorded, match=r"can't be recorded: Input/output error"):
        record.append(Access("I. Okafor", "unmasker", "the customer called", delivery="X-1"))


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal", "-turn"])
@pytest.mark.parametrize("is_link", [False, True])
def test_no_access_is_written_into_a_ledger(
    run: Run, filled: Path, tmp_path: Path, suffix: str, *, is_link: bool
) -> None:
    """Nor into a file that SQLite keeps next to it, by whatever name it is called."""
    path = target = filled.with_name(f"{filled.name}{suffix}")
    if is_link:
        path = tmp_path / "access.jsonl"
        path.symlink_to(target)
    before = target.read_bytes() if target.exists() else None
    with pytest.raises(Unrecorded, match="name another file"):
        AccessRecord(path).append(Access("I. Okafor", "unmasker", "the customer called"))
    refused = run("console", filled, "--port", "0", "--access-record", path)
    assert refused.exit_code == 1
    assert "a ledger, or another SQLite database, is there; name another file" in refused.stderr
    assert (target.read_bytes() if target.exists() else None) == before


def test_a_ledger_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """The console reads only."""
    console = app(tmp_path / "none.db", users=Users([User("I. Okafor", HASH)]))
    with pytest.raises((NotALedger, PostledgerError)):
        console.require_readable()
    assert list(tmp_path.iterdir()) == []


def test_a_search_tells_no_digit_that_is_masked(filled: Path) -> None:
    """A number is found whole, in any spelling, or by the four digits that are shown."""
    asking = Asking(filled)
    with Ledger(filled, readonly=True) as ledger:
        number = digits_of(ledger.delivery(SMS).to or "")

    def is_found(text: str) -> bool:
        return SMS in {line.delivery.tracking_id for line in asking.found(text).lines}

    assert all(is_found(text) for text in (number, f"+{number}", f"00{number}", SMS, SMS[:6]))
    by_ends = {length: is_found(number[-length:]) for length in range(4, len(number) + 1)}
    assert [length for length, found in by_ends.items() if found] == [4, 8, 9, 10, 11]
    asking.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say who may sign in by --users FILE"),
        (["--users", "users.toml"], "give --https and --allow-host NAME"),
        (["--users", "users.toml", "--https"], "give --https and --allow-host NAME"),
    ],
)
def test_passwords_never_travel_openly(
    run: Run, filled: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    """What others can reach needs users, and HTTPS in front."""
    users = tmp_path / "users.toml"
    users.write_text(f'[[users]]\nname = "I. Okafor"\npassword = "{HASH}"\n')
    given = [str(users) if one == "users.toml" else one for one in options]
    refused = run("console", filled, "--host", "::", "--port", "0", *given)
    assert refused.exit_code == 1
    assert said in refused.stderr


def test_a_file_of_users_that_is_nested_far_too_deep_is_one_line(tmp_path: Path) -> None:
    """As every file of TOML is."""
    path = tmp_path / "users.toml"
    path.write_text("users = " + "[" * 100_000)
    with pytest.raises(PostledgerError, match=r"users\.toml: not TOML that can be read"):
        load_users(path)
