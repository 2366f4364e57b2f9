"""Words: numbers, times and odd characters as a report writes them."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from postledger.audit.integrity import Integrity
from postledger.audit.mask import HIDDEN
from postledger.audit.request import Request
from postledger.log.as_of import EVERYTHING

NONE = "–"

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
# What a reader can't see, or what could reorder the text before their eyes (U+202E).
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def count(number: int) -> str:
    """A number with commas between the thousands.

    >>> count(102345)
    '102,345'
    """
    return f"{number:,}"


def left_out(untimed: int, disordered: int) -> str:
    """Which deliveries the times leave out, as a sentence; empty where none are."""
    parts = [
        f"{count(number)} {'delivery' if number == 1 else 'deliveries'} {why}"
        for number, why in (
            (untimed, "without a time of sending or of outcome"),
            (disordered, "with an outcome stamped before the sending"),
        )
        if number
    ]
    return f"Left out: {', and '.join(parts)}." if parts else ""


def verified(integrity: Integrity, *, one: bool, ledgers: int = 1) -> str:
    """What of a report was verified in its run: all, one delivery, or nothing but the head."""
    if integrity.verified:
        whole = "the whole ledger" if ledgers == 1 else f"all of each of the {ledgers} ledgers"
        return f"in this run: {whole}" if integrity.ok else "in this run: not all holds"
    if ledgers > 1:
        if not integrity.ok:
            return "in this run: not all holds"
        shown = "this delivery is folded" if one else "figures are folded"
        return f"in this run: {shown} from the events of {ledgers} ledgers, each proven by its leaf"
    if not one:
        said = "not in this run: figures are read from the states as they stand"
    elif integrity.ok:
        said = "in this run: this delivery, folded from its events, each proven under the anchor"
    else:
        said = "in this run: this delivery, and not all holds"
    if integrity.last is None:
        return f"{said}; no verification of the whole ledger is recorded"
    last = integrity.last
    return f"{said}; the whole ledger last on {second(last.at)}, at {last.anchor}"


def last_verified(integrity: Integrity) -> str:
    """When a ledger was verified whole, as far as it says so."""
    if integrity.last is None:
        return "no verification of the whole is recorded"
    return f"verified whole on {second(integrity.last.at)}, at {integrity.last.anchor}"


def looked_at(integrity: Integrity, *, one: bool, ledgers: int = 1) -> str:
    """What holds where the whole ledger was not verified, as sentences."""
    said = f"All {integrity.guards} guards against change stand as they were made."
    if ledgers > 1:
        under = " It stands under the root of its ledger's anchor (RFC 9162)." if one else ""
        return (
            f"{said.removesuffix('.')}, in each of the {ledgers} ledgers. Each event that was read is"
            f" what was received: its leaf says so.{under} The states are folded from these events."
            " That none is missing, only a whole verification shows."
        )
    if not one:
        return f"{said} Figures are read from the states, and not compared with the events."
    return (
        f"{said} Each event of this delivery is what was received: its leaf is proven to stand under"
        " the root that the anchor states (RFC 9162). Its state is the fold of these events, which its"
        " row equals. That no event of it is missing, only a whole verification shows."
    )


def whole(integrity: Integrity, ledgers: int) -> str:
    """What holds where each of several ledgers was verified whole, as sentences."""
    return (
        f"Each of the {ledgers} ledgers was verified whole. The databases are sound, and all"
        f" {integrity.guards} guards against change stand in each as they were made. The logs have no"
        " gap, and each event is what was received: the Merkle tree of each log (RFC 9162) has the root"
        " that its anchor states. Index and states of each equal a new reading of its events; the states"
        " of this report are folded from the events of all."
    )


def share(part: int, whole: int) -> str:
    """A share in percent: some is never shown as none, nor less than all as all.

    >>> share(1, 3), share(1, 100000), share(99999, 100000), share(0, 0)
    ('33.3%', '<0.1%', '>99.9%', '–')
    """
    if not whole:
        return NONE
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "<0.1%"
    if part < whole and percent >= 99.95:
        return ">99.9%"
    return f"{percent:.1f}%"


def points(now: float | None, then: float | None) -> str:
    """By how many points of a hundred a rate changed.

    >>> points(0.918, 0.931), points(0.5, 0.5), points(0.5, None)
    ('−1.3', '0.0', '–')
    """
    if now is None or then is None:
        return NONE
    changed = round(100 * (now - then), 1)
    return f"{'+' if changed > 0 else '−' if changed < 0 else ''}{abs(changed):.1f}"


def span(micros: int) -> str:
    """A duration in its two largest units; below a minute with its fraction.

    >>> span(0), span(250_000), span(6_200_000), span(75_000_000), span(93_600_000_000)
    ('0 s', '0.25 s', '6.2 s', '1 min 15 s', '1 d 2 h')
    """
    if micros < 59_500_000:
        return f"{micros / 1e6:.2g} s"
    seconds = round(micros / 1e6)
    pairs = pairwise(_UNITS)
    (large, unit), (small, smaller) = next(pair for pair in pairs if seconds >= pair[0][0])
    rest = seconds % large // small
    return f"{seconds // large} {unit}" + (f" {rest} {smaller}" if rest else "")


def bound(seconds: int) -> str:
    """A bound of a bin, in the largest unit that divides it.

    >>> bound(30), bound(7200)
    ('30 s', '2 h')
    """
    size, unit = next(one for one in _UNITS if seconds >= one[0] and not seconds % one[0])
    return f"{seconds // size} {unit}"


def between(least: int | None, below: int | None) -> str:
    """The words of a bin, its bounds in seconds.

    >>> between(0, 1), between(60, 120), between(86400, None)
    ('under 1 s', '1 min to 2 min', '1 d and more')
    """
    if not least:
        return "stamped later than the report" if below == 0 else f"under {bound(below or 1)}"
    return f"{bound(least)} and more" if below is None else f"{bound(least)} to {bound(below)}"


def time(at: datetime | None) -> str:
    """A time in UTC for people: date and time with a space between, to the millisecond.

    >>> from datetime import UTC
    >>> time(datetime(2013, 11, 5, 10, 41, 8, tzinfo=UTC))
    '2013-11-05 10:41:08 UTC'
    """
    if at is None:
        return NONE
    said = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    return f"{said.removesuffix('.000')} UTC"


def bare(at: datetime | None) -> str:
    """A time in UTC without its zone, for a column that names it."""
    return time(at).removesuffix(" UTC")


def second(at: datetime) -> str:
    """A time of ours to the second: its fractions say nothing."""
    return time(at.replace(microsecond=0))


def period(since: datetime | None, until: datetime | None) -> str:
    """The period in words; ``until`` is exclusive."""
    if since is None and until is None:
        return "all deliveries"
    start = "" if since is None else f"from {time(since)} "
    return f"deliveries that began {start}{'' if until is None else f'until {time(until)}'}".strip()


def as_of(request: Request, at: datetime) -> str:
    """What the report knows: all that was received, or what was known or had happened by a time."""
    known = f"all that is recorded, the last of it received at {time(at)}"
    if isinstance(request.as_of, int):
        known = f"what was known at position {count(request.as_of)} of the log"
    elif isinstance(request.as_of, datetime):
        known = f"what was known at {time(request.as_of)}"
    elif request.occurred_by is not None:
        known = "all that is recorded"
    if request.occurred_by is None:
        return known
    return (
        f"{known}, as far as it had happened by {time(request.occurred_by)} by the provider's clock"
    )


def numbered(request: Request) -> str:
    """What the numbers of a dossier's events count, as sentences."""
    if request.bounds == EVERYTHING:
        return (
            "Event 3 is the third of these; one that comes later may be taken before it, and change its"
            " number. The position of an event in the log never changes."
        )
    return (
        "Event 3 is the third of those that were known then; among all that are known now it may have"
        " another number. The position of an event in the log never changes."
    )


def unlisted(reason: str, request: Request) -> str:
    """That a reason is hidden, or a part of it, and how to see it; empty where all of it is shown."""
    if request.unmask or HIDDEN not in reason:
        return ""
    return f" ({HIDDEN} is text that no vocabulary lists; --unmask shows it)"


def definitions(request: Request, label: str) -> str:
    """By which definitions the report was read."""
    return f"{label}; in force {request.definitions}"


def lapse(start: datetime, end: datetime) -> str:
    """How long it is from one time to another."""
    return span((end - start) // timedelta(microseconds=1))


def visible(text: str) -> str:
    """A text in which every character that is not seen is written out.

    Lines stay lines, however they end.

    >>> visible("16503\\u202e\\x00")
    '16503⟨U+202E⟩⟨U+0000⟩'
    """
    text = text.replace("\r\n", "\n")
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(
        f"⟨U+{ord(c):04X}⟩" if c not in "\n\t" and unicodedata.category(c) in _UNSEEN else c
        for c in text
    )


def text_of(body: bytes) -> str:
    """A body as text; bytes that are not text are written out as ``\\xff``."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        return body.decode(encoding, "backslashreplace")
