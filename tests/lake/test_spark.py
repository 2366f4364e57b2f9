"""Spark: whatever folds, on however many processes, the states are those of the ledger."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
import pytest
from benchmarks.postbacks import receipts
from pyarrow import parquet

from postledger import (
    UNVERIFIED,
    Archive,
    Definitions,
    DefinitionsDiffer,
    Delivery,
    IntegrityError,
    Ledger,
    LedgerError,
    Ledgers,
    Receipt,
)
from postledger.definitions.definitions import builtin
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.lake import writing
from postledger.lake.folder import Folder
from postledger.lake.layout import DELIVERIES, schema_of
from postledger.lake.rows import deliveries_of
from tests.faults import traffic
from tests.properties.shown import folder, run
from tests.properties.worlds import Made, arrived, made, moments
from tests.samples import NEWCOMER, delivered, failed, first_outcome_stands, sent
from tests.spark_cluster import missing, spark_cluster
from tests.states import rows

if missing() is None:
    from postledger.lake.spark import differences, fold, plain_errors, replay

ROWS = 150
"""So few rows in memory that there are several buckets."""

Found = dict[tuple[str, str, str], Delivery]


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster of two workers, which are processes of their own."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    with spark_cluster(tmp_path_factory.mktemp("spark")) as session:
        yield session


def hostile(path: Path) -> None:
    """A ledger of events of all kinds, among them long, contradicting and undated streams."""
    with Ledger(path) as ledger:
        ledger.record_many(traffic.bodies(0, 400))
        ledger.record_many(islice(receipts(), 200))
        ledger.record(b"\0\1 neither \xff", "text/plain")
        ledger.record(sent("k" * 3_000), sender=UNVERIFIED, source="gate")
        ledger.replay(first_outcome_stands())
        ledger.created("made-here", to="+1 650 333 3058")
        ledger.record_many(Receipt(one, "text/xml") for one in traffic.bodies(380, 420))
        for key in ("x", "été", "\U0001f4a9", "\uffee"):
            ledger.record_many([sent(key), failed(key), delivered(key), sent(key)])
        ledger.record_many([delivered("late"), sent("late")])
        ledger.record_many([sent("y", TIMESTAMP=""), delivered("y", TIMESTAMP="")])
        ledger.record_many(sent("long", TIMESTAMP=f"2013-11-05T05:{n:02}:08Z") for n in range(60))
        ledger.record_many(sent("many", TO=f"1650{n}") for n in range(40))
        ledger.record(b'[{"Id": "n1", "What": "arrived"}, {"Id": "n2", "What": "gone out"}]')


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file, next to its archive of several buckets."""
    path = tmp_path_factory.mktemp("source") / "source.db"
    hostile(path)
    with Ledger(path, readonly=True) as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PER_FILE", 300)
        ledger.archive(path.with_name("archive"), rows=ROWS)
    return path


def newcomer() -> Definitions:
    """Definitions with a vocabulary that comes later."""
    return first_outcome_stands().with_vocabularies([load_vocabulary(NEWCOMER)])


def of(frame: Any) -> Found:
    """The deliveries of a frame by their streams, each there once."""
    table = frame.toArrow().cast(schema_of(DELIVERIES))
    found = list(deliveries_of(table))
    told = {(one.chart, one.space, one.tracking_id): one for one in found}
    assert len(told) == len(found)
    return told


def plain(archive: Archive, *given: Any, **bounds: Any) -> Found:
    """Those of a fold in this process, stream after stream."""
    found = archive.fold(*given, engine="plain", **bounds)
    return {(one.chart, one.space, one.tracking_id): one for one in found}


def shown(found: Found) -> dict[tuple[str, str], dict[str, Any]]:
    """As ``tests.states.rows`` has the rows of a ledger."""
    return {(chart, key): one.to_dict() for (chart, _, key), one in found.items()}


def test_a_fold_gives_the_rows_of_the_ledger(spark: Any, source: Path) -> None:
    """Findings included: 0 rows differ, in any zone that Spark has, as of a position or a time."""
    with Archive(source.with_name("archive")) as archive, Ledger(source) as ledger:
        assert archive._lake.files[0].buckets > 4
        found = of(fold(spark, archive))
        assert found == of(fold(spark, archive, engine="plain")) == plain(archive)
        assert shown(found) == rows(ledger)
        assert {finding for one in found.values() for finding in one.findings} >= {
            *("late", "contradiction", "repeated"),
        }
        when = ledger.delivery("long").sent_at
        known = next(iter(ledger.events(after=299))).received_at
        for bounds in ({"as_of": 0}, {"as_of": 300}, {"as_of": known}, {"occurred_by": when}):
            assert shown(of(fold(spark, archive, **bounds))) == rows(ledger, **bounds)


