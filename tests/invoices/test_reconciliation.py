"""Reconciliation: what was planted in a correct invoice is found, exactly, and nothing else."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postledger import (
    Amount,
    AsyncLedger,
    Delivery,
    InvoiceRow,
    InvoiceTotals,
    Ledger,
    Query,
    Reconciled,
    UnknownKey,
)
from postledger.definitions import shipped
from postledger.invoices import reconciliation
from postledger.simulate import ALL, simulate, story_of
from tests.samples import delivered, failed, sent
from tests.stores import both_stores

PROVIDERS = ("telnyx", "infobip", "plivo", "skycore")
"""Prices with and without a currency on the wire, ids of one field and of several, no prices at all."""

Found = tuple[str, int | None, str | None]
"""The kind of a difference, the line and the id."""


@pytest.fixture(scope="module", autouse=True)
def folder() -> Iterator[None]:
    """The simulated ledgers, made once."""
    with tempfile.TemporaryDirectory() as path:
        FOLDERS.append(Path(path))
        yield
        for name in PROVIDERS:
            for seed in SEEDS:
                simulated(name, seed).close()


FOLDERS: list[Path] = []
SEEDS = (11, 12)


@cache
def simulated(provider: str, seed: int) -> Ledger:
    """A ledger of a bad day of a provider."""
    receipts = simulate(120, seed=seed, disturbances=ALL, story=story_of(shipped(provider)))
    ledger = Ledger(FOLDERS[0] / f"{provider}-{seed}.db", providers=provider)
    ledger.record_many(receipts)
    return ledger


@cache
def period_of(ledger: Ledger) -> Query:
    """The middle of the time in which deliveries were first received."""
    times = [one.first_received_at for one in ledger.deliveries()]
    return Query(since=times[len(times) // 4], until=times[-len(times) // 4])


@cache
def correct(ledger: Ledger, *, whole: bool = False) -> list[tuple[InvoiceRow, Delivery]]:
    """A row for each delivery of the period, or of all time, as the ledger has it."""
    period = Query() if whole else period_of(ledger)
    return [
        (
            InvoiceRow(
                0,
                one.tracking_id,
                one.amounts.get("price", Amount(Decimal("0.02"), "EUR")),
                one.amounts.get("segments", Amount(Decimal(1))).value,
                one.state == "delivered",
            ),
            one,
        )
        for one in ledger.deliveries(period)
    ]


@attrs.define
class Planted:
    """An invoice with errors, what is to be found, and what is billed too much, by currency."""

    rows: list[InvoiceRow] = attrs.field(factory=list)
    found: list[Found] = attrs.field(factory=list)
    more: dict[str | None, Fraction] = attrs.field(factory=lambda: defaultdict(Fraction))

    def add(self, row: InvoiceRow, *kinds: str) -> None:
        """Put a row on the invoice that differs in some ways."""
        line = len(self.rows) + 2
        self.rows.append(attrs.evolve(row, line=line))
        self.found += [(kind, line, row.tracking_id) for kind in kinds]

    def charge(self, amount: Amount | None, sign: int = 1) -> None:
        """Note that an amount is billed that the ledger doesn't support."""
        assert amount is not None
        self.more[amount.currency and amount.currency.upper()] += sign * Fraction(amount.value)

    def plant(
        self, row: InvoiceRow, one: Delivery, kind: str | None, again: list[InvoiceRow]
    ) -> None:
        """Put a row on the invoice with an error of a kind, where it can have one."""
        price, segments = one.amounts.get("price"), one.amounts.get("segments")
        if kind == "not_billed":
            if one.state == "delivered":
                self.found.append((kind, None, one.tracking_id))
        elif kind == "unreadable":
            self.add(attrs.evolve(row, problem="price must be a decimal"), kind)
        elif kind == "read_later":
            self.add(attrs.evolve(row, problem="price must be a decimal"), "unreadable")
            self.add(row)
            again.append(row)
        elif kind == "unknown":
            self.add(row)
            self.add(attrs.evolve(row, tracking_id=f"{one.tracking_id}?"), kind)
            self.charge(row.price)
        elif kind == "state_differs":
            self.add(attrs.evolve(row, delivered=not row.delivered), kind)
            if one.state != "delivered":
                self.charge(row.price)
        elif kind == "price_differs" and price is not None:
            # So little that a float doesn't show it.
            changed = attrs.evolve(price, value=Context(100).add(price.value, Decimal("1e-30")))
            self.add(attrs.evolve(row, price=changed), kind)
            self.charge(changed)
            self.charge(price, -1)
        elif kind == "currency" and price is not None and price.currency is not None:
            changed = attrs.evolve(price, currency="XXX")
            self.add(attrs.evolve(row, price=changed), "price_differs")
            self.charge(changed)
            self.charge(price, -1)
        elif kind == "segments_differ" and segments is not None and row.segments is not None:
            self.add(attrs.evolve(row, segments=row.segments + 1), kind)
        else:
            self.add(row)
            if kind == "billed_twice":
                again.append(row)


