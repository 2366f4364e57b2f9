"""``postledger query``."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from postledger import Ledger
from tests.cli import Run
from tests.samples import SMS

WITHOUT_END = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


def test_rows_are_printed_in_every_form(run: Run, samples: Path) -> None:
    """With all columns, also those that are empty in each row."""
    sql = "SELECT tracking_id, space, events FROM deliveries ORDER BY tracking_id LIMIT 1"
    row = {"tracking_id": "TU1TXzU5Nzg3Nw==", "space": "", "events": 4}
    assert json.loads(run("query", samples, sql, "--json").stdout) == [row]
    assert json.loads(run("query", samples, sql, "--nl").stdout) == row
    (line,) = csv.DictReader(io.StringIO(run("query", samples, sql, "--csv").stdout))
    assert line == {name: str(value) for name, value in row.items()}
    heading, _, shown = run("query", samples, sql).stdout.splitlines()
    assert (heading.split(), shown.split()) == (
        ["tracking_id", "space", "events"],
        [row["tracking_id"], "4"],
    )


def test_no_row_has_its_columns_all_the_same(run: Run, samples: Path) -> None:
    """Nothing found is no fault."""
    sql = "SELECT state AS a, route FROM deliveries WHERE 0"
    assert run("query", samples, sql).stdout.split()[:2] == ["a", "route"]
    assert run("query", samples, sql, "--csv").stdout == "a,route\n"
    assert (
        run("query", samples, sql, "--json").stdout,
        run("query", samples, sql, "--nl").stdout,
    ) == ("[]\n", "")


def test_values_that_json_has_not_are_written_as_texts(run: Run, samples: Path) -> None:
    """Bytes in hexadecimal; of columns of one name each has its own."""
    done = run("query", samples, "SELECT x'00ff' AS a, 9e999 AS a, NULL AS a_2, 1.5 AS b", "--json")
    assert json.loads(done.stdout) == [{"a": "00ff", "a_3": "inf", "a_2": None, "b": 1.5}]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM nope", "no such table: nope"),
        ("SELEKT 1", 'near "SELEKT": syntax error'),
        ("SELECT ?", "Incorrect number of bindings"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("SELECT 1\0", "null character"),
        ("", "expected a SELECT, which returns rows, got ''"),
        ("DELETE FROM events", "a query may only read"),
        ("DROP VIEW deliveries", "a query may only read"),
        ("CREATE TEMP TABLE x(y)", "a query may only read"),
        ("PRAGMA writable_schema = 1", "a query may only read"),
        ("ATTACH 'other.db' AS other", "a query may only read"),
        ("SAVEPOINT x", "a query may only read"),
        ("COMMIT", "a query may only read"),
        ("SELECT load_extension('x')", "not authorized to use function"),
        ("VACUUM INTO 'copy.db'", "the query fails"),
    ],
)
def test_what_is_not_a_query_is_one_line(
    run: Run, samples: Path, sql: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written, no other file is opened or made, and the next query is answered."""
    monkeypatch.chdir(samples.parent)
    before = samples.read_bytes()
    done = run("query", samples, sql, "--csv")
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {samples}: the query fails: ")
    assert said in line
    assert samples.read_bytes() == before
    others = {path for path in samples.parent.iterdir() if not path.name.startswith(samples.name)}
    assert others == set()
    assert run("query", samples, "SELECT count(*) FROM deliveries", "--csv").stdout.endswith(
        "\n3\n"
    )


def test_rows_come_one_by_one(samples: Path) -> None:
    """A result without end is printed as it comes; who reads no further ends it."""
    command = [
        sys.executable,
        "-m",
        "postledger",
        "query",
        str(samples),
        WITHOUT_END.format("x"),
        "--nl",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert [json.loads(process.stdout.readline())["x"] for _ in range(3)] == [1, 2, 3]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_an_interrupt_ends_a_query_at_work(samples: Path) -> None:
    """Though SQLite has nothing to print yet."""
    # A shell that runs the tests in the background has its programs ignore Ctrl-C.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    sql = WITHOUT_END.format("count(*)")
    command = [sys.executable, "-m", "postledger", "query", str(samples), sql]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=listening
    ) as process:
        assert process.stderr is not None
        used = 0.0
        while used < 2:
            # Until it has worked longer than it takes to begin.
            time.sleep(0.1)
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            used = int(fields[11]) / 100
        process.send_signal(signal.SIGINT)
        assert process.stderr.read().strip() == b"Aborted!"
        assert process.wait() == 1


def test_the_ledger_can_be_used_after_a_query_that_was_not_read_to_its_end(samples: Path) -> None:
    """Its guard is of the query alone."""
    with Ledger(samples) as ledger:
        with (
            ledger._connections.read() as own,
            own.store.query("SELECT 1 UNION SELECT 2") as (_, rows),
        ):
            next(rows)
        ledger.record(b"?")
        assert ledger.delivery(SMS).state == "delivered"
