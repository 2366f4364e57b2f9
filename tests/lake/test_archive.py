"""Archives: what a ledger is, as Parquet; whole or not there, and no file of one is taken for another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import fs, parquet

from postledger import (
    UNVERIFIED,
    Anchor,
    Archive,
    Definitions,
    DefinitionsDiffer,
    Delivery,
    IntegrityError,
    Ledger,
    LedgerError,
    Ledgers,
    Limits,
    PostledgerError,
    Receipt,
)
from postledger.definitions.definitions import builtin
from postledger.definitions.vocabulary_toml import load_vocabulary
from postledger.lake import files as files_module
from postledger.lake import layout, writing
from postledger.lake import rows as rows_module
from postledger.lake import statements as statements_module
from postledger.lake.folder import Folder
from postledger.lake.folding import ENGINES, Engine
from postledger.lake.layout import STREAM
from postledger.log import log
from postledger.log.as_of import EVERYTHING
from postledger.log.event import Clock
from tests.faults import traffic
from tests.lake.feeds import FEEDS, Feed, sorted_by_duckdb, sorted_by_polars
from tests.properties.shown import figures
from tests.samples import NEWCOMER, delivered, failed, first_outcome_stands, sent
from tests.states import rows

ROWS = 150
"""So few rows in memory that there are several buckets."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A ledger of events of all kinds, that adopted other definitions on its way."""
    with Ledger(tmp_path / "source.db") as ledger:
        ledger.record_many(traffic.bodies(0, 560))
        ledger.record(b"\0\1 neither \xff", "text/plain")
        ledger.record(sent("k" * 3_000), sender=UNVERIFIED, source="gate")
        ledger.replay(first_outcome_stands())
        ledger.created("made-here", to="+1 650 333 3058")
        ledger.record_many(Receipt(one, "text/xml") for one in traffic.bodies(540, 594))
        ledger.record_many(
            [sent("x"), failed("x"), delivered("x"), sent("x"), sent("y", TIMESTAMP="")]
        )
        ledger.record_many(sent("long", TIMESTAMP=f"2013-11-05T05:{n:02}:08Z") for n in range(60))
        ledger.record(b'[{"Id": "n1", "What": "arrived"}, {"Id": "n2", "What": "gone out"}]')
        ledger.verified(ledger.verify())
    return ledger.path


@pytest.fixture
def archived(source: Path, tmp_path: Path) -> Path:
    """Its archive."""
    with Ledger(source, readonly=True) as ledger:
        ledger.archive(tmp_path / "archive", rows=ROWS)
    return tmp_path / "archive"


def own_charts() -> Any:
    """Definitions with the vocabularies of the archive, and charts that ship."""
    return first_outcome_stands().with_charts(builtin().charts.values())


def newcomer() -> Any:
    """Definitions with a vocabulary that comes later."""
    return first_outcome_stands().with_vocabularies([load_vocabulary(NEWCOMER)])


def of(found: Iterable[Delivery]) -> dict[tuple[str, str], dict[str, Any]]:
    """What was folded, as ``tests.states.rows`` has the rows of a ledger."""
    return {(one.chart, one.tracking_id): one.to_dict() for one in found}


def whole(place: Path) -> list[str]:
    """The names of the files of an archive."""
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_a_fold_gives_the_rows_of_the_ledger(source: Path, archived: Path) -> None:
    """Findings included, by its own definitions and others, and as of a time or position."""
    with Ledger(source) as ledger, Archive(archived) as archive:
        assert archive.anchor == ledger.head()
        assert of(archive.fold()) == rows(ledger)
        for position in (0, 100, 300, 620):
            assert of(archive.fold(as_of=position)) == rows(ledger, as_of=position)
        when = ledger.delivery("long").sent_at
        assert of(archive.fold(occurred_by=when)) == rows(ledger, occurred_by=when)
        for definitions in (builtin(), newcomer()):
            folded = of(archive.fold(definitions))
            ledger.replay(definitions)
            assert folded == rows(ledger)


def test_a_replay_writes_what_a_fold_gives(source: Path, archived: Path, tmp_path: Path) -> None:
    """A file a bucket, in the columns of deliveries; by other definitions, and as of a position."""
    with Ledger(source) as ledger, Archive(archived) as archive:
        for number, (definitions, position) in enumerate(((None, None), (newcomer(), 300))):
            place = tmp_path / str(number)
            count = archive.replay(place, definitions, as_of=position)
            if definitions is not None:
                ledger.replay(definitions)
            wanted = rows(ledger, as_of=position)
            table = parquet.read_table(place)
            assert count == len(wanted) == table.num_rows
            states = {(row["chart"], row["key"]): row["state"] for row in table.to_pylist()}
            assert states == {key: row["state"] for key, row in wanted.items()}
            assert len(whole(place)) == len(whole(archived / "deliveries"))


def test_a_replay_that_fails_leaves_nothing(archived: Path, tmp_path: Path) -> None:
    """Neither a part of its folder, nor what stood for that meanwhile."""
    before = sorted(tmp_path.iterdir())
    calls = []

    def full(done: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), Archive(archived) as archive:
        archive.replay(tmp_path / "new", progress=full)
    assert sorted(tmp_path.iterdir()) == before


