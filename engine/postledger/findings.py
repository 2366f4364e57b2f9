"""Findings and verdicts: what is noteworthy about an event or a stream, and what an event did."""

from __future__ import annotations

import enum
from functools import lru_cache


class Finding(enum.IntFlag):
    """What is noteworthy, as a set of bits; the lower-case name is the public word.

    ``LATE``, ``REPEATED`` and ``TIMESTAMP_IMPLAUSIBLE`` depend on the times of reception too, all
    others on what the events say alone.
    The numbers are part of the file format: a bit is never given to another finding.

    >>> Finding.LATE.name.lower() in ledger.delivery("TU1TXzU5Nzg3Nw==").findings
    True
    """

    CONTRADICTION = 1
    NO_CREATION = 2
    OUTCOME_WITHOUT_SENT = 4
    RECIPIENT_DIFFERS = 8
    WRONG_ROUTE = 16
    TIMESTAMP_MISSING = 32
    TIMESTAMP_NAIVE = 64
    NODE_MISSING = 128
    REPAIRED = 256
    CLOCK_DISORDER = 512
    UNRECOGNISED = 1024
    LATE = 2048
    REPEATED = 4096
    UNFOLDED = 8192
    FIELD_TWICE = 16384
    WORD_UNKNOWN = 32768
    TIMESTAMP_IMPLAUSIBLE = 65536
    AMOUNT_UNREADABLE = 131072
    PART_UNREADABLE = 262144
    PARTS_MISSING = 524288
    PARTS_DIFFER = 1048576


MEANINGS: dict[Finding, str] = {
    Finding.CONTRADICTION: "Two events can't both be true; the chart's policy says which stands.",
    Finding.NO_CREATION: "No answer of the API created this delivery, or it was not recorded.",
    Finding.OUTCOME_WITHOUT_SENT: "A receipt of an outcome or a reading came, but none of the sending.",
    Finding.RECIPIENT_DIFFERS: "The events of one TRACKINGID name different recipients, by their digits.",
    Finding.WRONG_ROUTE: "A receipt of one route came for a message sent by another.",
    Finding.TIMESTAMP_MISSING: "An event has no readable TIMESTAMP; it is taken last of its stage.",
    Finding.TIMESTAMP_NAIVE: "A TIMESTAMP names no zone; it is read in the vocabulary's zone.",
    Finding.NODE_MISSING: "An event lacks a node that the specification requires.",
    Finding.REPAIRED: "A body was not well formed and was repaired to be read; it is kept as it came.",
    Finding.CLOCK_DISORDER: "An outcome is stamped before the sending that it is the outcome of.",
    Finding.UNRECOGNISED: "An event is not known to the vocabulary; it changed no state.",
    Finding.LATE: "An event arrived after one that follows it.",
    Finding.REPEATED: "An event was received more than once.",
    Finding.UNFOLDED: "Its events can't be folded: one is damaged. Run verify.",
    Finding.FIELD_TWICE: "A field stands twice in an event; neither text was taken.",
    Finding.WORD_UNKNOWN: "A receipt has a word, such as a route, that the vocabulary doesn't list.",
    Finding.TIMESTAMP_IMPLAUSIBLE: "A TIMESTAMP is before 1990, or over a day after its reception.",
    Finding.AMOUNT_UNREADABLE: "An amount is not a decimal number; it is taken as not said.",
    Finding.PART_UNREADABLE: "The number of a part is missing or impossible; the event changed nothing.",
    Finding.PARTS_MISSING: "Receipts have arrived for some parts of the message, but not for all.",
    Finding.PARTS_DIFFER: "Events disagree on how many parts the message has; the largest number counts.",
}
"""What each finding means, in a sentence."""


class Verdict(enum.StrEnum):
    """What an event did to its stream; the value is the public word.

    >>> ledger.record(body).verdict is Verdict.REPEATED
    True
    """

    APPLIED = "applied"
    NO_EFFECT = "no_effect"
    CONTRADICTS = "contradicts"
    LATE = "late"
    REPEATED = "repeated"
    UNRECOGNISED = "unrecognised"
    UNREADABLE = "unreadable"
    UNVERIFIED = "unverified"
    UNFOLDED = "unfolded"


VERDICT_MEANINGS: dict[Verdict, str] = {
    Verdict.APPLIED: "It changed the state or the route, or it is the first event of the delivery.",
    Verdict.NO_EFFECT: "It agrees with what is known, waits for other parts, or says nothing.",
    Verdict.CONTRADICTS: "It can't be true together with what stands; the policy says which stands.",
    Verdict.LATE: "It took part like any other, but arrived after an event that follows it.",
    Verdict.REPEATED: "It was received before. It points to the first and took no part.",
    Verdict.UNRECOGNISED: "No vocabulary knows it, or several do. It is kept and changed no state.",
    Verdict.UNREADABLE: "Its body can't be read. It is kept and belongs to no delivery.",
    Verdict.UNVERIFIED: "Its sender check failed. It is kept unread and belongs to no delivery.",
    Verdict.UNFOLDED: "It is kept, but its stream can't be folded before the next replay.",
}
"""What each verdict means, in a sentence."""


@lru_cache(maxsize=8192)
def names(findings: int) -> tuple[str, ...]:
    """The public words of a set of findings, in their fixed order.

    >>> names(Finding.LATE | Finding.CONTRADICTION)
    ('contradiction', 'late')
    """
    return tuple(finding.name.lower() for finding in Finding if finding & findings and finding.name)


@lru_cache(maxsize=8192)
def bits(words: tuple[str, ...]) -> int:
    """The set of findings of public words; raises ``ValueError`` for another word.

    >>> names(bits(("late", "contradiction")))
    ('contradiction', 'late')
    """
    return sum(named(word) for word in set(words))


def named(word: str) -> Finding:
    """The finding of a public word; raises ``ValueError`` with the words there are.

    >>> named("late")
    <Finding.LATE: 2048>
    """
    by_word = {finding.name.lower(): finding for finding in Finding if finding.name}
    try:
        return by_word[word.lower().replace("-", "_")]
    except KeyError:
        raise ValueError(f"unknown finding {word!r}: expected {', '.join(by_word)}") from None
