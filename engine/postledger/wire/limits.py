"""How much a reader takes in before it gives up, so that no body can exhaust the process."""

from __future__ import annotations

import attrs

from postledger.arguments import at_least, typed


@attrs.frozen(field_transformer=typed)
class Limits:
    """The bounds of one body.

    ``body_bytes`` is the size of the body in bytes, as it came and decompressed; ``depth`` counts
    nested elements or JSON containers, the outermost being 1; ``members`` is the number of messages in
    a bundle. They are those of the program and not of the file: a body that was beyond them is kept
    unread, and ``replay`` with ``index`` by a program with wider ones reads it again.

    >>> with Ledger("small.db", limits=Limits(body_bytes=100)) as small:
    ...     small.record(bytes(101)).event.problem
    'the body has 101 bytes, more than the limit of 100'
    """

    body_bytes: int = attrs.field(default=1 << 20, validator=at_least(1))
    # Nesting is walked by recursion, so it stays far below the interpreter's own limit.
    depth: int = attrs.field(default=32, validator=at_least(1, 200))
    members: int = attrs.field(default=1000, validator=at_least(1))
