"""A bundle: the report with the dossiers that it links, in a folder or a zip, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import Result

from postledger import Ledger
from postledger.cli import bundle
from tests.audit.pages import HTML, text, tree
from tests.audit.traffic import traffic
from tests.console import bundle as several
from tests.guards import guards

Run = Callable[..., Result]
LINK = re.compile(r'href="(dossiers/[^"#]+)"')


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of hundreds of deliveries with every disturbance."""
    path = tmp_path_factory.mktemp("bundle") / "busy.db"
    with Ledger(path) as ledger:
        ledger.record_many(traffic(400, seed=3, days=9))
    return path


def files_of(path: Path) -> dict[str, str]:
    """What a bundle holds, by name."""
    if path.is_dir():
        return {
            str(one.relative_to(path)): one.read_text("utf-8")
            for one in path.rglob("*")
            if one.is_file()
        }
    with ZipFile(path) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name).decode() for name in packed.namelist()}


def test_a_bundle_links_the_dossiers_of_what_it_lists(run: Run, busy: Path, tmp_path: Path) -> None:
    """Each delivery that the report names has a dossier in it, of that delivery, and all are linked."""
    done = run("audit", busy, "--bundle", tmp_path / "b", "--reference", "R-7")
    assert (done.exit_code, done.stdout) == (0, "")
    files = files_of(tmp_path / "b")
    dossiers = {name for name in files if name.startswith("dossiers/")}
    assert set(files) - dossiers == {"report.html", "report.json", "findings.csv"}
    links = re.findall(r'href="(dossiers/[^"#]+)">([^<]+)</a>', files["report.html"])
    assert links
    for name, key in links:
        root = tree(files[name])
        assert text(root.find(f".//{HTML}h1")).startswith(f"{key} stands ")
        assert "R-7" in files[name]
    said = json.loads(files["report.json"])
    disputed = [pair["tracking_id"] for pair in said["contradictions"]["latest"]]
    assert disputed
    pages = "".join(files[name] for name in dossiers)
    assert all(f"<h1>{key} stands " in pages for key in disputed)


def test_every_dossier_of_a_bundle_can_be_reached(run: Run, busy: Path, tmp_path: Path) -> None:
    """From the list in the report, by its state, and from the list of findings; each leads back."""
    assert run("audit", busy, "--bundle", tmp_path / "b").exit_code == 0
    files = files_of(tmp_path / "b")
    dossiers = {name for name in files if name.startswith("dossiers/")}
    section = files["report.html"].partition('<section id="dossiers"')[2]
    assert sorted(LINK.findall(section)) == sorted(dossiers)
    rows = {
        row["dossier"]: row
        for row in csv.DictReader(io.StringIO(files["findings.csv"]))
        if row["dossier"]
    }
    assert set(rows) == dossiers
    for name, row in rows.items():
        assert f"<h1>{row['tracking_id']} stands {row['state']}" in files[name]
        assert 'href="../report.html"' in files[name]
    assert re.search(r"<a href=[^>]+>[^<]+</a></span></th>\s*<td[^>]+><span>delivered<", section)


def test_a_number_of_an_event_is_that_of_its_dossier(run: Run, busy: Path, tmp_path: Path) -> None:
    """Wherever a report says *event N*: next to it stands the position, and a link leads there."""
    assert run("audit", busy, "--bundle", tmp_path / "b").exit_code == 0
    files = files_of(tmp_path / "b")
    said = re.compile(r"[Ee]vent (\d+) \(position ([\d.]+)\)")
    report = tree(files["report.html"])
    links = {
        (link.get("href") or "").partition("#")[0::2]: text(link)
        for link in report.iter(f"{HTML}a")
        if "#event-" in (link.get("href") or "")
    }
    assert len(links) >= 2
    for (name, place), words in links.items():
        number, position = said.findall(words)[0]
        assert place == f"event-{number}"
        dossier = tree(files[name])
        (event,) = dossier.findall(f".//*[@id='{place}']")
        assert event.find(f".//*[@id='position-{position}']") is not None
        assert f"Event {number}:" in text(event)
    pages = (files["report.html"], run("audit", busy).stdout)
    for page in pages:
        plain = re.sub(r"<[^>]+>", "", page)
        assert len(said.findall(plain)) >= 2
        # No other number is called that of an event.
        assert not re.search(r"\bevent \d", said.sub("", plain))


