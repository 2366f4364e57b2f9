"""Particulars: what goes with a message whatever becomes of it, its labels and amounts.

They have the names that a vocabulary's reading gives them: ``label sender``, ``amount price``, and
``unit price`` for the currency of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from postledger.definitions.said import Said
from postledger.definitions.vocabulary import Reading
from postledger.simulate.story import Form

_LABEL, _AMOUNT, _UNIT = "label ", "amount ", "unit "
SENDER = "15550100099"
"""The number that messages are sent from."""

_LABELS = {"sender": (SENDER, "15550100098"), "campaign": ("spring", "welcome")}
_PRICES = ("0.0075", "0.0350", "1.2")
_COUNTS = tuple(map(str, range(1, 4)))
_CURRENCIES = ("EUR", "USD")


def written(top: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Their names on the wire, as the file of a vocabulary spells them."""
    names = {_LABEL + name: wire for name, wire in top.get("labels", {}).items()}
    for name, wire in top.get("amounts", {}).items():
        given = wire if isinstance(wire, dict) else {"value": wire}
        names[_AMOUNT + name] = given["value"]
        if "currency" in given:
            names[_UNIT + name] = given["currency"]
    return names


def groups(said: Said) -> Iterator[tuple[str, ...]]:
    """The names that a postback has together or not at all: an amount goes with its currency."""
    yield from ((_LABEL + name,) for name in said.labels)
    for name in said.amounts:
        pair = (_AMOUNT + name, _UNIT + name)
        yield pair if pair[1] in said.names else pair[:1]


def texts(said: Said) -> dict[str, str]:
    """Those that follow from the message, as texts of a path, and the currencies that are fixed."""
    own = (name for name in said.labels if name not in _LABELS)
    fixed = {_UNIT + name: unit for name, unit in said.units.items()}
    return {_LABEL + name: f"{name}-{{tracking_id}}" for name in own} | fixed


def choices(said: Said) -> dict[str, tuple[str, ...]]:
    """Those of which each message has one, by chance."""
    found: dict[str, tuple[str, ...]]
    found = {_LABEL + name: _LABELS[name] for name in said.labels if name in _LABELS}
    for name in said.amounts:
        if _UNIT + name in said.names:
            found[_UNIT + name] = _CURRENCIES
        is_price = _UNIT + name in said.names or name in said.units
        found[_AMOUNT + name] = _PRICES if is_price else _COUNTS
    return found


def borne(reading: Reading) -> dict[str, int]:
    """Those that a postback was read to have, with the indexes of their fields."""
    found = {_LABEL + name: at for name, at in reading.labels}
    for name, value, currency, _ in reading.amounts:
        found[_AMOUNT + name] = value
        if currency is not None:
            found[_UNIT + name] = currency
    return found


def parts(reading: Reading, form: Form) -> tuple[str, ...]:
    """Our names of the fields that a postback in a form says its part and the total in, if it does."""
    ours = list(form.names)
    return tuple("" if at is None else ours[at] for at in reading.parts_at or ())


def labels_of(texts: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The labels of some names, by texts of the message."""
    found = sorted(name for name in names if name.startswith(_LABEL))
    return {name.removeprefix(_LABEL): texts[name] for name in found}


def amounts_of(texts: Mapping[str, str], names: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """The amounts of some names, as JSON has them."""
    found = sorted(n.removeprefix(_AMOUNT) for n in names if n.startswith(_AMOUNT))
    return {
        name: {"value": texts[_AMOUNT + name], "currency": texts.get(_UNIT + name)}
        for name in found
    }
