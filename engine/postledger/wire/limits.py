"""How much a reader takes in before it gives up, so that no body can exhaust the process."""

from __future__ import annotations

import attrs
from attrs import validators

_count = validators.ge(1)


@attrs.frozen
class Limits:
    """The bounds of one body.

    ``body_bytes`` is the size of the body in bytes; ``depth`` counts nested elements or JSON
    containers, the outermost being 1; ``members`` is the number of messages in a bundle. They
    belong to the program and not to the file: a body beyond them is kept unread, and
    ``Ledger.replay(index=True)`` by a program with wider ones reads it again.

    >>> with Ledger("small.db", limits=Limits(body_bytes=100)) as small:
    ...     small.record(bytes(101)).event.problem
    'the body has 101 bytes, more than the limit of 100'
    """

    body_bytes: int = attrs.field(default=1 << 20, validator=_count)
    # Nesting is walked by recursion, so it stays far below the interpreter's own limit.
    depth: int = attrs.field(default=32, validator=[_count, validators.le(200)])
    members: int = attrs.field(default=1000, validator=_count)
