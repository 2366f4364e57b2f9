"""Several ledgers, read as one."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from postledger import (
    UNVERIFIED,
    Address,
    Anchor,
    DefinitionsDiffer,
    IntegrityError,
    Ledger,
    LedgerError,
    Ledgers,
    Limits,
    NotALedger,
    Place,
    Receipt,
    UnknownKey,
)
from postledger.definitions import builtin
from postledger.ledger import several
from postledger.log.proofs import verify_inclusion
from postledger.projections import generations
from tests.guards import guards
from tests.samples import BINARY, DEGRADED, SMS, delivered, first_outcome_stands, sent

_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Path, Path]:
    """Two ledgers: of a message that was sent at one host and delivered at the other, and of others."""
    made = []
    for name, bodies in (
        ("berlin", [sent("T1"), sent("T2"), sent("T3")]),
        ("lyon", [delivered("T1"), sent("T2"), b"?"]),
    ):
        with Ledger(tmp_path / f"{name}.db") as ledger:
            shift = timedelta(minutes=len(made))
            ledger.record_many(Receipt(body, None, _TIME + shift) for body in bodies)
        made.append(ledger.path)
    return made[0], made[1]


@pytest.fixture
def ledgers(hosts: tuple[Path, Path]) -> Iterator[Ledgers]:
    """Both, read as one."""
    with Ledgers(*hosts) as opened:
        yield opened


def altered(path: Path, statement: str) -> None:
    """Run a statement with the guards dropped, and put these back."""
    with closing(sqlite3.connect(path)) as conn, conn:
        for name in guards():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute(statement)
        for guard in guards().values():
            conn.execute(guard)


def test_a_delivery_is_folded_from_the_events_of_all(ledgers: Ledgers) -> None:
    """Sent at one host and delivered at the other: it is delivered, and each step names its place."""
    assert ledgers.delivery("T1").state == "delivered"
    steps = ledgers.timeline("T1")
    assert [step.after["delivery"] for step in steps] == ["sent", "delivered"]
    places = [ledgers.place(step.event.position) for step in steps]
    assert places == [Place("berlin", 1), Place("lyon", 1)]
    assert list(map(str, places)) == ["berlin:1", "lyon:1"]


def test_a_postback_at_two_ledgers_is_repeated_once(ledgers: Ledgers) -> None:
    """Both received the same: that is one event, and one repeat of it."""
    found = ledgers.delivery("T2")
    assert (found.state, found.events, found.repeats) == ("sent", 1, 1)
    first, second = ledgers.timeline("T2")
    assert second.against is not None
    assert ledgers.place(second.against) == Place("berlin", 2)
    assert ledgers.place(second.event.position) == Place("lyon", 2)
    assert first.against is None


def test_filters_are_of_the_states_of_all(ledgers: Ledgers) -> None:
    """A ledger that has not heard of the outcome lists no delivery as sent that is delivered."""
    assert [one.tracking_id for one in ledgers.deliveries(state="sent")] == ["T2", "T3"]
    assert [one.tracking_id for one in ledgers.deliveries(limit=1)] == ["T1"]
    assert {count.by["state"]: count.deliveries for count in ledgers.counts(by=["state"])} == {
        "sent": 2,
        "delivered": 1,
    }
    tallied = {tally.value: tally.count for tally in ledgers.tallies("events", by=["value"])}
    assert tallied == {"recognised": 5, "unreadable": 1}


def test_what_was_known_is_asked_by_time_alone(ledgers: Ledgers) -> None:
    """Positions are of one ledger each; as of a time the second host has received nothing."""
    assert ledgers.delivery("T1", as_of=_TIME).state == "sent"
    assert [one.state for one in ledgers.deliveries(as_of=_TIME)] == ["sent"] * 3
    with pytest.raises(TypeError, match="as_of must be a timezone-aware datetime, got 1"):
        ledgers.delivery("T1", as_of=1)  # type: ignore[arg-type]


def test_nothing_is_written_to_the_ledgers(hosts: tuple[Path, Path]) -> None:
    """Their files are as they were."""
    before = [path.read_bytes() for path in hosts]
    with Ledgers(*hosts) as ledgers:
        ledgers.audit(verify=True)
    assert [path.read_bytes() for path in hosts] == before


def test_refresh_takes_in_what_came_since(hosts: tuple[Path, Path], ledgers: Ledgers) -> None:
    """Until then all is as of the opening; the first refresh says how many events came."""
    before = ledgers.anchors
    with Ledger(hosts[0]) as berlin:
        berlin.record_many([delivered("T3"), b"??"])
        head = berlin.head()
    assert ledgers.delivery("T3").state == "sent"
    assert ledgers.refresh() == 2
    assert ledgers.refresh() == 0
    assert ledgers.delivery("T3").state == "delivered"
    assert ledgers.place(ledgers.timeline("T3")[1].event.position) == Place("berlin", 4)
    assert ledgers.anchors == {"berlin": head, "lyon": before["lyon"]}


def test_other_definitions_are_refused(hosts: tuple[Path, Path]) -> None:
    """The error says which differ, and where no command adds them, how to adopt."""
    with Ledger(hosts[1]) as lyon:
        lyon.replay(first_outcome_stands())
    with pytest.raises(DefinitionsDiffer, match="all must read by the same") as caught:
        Ledgers(*hosts)
    said = str(caught.value)
    assert f"{hosts[0]} alone reads by delivery 1 (" in said
    assert f"{hosts[1]} alone reads by delivery 1 (" in said
    assert "postledger replay LEDGER --adopt" in said


def test_a_missing_provider_is_adopted_by_the_command_named(tmp_path: Path) -> None:
    """What the error says to run is what helps."""
    few, many = tmp_path / "few.db", tmp_path / "many.db"
    Ledger(few, providers="skycore").close()
    Ledger(many, providers=["skycore", "twilio"]).close()
    for paths in ((few, many), (many, few)):
        with pytest.raises(DefinitionsDiffer) as caught:
            Ledgers(*paths)
        assert str(caught.value).endswith(f"postledger replay {few} --provider twilio --adopt")
    with Ledger(few) as ledger:
        ledger.replay(ledger.definitions.with_providers("twilio"))
    with Ledgers(few, many) as ledgers:
        assert ledgers.definitions.hash == builtin(["skycore", "twilio"]).hash


def test_other_definitions_are_noticed_by_a_refresh(
    hosts: tuple[Path, Path], ledgers: Ledgers
) -> None:
    """Adopted by one it is refused, adopted by all they are to be opened again."""
    for path in hosts:
        with Ledger(path) as one:
            one.replay(first_outcome_stands())
        with pytest.raises(DefinitionsDiffer):
            ledgers.refresh()
    assert ledgers.delivery("T1").state == "delivered"


def test_a_missing_ledger_is_named(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    """None is made in its place, and what was made of the others is removed."""
    missing = tmp_path / "oslo.db"
    with pytest.raises(NotALedger, match=r"oslo\.db: no such ledger"):
        Ledgers(*hosts, missing)
    assert not missing.exists()
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"not a database at all" * 100)
    with pytest.raises(LedgerError, match=r"garbage\.db: "):
        Ledgers(*hosts, garbage)


def test_a_damaged_ledger_is_named(hosts: tuple[Path, Path]) -> None:
    """So is the position of an event that is not what was received, or that is missing."""
    altered(hosts[1], "UPDATE events SET received_at = received_at + 1 WHERE position = 2")
    with pytest.raises(IntegrityError, match=r"lyon\.db: position 2: .* not what was received"):
        Ledgers(*hosts)
    with pytest.raises(IntegrityError, match=r"lyon\.db: position 2: "):
        Ledgers(*hosts, key="T2")
    with Ledgers(*hosts, key="T1") as ledgers:
        assert ledgers.delivery("T1").state == "delivered"
    altered(hosts[1], "DELETE FROM events WHERE position = 2")
    with pytest.raises(IntegrityError, match=r"lyon\.db: position 2 is missing"):
        Ledgers(*hosts)


def test_a_ledger_next_to_itself_or_a_copy_is_refused(
    hosts: tuple[Path, Path], tmp_path: Path
) -> None:
    """All its events would be repeats: a copy is the same ledger."""
    copy = tmp_path / "copy.db"
    shutil.copy(hosts[0], copy)
    for other in (hosts[0], copy):
        with pytest.raises(LedgerError, match=r"berlin\.db and .* are the same ledger, or a copy"):
            Ledgers(*hosts, other)
    with pytest.raises(ValueError, match="paths must be at least 1, got 0"):
        Ledgers()
    with pytest.raises(TypeError, match="paths must be"):
        Ledgers(hosts[0], 7)  # type: ignore[arg-type]


def test_ledgers_are_named_by_their_files(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    """By the folders where the files are called the same, or by the names that are given."""
    with Ledgers(hosts[0]) as ledgers:
        assert ledgers.names == ("berlin",)
    moved = []
    for path in hosts:
        folder = tmp_path / "of" / path.stem
        folder.mkdir(parents=True)
        moved.append(Path(shutil.move(path, folder / "deliveries.db")))
    with Ledgers(*moved) as ledgers:
        assert ledgers.names == ("berlin", "lyon")
        report = ledgers.audit()
        assert [one.ledger for one in report.ledgers] == [
            "berlin/deliveries.db",
            "lyon/deliveries.db",
        ]
        assert report.arguments == "berlin/deliveries.db --with lyon/deliveries.db"
    with Ledgers(*moved, names=["a", "b"]) as ledgers:
        assert ledgers.names == ("a", "b")
        assert str(ledgers.place(ledgers.timeline("T3")[0].event.position)) == "a:3"
    for names in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(
            ValueError, match="names must be one for each of 2 ledgers, all different, got a"
        ):
            Ledgers(*moved, names=names)
    with pytest.raises(ValueError, match="names must be non-empty text"):
        Ledgers(*moved, names=["a", " "])


def test_a_file_and_a_server_are_read_as_one(
    hosts: tuple[Path, Path], postgres_address: str
) -> None:
    """A ledger on a server is named by its schema, and its address says no password."""
    with Ledger(postgres_address) as oslo:
        oslo.record_many([delivered("T3"), sent("T4")])
        name = oslo.path.name
    with Ledgers(hosts[0], postgres_address) as ledgers:
        assert ledgers.names == ("berlin", name)
        steps = ledgers.timeline("T3")
        places = [str(ledgers.place(step.event.position)) for step in steps]
        assert places == ["berlin:3", f"{name}:1"]
        assert ledgers.audit(verify=True).integrity.ok
        assert ledgers.audit(tracking_id="T3").integrity.ok
        assert [one.tracking_id for one in ledgers.deliveries(state="delivered")] == ["T3"]
    with pytest.raises(LedgerError, match="are the same ledger"):
        Ledgers(postgres_address, hosts[0], postgres_address)


def test_servers_of_one_schema_are_told_apart() -> None:
    """By the database, or by the server; a password is in no name."""
    schema = "?schema=receipts"
    one, other, third = (
        Address.parse(f"postgresql://me:secret@{where}{schema}")
        for where in ("a.example.com/sms", "b.example.com/sms", "a.example.com/mms")
    )
    assert several._names([one, other], None) == ("me@a.example.com", "me@b.example.com")
    assert several._names([one, third], None) == ("sms", "mms")
    path = Path("/var/receipts.db")
    assert several._names([one, path], None) == ("sms", "var")
    assert several._files([one, path]) == (str(one), "receipts.db")


def test_a_position_of_none_has_no_place(ledgers: Ledgers) -> None:
    """The first position of the merge has its definitions; after the last there is nothing."""
    for position in (-1, 0, 7, 10**9):
        with pytest.raises(IndexError, match=f"no ledger has an event at position {position} of"):
            ledgers.place(position)
    assert ledgers.place(6) == Place("lyon", 3)


def test_a_key_takes_in_what_names_it(hosts: tuple[Path, Path]) -> None:
    """It is all that there is to one delivery; others are not known."""
    taken: list[int] = []
    with Ledgers(*hosts, key="T1", progress=taken.append) as ledgers:
        assert sum(taken) == 2
        assert ledgers.delivery("T1").state == "delivered"
        report = ledgers.audit(tracking_id="T1")
        assert [one.integrity.events for one in report.ledgers] == [4, 4]
        with pytest.raises(UnknownKey, match="no delivery 'T3' is known"):
            ledgers.delivery("T3")
    with (
        Ledgers(*hosts, key="T9") as ledgers,
        pytest.raises(UnknownKey, match="no delivery 'T9' is known"),
    ):
        ledgers.timeline("T9")


def test_events_that_a_ledger_has_not_taken_in_are_merged(
    hosts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its states are behind its log: they are folded from the log, also where one key is asked for."""

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake")

    with Ledger(hosts[0]) as berlin, monkeypatch.context() as patch:
        patch.setattr(generations, "put", fail)
        berlin.record(delivered("T3"), answer=False)
    with Ledger(hosts[0], readonly=True) as berlin:
        assert berlin.delivery("T3").state == "sent"
    for key in (None, "T3"):
        with Ledgers(*hosts, key=key) as ledgers:
            assert ledgers.delivery("T3").state == "delivered"


