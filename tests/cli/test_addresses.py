"""The command line on a server: each command takes an address, and tells nobody its password."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen

import click
import pytest

from postledger.cli import main
from postledger.cli.common import NAMES
from postledger.cli.params import LedgerPath
from tests.cli import SAMPLES, Run
from tests.cli.test_completion import COMMAND, offered
from tests.postgres_server import PASSWORD, PostgresServer
from tests.samples import SMS, sent
from tests.shell import free_port

ENCODED = quote(PASSWORD)
WRONG = "wr%6Fng+one"
HIDDEN = (PASSWORD, ENCODED, WRONG, "wrong+one", quote("wrong+one"))
"""Whatever stands for a password."""

ROWS = (
    ["ingest", "{}", "{samples}", "--source", "skycore"],
    ["deliveries", "{}"],
    ["deliveries", "{}", "--as-of", "3"],
    ["show", "{}", SMS],
    ["show", "{}", "nobody"],
    ["events", "{}"],
    ["events", "{}", "--after", "1"],
    ["query", "{}", "SELECT tracking_id FROM deliveries"],
    ["query", "{}", "SELECT nothing"],
    ["changes", "{}", "--since", "1"],
    ["check", "{}"],
    ["audit", "{}", "--verify"],
    ["audit", "{}", "--json"],
    ["archive", "{}", "{archive}"],
    ["copy", "{}", "{copy}"],
    ["copy", "{copy}", "{}"],
    ["grant", "{}", "--reader", "nobody"],
    ["export", "{}", "-"],
    ["verify", "{}"],
    ["verify", "{}", "--record"],
    ["replay", "{}"],
    ["replay", "{}", "--provider", "sinch"],
    ["accept", "{}", "0", "1"],
    ["follow", "{}", "--no-live"],
    ["forward", "{}", "--list"],
    ["charts", "--ledger", "{}"],
    ["reconcile", "{}", "{invoice}", "--id", "id"],
)
"""Words of a command; ``{}`` stands for the address."""

REFUSED = {"nobody", "SELECT nothing"}

LASTING = {"serve", "console"}
"""Commands that end when they are told to: see below."""


@pytest.fixture
def address(postgres_tcp: PostgresServer) -> Iterator[str]:
    """One with a password, of a schema that is not there yet."""
    with postgres_tcp.new_schema() as schema:
        yield postgres_tcp.address(schema)


def output(run: Run, folder: Path, address: str, words: list[str]) -> tuple[int, str]:
    """The exit code of a command, and all that it prints."""
    samples, invoice = folder / "samples", folder / "invoice.csv"
    if not samples.exists():
        samples.mkdir()
        (samples / "one.xml").write_bytes(SAMPLES[0].read_bytes())
        (samples / "two.xml").write_bytes(sent(SMS))
        invoice.write_text(f"id\n{SMS}\n")
    places = {"samples": samples, "invoice": invoice, "copy": folder / "copy.db"}
    places["archive"] = folder / token_hex(4)
    given = [word.format(address, **places) for word in words]
    done = run(*given)
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


def test_every_command_with_a_ledger_is_tried_here() -> None:
    """A new one has to stand in the table above."""
    context = click.Context(main)
    named = set()
    for name in NAMES:
        command = main.get_command(context, name)
        assert command is not None
        if any(isinstance(one.type, LedgerPath) for one in command.params):
            named.add(name)
    assert named == {words[0] for words in ROWS} | LASTING


def test_no_command_tells_a_password(
    run: Run, tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the right one nor a wrong one, in no output and no record of the log."""
    caplog.set_level(logging.DEBUG)
    said = []
    for words in ROWS:
        code, text = output(run, tmp_path, address, words)
        refused = words[-1] in REFUSED or words[0] == "accept"
        assert code == (3 if words[0] == "reconcile" else refused), text
        said.append(text)
    for words in ROWS:
        code, text = output(run, tmp_path, address.replace(ENCODED, WRONG), words)
        *_, told = text.splitlines()
        assert (code, "password authentication failed" in told) == (1, True), text
        said.append(text)
    for wrong in ("nonsense=1", "schema=Bad", "port=x", "sslmode=y"):
        code, text = output(run, tmp_path, f"{address}&{wrong}", ROWS[1])
        assert code, text
        said.append(text)
    said.append(run("deliveries", address.replace("postgresql", "postgrse")).output)
    said.append(run("export", address, address).output)
    said += [record.getMessage() + str(record.exc_info) for record in caplog.records]
    assert [text for text in said if any(one in text for one in HIDDEN)] == []


