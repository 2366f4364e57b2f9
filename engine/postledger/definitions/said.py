"""What postbacks say of a delivery in addition to its state: why, whose it is, what it cost.

Reasons are the codes of a provider with what they mean and their class. Labels are texts under names,
such as the client's reference; amounts are exact decimals, of money or plain counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import attrs

from postledger.definitions.conditions import Condition

UNKNOWN = "unknown"

CLASSES = (
    *("unreachable", "blocked", "spam", "invalid_number", "carrier", "content", "expired"),
    UNKNOWN,
)
"""The classes of reasons, the same for all providers."""


@attrs.frozen
class Meaning:
    """What a provider's code means."""

    text: str
    reason_class: str = UNKNOWN


class Counted(NamedTuple):
    """An amount that a postback states: its name, and the indexes of its value and its currency.

    ``unit`` is the currency where the vocabulary gives it; empty for a plain count.
    """

    name: str
    value: int
    currency: int | None
    unit: str


@attrs.frozen
class Said:
    """What a vocabulary reads of postbacks in addition to what decides their meaning.

    ``reasons`` are the codes of our fields with their meanings; of the fields in ``folded`` the case
    doesn't matter. ``labels`` and ``amounts`` are names, ``units`` the currencies that the vocabulary
    gives. ``names`` are the plain names on the wire, under names that no field of ours has.
    """

    reasons: Mapping[str, Mapping[str, Meaning]] = attrs.field(factory=dict)
    folded: frozenset[str] = frozenset()
    labels: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()
    units: Mapping[str, str] = attrs.field(factory=dict)
    names: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)

    def words(self, fields: Mapping[str, tuple[str, ...]]) -> Iterator[Condition]:
        """The codes as conditions: which of them a text is decides a reason."""
        for field, codes in self.reasons.items():
            if field in self.folded:
                for code in codes:
                    yield Condition(fields[field], folds=frozenset({code.casefold()}))
            else:
                yield Condition(fields[field], frozenset(codes))

    def texts(self) -> Iterator[str]:
        """The codes, and what reasons say of them."""
        for meanings in self.reasons.values():
            for code, meaning in meanings.items():
                yield from (code, f"{code}: {meaning.text}")

    def reason(self, field: str, text: str | None) -> str | None:
        """What stands in a reason in place of a text; ``None`` where the text itself does."""
        code, meaning = self._meaning(field, text or "")
        return None if meaning is None else f"{code}: {meaning.text}"

    def class_of(self, fields: Iterable[str], texts: Mapping[str, str | None]) -> str | None:
        """The class of the first of the fields that has codes and is there; ``None`` without one."""
        for field in fields:
            if field in self.reasons and (text := texts.get(field)):
                _, meaning = self._meaning(field, text)
                return UNKNOWN if meaning is None else meaning.reason_class
        return None

    def _meaning(self, field: str, text: str) -> tuple[str, Meaning | None]:
        """The code that a text is, as the vocabulary writes it, and what it means."""
        codes = self.reasons.get(field, {})
        if field in self.folded:
            folded = text.casefold()
            text = next((code for code in codes if code.casefold() == folded), text)
        return text, codes.get(text)

    def labels_at(self, at: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
        """The labels that a postback has, with their indexes; ``at`` has those of all names."""
        found = ((name, at.get(f"label {name}")) for name in self.labels)
        return tuple((name, index) for name, index in found if index is not None)

    def amounts_at(
        self, at: Mapping[str, int], texts: Mapping[str, str | None]
    ) -> tuple[Counted, ...]:
        """The amounts that a postback has; one whose currency is there twice is of neither."""
        return tuple(
            Counted(name, at[f"amount {name}"], at.get(f"unit {name}"), self.units.get(name, ""))
            for name in self.amounts
            if f"amount {name}" in at and texts.get(f"unit {name}", "") is not None
        )