KINDS = (
    *("not_billed", "unreadable", "unknown", "state_differs", "price_differs", "currency"),
    *("segments_differ", "billed_twice", "read_later"),
)


def planted(rows: list[tuple[InvoiceRow, Delivery]], kinds: dict[int, str], order: int) -> Planted:
    """An invoice in some order, with errors in some rows; what is billed again comes later."""
    done, again = Planted(), list[InvoiceRow]()
    shuffled = list(enumerate(rows))
    Random(order).shuffle(shuffled)
    for number, (row, one) in shuffled:
        done.plant(row, one, kinds.get(number), again)
    for row in again:
        done.add(row, "billed_twice")
        done.charge(row.price)
    return done


def of(found: list[Reconciled]) -> list[Found]:
    """What differs, of all that was reconciled."""
    return [(d.kind, d.line, d.tracking_id) for one in found for d in one.differences]


def by_line(found: list[Found]) -> list[Found]:
    return sorted(found, key=lambda one: (one[1] or 0, one[0], one[2] or ""))


@given(
    provider=st.sampled_from(PROVIDERS),
    seed=st.sampled_from(SEEDS),
    kinds=st.dictionaries(st.integers(0, 60), st.sampled_from(KINDS)),
    order=st.integers(0, 99),
    page=st.sampled_from([1, 7, 1000]),
)
def test_planted_errors_are_found_exactly(
    provider: str, seed: int, kinds: dict[int, str], order: int, page: int
) -> None:
    """Any errors of any kinds in a correct invoice: those come back, and the sums are of them."""
    ledger = simulated(provider, seed)
    period = period_of(ledger)
    invoice = planted(correct(ledger), kinds, order)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "PAGE", page)
        found = list(ledger.reconcile(invoice.rows, since=period.since, until=period.until))
    assert by_line(of(found)) == by_line(invoice.found)
    totals = InvoiceTotals()
    for one in found:
        totals.add(one)
    assert totals.rows == len(invoice.rows)
    assert totals.kinds.total() == len(invoice.found)
    more = {currency: Fraction(sums.difference) for currency, sums in totals.sums.items()}
    assert {c: n for c, n in more.items() if n} == {c: n for c, n in invoice.more.items() if n}


def test_an_invoice_without_errors_differs_in_nothing() -> None:
    """The simulated ledgers have prices and outcomes to compare."""
    for provider in PROVIDERS[:3]:
        ledger = simulated(provider, SEEDS[0])
        rows = correct(ledger, whole=True)
        assert (
            {row.delivered for row, _ in rows} >= {True} if provider == "telnyx" else {True, False}
        )
        assert any("price" in one.amounts for _, one in rows)
        found = list(ledger.reconcile(planted(rows, {}, 0).rows))
        assert of(found) == []
        assert len(found) == len(rows)


