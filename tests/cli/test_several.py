"""``--with``: several ledgers, read as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from postledger import Ledger
from tests.cli import SAMPLES, Run
from tests.samples import BINARY, DEGRADED, SMS, first_outcome_stands, sent


def ingested(run: Run, path: Path, lines: list[str]) -> Path:
    """A ledger of lines of an export."""
    assert run("ingest", path, "-", stdin="".join(lines).encode()).exit_code == 0
    return path


@pytest.fixture
def lines() -> list[str]:
    """The samples of the specification, each received a minute after the one before."""
    return [
        json.dumps(
            {"received_at": f"2026-01-01T00:{n:02}:00Z", "body": sample.read_text()},
        )
        + "\n"
        for n, sample in enumerate(SAMPLES)
    ]


@pytest.fixture
def one(run: Run, lines: list[str], tmp_path: Path) -> Path:
    """A ledger of all of them."""
    return ingested(run, tmp_path / "one.db", lines)


@pytest.fixture
def hosts(run: Run, lines: list[str], tmp_path: Path) -> tuple[Path, Path]:
    """The same, dealt to two ledgers."""
    berlin, lyon = tmp_path / "berlin.db", tmp_path / "lyon.db"
    return ingested(run, berlin, lines[::2]), ingested(run, lyon, lines[1::2])


@pytest.mark.parametrize(
    "options",
    [
        ["--nl"],
        ["--state", "delivered", "--csv"],
        ["--by", "state,route"],
        ["--finding", "contradiction"],
        ["--search", SMS],
        ["--limit", 1],
        ["--chart", "content", "--json"],
        ["--as-of", "2026-01-01T00:03:00Z"],
    ],
)
def test_lists_over_several_are_those_of_one(
    run: Run, one: Path, hosts: tuple[Path, Path], options: list[str]
) -> None:
    """Whatever is asked for, and in whichever form."""
    berlin, lyon = hosts
    wanted = run("deliveries", one, *options)
    found = run("deliveries", berlin, "--with", lyon, *options)
    assert (found.exit_code, found.stdout, found.stderr) == (0, wanted.stdout, wanted.stderr)
    assert wanted.exit_code == 0


def test_show_names_the_ledger_at_each_position(run: Run, hosts: tuple[Path, Path]) -> None:
    """In the table, and in JSON as an object."""
    berlin, lyon = hosts
    text = run("show", berlin, "--with", lyon, DEGRADED).stdout
    assert "contradicts position lyon:3" in text
    assert "repeats " in text
    told = json.loads(run("show", berlin, "--with", lyon, DEGRADED, "--json").stdout)
    places = [step["position"] for step in told["timeline"]]
    assert {place["ledger"] for place in places} == {"berlin", "lyon"}
    against = [step["against"] for step in told["timeline"] if step["against"]]
    assert {"ledger": "lyon", "position": 3} in against
    content = json.loads(run("show", berlin, "--with", lyon, "--mms", "35674", "--json").stdout)
    assert content["state"] == "failed"


def test_an_audit_has_an_anchor_for_each(
    run: Run, hosts: tuple[Path, Path], tmp_path: Path
) -> None:
    """They are printed on stderr, and the report ends well where all is well with each."""
    berlin, lyon = hosts
    report = tmp_path / "report.html"
    done = run("audit", berlin, "--with", lyon, "--verify", "--html", report)
    assert done.exit_code == 0
    heads = []
    for path in hosts:
        with Ledger(path, readonly=True) as ledger:
            heads.append(f"anchor of {path.stem} {ledger.head()}")
    assert done.stderr.splitlines() == heads
    assert "<dt>Ledgers</dt><dd>berlin.db, lyon.db</dd>" in report.read_text()
    told = json.loads(run("audit", berlin, "--with", lyon, "--id", BINARY, "--json").stdout)
    assert {step["position"]["ledger"] for step in told["delivery"]["timeline"]} == {
        "berlin",
        "lyon",
    }


def test_a_command_in_a_report_names_all_ledgers(run: Run, tmp_path: Path) -> None:
    """It can be run as it stands."""
    paths = [tmp_path / f"{name}.db" for name in ("berlin", "lyon at sea")]
    for number, path in enumerate(paths):
        with Ledger(path) as ledger:
            ledger.record_many(sent(f"T{number}{n}") for n in range(4))
    text = run("audit", paths[0], "--with", paths[1]).stdout
    assert (
        "`postledger deliveries berlin.db --with 'lyon at sea.db' --finding no-creation --csv`"
        in text
    )
    page = tmp_path / "page.html"
    assert run("audit", paths[0], "--with", paths[1], "--id", "T10", "--html", page).exit_code == 0
    assert '<dd id="position-lyon%20at%20sea:1">lyon at sea:1</dd>' in page.read_text()


def test_a_bundle_links_dossiers_over_several(
    run: Run, hosts: tuple[Path, Path], tmp_path: Path
) -> None:
    """The report leads to each of them, and the positions in them name their ledgers."""
    berlin, lyon = hosts
    packed = tmp_path / "bundle.zip"
    assert run("audit", berlin, "--with", lyon, "--bundle", packed).exit_code == 0
    with zipfile.ZipFile(packed) as bundle:
        names = [name for name in bundle.namelist() if name.startswith("dossiers/")]
        assert len(names) == 3
        report = bundle.read("report.html").decode()
        assert all(name in report for name in names)
        dossiers = b"".join(bundle.read(name) for name in names).decode()
        for place in ("berlin:1", "lyon:1"):
            assert f'<dd id="position-{place}">{place}</dd>' in dossiers
            assert f'href="#position-{place}"' in dossiers


def test_an_invoice_is_held_against_all(
    run: Run, hosts: tuple[Path, Path], one: Path, tmp_path: Path
) -> None:
    """What one host never heard of is billed rightly, where another did."""
    invoice = tmp_path / "november.csv"
    invoice.write_text(f"id\n{SMS}\n{BINARY}\n{DEGRADED}\n")
    berlin, lyon = hosts
    done = run("reconcile", berlin, invoice, "--with", lyon, "--json")
    assert done.exit_code == 0
    assert done.stdout == run("reconcile", one, invoice, "--json").stdout


def test_what_several_ledgers_do_not_have_is_a_usage_error(
    run: Run, hosts: tuple[Path, Path], tmp_path: Path
) -> None:
    """Positions in common, definitions of an earlier time, and a ledger that isn't there."""
    berlin, lyon = hosts
    for command in (["deliveries", berlin], ["show", berlin, SMS], ["audit", berlin]):
        done = run(*command, "--with", lyon, "--as-of", 2)
        assert done.exit_code == 2
        assert "--as-of must be a time where --with is given, got a position." in done.stderr
        done = run(*command, "--with", lyon, "--definitions", "then")
        assert done.exit_code == 2
        assert "--definitions then takes one ledger; leave out --with." in done.stderr
        done = run(*command, "--with", tmp_path / "nowhere.db")
        assert done.exit_code == 2
        assert "nowhere.db' does not exist" in done.stderr
        done = run(*command, "--with", berlin)
        assert done.exit_code == 1
        assert done.stderr.endswith(" are the same ledger, or a copy of it; name it once\n")