def test_states_are_written_elsewhere_too(archived: Path, tmp_path: Path) -> None:
    """To a file system that has no folders to rename."""
    elsewhere = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    folder = Folder("elsewhere", elsewhere, "there", None)
    with Archive(archived) as archive:
        count = writing.write_states(
            archive._lake, archive.definitions, EVERYTHING, "plain", folder, lambda _: None
        )
        assert parquet.read_table(tmp_path / "there").num_rows == count
        with pytest.raises(LedgerError, match="elsewhere: the folder is not empty"):
            writing.write_states(
                archive._lake, archive.definitions, EVERYTHING, "plain", folder, lambda _: None
            )


@pytest.mark.parametrize("engine", ENGINES)
def test_differences_are_those_of_the_ledger(source: Path, archived: Path, engine: Engine) -> None:
    """Of other charts, and of other vocabularies, with the reasons."""
    with Ledger(source) as ledger, Archive(archived) as archive:
        assert list(archive.differences(ledger.definitions, engine=engine)) == []
        for definitions in (builtin(), newcomer()):
            found = sorted(archive.differences(definitions, engine=engine), key=repr)
            assert found == sorted(ledger.differences(definitions), key=repr)
            assert found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fed_by", FEEDS, ids=["duckdb", "polars"])
def test_other_engines_bring_statements_in_order(
    source: Path, archived: Path, engine: Engine, fed_by: Feed
) -> None:
    """The rows are those of the ledger, also by other charts and as of a position."""
    with Ledger(source) as ledger, Archive(archived) as archive:
        assert of(archive.fold(statements=fed_by(archived), engine=engine)) == rows(ledger)
        known = archive.fold(as_of=300, statements=fed_by(archived), engine=engine)
        assert of(known) == rows(ledger, as_of=300)
        others = archive.fold(own_charts(), statements=fed_by(archived), engine=engine)
        assert of(others) == of(archive.fold(own_charts()))


@pytest.mark.parametrize("engine", ENGINES)
def test_statements_from_elsewhere_are_refused_unless_they_are_an_archive_s(
    archived: Path, engine: Engine
) -> None:
    """Out of order, with other columns, types or nulls, read by others, or no table at all."""
    table = sorted_by_duckdb(archived).read_all()
    backwards = table.take(list(reversed(range(table.num_rows))))
    gone = table.set_column(5, "position", pa.nulls(table.num_rows, pa.int64()))
    texts = table.set_column(5, "position", pa.array(["x"] * table.num_rows))
    with Archive(archived) as archive:
        for given, said in (
            (backwards, "statements: out of order at position"),
            (pa.concat_tables([table, table]), "statements: out of order at position"),
            (gone, "statements: position is missing in a row"),
            (table.drop_columns(["said"]), r"columns of an archive; missing: \['said'\]"),
            (texts, "must have the types of an archive"),
            ([1, 2], r"must be a table or a stream of Arrow, got \[1, 2\]"),
        ):
            with pytest.raises((ValueError, IntegrityError), match=said):
                list(archive.fold(statements=given, engine=engine))
        with pytest.raises(ValueError, match="definitions must have the vocabularies that"):
            archive.fold(newcomer(), statements=table)
        with pytest.raises(TypeError, match=r"engine must be .*, got 'quick'"):
            archive.fold(engine="quick")  # type: ignore[arg-type]


def changed(place: Path) -> list[dict[str, Any]]:
    """The changes of an archive, with the maps of states as such."""
    return [
        {**row, **{side: row[side] and dict(row[side]) for side in ("before", "after")}}
        for row in parquet.read_table(place / "changes").to_pylist()
    ]


def told(ledger: Ledger) -> list[dict[str, Any]]:
    """The changes that a ledger tells whoever follows it, in the same columns."""
    return [
        {
            "space": change.delivery.space,
            "chart": change.delivery.chart,
            "key": change.delivery.tracking_id,
            "position": change.position,
            "member": change.event.member,
            "received_at": change.event.received_at,
            "occurred_at": change.event.occurred_at,
            "change": change.key,
            "before_state": change.before and change.before["delivery"],
            "state": change.after["delivery"],
            "reason": change.delivery.reason,
            "findings": list(change.delivery.findings),
            "before": change.before,
            "after": change.after,
        }
        for change in ledger.follow(live=False)
    ]


def test_changes_are_those_of_the_ledger(source: Path, archived: Path) -> None:
    """Row for row, with their keys; sorted by stream and position."""
    with Ledger(source) as ledger:
        wanted = told(ledger)
    found = changed(archived)
    assert sorted(found, key=lambda row: (row["position"], row["member"])) == wanted
    assert len(wanted) > 300
    for file in (archived / "changes").iterdir():
        places = [tuple(row.values())[:5] for row in parquet.read_table(file).to_pylist()]
        assert places == sorted(places)


