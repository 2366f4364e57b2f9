"""``postledger serve``, as far as it doesn't serve; ``tests/server`` has the rest."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli import Run


def test_missing_package_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it; no ledger is made."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("serving", "receiver"):
        monkeypatch.delitem(sys.modules, f"postledger.server.{name}", raising=False)
    done = run("serve", tmp_path / "new.db")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: serve requires uvicorn: ")
    assert done.stderr.endswith("-m pip install starlette uvicorn\n")
    assert not (tmp_path / "new.db").exists()


def test_host_without_rules_is_refused(run: Run, tmp_path: Path) -> None:
    """In one line that says what to do."""
    done = run("serve", tmp_path / "new.db", "--host", "0.0.0.0", "--port", "1", "--source", "acme")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: --host 0.0.0.0: anybody could post to acme; write rules in a file for"
        " --senders, or leave --host out\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--senders", "senders.toml"), "senders.toml: sources are missing; write"),
        (("--host", "nowhere.invalid", "--senders", "ok.toml"), "can't listen on nowhere.invalid:"),
    ],
)
def test_what_is_wrong_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    """Before anybody could connect."""
    monkeypatch.chdir(tmp_path)
    Path("senders.toml").write_text("")
    Path("ok.toml").write_text('[[sources.a.checks]]\nkind = "path"\nsecret = "b"\n')
    done = run("serve", "new.db", "--port", "0", *words)
    assert done.exit_code == 1
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.mark.parametrize("name", ["a/b", "livez", ""])
def test_source_that_is_not_a_name_is_a_wrong_usage(run: Run, tmp_path: Path, name: str) -> None:
    """As of any argument; no ledger is made."""
    done = run("serve", tmp_path / "new.db", "--source", name)
    assert done.exit_code == 2
    assert "a source must be letters" in done.stderr
    assert not (tmp_path / "new.db").exists()
