"""Long reading: page by page, of one place in the log, whoever records, adopts or replays meanwhile.

As long as a read transaction is open the write-ahead log of a file can't be begun again, and a server
keeps old rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postledger import Ledger, LedgerError
from postledger import verify as verifying
from postledger.definitions.definitions import builtin
from postledger.projections import compare, groups, snapshots
from postledger.store.sqlite import SqliteStore
from postledger.store.store import Store
from tests.faults import traffic
from tests.samples import other
from tests.states import rows
from tests.stores import both_stores, in_file, is_unread, long_on_server, shell

pytestmark = both_stores

_ACME = b'{"acme": "1", "id": "m1", "status": "delivered"}'


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger of some deliveries, and of bodies that belong to none, read in small pages."""
    for room in (verifying, groups, snapshots):
        monkeypatch.setattr(room, "PAGE", 7)
    monkeypatch.setattr(compare, "CHUNK", 7)
    with Ledger(tmp_path / "busy.db") as ledger:
        ledger.record_many([*traffic.bodies(0, 90), _ACME, *(b"<a%d/>" % n for n in range(30))])
        yield ledger


class Between:
    """Calls something after each read transaction of a ledger, but not while it is called."""

    def __init__(self, ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self._call: Callable[[int], object] | None = None
        store = ledger._connections._own().store
        read = type(store).read

        @contextmanager
        def reading(self_: Store) -> Iterator[None]:
            with read(self_):
                yield
            if self_ is store and not store.in_transaction:
                self.now()

        patch.setattr(type(store), "read", reading)

    @contextmanager
    def each(self, call: Callable[[int], object]) -> Iterator[None]:
        """Call it with the number of its call, from where the size of the log is known on."""
        self.calls, self._call = -1, lambda n: None if n < 1 else call(n)
        yield
        self._call = None

    def now(self, _: object = None) -> None:
        """Call it here too."""
        if self._call is not None:
            call, self._call = self._call, None
            call(self.calls)
            self.calls, self._call = self.calls + 1, call


@pytest.fixture
def between(busy: Ledger, monkeypatch: pytest.MonkeyPatch) -> Between:
    """What happens between the pages of that ledger."""
    return Between(busy, monkeypatch)


def goes_on(ledger: Ledger, number: int) -> None:
    """Record, and at times adopt or replay, as another process would."""
    with Ledger(ledger.path) as beside:
        beside.record_many([*traffic.bodies(3 * number, 3 * number + 40), b"<b%d/>" % number])
        if number % 4 == 1:
            definitions = (traffic.other_chart, traffic.other_vocabulary, builtin)
            beside.replay(definitions[number // 4 % 3]())
        if number % 4 == 3:
            beside.replay(index=number % 8 == 3)


def test_nothing_is_held_between_pages(busy: Ledger, between: Between, tmp_path: Path) -> None:
    """Neither by verify, nor by an audit, a list as of then, or a comparison."""
    free: list[bool] = []
    read: list[Callable[[], object]] = [
        lambda: busy.verify(progress=between.now),
        lambda: busy.audit(verify=True, progress=between.now),
        lambda: busy.audit(verify=True, tracking_id="TU1T7", definitions="then"),
        lambda: list(busy.deliveries(as_of=40)),
        lambda: list(busy.deliveries(as_of=40, definitions="then")),
        lambda: list(busy.differences(other(tmp_path, last_stands=True))),
        lambda: list(busy.differences(traffic.other_vocabulary())),
    ]
    busy.replay(traffic.other_vocabulary())
    busy.replay(builtin())
    for reading in read:
        with between.each(lambda _: free.append(is_unread(busy.path))):
            reading()
        assert between.calls > 5
        assert all(free)


@long_on_server
def test_verify_is_of_the_log_as_it_was(busy: Ledger, between: Between) -> None:
    """Whatever is recorded, adopted and replayed between its pages, nothing is wrong with it."""
    for most in (3, 4, 12, 60):
        anchor = busy.head()
        with between.each(lambda n, most=most: goes_on(busy, n) if n < most else None):
            found = busy.verify(anchor, progress=between.now if most > 4 else lambda _: None)
        assert between.calls >= most
        assert (found.problems, found.anchor, found.events) == ((), anchor, anchor.size)


@pytest.mark.parametrize("index", [False, True])
def test_what_was_found_of_states_that_were_replaced_is_not_told(
    busy: Ledger, between: Between, index: bool
) -> None:
    """A replay heals them while they are read: what is live then is right."""
    with shell(busy.path) as conn:
        conn.execute("UPDATE states_1 SET state = 'failed' WHERE stream = 3")
        if index:
            conn.execute("UPDATE index_1 SET findings = findings | 64 WHERE stream = 3")
    assert busy.verify().problems != ()

    def heals(number: int) -> None:
        if number == 15:
            with Ledger(busy.path) as beside:
                beside.replay(index=index)

    with between.each(heals):
        assert busy.verify().problems == ()


@long_on_server
def test_what_is_replaced_again_and_again_is_read_as_of_one_time(
    busy: Ledger, between: Between
) -> None:
    """Verify, an audit and a list come to an end, and say what is right."""

    def replays(_: int) -> None:
        with Ledger(busy.path) as beside:
            beside.replay(index=True)

    whole, calm = rows(busy, as_of=100), busy.audit()
    with between.each(replays):
        assert busy.verify().problems == ()
        assert busy.audit().figures == calm.figures
        assert rows(busy, as_of=100) == whole
        with shell(busy.path) as conn:
            (table,) = conn.execute("SELECT 'states_' || number FROM generations").fetchone()
            conn.execute(f"UPDATE {table} SET state = 'failed'")
    assert busy.verify().problems != ()


@long_on_server
@pytest.mark.parametrize("asked", [{}, {"as_of": 60}, {"as_of": 60, "definitions": "then"}])
def test_an_audit_is_of_what_it_verified(
    busy: Ledger, between: Between, asked: dict[str, Any]
) -> None:
    """The same report comes again later, as of the end of its anchor."""
    if asked:
        busy.replay(traffic.other_vocabulary())
    calm = busy.audit(verify=True, **asked)
    with between.each(lambda n: goes_on(busy, n) if n % 9 == 0 else None):
        report = busy.audit(verify=True, progress=between.now, **asked)
    assert between.calls > 30
    assert busy.head().size > report.integrity.events + 100
    assert (report.integrity, report.figures) == (calm.integrity, calm.figures)
    assert (report.definitions, report.as_of) == (calm.definitions, calm.as_of)
    if not asked:
        again = busy.audit(as_of=report.integrity.events - 1, definitions="then")
        assert again.figures == report.figures


def test_the_audit_of_one_delivery_is_of_what_it_verified(busy: Ledger, between: Between) -> None:
    """Each of its events is proven by its anchor, and none is of later."""
    calm = busy.audit(verify=True, tracking_id="TU1T7")
    with between.each(lambda n: goes_on(busy, n) if n < 20 else None):
        report = busy.audit(verify=True, tracking_id="TU1T7")
    assert (report.dossier, report.integrity) == (calm.dossier, calm.integrity)
    assert busy.delivery("TU1T7").repeats > 0


@pytest.mark.parametrize("asked", [{}, {"definitions": "then"}])
def test_a_list_as_of_then_stays_what_it_was(
    busy: Ledger, between: Between, asked: dict[str, Any]
) -> None:
    """However far what is live has gone on, whatever was adopted, and while that happens."""
    last = busy.head().size - 1
    wanted = {at: rows(busy, as_of=at, **asked) for at in (0, 40, last)}
    assert wanted[last] == rows(busy)
    for at, known in wanted.items():
        with between.each(lambda n: goes_on(busy, n) if n in (2, 5, 9, 12) else None):
            if asked or at == 0:
                assert rows(busy, as_of=at, **asked) == known
            else:
                list(busy.deliveries(as_of=at))
    busy.replay(builtin())
    assert {at: rows(busy, as_of=at, **asked) for at in wanted} == wanted


@long_on_server
def test_a_comparison_is_of_the_log_as_it_was(
    busy: Ledger, between: Between, tmp_path: Path
) -> None:
    """Or ends with an error, where a replay takes the index away that it reads."""
    definitions = other(tmp_path, last_stands=True)
    for wanted in (definitions, traffic.other_vocabulary()):
        calm = list(busy.differences(wanted))
        with between.each(lambda n: goes_on(busy, 4 * n)):
            assert list(busy.differences(wanted)) == calm

    def replays(number: int) -> None:
        if number == 4:
            with Ledger(busy.path) as beside:
                beside.replay(index=True)

    with between.each(replays), pytest.raises(LedgerError, match="another process replays"):
        list(busy.differences(definitions))


@in_file
@pytest.mark.parametrize("read", [Ledger.events, partial(Ledger.follow, live=False)])
def test_a_page_takes_few_statements(
    read: Callable[[Ledger], Iterator[object]], tmp_path: Path
) -> None:
    """A server is asked for all events of a page together: each statement is a way there and back."""
    with Ledger(tmp_path / "test.db") as ledger:
        ledger.record_many(traffic.bodies(0, 200))
        store, said = ledger._connections._own().store, list[str]()
        assert isinstance(store, SqliteStore)
        store.conn.set_trace_callback(said.append)
        assert sum(1 for _ in read(ledger)) > 100
        store.conn.set_trace_callback(None)
    assert len(said) < 40