def test_an_archive_becomes_the_ledger_again(source: Path, archived: Path, tmp_path: Path) -> None:
    """With the same root, rows and reports, by way of a file that was only begun too."""
    with Archive(archived) as archive, Ledger(source, readonly=True) as ledger:
        restored = tmp_path / "restored.db"
        assert archive.to_ledger(restored).anchor == ledger.head()
        assert archive.to_ledger(restored).added == 0
        with Ledger(restored, readonly=True) as made:
            assert made.verify(ledger.head()).ok
            assert rows(made) == rows(ledger)
            with made._connections.read_log() as own:
                assert {one.envelope.clock for one in own.log.events()} == {Clock.OURS}
        assert figures(archive) == figures(ledger)
        assert archive.audit().integrity.anchor == str(ledger.head())


def test_an_archive_is_verified_against_an_anchor(source: Path, archived: Path) -> None:
    """One of before, and none of another ledger, or of more events than it has."""
    with Ledger(source, readonly=True) as ledger, Archive(archived) as archive:
        with ledger._connections.read_log() as own:
            before = Anchor(300, own.log.root(300).hex())
        assert archive.verify(before).problems == archive.verify(ledger.head()).problems == ()
        (problem,) = archive.verify(Anchor(300, "0" * 64)).problems
        assert "the root is not that of the anchor" in problem
        (problem,) = archive.verify(Anchor(9_999, "0" * 64)).problems
        assert "before the anchor at size 9999" in problem


def test_archives_of_several_ledgers_fold_as_their_union(tmp_path: Path) -> None:
    """A postback that two of them received is a repeat; places name the archive."""
    bodies = [*traffic.bodies(0, 90), sent("x"), delivered("x"), failed("x"), b"?"]
    paths = [tmp_path / "berlin.db", tmp_path / "lyon.db", tmp_path / "oslo.db"]
    for number, path in enumerate(paths):
        with Ledger(path) as ledger:
            ledger.record_many(Receipt(one, source=path.stem) for one in bodies[number::3])
            ledger.record_many(bodies[:10])
            ledger.archive(tmp_path / path.stem, rows=40)
    folders = [tmp_path / path.stem for path in paths]
    with Archive(*folders) as archive, Ledgers(*paths) as ledgers:
        assert of(archive.fold()) == rows(ledgers._merge.ledger)
        assert str(archive.place(ledgers.anchors["berlin"].size + 2)) == f"{folders[1]}:2"
        other = first_outcome_stands().with_vocabularies([load_vocabulary(NEWCOMER)])
        wanted = {one.key: one.after for one in ledgers._merge.ledger.differences(other)}
        assert {one.key: one.after for one in archive.differences(other)} == wanted
        assert figures(archive) == figures(ledgers)
        with pytest.raises(LedgerError, match="requires one archive, got 3"):
            archive.verify()
        with pytest.raises(IndexError, match=r"position must be from 0 to \d+, got 10000"):
            archive.place(10_000)
        with pytest.raises(ValueError, match="as_of must be a time for several archives, got 3"):
            archive.fold(as_of=3)
    shutil.copytree(folders[0], tmp_path / "again")
    with pytest.raises(LedgerError, match="are archives of the same ledger"):
        Archive(folders[0], tmp_path / "again")
    with Ledger(paths[0], limits=Limits(depth=9)) as ledger:
        ledger.archive(tmp_path / "narrow")
    with pytest.raises(
        LedgerError, match=r"different limits, Limits\(.*\) and Limits\(.*depth=9.*\);"
    ):
        Archive(folders[1], tmp_path / "narrow")


@pytest.mark.parametrize("adopted", [first_outcome_stands(), newcomer()])
def test_archives_read_by_different_definitions_fold_by_those_that_are_named(
    tmp_path: Path, adopted: Definitions
) -> None:
    """As archives that are read by the same do; by their own there is nothing to fold."""
    bodies = [*traffic.bodies(0, 60), b'[{"Id": "n1", "What": "arrived"}]']
    for number, name in enumerate(("lyon", "berlin")):
        with Ledger(tmp_path / f"{name}.db") as ledger:
            ledger.record_many(bodies[number::2])
            ledger.archive(tmp_path / name, rows=40)
    with Ledger(tmp_path / "berlin.db") as ledger:
        ledger.replay(adopted)
        ledger.archive(tmp_path / "unlike", rows=40)
    with (
        Archive(tmp_path / "lyon", tmp_path / "berlin") as alike,
        Archive(tmp_path / "lyon", tmp_path / "unlike") as archive,
    ):
        for definitions in (builtin(), adopted):
            found = of(archive.fold(definitions))
            assert found
            assert found == of(alike.fold(definitions))
        for ask in (archive.fold, lambda: archive.differences(builtin()), archive.audit):
            with pytest.raises(
                DefinitionsDiffer, match=r"/lyon alone reads by delivery 1 .*; .*/unlike alone"
            ):
                list(ask())


