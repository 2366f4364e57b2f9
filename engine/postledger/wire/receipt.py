"""Receipt texts: what SMPP 3.4, appendix B, writes into the text of a delivery receipt.

``id:… sub:… dlvrd:… submit date:… done date:… stat:… err:… text:…``; carriers leave some out, and add
others.
"""

from __future__ import annotations

import re

from postledger.errors import ReadError
from postledger.wire.encoding import text_of
from postledger.wire.limits import Limits
from postledger.wire.media import MediaType
from postledger.wire.tree import Branch, Message, Repaired

KEYS = ("id", "sub", "dlvrd", "submit_date", "done_date", "stat", "err", "text")
"""The keys that appendix B has."""

_KEY = re.compile(r"(?:\A|(?<=\s))((?:submit|done)[ _]date|[a-z]\w{0,30}):", re.IGNORECASE)
_LAST = "text"
_MOST = 100


def read_receipt(body: bytes, media: MediaType, _: Limits) -> Message:
    """Read a body that is a receipt text; ``ReadError`` where it isn't one."""
    text = text_of(body, media.charset)
    fields = receipt_of(text)
    if fields is None:
        raise ReadError("the body begins with id: as a receipt text does, but has no stat:")
    return Message("", fields, repaired=isinstance(text, Repaired))


def receipt_of(text: str) -> Branch | None:
    """The fields of a receipt text; ``None`` where it isn't one.

    >>> receipt_of("id:7 done date:2603011000 stat:DELIVRD Text:so: it is")
    (('/id', '7'), ('/done_date', '2603011000'), ('/stat', 'DELIVRD'), ('/text', 'so: it is'))
    >>> receipt_of("id:7")
    """
    text = text.strip()
    if text[:3].lower() != "id:":
        return None
    keys: list[tuple[str, int, int]] = []
    for found in _KEY.finditer(text):
        name = found[1].lower().replace(" ", "_")
        keys.append((name, found.start(), found.end()))
        # All that follows is of the message itself, whatever it looks like.
        if name == _LAST or len(keys) == _MOST:
            break
    if not {"id", "stat"} <= {name for name, _, _ in keys}:
        return None
    ends = [start for _, start, _ in keys[1:]] + [len(text)]
    return tuple(
        (f"/{name}", text[begin:end].strip())
        for (name, _, begin), end in zip(keys, ends, strict=True)
    )