def test_what_is_not_delivered_need_not_be_billed(ledger: Ledger) -> None:
    """Nor is a row without a state wrong because of it."""
    ledger.record_many([sent("a"), failed("b"), delivered("c")])
    assert of(list(ledger.reconcile([]))) == [("not_billed", None, "c")]
    rows = [InvoiceRow(2, key, delivered=None) for key in "abc"]
    assert of(list(ledger.reconcile(rows))) == []


@both_stores
def test_a_state_differs_with_state_and_reason(ledger: Ledger) -> None:
    """What an operator has to say to the provider."""
    ledger.record(sent("b", STATUS="Message Failed", STATUSDETAILS="Database Error"))
    (found,) = ledger.reconcile([InvoiceRow(2, "b")])
    (one,) = found.differences
    delivery = ledger.delivery("b")
    assert (one.billed, one.ledger, one.reason) == ("delivered", "failed", delivery.reason)
    assert delivery.reason


@both_stores
def test_a_row_that_was_billed_before_names_the_line(ledger: Ledger) -> None:
    """The first of them that can be read."""
    ledger.record(delivered("a"))
    rows = [InvoiceRow(2, "a", problem="?"), *(InvoiceRow(line, "a") for line in (3, 4, 5))]
    found = [d for one in ledger.reconcile(rows) for d in one.differences]
    assert [(d.kind, d.line, d.first_line) for d in found] == [
        ("unreadable", 2, None),
        ("billed_twice", 4, 3),
        ("billed_twice", 5, 3),
    ]


def test_an_invoice_is_held_against_a_server_whatever_its_ids_are(postgres_address: str) -> None:
    """One of any length, one with a NUL, which none has, and one that is billed twice."""
    long = "k" * 2_000 + "".join(map(chr, range(300, 2_300)))
    with Ledger(postgres_address) as ledger:
        ledger.record_many(delivered(key) for key in ("a", "b", long))
        rows = [InvoiceRow(n, key) for n, key in enumerate(("a", long, "\0", long, "a"), 2)]
        found = list(ledger.reconcile(rows))
    assert [[one.kind for one in each.differences] for each in found] == [
        *([], [], ["unreadable"], ["billed_twice"], ["billed_twice"]), ["not_billed"],
    ]  # fmt: skip
    assert [each.differences[0].first_line for each in found[3:5]] == [3, 2]


def test_ids_of_several_fields_are_found_in_any_spelling() -> None:
    """As the provider writes them, and still once."""
    ledger = simulated("telnyx", SEEDS[0])
    one = next(ledger.deliveries(state="delivered"), None) or next(ledger.deliveries())
    message, to = one.tracking_id.split("/")
    rows = [
        InvoiceRow(n, key, delivered=None)
        for n, key in ((2, f"{message}/+{to}"), (3, one.tracking_id))
    ]
    found = [known for known in ledger.reconcile(rows) if known.row is not None]
    assert [known.delivery for known in found] == [one, one]
    assert of(found) == [("billed_twice", 3, one.tracking_id)]


@both_stores
def test_a_space_must_be_named_where_several_have_deliveries(tmp_path: Path) -> None:
    """Else the deliveries of another provider would be missing on the invoice."""
    with Ledger(tmp_path / "l.db", providers=["skycore", "plivo"]) as ledger:
        ledger.record(delivered("a"))
        ledger.created("b", to="1650", space="plivo")
        with pytest.raises(
            UnknownKey, match="several spaces have deliveries: '', 'plivo'; say which"
        ):
            list(ledger.reconcile([]))
        assert of(list(ledger.reconcile([InvoiceRow(2, "a")], space=""))) == []
        assert of(list(ledger.reconcile([InvoiceRow(2, "a")], space="plivo"))) == [
            ("unknown", 2, "a")
        ]


def temporary(ledger: Ledger) -> list[dict[str, Any]]:
    """The tables that are its own connection's."""
    if isinstance(ledger.path, Path):
        return ledger.query("SELECT name FROM sqlite_temp_master")
    return ledger.query("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()")