def test_no_shell_is_offered_files_for_an_address_and_values_are_those_of_its_ledger(
    run: Run, tmp_path: Path, address: str
) -> None:
    """Nothing where the server refuses, and nothing is said then."""
    output(run, tmp_path, address, ROWS[0])
    assert offered("deliveries", address[:30]) == ([], "")
    assert offered("events", address, "--source", "s") == (["skycore"], "")
    assert offered("events", address.replace(ENCODED, WRONG), "--source", "s") == ([], "")


@pytest.mark.parametrize("command", [["serve", "--console"], ["serve", "--metrics"], ["console"]])
def test_servers_tell_no_password(
    run: Run, tmp_path: Path, address: str, command: list[str]
) -> None:
    """Neither on a terminal nor by HTTP, nor does their log; a wrong one ends them at once."""
    output(run, tmp_path, address, ROWS[0])
    name, *options = command
    port = free_port()
    words = [COMMAND, name, address, "--port", str(port), *options]
    server = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path
    )
    assert server.stdout is not None
    said = [server.stdout.readline()]
    try:
        for page in ("", "console", "metrics", "ready", "no/such/page"):
            said.append(fetched(port, page))
    finally:
        server.terminate()
        said += server.communicate(timeout=60)[0]
    words[2] = address.replace(ENCODED, WRONG)
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    said += [done.stdout, done.stderr]
    assert done.returncode == 1
    assert "password authentication failed" in done.stderr
    assert [text for text in said if any(one in text for one in HIDDEN)] == []


def fetched(port: int, page: str) -> str:
    """A page, or why there is none."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/{page}", timeout=30) as answer:
            return str(answer.headers) + answer.read().decode()
    except HTTPError as error:
        return str(error.headers) + error.read().decode()


def test_libpq_has_the_password_of_its_variable(
    run: Run, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address needs none then."""
    bare = address.replace(f":{ENCODED}@", "@")
    code, text = output(run, tmp_path, bare, ROWS[0])
    assert (code, "no password supplied" in text) == (1, True), text
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert output(run, tmp_path, bare, ROWS[0])[0] == 0


@pytest.mark.parametrize("words", [["replay", "{}"], ["accept", "{}", "0", "1"], ["verify", "{}"]])
def test_no_command_but_those_that_record_makes_a_ledger(
    run: Run, tmp_path: Path, address: str, words: list[str]
) -> None:
    """As in a file: a mistyped name makes none."""
    code, text = output(run, tmp_path, address, words)
    assert (code, text.rpartition(": ")[2]) == (1, "no such ledger\n")


def test_ingest_makes_no_ledger_of_nothing(run: Run, tmp_path: Path, address: str) -> None:
    """And says so."""
    (tmp_path / "none").mkdir()
    code, text = output(run, tmp_path, address, ["ingest", "{}", str(tmp_path / "none")])
    assert (code, "no ledger was created" in text) == (1, True)
    assert output(run, tmp_path, address, ["verify", "{}"])[0] == 1


@pytest.mark.parametrize("words", [["deliveries"], ["ingest", "-"], ["grant", "--reader", "a"]])
def test_without_psycopg_it_is_said_what_to_install(words: list[str]) -> None:
    """In one line, and without the password."""
    name, *rest = words
    missing = "import sys; sys.modules['psycopg'] = None; from postledger.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", missing, name, f"postgresql://me:{ENCODED}@db/sms", *rest],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    said = (
        f"a ledger on a server requires psycopg: {sys.executable} -m pip install 'psycopg[binary]'"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {said}\n")
