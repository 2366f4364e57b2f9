"""A chart and a vocabulary that are right, and ways to spoil them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

CHART = """
name = "parcel"
version = 1
title = "What became of one parcel"
policy = "The first word stands."
stages = ["begun", "ended"]

[triggers]
posted = { stage = "begun" }
lost = { stage = "ended", after = "begun", refused = "wrong_route" }

[[states]]
name = "parcel"
initial = "waiting"
children = [{ name = "waiting" }, { name = "posted" }, { name = "lost", final = true, explained = true }]
transitions = [
    { trigger = "posted", source = "waiting", dest = "posted" },
    { trigger = "lost", source = ["waiting", "posted"], dest = "lost" },
]
"""


WORDS = """
name = "parcels"
version = 1
roots = ["PARCEL", ""]
inside = ["ENVELOPE"]
marks = { fast = "EXPRESS" }
match = { fast = false }

[fields]
code = "CODE"
word = ["WORD", "OLD-WORD"]
number = "NUMBER"
when = "WHEN"
why = "WHY"

[timestamps]
field = "when"
naive = "America/New_York"

[[postbacks]]
section = "Posted"
match = { code = "P1" }
chart = "parcel"
key = "number"
requires = ["when"]
reason = "why"
means = [
    { word = "posted", trigger = "posted" },
    { word = { not = ["", "posted"] }, trigger = "lost" },
]

[[postbacks]]
section = "Lost"
match = { code = { not = "P1" } }
chart = "parcel"
key = "number"
means = [{ trigger = "lost" }]
"""


# What the specification allows: section, origin, code, SENTAS, STATUSDETAILS, STATUS, and what of it.
_SPECIFIED = """
SMS MT Sent | SMS_MT | N201 | - | - | Message Sent | sent_sms | sent | sms
SMS MT Sent | SMS_MT | N201 | - | - | Message Failed | sending_failed | failed | unknown
SMS MT Status | SMS_MT | N202 | - | info | Message Sent/Delivered | delivered | delivered | sms
SMS MT Status | SMS_MT | N202 | - | info | Message Sent/Failed | failed | failed | sms
Binary | MMS_MT | N101 | MMS | - | Message Sent | sent_binary | sent | binary
Binary | MMS_MT | N101 | MMS | why | Message Failed | sending_failed | failed | unknown
Binary | MMS_MT | N102 | MMS | - | Message Sent/Delivered | delivered | delivered | binary
Binary | MMS_MT | N102 | MMS | - | Message Sent/Expired | expired | expired | binary
Binary | MMS_MT | N102 | MMS | - | Message Sent/Rejected | rejected | rejected | binary
xHTML | MMS_MT | N101 | SMS | - | Message Sent | sent_xhtml | sent | xhtml
xHTML | MMS_MT | N202 | SMS | info | Message Sent/Delivered | delivered | delivered | xhtml
xHTML | MMS_MT | N202 | SMS | info | Message Sent/Failed | failed | failed | xhtml
Degraded | MMS_MT | N101 | SMS | why | Message Sent | degraded | sent | degraded
Degraded | MMS_MT | N202 | SMS | - | Message Sent/Delivered | delivered | delivered | xhtml
Degraded | MMS_MT | N202 | SMS | - | Message Sent/Failed | failed | failed | xhtml
Sending Failure | MMS_MT | E101 | - | why | Message Failed | sending_failed | failed | unknown
"""
SPECIFIED = [
    tuple(None if cell == "-" else cell for cell in line.split(" | "))
    for line in _SPECIFIED.strip().splitlines()
]


def toml(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{json.dumps(key)} = {toml(held)}" for key, held in value.items())
            + " }"
        )
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that a value holds."""
    held = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [place for key, one in held for place in ((*path, key), *places(one, (*path, key)))]


_TEXTS = (None, "", "x", "a.b", "not")
_NUMBERS = (0, 1, -1, 2.5, True, False)
_HOLDERS: tuple[object, ...] = ([], {}, [[]], [{}], ["x", "x"], [1], {"x": 1}, {"not": 1})
JUNK = st.sampled_from((*_TEXTS, *_NUMBERS, *_HOLDERS))