@both_stores
def test_the_ledger_is_written_meanwhile_and_keeps_nothing(ledger: Ledger) -> None:
    """No transaction is open between the rows, and no table is left."""
    ledger.record(delivered("a"))
    store = ledger._connections._own().store
    there = store.names()

    def rows() -> Iterator[InvoiceRow]:
        yield InvoiceRow(2, "a")
        ledger.record(delivered("b"))
        yield InvoiceRow(3, "b")

    found = ledger.reconcile(rows())
    assert next(found).differences == ()
    ledger.record(delivered("c"))
    assert of(list(found)) == [("not_billed", None, "c")]
    assert store.names() == there
    assert temporary(ledger) == []


@both_stores
def test_a_replay_meanwhile_does_not_disturb(ledger: Ledger) -> None:
    """Each page reads by what is live then."""
    ledger.record_many([delivered(key) for key in "abc"])

    def rows() -> Iterator[InvoiceRow]:
        yield InvoiceRow(2, "a")
        ledger.replay(index=True)
        yield InvoiceRow(3, "b")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "PAGE", 1)
        assert of(list(ledger.reconcile(rows()))) == [("not_billed", None, "c")]


def test_what_is_not_a_row_is_refused(ledger: Ledger) -> None:
    """With what was expected."""
    with pytest.raises(TypeError, match="rows must be InvoiceRow, got 'a' among them"):
        list(ledger.reconcile(["a"]))  # type: ignore[list-item]


@pytest.mark.parametrize("value", [0.1, 1, "1", Decimal("NaN"), Decimal("Infinity")])
def test_what_is_not_exact_is_refused(value: Any) -> None:
    """Before anything is compared."""
    with pytest.raises(TypeError, match="segments must be a finite Decimal, got"):
        InvoiceRow(2, "a", segments=value)
    with pytest.raises(TypeError, match="price must be a finite Decimal, got"):
        InvoiceRow(2, "a", Amount(value, "EUR"))
    with pytest.raises(TypeError, match="price must be an Amount or None, got"):
        InvoiceRow(2, "a", value)


def test_an_async_ledger_reconciles_too(tmp_path: Path) -> None:
    """As an iteration."""

    async def main() -> list[Reconciled]:
        async with AsyncLedger(tmp_path / "l.db") as ledger:
            await ledger.record(delivered("a"))
            return [one async for one in ledger.reconcile([InvoiceRow(2, "x")])]

    assert of(asyncio.run(main())) == [("unknown", 2, "x"), ("not_billed", None, "a")]


@both_stores
def test_an_invoice_is_held_against_one_time(ledger: Ledger) -> None:
    """What is recorded while it is read is not known yet, and what is missing is of then, too."""
    ledger.record_many([delivered("a"), delivered("b"), sent("c")])

    def rows() -> Iterator[InvoiceRow]:
        yield InvoiceRow(2, "a")
        ledger.record_many([delivered("c"), delivered("d")])
        yield InvoiceRow(3, "c")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciliation, "PAGE", 1)
        found = of(list(ledger.reconcile(rows(), as_of=3)))
    assert found == [("state_differs", 3, "c"), ("not_billed", None, "b")]
    assert of(list(ledger.reconcile([], as_of=1))) == [("not_billed", None, "a")]
    assert temporary(ledger) == []


def test_progress_is_told_of_rows_and_deliveries(ledger: Ledger) -> None:
    """Page by page; what it raises comes through as it is."""
    ledger.record_many([delivered("a"), delivered("b")])
    told: list[int] = []
    list(ledger.reconcile([InvoiceRow(n, "a") for n in range(5)], progress=told.append))
    assert told == [5, 2]

    def stop(_: int) -> None:
        raise OSError("enough")

    with pytest.raises(OSError, match=r"^enough$"):
        list(ledger.reconcile([InvoiceRow(2, "a")], progress=stop))