def test_bodies_are_read_within_limits(tmp_path: Path) -> None:
    """Those of whoever recorded are to be given: a wider one reads what was beyond them."""
    path, limits = tmp_path / "small.db", Limits(body_bytes=100)
    with Ledger(path, limits=limits) as ledger:
        assert ledger.record(sent("T1")).delivery is None
    for given, states in ((limits, []), (None, ["sent"])):
        with Ledgers(path, limits=given) as ledgers:
            assert [one.state for one in ledgers.deliveries()] == states


def test_accepted_events_count_as_accepted(hosts: tuple[Path, Path]) -> None:
    """Which events of a ledger were accepted is known of the merge, too."""
    with Ledger(hosts[1]) as lyon:
        strange = [lyon.record(sent(key), sender=UNVERIFIED) for key in ("T7", "T8")]
        positions = [one.event.position for one in strange]
        lyon.accept(positions[0], positions[0])
    with Ledgers(*hosts) as ledgers:
        assert [one.tracking_id for one in ledgers.deliveries()] == ["T1", "T2", "T3", "T7"]
        figures = ledgers.audit().figures
        assert figures is not None
        (unverified,) = figures.events.unverified.listed
        assert (unverified.events, unverified.first) == (1, Place("lyon", positions[1]))


def places_of(part: Any) -> list[Any]:
    """All that stands in a report where a position does."""
    if isinstance(part, list):
        return [place for one in part for place in places_of(one)]
    if not isinstance(part, dict):
        return []
    named = ("first", "position", "repeats")
    found = [held for name, held in part.items() if name in named and held is not None]
    if part.keys() == {"ledger", "position"}:
        return []
    return found + [place for held in part.values() for place in places_of(held)]


