"""``postledger serve``, as far as it doesn't serve; ``tests/server`` has the rest."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from postledger import Ledger
from postledger.errors import PostledgerError
from postledger.server.app import PACKAGES, sources_of
from postledger.server.serving import Serving, _in_force
from tests.cli import Run
from tests.samples import NEWCOMER

ROOT = Path(__file__).parents[2]


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
    assert done.stderr.endswith(f"-m pip install {PACKAGES}\n")
    assert not (tmp_path / "new.db").exists()


def test_packages_are_those_of_the_extra() -> None:
    """So that what a message says to install is all that there is to install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"]["server"]
    names = [re.split("[>;]", one)[0] for one in extra]
    assert PACKAGES.split() == [one for one in names if one != "uvloop" or sys.platform != "win32"]


@pytest.mark.parametrize("name", ["app", "serving"])
def test_module_says_what_it_requires(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not Python's own words, also where a program imports it."""
    for one in ("starlette", "starlette.datastructures", "uvicorn"):
        monkeypatch.setitem(sys.modules, one, None)
    for one in ("serving", "app"):
        monkeypatch.delitem(sys.modules, f"postledger.server.{one}", raising=False)
    with pytest.raises(PostledgerError, match=r" requires [a-z.]+: .* -m pip install .*starlette"):
        import_module(f"postledger.server.{name}")


def test_metrics_without_their_package_are_refused_at_the_start(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not at the first request for them; an app says so when it is made."""
    for one in ("prometheus_client", "prometheus_client.core", "prometheus_client.registry"):
        monkeypatch.setitem(sys.modules, one, None)
    monkeypatch.delitem(sys.modules, "postledger.server.metrics", raising=False)
    monkeypatch.delattr("postledger.server.metrics", raising=False)
    done = run("serve", tmp_path / "new.db", "--metrics", "--port", "0")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: metrics require prometheus-client: ")
    assert done.stdout == ""
    receiver = import_module("postledger.server").receiver
    with pytest.raises(PostledgerError, match="metrics require prometheus-client"):
        receiver(tmp_path / "new.db", metrics=True)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--patience", "nan"), "--patience must be a number above 0, at most 86400, got 'nan'"),
        (("--patience", "inf"), "--patience must be a number above 0, at most 86400, got 'inf'"),
        (("--patience", "0"), "--patience must be a number above 0, at most 86400, got '0'"),
        (("--limit", "1MB"), "--limit must be a whole number from 1 to 1073741824, got '1MB'"),
        (("--port", "abc"), "--port must be a whole number from 0 to 65535, got 'abc'"),
        (("--port", "65536"), "--port must be a whole number from 0 to 65535, got '65536'"),
        (("--workers", "0"), "--workers must be a whole number from 1 to 64, got '0'"),
    ],
)
def test_number_out_of_its_bounds_is_a_wrong_usage(
    run: Run, tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    """With the bounds, before anything is made."""
    done = run("serve", tmp_path / "new.db", *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("given", ["--provider", "--vocabulary"])
def test_what_a_ledger_does_not_read_by_is_refused_with_how_to_add_it(
    run: Run, tmp_path: Path, given: str
) -> None:
    """Before anything is served: to serve a ledger changes nothing of what it means."""
    path, words = tmp_path / "l.db", tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    with Ledger(path):
        pass
    named = words if given == "--vocabulary" else "plivo"
    done = run("serve", path, given, named, "--port", "0")
    assert done.exit_code == 1
    assert f"postledger replay {path} {given} {named} --adopt" in done.stderr


def test_a_new_ledger_is_served_by_a_vocabulary_of_the_user(tmp_path: Path) -> None:
    """Its name is a source, next to those that ship."""
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    serving = Serving(tmp_path / "l.db", vocabulary=(words,))
    assert sorted(sources_of(_in_force(serving))) == ["newcomer", "sinch", "skycore"]


def test_own_vocabulary_alone_is_served_alone(run: Run, tmp_path: Path) -> None:
    """--only chooses no provider next to it, as in ``ingest``; it is of no use without one."""
    words = tmp_path / "newcomer.toml"
    words.write_text(NEWCOMER)
    serving = Serving(tmp_path / "l.db", vocabulary=(words,), providers=())
    assert sorted(sources_of(_in_force(serving))) == ["newcomer"]
    refused = run("serve", tmp_path / "m.db", "--only")
    assert (refused.exit_code, "--only requires --vocabulary." in refused.stderr) == (2, True)


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
        (
            ("--host", "nowhere.invalid", "--senders", "ok.toml"),
            "--host nowhere.invalid: the name can't be resolved",
        ),
        (
            ("--host", "300.1.1.1", "--senders", "ok.toml"),
            "--host 300.1.1.1: it is not an address of this machine; write one, or 127.0.0.1",
        ),
        (
            ("--host", "192.0.2.1", "--senders", "ok.toml"),
            "--host 192.0.2.1: it is not an address of this machine; write one, or 127.0.0.1",
        ),
        (
            ("--source", "other", "--senders", "ok.toml", "--host", "300.1.1.1"),
            "--source other: ok.toml has no rules for it; write [[sources.other.checks]] there, or",
        ),
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
