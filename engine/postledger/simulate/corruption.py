"""Spoiling: bodies that come broken, and whether a reader can still know what they say."""

from __future__ import annotations

import random
import re

import attrs

from postledger.postback import Postback
from postledger.simulate.story import Form

_END_TAG = re.compile(rb"</[\w.-]+>(?=<[^/])")


@attrs.frozen
class Spoiled:
    """A broken body; ``readable`` where only one leaf was left unclosed in a form that shows it."""

    body: bytes
    readable: bool


def spoil(form: Form, postback: Postback, rng: random.Random) -> Spoiled:
    """Break a body: leave a leaf unclosed, cut it off, or replace it by what is no text."""
    body = form.body(postback)
    kind = rng.choice(("unclosed", "cut", "noise"))
    tags = list(_END_TAG.finditer(body)) if form.mendable else []
    if kind == "unclosed" and tags:
        tag = rng.choice(tags)
        return Spoiled(body[: tag.start()] + body[tag.end() :], readable=True)
    if kind == "noise" or not form.shows_cuts:
        return Spoiled(b"\xff" + rng.randbytes(24), readable=False)
    return Spoiled(body[: rng.randrange(1, len(body) - 1)], readable=False)
