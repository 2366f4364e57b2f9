"""Bodies: what an event said, field by field with each text masked, or as received where that is due."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from postledger.audit.mask import Mask
from postledger.audit.words import text_of
from postledger.definitions.definitions import Definitions
from postledger.definitions.explain import names_of
from postledger.model import Event

MOST_FIELDS = 200
"""Fields of a body that are listed."""

LONGEST = 20_000
"""Characters of a body that stand on a page; the rest is one click away."""

LONGEST_TEXT = 600
"""Characters of one text that stand on a page."""

_IDS = {"tracking_id", "mms_id", "spid", "handset", "aggregator_id", "timestamp", "space", "part"}


@attrs.frozen
class Body:
    """What is shown of a body.

    ``fields`` are paths and texts as the wire has them, masked; ``text`` is the body as received, of
    what was unmasked. ``cut`` characters are left out, or fields.
    """

    bytes: int
    fields: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    cut: int = 0


def body_of(
    event: Event, definitions: Definitions, mask: Mask, to: str | None, *, several: bool = False
) -> Body:
    """What a mask shows of the body of an event, whose recipient is ``to``."""
    size = len(event.body)
    if mask.words is None:
        text = text_of(event.body)
        return Body(size, text=text[:LONGEST], cut=max(0, len(text) - LONGEST))
    if event.postback is None:
        return Body(size)
    given = event.postback.fields[:MOST_FIELDS]
    known = _names(event, definitions)
    labels = {label for one in definitions.vocabularies for label in one.said.labels}
    shown = tuple(
        (
            mask.id(path, to, several=True) or "",
            _masked(text, known.get(at, ()), mask, to, several, labels),
        )
        for at, (path, text) in enumerate(given)
    )
    return Body(size, shown, cut=len(event.postback.fields) - len(given))


def _masked(
    text: str,
    names: tuple[str, ...],
    mask: Mask,
    to: str | None,
    several: bool,  # noqa: FBT001
    labels: set[str],
) -> str:
    """A text as its field has it masked: recipients, ids, and all others."""
    if "to" in names:
        return shortened(mask.recipient(text) or "")
    if names and set(names) <= _IDS | labels:
        return mask.id(text, to, several=several) or ""
    return shortened(mask.text(text) or "")


def _names(event: Event, definitions: Definitions) -> Mapping[int, tuple[str, ...]]:
    """Our names of the fields of an event, by any vocabulary."""
    assert event.postback is not None
    found: dict[int, tuple[str, ...]] = {}
    for vocabulary in definitions.vocabularies:
        for at, names in enumerate(names_of(vocabulary, event.postback)):
            found[at] = (*found.get(at, ()), *names)
    return found


def shortened(text: str) -> str:
    """A text that fits a page: cut with ``…`` where it is longer."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