def test_two_that_are_hidden_alike_are_listed_by_number(run: Run, tmp_path: Path) -> None:
    """Neither is linked by what stands for its id, and both are in the list, with files of their own."""
    path = tmp_path / "l.db"
    ids = [f"4179302670{n}" for n in range(2)]
    with Ledger(path, providers=["infobip"]) as ledger:
        # Of one body: the position of their first event tells them apart no more than their ids do.
        said = several(*ids)
        ledger.record(said)
        other = said.replace(b'"id": 5', b'"id": 4').replace(b'"groupId": 3', b'"groupId": 2')
        for word, instead in (
            (b"DELIVERED_TO_HANDSET", b"UNDELIVERABLE_REJECTED_OPERATOR"),
            (b'"DELIVERED"', b'"UNDELIVERABLE"'),
        ):
            other = other.replace(word, instead)
        ledger.record(other)
    assert run("audit", path, "--bundle", tmp_path / "b").exit_code == 0
    files = files_of(tmp_path / "b")
    section = files["report.html"].partition('<section id="dossiers"')[2]
    assert len(set(LINK.findall(section))) == 2
    assert not LINK.search(files["report.html"].partition('<section id="dossiers"')[0])
    assert not any(key in page for key in ids for page in files.values())


def test_a_zip_holds_what_the_folder_does(run: Run, busy: Path, tmp_path: Path) -> None:
    """Byte for byte, once the times at which they were made are left out."""
    for name in ("b", "b.zip"):
        assert run("audit", busy, "--bundle", tmp_path / name).exit_code == 0
    folder, packed = (
        {name: re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+", "", page) for name, page in found.items()}
        for found in (files_of(tmp_path / "b"), files_of(tmp_path / "b.zip"))
    )
    assert folder == packed


def test_a_bundle_lists_all_that_have_findings(run: Run, busy: Path, tmp_path: Path) -> None:
    """In its CSV, masked as the report is."""
    assert run("audit", busy, "--bundle", tmp_path / "b.zip").exit_code == 0
    rows = list(csv.DictReader(io.StringIO(files_of(tmp_path / "b.zip")["findings.csv"])))
    with Ledger(busy, readonly=True) as ledger:
        having = [one for one in ledger.deliveries() if one.findings]
    assert [(row["tracking_id"], row["findings"].split()) for row in rows] == [
        (one.tracking_id, list(one.findings)) for one in having
    ]
    assert all(row["to"].startswith("•••") for row in rows if row["to"])
    shown = "".join(files_of(tmp_path / "b.zip").values())
    assert not [one.to for one in having if one.to and one.to in shown]
    assert run("audit", busy, "--bundle", tmp_path / "u.zip", "--unmask").exit_code == 0
    assert having[0].to in files_of(tmp_path / "u.zip")["findings.csv"]


def test_a_bundle_says_what_it_leaves_out(
    run: Run, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the page and on stderr; the latest have a dossier."""
    monkeypatch.setattr(bundle, "MOST_DISPUTED", 2)
    done = run("audit", busy, "--bundle", tmp_path / "b")
    with Ledger(busy, readonly=True) as ledger:
        disputed = list(ledger.deliveries(finding="contradiction"))
    files = files_of(tmp_path / "b")
    rows = csv.DictReader(io.StringIO(files["findings.csv"]))
    without = [r for r in rows if "contradiction" in r["findings"].split() and not r["dossier"]]
    left = f"{len(without)} with contradiction"
    assert 0 < len(without) < len(disputed) - 1
    assert left in done.stderr
    assert left in files["report.html"]
    pages = "".join(page for name, page in files.items() if name.startswith("dossiers/"))
    assert all(f"<h1>{one.tracking_id} stands " in pages for one in disputed[-2:])


def test_a_bundle_is_of_the_events_of_its_report(busy: Path, tmp_path: Path) -> None:
    """What is recorded after the report was made is in no part of it."""
    from postledger.export.files import whole_folder

    asked = {"since": None, "until": None, "as_of": None, "occurred_by": None}
    with Ledger(tmp_path / "l.db") as ledger:
        receipts = traffic(60, seed=3)
        ledger.record_many(receipts[:90])
        report = ledger.audit()
        known = {one.tracking_id for one in ledger.deliveries() if one.findings}
        ledger.record_many(receipts[90:])
        with whole_folder(tmp_path / "b") as folder:
            bundle.write(ledger, report, folder, {**asked, "definitions": "now", "unmask": False})
    rows = csv.DictReader(io.StringIO(files_of(tmp_path / "b")["findings.csv"]))
    assert {row["tracking_id"] for row in rows} == known


def test_a_bundle_of_a_damaged_ledger_is_made_all_the_same(
    run: Run, busy: Path, tmp_path: Path
) -> None:
    """Its dossiers say what is wrong, and the command ends with 1."""
    path = tmp_path / "copy.db"
    path.write_bytes(busy.read_bytes())
    with closing(sqlite3.connect(path)) as db, db:
        for name in guards():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE events SET received_at = received_at + 1 WHERE position > 100")
        for trigger in guards().values():
            db.execute(trigger)
    done = run("audit", path, "--verify", "--bundle", tmp_path / "b.zip")
    assert done.exit_code == 1
    files = files_of(tmp_path / "b.zip")
    assert "Not all holds" in files["report.html"]
    assert [name for name in files if "Not all holds" in files[name] and "dossiers" in name]


@pytest.mark.parametrize("there", ["a file", "a folder with a file in it"])
def test_a_bundle_takes_the_place_of_nothing(
    run: Run, busy: Path, tmp_path: Path, there: str
) -> None:
    """Of a folder that holds anything, and of a file, nothing is changed."""
    out = tmp_path / "out"
    kept = out if there == "a file" else out / "kept.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("kept")
    done = run("audit", busy, "--bundle", out)
    assert done.exit_code == 1
    assert re.search("name a folder|name another one", done.stderr)
    assert kept.read_text() == "kept"
    assert sorted(tmp_path.rglob("*")) == sorted({out, kept})


def test_an_empty_folder_is_filled(run: Run, busy: Path, tmp_path: Path) -> None:
    """A folder that was made for it is what is written to."""
    (tmp_path / "b").mkdir()
    assert run("audit", busy, "--bundle", tmp_path / "b").exit_code == 0
    assert "report.html" in files_of(tmp_path / "b")


def test_a_bundle_that_fails_leaves_nothing(
    run: Run, busy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in its place nor beside it."""

    def never(*_: object) -> str:
        raise OSError("the disk is full")

    monkeypatch.setattr(bundle, "_note", never)
    for name in ("b", "b.zip"):
        assert run("audit", busy, "--bundle", tmp_path / name).exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--id", "X", "--bundle", "b"], "--bundle is of a period: leave out --id."),
        (["--bundle", "no/such/folder/b"], "no/such/folder/b"),
    ],
)
def test_what_can_not_be_bundled_is_refused(
    run: Run, busy: Path, words: list[str], line: str
) -> None:
    """One line says why, and no traceback follows."""
    done = run("audit", busy, *words)
    assert done.exit_code in (1, 2)
    assert line in done.stderr
    assert "Traceback" not in done.output