def test_a_report_names_the_ledger_at_each_position(
    specification: list[bytes], tmp_path: Path
) -> None:
    """Figures are those of one ledger; no position stands without the name of its ledger."""
    bodies = [*specification, b"?", b"<POSTBACK><CODE>N999</CODE></POSTBACK>", sent("T1", TO=None)]
    for name, some in ("berlin", bodies[::2]), ("lyon", bodies[1::2]), ("one", bodies):
        with Ledger(tmp_path / f"{name}.db") as ledger:
            ledger.record_many(some)
    with (
        Ledgers(tmp_path / "berlin.db", tmp_path / "lyon.db") as ledgers,
        Ledger(tmp_path / "one.db") as one,
    ):
        report = json.loads(ledgers.audit().to_json())
        figures = ledgers.audit().figures, one.audit().figures
        assert figures[0] is not None
        assert figures[1] is not None
        assert figures[0].outcomes == figures[1].outcomes
        for name in ("findings", "unreadable", "unrecognised", "missing", "contradictions"):
            places = places_of({name: report[name]})
            assert places, name
            assert all(place.keys() == {"ledger", "position"} for place in places)
        assert report["ledger"] == "berlin.db, lyon.db"
        assert [one["name"] for one in report["ledgers"]] == ["berlin", "lyon"]
        for made in (ledgers.audit(), ledgers.audit(tracking_id=BINARY)):
            text = made.to_markdown()
            assert "## Integrity" in text
            assert "### berlin" in text
            assert f"`postledger verify lyon.db --anchor {ledgers.anchors['lyon']}`" in text
            assert str(ledgers.anchors["berlin"]) in made.to_html()