@pytest.mark.parametrize("others", [builtin, newcomer])
def test_other_definitions_give_what_they_give_the_ledger(
    spark: Any, source: Path, tmp_path: Path, others: Callable[[], Definitions]
) -> None:
    """Other charts fold the buckets as they are; for other vocabularies Spark sorts what they read."""
    definitions = others()
    with Ledger(source, readonly=True) as ledger:
        ledger.copy(tmp_path / "copy.db")
    with (
        Archive(source.with_name("archive")) as archive,
        Ledger(tmp_path / "copy.db") as ledger,
    ):
        told = differences(spark, archive, definitions).toArrow().to_pylist()
        wanted = [recorded(one) for one in archive.differences(definitions, engine="plain")]
        assert sorted(map(parsed, told), key=str) == sorted(wanted, key=str)
        assert wanted
        ledger.replay(definitions)
        found = of(fold(spark, archive, definitions))
        assert shown(found) == rows(ledger)
        assert found == plain(archive, definitions)
        bounds = {"as_of": 300, "occurred_by": ledger.delivery("long").sent_at}
        assert shown(of(fold(spark, archive, definitions, **bounds))) == rows(ledger, **bounds)
        assert differences(spark, archive, archive.definitions).count() == 0


def recorded(one: Any) -> dict[str, Any]:
    """A difference as values that JSON has."""
    sides = {
        name: None if side is None else json.loads(json.dumps(side.to_dict()))
        for name, side in (("before", one.before), ("after", one.after))
    }
    return {"space": one.space, "chart": one.chart, "key": one.key, **sides, "why": one.why}


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the differences with its texts read."""
    sides = {name: row[name] and json.loads(row[name]) for name in ("before", "after")}
    return {**row, **sides}


def test_archives_of_several_ledgers_fold_as_their_union(spark: Any, tmp_path: Path) -> None:
    """By their own definitions and others: what two of them received is a repeat."""
    bodies = [*traffic.bodies(0, 90), sent("x"), delivered("x"), failed("x"), b"?"]
    bodies.append(b'[{"Id": "n1", "What": "arrived"}]')
    paths = [tmp_path / "berlin.db", tmp_path / "lyon.db"]
    for number, path in enumerate(paths):
        with Ledger(path) as ledger:
            ledger.record_many(Receipt(one, source=path.stem) for one in bodies[number::2])
            ledger.record_many(bodies[:10])
            ledger.archive(tmp_path / path.stem, rows=40)
    with Archive(tmp_path / "berlin", tmp_path / "lyon") as archive, Ledgers(*paths) as ledgers:
        merged = ledgers._merge.ledger
        found = of(fold(spark, archive))
        assert shown(found) == rows(merged)
        assert found == plain(archive)
        assert any("repeated" in one.findings for one in found.values())
        when = merged.delivery("x").sent_at
        assert of(fold(spark, archive, occurred_by=when)) == plain(archive, occurred_by=when)
        with pytest.raises(ValueError, match="as_of must be a time for several archives, got 30"):
            fold(spark, archive, as_of=30)
        for definitions in (first_outcome_stands(), newcomer()):
            told = differences(spark, archive, definitions).toArrow().to_pylist()
            wanted = [recorded(one) for one in archive.differences(definitions, engine="plain")]
            assert sorted(map(parsed, told), key=str) == sorted(wanted, key=str)
            assert wanted
            assert of(fold(spark, archive, definitions)) == plain(archive, definitions)
    with Ledger(paths[0]) as ledger:
        ledger.replay(newcomer())
        ledger.archive(tmp_path / "unlike", rows=40)
    with Archive(tmp_path / "lyon", tmp_path / "unlike") as archive:
        for definitions in (first_outcome_stands(), newcomer()):
            assert of(fold(spark, archive, definitions)) == plain(archive, definitions)
        for ask in (partial(fold, spark), partial(differences, spark, definitions=newcomer())):
            with pytest.raises(DefinitionsDiffer):
                ask(archive)


def test_whatever_was_received_spark_folds_it(spark: Any) -> None:
    """Invented definitions and postbacks, by their own and by others."""

    def alike(one: Made, other: Made, received: list[Receipt], known: Any) -> None:
        with folder() as path:
            with Ledger(path / "0.db", definitions=one.definitions) as ledger:
                ledger.record_many(attrs.evolve(r, imported=False) for r in received)
                ledger.archive(path / "archive", rows=5)
            with Archive(path / "archive") as archive:
                for given in ((), (other.definitions,)):
                    assert of(fold(spark, archive, *given)) == plain(archive, *given)
                    bounded = of(fold(spark, archive, *given, as_of=known))
                    assert bounded == plain(archive, *given, as_of=known)

    run(alike, 4, made(), made(), arrived(most=12), moments())


@pytest.mark.parametrize("how", ["missing", "truncated", "swapped", "unsorted"])
@pytest.mark.parametrize("kind", ["events", "statements"])
def test_a_file_that_is_not_what_was_written_is_named(
    spark: Any, source: Path, tmp_path: Path, kind: str, how: str
) -> None:
    """In one line, at once or when rows are asked for; input out of order is never folded."""
    from tests.lake.test_archive import spoilt, stated

    with Ledger(source, readonly=True) as ledger, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "PER_FILE", 300)
        ledger.archive(tmp_path / "archive", rows=400)
    name = f"{kind}/00000.parquet"
    spoilt(tmp_path / "archive", name, how)
    if how == "unsorted":
        # Whoever alters an archive can have the manifest state that too.
        stated(tmp_path / "archive", name)
    definitions = builtin() if kind == "statements" else newcomer()
    said = rf"archive: {kind}/0000\d.parquet: [^\n]+$"
    with pytest.raises(IntegrityError, match=said) as raised, plain_errors():
        fold(spark, tmp_path / "archive", definitions).count()
    assert raised.value.__cause__ is None


def test_an_archive_that_was_made_again_meanwhile_is_not_folded(
    spark: Any, source: Path, tmp_path: Path
) -> None:
    """Workers fold what the program that asked has seen, or nothing."""
    with Ledger(tmp_path / "a.db") as ledger:
        ledger.record(sent("a"))
        ledger.archive(tmp_path / "archive")
        states = fold(spark, tmp_path / "archive")
        manifest = tmp_path / "archive/manifest.json"
        manifest.write_bytes(manifest.read_bytes() + b"\n")
    said = r"archive: manifest.json was changed meanwhile$"
    with pytest.raises(LedgerError, match=said), plain_errors():
        states.count()


def test_a_file_that_a_fold_looks_into_is_no_state_of_a_stream(
    spark: Any, source: Path, tmp_path: Path
) -> None:
    """Workers name it."""
    shutil.copytree(source.with_name("archive"), tmp_path / "archive")
    file = tmp_path / "archive/templates.parquet"
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(IntegrityError, match=r"archive: templates\.parquet: "), plain_errors():
        fold(spark, tmp_path / "archive").count()


def test_other_faults_of_spark_are_one_line(spark: Any, source: Path) -> None:
    """Spark's own error is the cause."""
    states = fold(spark, source.with_name("archive"))
    with pytest.raises(LedgerError, match=r"^Spark failed: .*no_column") as raised, plain_errors():
        states.select("no_column").count()
    assert raised.value.__cause__ is not None


