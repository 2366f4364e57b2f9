"""The console in the receiver's own app: ``postledger serve --console``."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from postledger import PostledgerError
from postledger.console.serving import Entrance, serve_in_receiver
from postledger.server.serving import Serving
from tests.cli import Run
from tests.console import HASH, running, signed_in
from tests.samples import sent


def test_console_is_served_by_the_receiver(tmp_path: Path) -> None:
    """Both at one address; of a ledger that was made with them, and with numbers unmasked on record."""
    record = tmp_path / "access.jsonl"
    with running(
        tmp_path / "new.db", "--console", "--access-record", record, command="serve"
    ) as served:
        assert served.url == f"{served.origin}/console"
        assert served.began[0].startswith(f"listening on {served.origin}: /sinch, /skycore")
        posted = httpx2.post(f"{served.origin}/skycore", content=sent("here"))
        assert (posted.status_code, posted.content) == (200, b"")
        with closing(signed_in(served)) as known:
            assert 'href="/console/delivery?id=here"' in known.get("/").text
            text = known.get("/delivery?id=here").text
            unmasking = text.partition('action="/console/delivery/unmask"')[2]
            token = unmasking.partition('value="')[2].partition('"')[0]
            form = {"csrf": token, "id": "here", "reason": "to see it"}
            headers = {"Origin": served.origin}
            assert known.post("/delivery/unmask", data=form, headers=headers).status_code == 303
        (line,) = record.read_text().splitlines()
        assert json.loads(line)["delivery"] == "here"
        served.process.terminate()
        assert served.process.wait(60) == 0


def test_receiver_keeps_its_paths(tmp_path: Path) -> None:
    """What is mounted answers for its own path, with its own protections, and for nothing else."""
    with running(tmp_path / "new.db", "--console", command="serve") as served:
        for path, status in (
            ("/console", 303),
            ("/console/", 303),
            ("/console/sign-in", 200),
            ("/consoles", 404),
            ("/", 404),
            ("/sign-in", 404),
            ("/static/console.js", 404),
            ("/livez", 200),
            ("/readyz", 200),
            ("/metrics", 404),
        ):
            answer = httpx2.get(f"{served.origin}{path}")
            assert answer.status_code == status, path
            is_console = f"{path}/".startswith("/console/")
            assert ("content-security-policy" in answer.headers) == is_console, path
        # What posts there without a form is refused; a provider is not asked where it comes from.
        assert httpx2.post(f"{served.origin}/console/skycore", content=b"1").status_code == 403
        elsewhere = {"Host": "elsewhere.example"}
        assert httpx2.get(f"{served.url}/sign-in", headers=elsewhere).status_code == 421
        posted = httpx2.post(f"{served.origin}/skycore", content=b"1", headers=elsewhere)
        assert posted.status_code == 200


def test_a_stream_that_is_read_is_not_stalled(tmp_path: Path) -> None:
    """The receiver cuts off what stands still for long; a live list is silent where nothing happens."""
    words = ("--console", "--patience", "0.1")
    with (
        running(tmp_path / "new.db", *words, command="serve") as served,
        closing(signed_in(served)) as known,
        known.stream("GET", "/stream?after=0") as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines).startswith("retry: ")
        # So long that a request which gets no answer is cut off.
        time.sleep(3)
        assert httpx2.post(f"{served.origin}/skycore", content=sent("a")).status_code == 200
        assert next(line for line in lines if line.startswith("id: ")) == "id: 1.0"


@pytest.mark.parametrize("command", ["serve", "console"])
def test_a_server_that_stops_ends_its_streams(filled: Path, command: str) -> None:
    """It doesn't wait for those who look: a restart would keep providers waiting."""
    words = ["--console"] if command == "serve" else []
    with (
        running(filled, *words, command=command) as served,
        closing(signed_in(served)) as known,
        known.stream("GET", "/stream?after=0") as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines).startswith("retry: ")
        served.process.terminate()
        # A stream that is cut off raises.
        assert list(lines)[-1] == ""
        assert served.process.wait(60) == 0


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--users", "users.toml"], 2, "--users requires --console"),
        (["--access-record", "access.jsonl"], 2, "--access-record requires --console"),
        (["--allow-host", "a"], 2, "--allow-host requires --console"),
        (["--https"], 2, "--https requires --console"),
        (["--console", "--workers", "2"], 2, "--console requires one process"),
        (["--console", "--access-record", "new.db"], 1, "a ledger, or another SQLite database"),
        (["--console", "--access-record", "none/a.jsonl"], 1, "No such file or directory"),
        (["--console", "--users", "empty.toml"], 1, "expected tables [[users]]"),
        (
            ["--console", "--host", "::", "--senders", "senders.toml"],
            1,
            "say who may sign in by --users FILE",
        ),
        (
            ["--console", "--host", "::", "--senders", "senders.toml", "--users", "users.toml"],
            1,
            "give --https and --allow-host NAME",
        ),
    ],
)
def test_what_cannot_be_served_together_is_one_line(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    status: int,
    said: str,
) -> None:
    """Before anything listens; nothing is ever written into the ledger."""
    monkeypatch.chdir(tmp_path)
    Path("users.toml").write_text(f'[[users]]\nname = "I. Okafor"\npassword = "{HASH}"\n')
    Path("empty.toml").touch()
    Path("senders.toml").write_text(
        '[[sources.skycore.checks]]\nkind = "addresses"\naddresses = ["192.0.2.0/24"]\n'
    )
    refused = run("serve", "new.db", "--port", "0", *options)
    assert refused.exit_code == status
    assert said in refused.stderr
    assert "the console is at" not in refused.stdout


def test_no_source_is_hidden(tmp_path: Path) -> None:
    """One that has the console's path would get no postback any more."""

    def listening(line: str) -> None:
        raise AssertionError(line)

    serving = Serving(tmp_path / "new.db", port=0, sources=("console", "skycore"))
    with pytest.raises(PostledgerError, match="/console is the path of the source 'console'"):
        serve_in_receiver(serving, Entrance(), listening)
