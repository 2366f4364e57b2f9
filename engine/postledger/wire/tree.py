"""The tree of a body: what readers make of bytes, whether they are XML, JSON, a form or a receipt text.

A node is a text, a list, or a branch: pairs of a step and a node. A step is ``/name`` of a field,
``@name`` of an attribute, or empty for the text that a branch has of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import attrs

from postledger.errors import ReadError

# mypy can't follow a type that holds itself: what a list or a branch holds are nodes.
Branch: TypeAlias = Iterable[tuple[str, Any]]
Node: TypeAlias = str | bool | list[Any] | Branch | None


class Repaired(str):
    """A text that was repaired to be read."""

    __slots__ = ()


@attrs.frozen
class Message:
    """One message of a body: ``fields`` begin with ``/name``, or are its own text.

    ``repaired`` is true where the body around it was repaired; a text in it that was is ``Repaired``.
    """

    root: str
    fields: Branch
    attributes: tuple[tuple[str, str], ...] = ()
    repaired: bool = False


Document: TypeAlias = "Message | Iterable[Message | ReadError]"
"""What a body holds: one message, or the members of a bundle in their order."""


def leaf(node: str | bool | None) -> str:  # noqa: FBT001
    """The text of a leaf: stripped, empty for nothing.

    >>> leaf(" 1 "), leaf(True), leaf(None)
    ('1', 'true', '')
    """
    if isinstance(node, bool):
        return "true" if node else "false"
    return node.strip() if node else ""