def test_a_frame_can_be_asked_with_sql(spark: Any, source: Path) -> None:
    """Totals are those of the ledger."""
    fold(spark, source.with_name("archive")).createOrReplaceTempView("deliveries")
    said = spark.sql(
        "SELECT state, count(*) AS n FROM deliveries WHERE chart = 'delivery' GROUP BY state"
    )
    with Ledger(source, readonly=True) as ledger:
        wanted = Counter(one.state for one in ledger.deliveries())
    assert {row.state: row.n for row in said.collect()} == wanted


@pytest.mark.parametrize("address", ["{}", "fsspec+file://{}"])
def test_states_are_written_to_a_folder(
    spark: Any, source: Path, tmp_path: Path, address: str
) -> None:
    """Here and elsewhere, those of a fold in one process; one that fails leaves nothing there."""
    archive, out = source.with_name("archive"), tmp_path / "states"
    count = replay(spark, archive, address.format(out))
    with Archive(archive) as opened:
        assert count == opened.replay(tmp_path / "plain", engine="plain")
        assert len(list(out.iterdir())) == opened._lake.files[0].buckets
    assert {one.suffix for one in out.iterdir()} == {".parquet"}
    told = [parquet.read_table(folder).to_pylist() for folder in (out, tmp_path / "plain")]
    assert sorted(told[0], key=str) == sorted(told[1], key=str)
    with pytest.raises(LedgerError, match=r"states: the folder is [^\n]+; name [^\n]+ one$"):
        replay(spark, archive, address.format(out))
    shutil.copytree(archive, tmp_path / "spoilt")
    (tmp_path / "spoilt/statements/00001.parquet").write_bytes(
        bytes((archive / "statements/00001.parquet").stat().st_size)
    )
    with pytest.raises(IntegrityError, match=r"spoilt: statements/00001.parquet: [^\n]+$"):
        replay(spark, tmp_path / "spoilt", address.format(tmp_path / "none"))
    assert not list(tmp_path.glob("none/*"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("00000.parquet", r"states: the folder is not empty; name another one$"),
        (".partial-theirs/00000-0", r"states: the folder is not empty; name another one$"),
        (None, r"states: 1 files of it were removed meanwhile$"),
    ],
)
def test_files_of_tasks_are_not_mixed_with_those_of_another_run(
    tmp_path: Path, name: str | None, said: str
) -> None:
    """What came meanwhile is refused, and so is what went; no file of another run is touched."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    from postledger.lake.spark import work

    place = Folder.of(f"fsspec+file://{tmp_path}/states")
    with work._shared(place) as (target, made):
        made.write("00000-0", b"ours")
        if name is not None:
            target.write(name, b"theirs")
        names = {"00000-0"} if name else {"00000-0", "00001-1"}
        with pytest.raises(LedgerError, match=said):
            work._settle(target, made, names)
    files = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert [one.read_bytes() for one in files] == ([b"theirs"] if name else [])


def test_the_command_folds_by_spark(source: Path, tmp_path: Path) -> None:
    """It prints what it wrote and nothing else, or one line; no process of it is left."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    archive = source.with_name("archive")
    environment = {**os.environ, "PYTHONPATH": traffic.PYTHONPATH, "TMPDIR": str(tmp_path)}

    def ran(*words: object, **others: str) -> subprocess.CompletedProcess[str]:
        given = [sys.executable, "-m", "postledger", "replay", *map(str, words)]
        return subprocess.run(
            [*given, "--engine", "spark"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**environment, **others},
        )

    done = ran(archive, "--out", "states", "--as-of", "300", "--json")
    with Archive(archive) as opened:
        count = opened.replay(tmp_path / "plain", as_of=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["states"] == count
    assert parquet.read_table(tmp_path / "states").num_rows == count
    done = ran(archive, "--out", "states")
    said = "Error: states: the folder is there already; name a new one\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    done = ran(archive, "--out", "other", PATH="", JAVA_HOME="")
    said = "Error: Spark requires Java 17 or newer, such as openjdk-17-jre-headless\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    done = ran(archive, "--out", "other", JAVA_HOME="/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: Spark can't be started: [^\n]+\n", done.stderr)
    assert {one.name for one in tmp_path.iterdir()} == {"states", "plain"}


def test_an_interrupt_is_one_line(source: Path, tmp_path: Path) -> None:
    """In the middle of Spark's work, too; nothing is left where it wrote."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from postledger.cli import main; main()"
    )
    words = ["replay", source.with_name("archive"), "--engine", "spark", "--out", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": traffic.PYTHONPATH}
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        while process.poll() is None and not list(tmp_path.glob(".postledger-*")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (1, "", "\nAborted!\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["pyspark", "pandas"])
def test_without_pyspark_one_line_says_what_to_install(source: Path, package: str) -> None:
    """Rather than a traceback."""
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from postledger import PostledgerError\n"
        "try:\n"
        "    from postledger.lake.spark import fold\n"
        f"    fold(None, {str(source.with_name('archive'))!r})\n"
        "except PostledgerError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": traffic.PYTHONPATH}
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert said.stdout.startswith("a fold by Spark requires PySpark and pandas: ")
    assert said.stdout.count("\n") == 1