def test_other_definitions_end_in_one_line(run: Run, hosts: tuple[Path, Path]) -> None:
    """It names both ledgers, and what to do."""
    berlin, lyon = hosts
    with Ledger(lyon) as ledger:
        ledger.replay(first_outcome_stands())
    done = run("deliveries", berlin, "--with", lyon)
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: all must read by the same definitions: ")
    assert str(berlin) in line
    assert str(lyon) in line


def test_a_space_is_asked_for_with_all_ledgers(run: Run, tmp_path: Path) -> None:
    """The command that the error names is the one to run."""
    paths = [tmp_path / f"{name}.db" for name in ("berlin", "lyon")]
    for path, space in zip(paths, ("", "acme"), strict=True):
        with Ledger(path) as ledger:
            ledger.created("X-1", to="1", space=space)
    done = run("show", paths[0], "--with", paths[1], "X-1")
    assert done.exit_code == 1
    assert f"postledger show {paths[0]} --with {paths[1]} X-1 --space " in done.stderr
    shown = run("show", paths[0], "--with", paths[1], "X-1", "--space", "acme", "--json")
    assert json.loads(shown.stdout)["space"] == "acme"
    done = run("show", paths[0], "--with", paths[1], "X-1", "--space", "nowhere")
    assert "unknown space 'nowhere': expected acme" in done.stderr


def test_a_command_that_is_ended_leaves_no_copy(tmp_path: Path) -> None:
    """What was merged is as secret as the ledgers: it goes with the command."""
    paths = [tmp_path / f"{name}.db" for name in ("berlin", "lyon")]
    for number, path in enumerate(paths):
        with Ledger(path) as ledger:
            ledger.record_many(sent(f"T{number}-{n}") for n in range(3_000))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [
        sys.executable,
        "-m",
        "postledger",
        "deliveries",
        paths[0],
        "--with",
        paths[1],
        "--nl",
    ]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as running:
        # Python tries with a file of its own whether the folder can be written to.
        while running.poll() is None and not list(temporary.glob("postledger-*")):
            time.sleep(0.01)
        running.terminate()
    assert list(temporary.glob("postledger-*")) == []
