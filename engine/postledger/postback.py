"""The postback: what a body says, before anybody asks what it means."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import attrs


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """The name without case, hyphens and underscores, in which all wire generations agree.

    >>> plain("tracking-id"), plain("TRACKINGID"), plain("BODY/Tracking_Id")
    ('TRACKINGID', 'TRACKINGID', 'BODY/TRACKINGID')
    """
    return name.replace("-", "").replace("_", "").upper()


@attrs.frozen
class Postback:
    """One postback as read from the wire, not yet understood.

    ``root`` is the name of the message's element (empty where the wire has none, as in JSON).
    ``fields`` are the leaves as ``(path, text)`` in document order, with the text stripped and
    empty for an empty leaf. A nested leaf has the path ``BODY/TRACKINGID``, an attribute of a leaf
    ``STATUS@provider``. ``attributes`` are those of the message's element: they tell about the
    sending (``created``), not about the message, and take no part in its identity.
    ``repaired`` is true where the body was mended before it could be read.

    >>> postback = Postback("", (("code", "1"), ("status", "Sent")))
    >>> postback.digest() == Postback("", (("STATUS", "Sent"), ("CODE", "1"))).digest()
    True
    """

    root: str
    fields: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...] = ()
    repaired: bool = False

    def digest(self) -> bytes:
        """The identity of what is said: 16 bytes over the canonical fields.

        White space around texts, empty fields, the order of the fields, the case of names and the
        attributes of the message's element don't count, so that a postback sent again has the
        digest of the first whatever its ``created`` says. All that the meaning depends on counts:
        which of two postbacks of one digest came first must not matter.
        """
        said = sorted([(plain(path), text) for path, text in self.fields if text])
        # With the lengths written out no two sets of fields have the same canonical form.
        pairs = [f"{len(name)}:{name}{len(text)}:{text}" for name, text in said]
        mended = "*" if self.repaired else ""
        canonical = "".join([plain(self.root), mended, "\n", *pairs])
        return blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).digest()