def test_the_proofs_of_a_dossier_are_of_each_ledger(ledgers: Ledgers) -> None:
    """Each event stands at its position under the root of its own ledger's anchor."""
    report = ledgers.audit(tracking_id="T1", unmask=True)
    assert report.dossier is not None
    assert report.integrity.ok
    exhibits = report.dossier.exhibits
    assert [str(one.position) for one in exhibits] == ["berlin:1", "lyon:1"]
    for one in exhibits:
        assert isinstance(one.position, Place)
        anchor = ledgers.anchors[one.position.ledger]
        leaf, path = bytes.fromhex(one.proof.leaf), tuple(map(bytes.fromhex, one.proof.path))
        root = bytes.fromhex(anchor.root)
        assert verify_inclusion(leaf, one.position.position, anchor.size, path, root)
    assert {str(Anchor.parse(one.integrity.anchor)) for one in report.ledgers} == set(
        map(str, ledgers.anchors.values())
    )


def test_a_hidden_delivery_is_found_by_its_place(tmp_path: Path) -> None:
    """Where the id says a number, the report and the dossier name the first event instead."""
    for name, make in ("berlin", sent), ("lyon", delivered):
        with Ledger(tmp_path / f"{name}.db") as ledger:
            ledger.record(make("16503333058", TO="16503333058", AGGREGATORID="16503333058"))
    with Ledgers(tmp_path / "berlin.db", tmp_path / "lyon.db") as ledgers:
        report = ledgers.audit(tracking_id="16503333058")
        assert report.dossier is not None
        assert report.dossier.name == "••• (position berlin:1)"