def spoilt(archived: Path, name: str, how: str) -> None:
    """Spoil a file of an archive in some way."""
    file = archived / name
    if how == "missing":
        file.unlink()
    elif how == "truncated":
        file.write_bytes(file.read_bytes()[:-20])
    elif how == "swapped":
        kind = file.parent
        (other,) = [one for one in sorted(kind.iterdir()) if one != file][:1]
        file.rename(kind / "aside")
        other.rename(file)
        (kind / "aside").rename(other)
    elif how == "unsorted":
        table = parquet.read_table(file)
        backwards = table.take(list(reversed(range(table.num_rows))))
        parquet.write_table(backwards, file, compression="zstd")
    elif how == "altered":
        data = bytearray(file.read_bytes())
        data[len(data) // 3] ^= 1
        file.write_bytes(bytes(data))


def stated(archived: Path, name: str) -> None:
    """Have the manifest state a file as it is by now: whoever alters an archive can do that too."""
    manifest = json.loads((archived / "manifest.json").read_text())
    data = (archived / name).read_bytes()
    from hashlib import sha256

    manifest["files"][name] |= {"bytes": len(data), "sha256": sha256(data).hexdigest()}
    (archived / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("how", ["missing", "truncated", "swapped", "unsorted", "altered"])
@pytest.mark.parametrize("kind", ["events", "statements", "deliveries", "changes"])
def test_a_file_that_is_not_what_was_written_is_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, how: str
) -> None:
    """By a verification all of them, by a fold those that it reads."""
    monkeypatch.setattr(writing, "PER_FILE", 200)
    with Ledger(source, readonly=True) as ledger:
        ledger.archive(tmp_path / "archive", rows=ROWS)
    name = f"{kind}/00001.parquet"
    spoilt(tmp_path / "archive", name, how)
    with Archive(tmp_path / "archive") as archive:
        assert any(name in problem for problem in archive.verify().problems)
        if kind in ("events", "statements"):
            with pytest.raises(IntegrityError, match=rf"{kind}/0000\d.parquet"):
                list(archive.fold(None if kind == "statements" else newcomer()))


@pytest.mark.parametrize("how", ["missing", "truncated", "altered"])
@pytest.mark.parametrize("name", ["templates.parquet", "envelopes.parquet"])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_a_fold_looks_into_is_no_state_of_a_stream(
    archived: Path, tmp_path: Path, name: str, how: str, engine: Engine
) -> None:
    """It is named as any other, and nothing is written."""
    spoilt(archived, name, how)
    with Archive(archived) as archive:
        for ask in (archive.fold, partial(archive.differences, builtin())):
            with pytest.raises(IntegrityError, match=f"archive: {name}: "):
                list(ask(engine=engine))
        with pytest.raises(IntegrityError, match=f"archive: {name}: "):
            archive.replay(tmp_path / "states", engine=engine)
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_event_that_a_tie_asks_for_is_missing_and_no_state(
    tmp_path: Path, engine: Engine
) -> None:
    """Of equal postbacks of one moment the bodies decide, which stand in the events."""
    when = datetime(2026, 1, 1, tzinfo=UTC)
    bodies = (sent("a"), sent("a") + b"\n", sent("a"))
    with Ledger(tmp_path / "tie.db") as ledger:
        ledger.record_many(
            Receipt(body, "text/xml", when, source=source)
            for body, source in zip(bodies, "bac", strict=True)
        )
        ledger.archive(tmp_path / "tie")
    with Archive(tmp_path / "tie") as archive:
        assert {one.state for one in archive.fold(engine=engine)} == {"sent"}
    (tmp_path / "tie/events/00000.parquet").unlink()
    with (
        Archive(tmp_path / "tie") as archive,
        pytest.raises(IntegrityError, match=r"events/00000\.parquet: it is missing"),
    ):
        list(archive.fold(engine=engine))


def test_a_file_with_another_hash_is_named_though_its_rows_are_the_same(archived: Path) -> None:
    """It is not the file that was written."""
    name = "deliveries/00001.parquet"
    parquet.write_table(parquet.read_table(archived / name), archived / name, compression="gzip")
    before = json.loads((archived / "manifest.json").read_text())["files"][name]["sha256"]
    stated(archived, name)
    said = json.loads((archived / "manifest.json").read_text())
    said["files"][name]["sha256"] = before
    (archived / "manifest.json").write_text(json.dumps(said))
    (problem,) = Archive(archived).verify().problems
    assert problem.endswith(f"{name}: its SHA-256 is not that of the manifest")


@pytest.mark.parametrize("kind", ["events", "statements", "deliveries", "changes"])
def test_rows_out_of_order_are_refused_though_the_manifest_has_their_hash(
    archived: Path, kind: str
) -> None:
    """Their order alone says so: input out of order is never folded."""
    name = f"{kind}/00000.parquet"
    spoilt(archived, name, "unsorted")
    stated(archived, name)
    with Archive(archived) as archive:
        assert any(name in problem for problem in archive.verify().problems)
        if kind == "statements":
            with pytest.raises(IntegrityError, match=f"{name}: out of order"):
                list(archive.fold())


def test_buckets_in_each_others_place_are_refused_though_the_manifest_has_their_hashes(
    archived: Path,
) -> None:
    """A stream is in the bucket of its name."""
    spoilt(archived, "statements/00001.parquet", "swapped")
    for number in (0, 1):
        name = f"statements/{number:05}.parquet"
        manifest = json.loads((archived / "manifest.json").read_text())
        manifest["files"][name]["rows"] = parquet.read_metadata(archived / name).num_rows
        (archived / "manifest.json").write_text(json.dumps(manifest))
        stated(archived, name)
    with Archive(archived) as archive, pytest.raises(IntegrityError, match="of bucket"):
        list(archive.fold())


def altered(archived: Path, name: str, column: str, value: Any) -> None:
    """Alter a value of the first row that has one, and have the manifest state it."""
    table = parquet.read_table(archived / name)
    values = table.column(column).to_pylist()
    at = next(at for at, one in enumerate(values) if one not in (None, "") and one != value)
    values[at] = value
    place = table.schema.get_field_index(column)
    field = table.schema.field(column)
    table = table.set_column(place, field, pa.array(values, field.type))
    parquet.write_table(table, archived / name, compression="zstd")
    stated(archived, name)


@pytest.mark.parametrize(
    ("name", "column", "value", "said"),
    [
        ("events/00000.parquet", "source", "other", "not what was received"),
        ("events/00000.parquet", "salt", b"0" * 16, "not what was received"),
        ("events/00000.parquet", "leaf", b"0" * 32, "not what was received"),
        ("events/00000.parquet", "texts", ["<CODE>N101</CODE>"] * 9, "position"),
        ("statements/00000.parquet", "findings", 1 << 3, "statements/00000.parquet: it differs"),
        ("statements/00000.parquet", "received_at", 0, "statements/00000.parquet: it differs"),
        ("deliveries/00000.parquet", "state", "failed", "deliveries/00000.parquet: it differs"),
        ("deliveries/00000.parquet", "findings", ["late"], "deliveries/00000.parquet: it differs"),
        ("changes/00000.parquet", "state", "failed", "changes/00000.parquet: it differs"),
        ("changes/00000.parquet", "change", "0" * 32, "changes/00000.parquet: it differs"),
        ("templates.parquet", "pieces", ["a"], "templates.parquet: template 1 is damaged"),
    ],
)
def test_what_was_altered_is_found_though_the_manifest_has_its_hash(
    archived: Path, name: str, column: str, value: Any, said: str
) -> None:
    """By the leaves, by a new reading, and by a new fold."""
    altered(archived, name, column, value)
    with Archive(archived) as archive:
        assert any(said in problem for problem in archive.verify().problems)


def test_a_manifest_that_was_altered_is_found(archived: Path) -> None:
    """Its anchor, its ledger, its definitions, and what is no manifest at all."""
    text = (archived / "manifest.json").read_text()
    said = json.loads(text)
    for change, expected in (
        ({"anchor": f"{said['anchor'][:-4]}0000"}, "the root is not that of the manifest"),
        ({"ledger": "00" * 16}, "the manifest names another ledger"),
    ):
        (archived / "manifest.json").write_text(json.dumps({**said, **change}))
        assert any(expected in one for one in Archive(archived).verify().problems)
    from postledger.definitions.definitions import sources

    other = {"hash": builtin().hash, "sources": sources(builtin())}
    (archived / "manifest.json").write_text(json.dumps({**said, "definitions": other}))
    assert any("not those that were adopted" in one for one in Archive(archived).verify().problems)
    for wrong in ("", "[]", "{}", text[:-30], json.dumps({**said, "version": 2}), "[" * 10_000):
        (archived / "manifest.json").write_text(wrong)
        with pytest.raises(LedgerError, match=r"manifest|expected postledger archive 1"):
            Archive(archived)
    (archived / "manifest.json").unlink()
    with pytest.raises(LedgerError, match=r"not an archive: manifest\.json is missing"):
        Archive(archived)


# Archives, and after so many calls says so and waits to be killed.
_ARCHIVING = """
import sys, time
from postledger import Ledger
from postledger.lake import layout, writing
writing.PER_FILE, writing._PAGE = 200, 100
source, target, last = sys.argv[1:]
done = 0
def wait(*_):
    global done
    done += 1
    if done == int(last):
        print("there", flush=True)
        time.sleep(600)
before = writing._Writer.write
def write(self, name, tables):
    wait()
    def told():
        for one in tables:
            yield one
            wait()
    before(self, name, told())
writing._Writer.write = write
with Ledger(source, readonly=True) as ledger:
    ledger.archive(target, rows=150, progress=wait)
"""


def killed(source: Path, target: Path, after: int) -> None:
    """Begin an archive, and kill its process after so many steps."""
    words = [sys.executable, "-c", _ARCHIVING, str(source), str(target), str(after)]
    environment = {**os.environ, "PYTHONPATH": traffic.PYTHONPATH}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_a_run_that_was_killed_leaves_no_archive_and_goes_on(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever that was; what was recorded meanwhile is of the next archive."""
    target = tmp_path / "archive"
    with Ledger(source) as ledger:
        before, expected = ledger.head(), rows(ledger)
        for after in (3, 6, 9, 14, 25):
            killed(source, target, after)
            with pytest.raises(LedgerError, match="the archive is unfinished; run archive again"):
                Archive(target)
        ledger.record(sent("after"))
        monkeypatch.setattr(writing, "PER_FILE", 200)
        made = ledger.archive(target, rows=ROWS)
    assert made.anchor == before
    assert made.kept >= 5
    assert len(whole(target)) == made.files + 1
    with Archive(target) as archive:
        assert archive.verify(before).problems == ()
        assert of(archive.fold()) == expected


def test_a_file_of_a_killed_run_that_is_not_whole_is_written_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was altered since, and one that is gone; of another ledger, or by others, none is kept."""
    target = tmp_path / "archive"
    monkeypatch.setattr(writing, "PER_FILE", 200)
    with Ledger(source) as ledger:
        killed(source, target, 25)
        spoilt(target, "events/00000.parquet", "altered")
        (target / "events/00001.parquet").unlink()
        made = ledger.archive(target, rows=ROWS)
        assert Archive(target).verify(ledger.head()).problems == ()
        assert 0 < made.kept < made.files
        killed(source, tmp_path / "adopted", 25)
        ledger.replay(builtin())
        assert ledger.archive(tmp_path / "adopted", rows=ROWS).kept == 0
        assert Archive(tmp_path / "adopted").verify(ledger.head()).problems == ()
    killed(source, tmp_path / "another", 25)
    # What a killed run leaves of its lock holds nobody.
    (tmp_path / "another/.lock").unlink(missing_ok=True)
    before = whole(tmp_path / "another")
    with (
        Ledger(tmp_path / "another.db") as ledger,
        pytest.raises(LedgerError, match="an archive of another ledger was begun there"),
    ):
        ledger.archive(tmp_path / "another", rows=ROWS)
    assert whole(tmp_path / "another") == before


def test_a_killed_run_goes_on_with_other_buckets(source: Path, tmp_path: Path) -> None:
    """The events are kept, and what is derived is written again by the new number."""
    target = tmp_path / "archive"
    killed(source, target, 25)
    with Ledger(source) as ledger:
        made = ledger.archive(target, rows=99)
        assert 0 < made.kept < made.files
        buckets = len(list((target / "changes").iterdir()))
        assert buckets == -(-ledger.head().size // 99)
        assert len(whole(target)) == made.files + 1
        assert Archive(target).verify(ledger.head()).problems == ()


def test_memory_is_bounded_for_large_bodies_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bodies of 100 kB no more are held at once than the setting says, to write and to fold."""
    for module in (layout, files_module, rows_module, statements_module, writing):
        monkeypatch.setattr(module, "GROUP_BYTES", 1 << 19)
    monkeypatch.setattr(log, "PAGE_BYTES", 1 << 19)
    told = (
        sent(f"k{n % 70}", HANDSET=f"{n}{b64encode(os.urandom(75_000)).decode()}")
        for n in range(100)
    )
    peaks = []
    for number, setting in enumerate((1_000, 200_000)):
        held = [0]

        def look(_: int, held: list[int] = held) -> None:
            held[0] = max(held[0], pa.total_allocated_bytes())

        with Ledger(tmp_path / f"{number}.db") as ledger:
            ledger.record_many(told)
            before = pa.total_allocated_bytes()
            place = tmp_path / str(number)
            tracemalloc.start()
            ledger.archive(place, rows=setting, progress=look)
            assert Archive(place).replay(tmp_path / f"states {number}", progress=look) == 70
            peaks.append(tracemalloc.get_traced_memory()[1] + held[0] - before)
            tracemalloc.stop()
            told = (one.body for one in list(ledger.events())[1:])
            assert Archive(place).verify(ledger.head()).problems == ()
    statements = tmp_path / "0/statements"
    assert len(list(statements.iterdir())) >= 10
    # All texts together are 10 MB.
    assert peaks[0] < 9 << 20 < peaks[1]


def test_nothing_else_is_written_over(source: Path, archived: Path, tmp_path: Path) -> None:
    """A file, a folder with something in it, an archive; and what is no address says so."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/text.txt").write_text("mine")
    before = whole(archived)
    with Ledger(source) as ledger:
        for place, said in (
            (source, "a file is there; name a folder"),
            (tmp_path / "mine", "the folder is not empty"),
            (archived, "an archive is there already; name another folder"),
            ("nonsense://a/b", "not the address of a folder"),
        ):
            with pytest.raises(LedgerError, match=said):
                ledger.archive(place)
        assert ledger.verify().ok
        with pytest.raises(ValueError, match="rows must be at least 1"):
            ledger.archive(tmp_path / "new", rows=0)
    assert whole(archived) == before
    assert whole(tmp_path / "mine") == ["text.txt"]


def test_two_runs_do_not_write_one_archive(source: Path, tmp_path: Path) -> None:
    """The second is refused, and the first goes on."""
    refused: list[str] = []
    with Ledger(source, readonly=True) as ledger:

        def again(_: int) -> None:
            if not refused:
                with pytest.raises(LedgerError, match="another run writes there") as caught:
                    ledger.archive(tmp_path / "archive", rows=ROWS)
                refused.append(str(caught.value))

        ledger.archive(tmp_path / "archive", rows=ROWS, progress=again)
        assert Archive(tmp_path / "archive").verify(ledger.head()).problems == ()
    assert refused
    assert not list((tmp_path / "archive").glob(".*"))


def test_what_is_no_file_of_it_is_named(archived: Path) -> None:
    """SQL over a folder would count it, whether the manifest lists it or not."""
    shutil.copy(archived / "deliveries/00000.parquet", archived / "deliveries/copy.parquet")
    (problem,) = Archive(archived).verify().problems
    assert problem.endswith("deliveries/copy.parquet: not a file of this archive")
    (archived / "deliveries/copy.parquet").rename(archived / "deliveries/00099.parquet")
    manifest = json.loads((archived / "manifest.json").read_text())
    manifest["files"]["deliveries/00099.parquet"] = manifest["files"]["deliveries/00000.parquet"]
    (archived / "manifest.json").write_text(json.dumps(manifest))
    (problem,) = Archive(archived).verify().problems
    assert problem.endswith("deliveries/00099.parquet: not a file of this archive")


@pytest.mark.parametrize("buckets", [-1, 0, 10**12, 1e999, True, None, "3", 1.5])
def test_a_hostile_manifest_is_refused(archived: Path, buckets: object) -> None:
    """With other buckets, or names of files elsewhere: nothing is passed over, or read from there."""
    manifest = json.loads((archived / "manifest.json").read_text())
    (archived / "manifest.json").write_text(json.dumps(manifest | {"buckets": buckets}))
    with pytest.raises(LedgerError, match=r"manifest.json is damaged: buckets must be from 1 to"):
        Archive(archived)
    for name in (
        "events/../../x/events/00000.parquet",
        "events/\0.parquet",
        "/etc/passwd",
        "\udc80",
    ):
        files = {name: manifest["files"]["events/00000.parquet"]}
        (archived / "manifest.json").write_text(json.dumps(manifest | {"files": files}))
        with pytest.raises(LedgerError, match="damaged: expected the name of a file of an archive"):
            Archive(archived)
    del manifest["format"]
    (archived / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LedgerError, match="damaged: 'format' is missing"):
        Archive(archived)


def test_statements_of_another_archive_are_refused(archived: Path, tmp_path: Path) -> None:
    """Its numbers mean other bodies."""
    with Ledger(tmp_path / "another.db") as ledger:
        ledger.record_many(traffic.bodies(0, 90))
        ledger.archive(tmp_path / "another")
    for one, other in ((archived, tmp_path / "another"), (tmp_path / "another", archived)):
        with (
            Archive(one) as archive,
            pytest.raises(IntegrityError, match=r"position \d+ is another event in the archive"),
        ):
            list(archive.fold(statements=sorted_by_polars(other)))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        *(("events/00000.parquet", one) for one in ("salt", "received_at", "leaf", "texts")),
        ("templates.parquet", "pieces"),
        *(("statements/00000.parquet", one) for one in ("key", "identity", "texts")),
    ],
)
def test_what_is_missing_in_a_row_is_one_line(archived: Path, name: str, column: str) -> None:
    """Though the manifest has the hash of the file."""
    table = parquet.read_table(archived / name)
    at, values = table.column_names.index(column), table.column(column).to_pylist()
    row = next(n for n, value in enumerate(values) if value)
    values[row] = [None] if isinstance(values[row], list) else None
    field = table.schema.field(column)
    parquet.write_table(table.set_column(at, field, pa.array(values, field.type)), archived / name)
    stated(archived, name)
    with Archive(archived) as archive:
        assert any("missing" in one or "damaged" in one for one in archive.verify().problems)
        with pytest.raises(IntegrityError, match=r"missing|damaged"):
            list(archive.fold(None if name.startswith("statements") else newcomer()))


