"""Strategies: postbacks as a provider might send them, in order and out of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from hypothesis import strategies as st

from postledger import Receipt

KEYS = ("U01TXzE=", "TU1TXzI=")
MMS = ("35674", "35675")
_EPOCH = datetime(2013, 11, 5, 10, 41, 8, tzinfo=UTC)
_RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
# A day after half of the times of reception: implausible for those before it.
_FAR = (_RECEIVED + timedelta(days=1, seconds=500) - _EPOCH) // timedelta(seconds=1)

# Origin, code, status, sent as, details: what the specification lists, and what it does not.
SAID = (
    ("SMS_MT", "N201", "Message Sent", None, None),
    ("SMS_MT", "N201", "Message Failed", None, None),
    ("SMS_MT", "N201", "Message Sent/Delivered", None, None),
    ("SMS_MT", "N202", "Message Sent/Delivered", None, None),
    ("SMS_MT", "N202", "Message Sent/Failed", None, "carrier said no"),
    ("MMS_MT", "N101", "Message Sent", "MMS", None),
    ("MMS_MT", "N101", "Message Sent", "SMS", None),
    ("MMS_MT", "N101", "Message Sent", "SMS", "too big; sent as link"),
    ("MMS_MT", "N102", "Message Sent/Delivered", "MMS", None),
    ("MMS_MT", "N102", "Message Sent/Expired", "MMS", "gone &amp; past"),
    ("MMS_MT", "N102", "Message Sent/Rejected", "MMS", "not wanted"),
    ("MMS_MT", "N202", "Message Sent/Delivered", "SMS", None),
    ("MMS_MT", "N202", "Message Sent/Failed", "SMS", None),
    ("MMS_MT", "E101", "Message Failed", None, "Database Error"),
    ("MMS_MT", "N333", "Something New", None, None),
    ("MMS_MT", "N102", "Message Sent/Eaten", "MMS", None),
)


def body(*fields: tuple[str, str | None], indent: str = "  ") -> bytes:
    """A flat POSTBACK of the fields that are not ``None``; texts are taken as XML."""
    leaves = "".join(
        f"\n{indent}<{name}>{text}</{name}>" for name, text in fields if text is not None
    )
    return f"<?xml version='1.0'?>\n<POSTBACK>{leaves}\n</POSTBACK>".encode()


def _stamp(seconds: int | None, zone: str) -> str | None:
    if seconds is None:
        return None
    moment = (_EPOCH + timedelta(seconds=seconds)).isoformat().replace("+00:00", zone)
    return moment.replace("T", " ") if zone == "" else moment


@st.composite
def postbacks(draw: st.DrawFn) -> bytes:
    """A postback of one of few ids, so that streams have several events."""
    origin, code, status, sent_as, details = draw(st.sampled_from(SAID))
    seconds = draw(st.one_of(st.none(), st.integers(0, 4), st.just(_FAR)))
    return body(
        ("ORIGIN", origin),
        ("CODE", code),
        ("SENTAS", sent_as),
        ("STATUS", status),
        ("MMSID", draw(st.sampled_from((None, *MMS)))),
        ("TO", draw(st.sampled_from(("16503333058", "16501112222", None)))),
        ("TRACKINGID", draw(st.sampled_from(KEYS))),
        ("SPID", draw(st.sampled_from(("0001470", "0001570", None)))),
        ("TIMESTAMP", _stamp(seconds, draw(st.sampled_from(("+00:00", "Z", ""))))),
        ("HANDSET", draw(st.sampled_from((None, "motol7c", "nokia1")))),
        ("STATUSDETAILS", details and draw(st.sampled_from((details, escape("a < b"))))),
        indent=draw(st.sampled_from(("  ", "\t"))),
    )


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A postback about the content of an MMS."""
    code = draw(st.sampled_from(("N003", "E002")))
    return body(
        ("ORIGIN", "MMS_MT"),
        ("CODE", code),
        ("MMSID", draw(st.sampled_from(MMS))),
        ("AUDIONAME", draw(st.sampled_from(("a.mp3", None))) if code == "E002" else None),
        ("VIDEONAME", draw(st.sampled_from(("v.3gp", None))) if code == "E002" else None),
    )


def answers() -> st.SearchStrategy[bytes]:
    """The API's answer to a send request."""
    return st.sampled_from(KEYS).map(
        lambda key: (
            f"<RESPONSE><STATUS>Success</STATUS><TRACKINGID>{key}</TRACKINGID>"
            f"<TO>16503333058</TO></RESPONSE>".encode()
        )
    )


def nonsense() -> st.SearchStrategy[bytes]:
    """What can't be read."""
    return st.sampled_from((b"", b"\x00\xff", b"<POSTBACK>", b"hello", b"[1, 2]", b"{}"))


def bodies() -> st.SearchStrategy[bytes]:
    """Anything that may come."""
    return st.one_of(postbacks(), postbacks(), postbacks(), contents(), answers(), nonsense())


def receipts() -> st.SearchStrategy[Receipt]:
    """Bodies with times of reception that need not be in order."""
    moments = st.integers(0, 1000).map(lambda s: _RECEIVED + timedelta(seconds=s))
    return st.builds(Receipt, bodies(), st.sampled_from((None, "text/xml")), moments)


@st.composite
def charts(draw: st.DrawFn) -> str:
    """The TOML of a chart that is right: every state reached, every trigger taken."""
    regions = [draw(_regions(number)) for number in range(draw(st.integers(1, 3)))]
    used = sorted({trigger for _, rows in regions for trigger, *_ in rows})
    stages = ["early", "late"]
    lines = ['name = "made"', "version = 1", 'title = "Made up"', 'policy = "None."']
    lines += [f"stages = {stages}", "[triggers]"]
    lines += [f'{trigger} = {{ stage = "{draw(st.sampled_from(stages))}" }}' for trigger in used]
    for number, (states, rows) in enumerate(regions):
        children = ", ".join(f'{{ name = "{state}" }}' for state in states)
        transitions = ", ".join(
            f'{{ trigger = "{trigger}", source = "{source}", dest = "{dest}",'
            f" overrides = {draw(st.sampled_from(('true', 'false')))} }}"
            for trigger, source, dest in rows
        )
        lines += ["[[states]]", f'name = "region{number}"', f'initial = "{states[0]}"']
        lines += [f"children = [{children}]", f"transitions = [{transitions}]"]
    return "\n".join(lines)


@st.composite
def _regions(draw: st.DrawFn, number: int) -> tuple[list[str], list[tuple[str, str, str]]]:
    """The states of a region and its transitions; what can't be reached is left out."""
    states = [f"s{number}_{index}" for index in range(draw(st.integers(1, 4)))]
    state, trigger = st.sampled_from(states), st.sampled_from(("go", "come", "stay", "leave"))
    taken = draw(st.dictionaries(st.tuples(trigger, state), state, min_size=1, max_size=8))
    taken.setdefault(("go", states[0]), states[-1])
    reached = {states[0]}
    while more := {d for (_, s), d in taken.items() if s in reached} - reached:
        reached |= more
    rows = [(t, s, d) for (t, s), d in taken.items() if s in reached]
    return [state for state in states if state in reached], rows