def test_a_number_in_the_name_of_a_ledger_is_hidden(hosts: tuple[Path, Path]) -> None:
    """As in a report over one."""
    named = hosts[0].rename(hosts[0].with_name("16503333058.db"))
    with Ledgers(named, hosts[1]) as ledgers:
        masked, shown = (ledgers.audit(unmask=unmask).to_json() for unmask in (False, True))
    assert "16503333058" not in masked
    assert "16503333058" in shown


def test_what_is_wrong_is_said_with_the_ledger(hosts: tuple[Path, Path]) -> None:
    """A verification finds it in the one that has it; the figures are folded from the events."""
    altered(hosts[1], "UPDATE states_1 SET state = 'failed'")
    with Ledgers(*hosts) as ledgers:
        assert ledgers.audit().integrity.ok
        report = ledgers.audit(verify=True)
        assert report.integrity.verified
        assert [one.integrity.ok for one in report.ledgers] == [True, False]
        assert all(problem.startswith("lyon: ") for problem in report.integrity.problems)
        assert "**Not all holds.**" in report.to_markdown()
        assert ledgers.delivery("T1").state == "delivered"


def test_a_dropped_guard_is_said_where_it_is_asked_for(hosts: tuple[Path, Path]) -> None:
    """It stops whoever reads, but a report tells of it."""
    with closing(sqlite3.connect(hosts[0])) as conn, conn:
        conn.execute("DROP TRIGGER events_no_update")
    with pytest.raises(IntegrityError, match=r"berlin\.db: guard events_no_update is missing"):
        Ledgers(*hosts)
    with Ledgers(*hosts, guarded=False) as ledgers:
        (problem,) = ledgers.audit().integrity.problems
        assert problem.startswith("berlin: guard events_no_update is missing")


def test_a_verified_report_says_so_of_each(ledgers: Ledgers, hosts: tuple[Path, Path]) -> None:
    """Or when each was verified last."""
    report = ledgers.audit(verify=True)
    assert report.integrity.ok
    assert "all of each of the 2 ledgers" in report.to_markdown()
    assert "Each of the 2 ledgers was verified whole." in report.to_html()
    with Ledger(hosts[0]) as berlin:
        berlin.verified(berlin.verify())
    ledgers.refresh()
    first, second = ledgers.audit().ledgers
    assert first.integrity.last is not None
    assert second.integrity.last is None
    assert "- Verified: verified whole on " in ledgers.audit().to_markdown()


def test_what_was_made_of_them_is_removed(
    hosts: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After closing, and where opening fails, the temporary folder is as it was."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with Ledgers(*hosts) as ledgers:
        assert len(list(temporary.iterdir())) == 1
        assert next(temporary.iterdir()).stat().st_mode & 0o077 == 0
    assert list(temporary.iterdir()) == []
    with pytest.raises(LedgerError, match="closed"):
        ledgers.delivery("T1")
    altered(hosts[1], "UPDATE events SET received_at = received_at + 1 WHERE position = 2")
    with pytest.raises(IntegrityError):
        Ledgers(*hosts)
    assert list(temporary.iterdir()) == []


def test_an_mms_and_invoices_are_of_all(tmp_path: Path, specification: list[bytes]) -> None:
    """Contents are folded, and invoices held against the deliveries, as of one ledger."""
    for name, some in ("a", specification[::2]), ("b", specification[1::2]):
        with Ledger(tmp_path / f"{name}.db") as ledger:
            ledger.record_many(some)
    with Ledgers(tmp_path / "a.db", tmp_path / "b.db") as ledgers:
        assert ledgers.content("35674").failures == ("sample.mp3",)
        billed = {
            one.tracking_id
            for found in ledgers.reconcile([])
            for one in found.differences
            if one.kind == "not_billed"
        }
        assert billed == {SMS, BINARY, DEGRADED}
