"""Invoices: which columns of a file say what, and its rows as values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import attrs
import click

from postledger.arguments import shown
from postledger.cli.rows import Line, Written, columns, delimiter_hint, rows
from postledger.errors import PostledgerError
from postledger.invoices.invoice import DELIVERED, InvoiceRow
from postledger.invoices.numbers import MARKS, Numbers
from postledger.model import Amount

_OBVIOUS: Mapping[str, tuple[str, ...]] = {
    "id": ("trackingid", "messageid", "id"),
    "price": ("price", "cost"),
    "currency": ("currency", "pricecurrency"),
    "segments": ("segments", "parts"),
    "state": ("state", "status"),
}
"""Names that say what a column is, without case and signs; the first that is there counts."""

_LIKELY: Mapping[str, tuple[str, ...]] = {
    "price": (
        *("amount", "net", "netamount", "netprice", "totalamount", "totalprice", "total"),
        *("charge", "charged", "fee", "rate", "unitprice", "gross", "betrag", "preis"),
    ),
    "segments": ("numsegments", "segmentcount", "messageparts", "smscount", "units", "quantity"),
    "state": ("outcome", "result", "dlr", "dlrstatus", "deliverystatus", "messagestatus"),
}
"""Names that may say what a column is, and may not (a price may be that of a segment): for hints."""


@attrs.frozen
class Columns:
    """Which columns of an invoice say what; ``None`` where none says it.

    ``ids`` are the fields of an id, joined by ``/``. ``one_currency`` is that of all prices.
    ``delivered`` are the words that mean delivered, casefolded; without ``state`` each row says what
    ``unstated`` is.
    """

    ids: tuple[str, ...]
    price: str | None = None
    currency: str | None = None
    one_currency: str | None = None
    segments: str | None = None
    state: str | None = None
    delivered: frozenset[str] = frozenset({DELIVERED})
    unstated: bool | None = True

    def fields(self) -> list[str]:
        """The columns, each once."""
        named = (*self.ids, self.price, self.currency, self.segments, self.state)
        return list(dict.fromkeys(name for name in named if name is not None))

    def described(self) -> str:
        """What each column was taken for."""
        named = {"id": "/".join(self.ids), "price": self.price}
        named |= {"currency": self.currency or self.one_currency}
        named |= {"segments": self.segments, "state": self.state}
        return ", ".join(f"{what} {name or '-'}" for what, name in named.items())


def columns_of(
    path: Path, delimiter: str, given: Mapping[str, str | None], ids: Sequence[str]
) -> Columns:
    """The columns that are named, or else have an obvious name; an empty name stands for none.

    Raises ``PostledgerError`` where no column is the id, or two could be what is not named.
    """
    there = columns(path, delimiter)

    def named(what: str) -> str | None:
        name = given.get(what)
        return (name or None) if name is not None else _obvious(path, there, what)

    found = tuple(ids) or tuple(filter(None, [named("id")]))
    if not found:
        raise PostledgerError(
            f"{path}: unclear which column holds the id; name it with --id; it has: {', '.join(there)}"
            f"{delimiter_hint(path, there)}"
        )
    price = named("price")
    one_currency = given.get("one_currency")
    currency = None if price is None or one_currency is not None else named("currency")
    if price is not None and currency is None and one_currency is None:
        raise PostledgerError(
            f"{path}: the prices of {price} have no currency; name it with --currency COLUMN or"
            " --currency-is CODE, or leave prices out with --price ''"
        )
    return Columns(found, price, currency, one_currency, named("segments"), named("state"))


def looks_like(
    path: Path,
    said: Columns,
    delimiter: str,
    given: Mapping[str, str | None],
    *,
    any_state: bool,
) -> Iterator[str]:
    """What to write where a column may be what none was taken for: it is not guessed at."""
    there = columns(path, delimiter)
    taken = {"price": said.price, "segments": said.segments, "state": said.state}
    for what, names in _LIKELY.items():
        if any_state and what == "state":
            continue
        if taken[what] is None and given.get(what) is None:
            likely = [name for name in there if _bare(name) in names and name not in said.ids]
            if likely:
                options = " or ".join(shlex.join([f"--{what}", name]) for name in likely)
                none = f"--{what} '' if none does"
                yield f"unclear which column holds the {what}: give {options}, or {none}"


def _bare(name: str) -> str:
    """A name without case and signs."""
    return re.sub(r"[\W_]", "", name).casefold()


def _obvious(path: Path, there: Sequence[str], what: str) -> str | None:
    for word in _OBVIOUS[what]:
        found = [name for name in there if _bare(name) == word]
        if len(found) > 1:
            raise PostledgerError(
                f"{path}: several columns may be the {what}: {', '.join(found)}; name it with --{what}"
            )
        if found:
            return found[0]
    return None


def invoice_rows(
    path: Path, said: Columns, delimiter: str, decimal: str | None = None
) -> Iterator[InvoiceRow]:
    """The rows of an invoice; what can't be read has a problem.

    ``decimal`` is what stands before decimals, one of ``MARKS``; ``None``: what the numbers show.
    """
    fields = said.fields()
    numbers = Numbers() if decimal is None else Numbers(MARKS[decimal], stated=True)
    for found in rows(path, fields, delimiter, as_written=True):
        if isinstance(found, Line):
            values = dict(zip(fields, found.values, strict=True))
            yield _row(found.number, values, said, numbers)
        else:
            yield InvoiceRow(found.line, None, problem=found.why)


def _row(line: int, values: Mapping[str, object], said: Columns, numbers: Numbers) -> InvoiceRow:
    try:
        tracking_id = "/".join(_text(name, values) for name in said.ids)
    except ValueError as error:
        return InvoiceRow(line, None, problem=str(error))
    try:
        delivered = said.unstated
        if said.state is not None:
            delivered = _text(said.state, values).casefold() in said.delivered
        return InvoiceRow(
            line,
            tracking_id,
            None if said.price is None else _price(said.price, values, said, numbers),
            None if said.segments is None else _number(said.segments, values, numbers),
            delivered,
        )
    except ValueError as error:
        return InvoiceRow(line, tracking_id, problem=str(error))


def _price(column: str, values: Mapping[str, object], said: Columns, numbers: Numbers) -> Amount:
    currency = said.one_currency
    if said.currency is not None:
        currency = currency_of(said.currency, _text(said.currency, values))
    return Amount(_number(column, values, numbers), currency)


def _number(name: str, values: Mapping[str, object], numbers: Numbers) -> Decimal:
    # What JSON has as a number can't mean anything else.
    sure = Numbers(".", stated=True) if isinstance(values[name], Written) else numbers
    return sure.read(name, _text(name, values))


def currency_of(name: str, text: str) -> str:
    """A currency; raises ``ValueError`` for what is not the name of one."""
    if not text or len(text) > 16 or not text.isprintable() or any(map(str.isnumeric, text)):
        raise ValueError(f"{name} must be a currency such as EUR, got {shown(text)}")
    return text


def _text(name: str, values: Mapping[str, object]) -> str:
    value = values[name]
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        empty = "nothing" if value is None else shown(value)
        got = "an empty cell" if isinstance(value, str) else empty
        raise ValueError(f"{name} must be text or a number, got {got}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be UTF-8, got {shown(text)}") from None
    return text


def require_currency(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """The currency that is named for all prices; a usage error for what is not one."""
    try:
        return None if text is None else currency_of("it", text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
