"""The shape: how bodies are cut into postbacks, as a vocabulary says it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Shape:
    """Where the postbacks of a body stand, by paths in plain names.

    ``each`` are the paths of lists whose members are postbacks and inherit what stands around the
    list; ``embedded`` those of fields whose text is itself a body.
    """

    each: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()