def test_an_archive_stands_at_an_address_too(source: Path, tmp_path: Path) -> None:
    """As one of a file system that PyArrow knows."""
    address = (tmp_path / "there").as_uri()
    with Ledger(source, readonly=True) as ledger:
        ledger.archive(address)
        with Archive(address) as archive:
            assert archive.verify(ledger.head()).ok
            assert of(archive.fold()) == rows(ledger)


def test_an_archive_stands_in_a_file_system_of_fsspec_too(source: Path) -> None:
    """Whatever has one; where it is not installed, one line says so."""
    address = "fsspec+memory://there/2026"
    with Ledger(source, readonly=True) as ledger:
        ledger.archive(address, rows=ROWS)
        with Archive(address) as archive:
            assert archive.verify(ledger.head()).ok
            assert of(archive.fold()) == rows(ledger)
            assert archive.replay("fsspec+memory://there/states") == len(rows(ledger))
        with pytest.raises(LedgerError, match="an archive is there"):
            ledger.archive(address)
    code = (
        "import sys, postledger\n"
        "class Nowhere:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'fsspec': raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Nowhere())\n"
        f"try: postledger.Archive('{address}')\n"
        "except postledger.PostledgerError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    said = f"{address} requires fsspec: {sys.executable} -m pip install fsspec\n"
    assert done.stdout == said


def test_an_event_that_is_not_what_was_received_is_not_archived(
    source: Path, tmp_path: Path
) -> None:
    """The position is named, and there is no archive."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(source)) as conn:
        guard = conn.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'events_no_update'"
        ).fetchone()[0]
        conn.execute("DROP TRIGGER events_no_update")
        conn.execute("UPDATE events SET received_at = received_at + 1 WHERE position = 7")
        conn.execute(guard)
        conn.commit()
    with (
        Ledger(source) as ledger,
        pytest.raises(IntegrityError, match="position 7: its leaf is not"),
    ):
        ledger.archive(tmp_path / "archive")
    assert not (tmp_path / "archive/manifest.json").exists()


def test_row_groups_and_buckets_are_bounded(source: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """By rows, and by the bytes of bodies; a stream is in one bucket."""
    monkeypatch.setattr(writing, "GROUP_BYTES", 1 << 20)
    with Ledger(source) as ledger:
        ledger.record_many(os.urandom(1 << 19) for _ in range(6))
        ledger.archive(tmp_path / "archive", rows=100)
        size = ledger.head().size
    file = parquet.ParquetFile(tmp_path / "archive/events/00000.parquet")
    assert file.num_row_groups >= 3
    names = sorted((tmp_path / "archive/statements").iterdir())
    assert len(names) == -(-size // 100)
    found = [
        {tuple(row.values()) for row in parquet.read_table(one, columns=[*STREAM]).to_pylist()}
        - {("", "", "")}
        for one in names
    ]
    assert sum(map(len, found)) == len(set().union(*found)) > 0
    assert layout.bucket_of(("", "", ""), 7, 3) == 1


def test_without_pyarrow_one_line_says_what_to_install(
    source: Path, archived: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether an archive is to be written or read."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.fs", None)
    said = r"^an archive requires PyArrow: .* -m pip install pyarrow$"
    with Ledger(source) as ledger, pytest.raises(PostledgerError, match=said):
        ledger.archive(archived.with_name("new"))
    with pytest.raises(PostledgerError, match=said):
        Archive(archived)


@pytest.mark.parametrize("name", ["deliveries/.x.parquet", ".x.parquet", "changes/.lock"])
def test_a_hidden_file_is_named_too(archived: Path, name: str) -> None:
    """SQL over a folder counts it."""
    shutil.copy(archived / "deliveries/00000.parquet", archived / name)
    (problem,) = Archive(archived).verify().problems
    assert problem.endswith(f"{name}: not a file of this archive")


def test_a_run_goes_on_that_was_killed_before_anything_was_whole(
    source: Path, tmp_path: Path
) -> None:
    """What it left is no reason to refuse the folder."""
    place = tmp_path / "archive"
    place.mkdir()
    (place / ".lock").touch()
    (place / "begun.json.partial").write_text('{"format": ')
    with Ledger(source, readonly=True) as ledger:
        ledger.archive(place, rows=ROWS)
        assert Archive(place).verify(ledger.head()).problems == ()
    assert not list(place.glob("*.partial"))


def test_an_archive_is_whole_once_its_manifest_is_there(archived: Path) -> None:
    """What the run began with may be there still, where it was killed in the end."""
    shutil.copy(archived / "manifest.json", archived / "begun.json")
    assert Archive(archived).verify().problems == ()


def test_a_run_that_ends_leaves_no_scratch_of_one_that_was_killed(
    source: Path, archived: Path
) -> None:
    """Though it has nothing to write but the manifest."""
    (archived / "manifest.json").rename(archived / "begun.json")
    (archived / ".scratch").mkdir()
    (archived / ".scratch/leaves").write_bytes(b"1234")
    with Ledger(source, readonly=True) as ledger:
        made = ledger.archive(archived, rows=ROWS)
    assert made.kept == made.files
    assert not list(archived.glob(".*"))


@pytest.mark.parametrize("address", ["{}", "fsspec+file://{}"])
def test_states_are_not_mixed_with_those_of_a_run_that_was_quicker(
    archived: Path, tmp_path: Path, address: str
) -> None:
    """What came to a place while a run folded stays as it is."""
    out = tmp_path / "states"

    def quicker(_: int) -> None:
        out.mkdir(exist_ok=True)
        (out / "theirs.parquet").write_bytes(b"theirs")

    said = "states: the folder is (there already; name a new|not empty; name another) one"
    with Archive(archived) as archive, pytest.raises(LedgerError, match=said):
        archive.replay(address.format(out), progress=quicker)
    assert whole(out) == ["theirs.parquet"]


@pytest.mark.parametrize("version", [True, 1.0, "1", None])
def test_a_version_is_a_whole_number(archived: Path, version: object) -> None:
    """What Python takes for one is none."""
    manifest = json.loads((archived / "manifest.json").read_text())
    (archived / "manifest.json").write_text(json.dumps(manifest | {"version": version}))
    with pytest.raises(LedgerError, match=rf"expected postledger archive 1, got .* {version}$"):
        Archive(archived)


@pytest.mark.parametrize(
    ("address", "bounded"),
    [
        ("gs://bucket/x", "gs://bucket/x?retry_limit_seconds=60"),
        ("gs://bucket/x?scheme=http", "gs://bucket/x?scheme=http&retry_limit_seconds=60"),
        ("gs://bucket/x?retry_limit_seconds=7", "gs://bucket/x?retry_limit_seconds=7"),
    ],
)
def test_a_store_of_google_is_tried_for_a_minute(address: str, bounded: str) -> None:
    """Unless its address has another bound."""
    found, endless = Folder.of(address).system, fs.FileSystem.from_uri("gs://bucket/x")[0]
    assert found.equals(fs.FileSystem.from_uri(bounded)[0])
    assert not found.equals(endless)
