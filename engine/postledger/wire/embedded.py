"""Embedded bodies: a text in a body that is itself JSON, XML or a receipt text."""

from __future__ import annotations

from postledger.errors import ReadError
from postledger.wire.json import parsed_json
from postledger.wire.limits import Limits
from postledger.wire.receipt import receipt_of
from postledger.wire.tree import Node
from postledger.wire.xml import parsed_xml


def embedded(text: str, limits: Limits) -> tuple[Node, bool] | None:
    """What a text says as a body, and whether it was repaired; ``None`` where it is only a text.

    >>> embedded('{"id": 7}', Limits())
    ((('/id', '7'),), False)
    >>> embedded("delivered", Limits())
    """
    try:
        if text.startswith(("{", "[")):
            node = parsed_json(text, limits)
        elif text.startswith("<"):
            root, repaired = parsed_xml(text.encode(), "utf-8", limits)
            return ((f"/{root[0]}", root[1]),), repaired
        else:
            node = receipt_of(text)
    except (ReadError, UnicodeError):
        return None
    return (node, False) if node else None
