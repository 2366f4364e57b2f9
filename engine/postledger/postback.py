"""The postback: what a body says, before anybody asks what it means."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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


def canonical_head(root: str, repaired: bool, statement: bool) -> str:  # noqa: FBT001
    """How the canonical form of a postback begins; ``root`` is plain.

    >>> canonical_head("POSTBACK", repaired=False, statement=False)
    '8:POSTBACK00\\n'
    """
    return f"{len(root)}:{root}{1 if repaired else 0}{1 if statement else 0}\n"


def canonical_pair(name: str, text: str) -> str:
    """A field in the canonical form; ``name`` is plain.

    >>> canonical_pair("STATUS", "Sent")
    '6:STATUS4:Sent'
    """
    return f"{len(name)}:{name}{len(text)}:{text}"


def canonical_end(vocabulary: str) -> str:
    """How the canonical form ends: with the vocabulary that leaves fields out of the identity, if any.

    >>> canonical_end("carrier"), canonical_end("")
    ('\\ncarrier', '')
    """
    return f"\n{vocabulary}" if vocabulary else ""


def _plain(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(plain, paths))


@attrs.frozen(order=True)
class Shape:
    """How bodies are cut into postbacks, by paths in plain names.

    ``each`` are the paths of lists whose members are postbacks and inherit what stands around the
    list; ``embedded`` those of fields whose text is itself a body.

    >>> Shape(each=["results"])
    Shape(each=('RESULTS',), embedded=())
    """

    each: tuple[str, ...] = attrs.field(default=(), converter=_plain)
    embedded: tuple[str, ...] = attrs.field(default=(), converter=_plain)

    @property
    def paths(self) -> tuple[str, ...]:
        """All its paths."""
        return self.each + self.embedded


UNCUT = Shape()
"""The shape of bodies that aren't cut."""


@attrs.frozen(cache_hash=True)
class Origin:
    """How a postback came, where what it means depends on that; it takes no part in its identity.

    ``source`` is its endpoint, and empty where no vocabulary asks for it. ``shapes`` are the numbers of
    the shapes by which its body is cut in this way; empty: by all that there are. ``rivals`` are the
    vocabularies that recognise the body, each cut in another way: the postback is unrecognised then.
    """

    source: str = ""
    shapes: tuple[int, ...] = ()
    rivals: tuple[str, ...] = ()


ANYWHERE = Origin()


@attrs.frozen
class Postback:
    """One postback as read from the wire, not yet understood.

    ``root`` is the name of the message's element (empty where the wire has none, as in JSON).
    ``fields`` are the leaves as ``(path, text)`` in document order, with the text stripped and
    empty for an empty leaf. A nested leaf has the path ``BODY/TRACKINGID``, an attribute of a leaf
    ``STATUS@provider``. ``attributes`` are those of the message's element: they describe the
    sending (``created``), not the message, and take no part in its identity.
    ``repaired`` is true where the body was repaired before it could be read. ``statement`` is true
    where the embedding program stated it, and never for what a provider sent. ``origin`` is how it came.

    >>> postback = Postback("", (("code", "1"), ("status", "Sent")))
    >>> postback.digest() == Postback("", (("STATUS", "Sent"), ("CODE", "1"))).digest()
    True
    """

    root: str
    fields: tuple[tuple[str, str], ...]
    attributes: tuple[tuple[str, str], ...] = ()
    repaired: bool = False
    statement: bool = False
    origin: Origin = ANYWHERE

    def digest(self, without: Collection[int] = (), by: str = "") -> bytes:
        """The identity of the postback: 16 bytes over its canonical form.

        ``without`` are the indexes of fields that the vocabulary ``by`` leaves out of it.

        White space around texts, empty fields, the order of the fields, the case of names and the
        attributes of the message's element don't count, so that a postback sent again has the
        digest of the first whatever its ``created`` says. All that the meaning depends on counts:
        which of two postbacks of one digest came first must not matter. No two postbacks that differ
        in what counts have the same canonical form, since it states the length of each part.
        """
        counted: Iterable[tuple[str, str]] = self.fields
        if without:
            counted = [field for at, field in enumerate(self.fields) if at not in without]
        fields = sorted([(plain(path), text) for path, text in counted if text])
        head = canonical_head(plain(self.root), self.repaired, self.statement)
        # As canonical_pair, without a call for each field.
        pairs = "".join([f"{len(name)}:{name}{len(text)}:{text}" for name, text in fields])
        canonical = head + pairs + canonical_end(by)
        return blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).digest()
