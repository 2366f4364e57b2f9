"""Sources: what the events of a log are copied from, a ledger or an archive of one."""

from __future__ import annotations

from typing import Protocol

from postledger.log.event import Envelope, Stored
from postledger.model import Anchor
from postledger.templates import Template


class Source(Protocol):
    """The events of a log as they are, salts too, page by page."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def head(self) -> Anchor:
        """How far it has come: its size and its root."""
        ...

    def root(self, size: int) -> bytes:
        """The root over its first ``size`` events."""
        ...

    def page(self, first: int, until: int) -> list[Stored]:
        """The events from ``first`` up to ``until``, but of larger bodies fewer; none is left out."""
        ...

    def template(self, number: int) -> tuple[Template, bytes]:
        """A template by its number, and what it is known by without fixed words."""
        ...

    def envelope(self, number: int) -> Envelope:
        """An envelope by its number."""
        ...
