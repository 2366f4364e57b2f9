"""Labels and amounts as a row has them: JSON in one form only, so that its text can be searched."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from postledger.errors import IntegrityError
from postledger.model import Amount, is_decimal


def labels_text(labels: Mapping[str, str]) -> str:
    """The text of labels.

    >>> labels_text({"sender": "Shop", "reference": "A"})
    '{"reference": "A", "sender": "Shop"}'
    """
    return json.dumps(labels, ensure_ascii=False, sort_keys=True)


def label_within(name: str, text: str) -> str:
    """What stands in the text of labels where one has that text, and else doesn't.

    A quote within a text is escaped, so that no text holds another label.

    >>> label_within("reference", "A") in labels_text({"sender": '"reference": "A"'})
    False
    """
    return labels_text({name: text})[1:-1]


def amounts_text(amounts: Mapping[str, tuple[str, str]]) -> str:
    """The text of amounts: values as the provider wrote them, and currencies.

    >>> amounts_text({"segments": ("1", ""), "price": ("0.0075", "USD")})
    '{"price": ["0.0075", "USD"], "segments": ["1", null]}'
    """
    said = {name: (value, currency or None) for name, (value, currency) in amounts.items()}
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def labels_of(text: object) -> dict[str, str]:
    """The labels of a text; raises ``IntegrityError`` where it is not one of ``labels_text``."""
    if text is None:
        return {}
    found = _object(text)
    if not all(isinstance(label, str) for label in found.values()) or labels_text(found) != text:
        raise IntegrityError("labels are damaged")
    return found


def amounts_of(text: object) -> dict[str, Amount]:
    """The amounts of a text; raises ``IntegrityError`` where it is not one of ``amounts_text``."""
    if text is None:
        return {}
    try:
        found = {name: (value, currency or "") for name, (value, currency) in _object(text).items()}
        if amounts_text(found) != text or not all(is_decimal(value) for value, _ in found.values()):
            raise IntegrityError("amounts are damaged")
        return {name: Amount(Decimal(value), unit or None) for name, (value, unit) in found.items()}
    except (ValueError, TypeError, AttributeError):
        raise IntegrityError("amounts are damaged") from None


def _object(text: object) -> dict[str, Any]:
    try:
        found: object = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise IntegrityError("labels or amounts are damaged")
    return found
