"""Downloads: what the page of a delivery shows, as files to keep, masked as the page is.

A browser saves them and shows none: nothing of them runs, or is looked at, where the console is.
"""

from __future__ import annotations

import json
import re

import attrs
from starlette.responses import Response

from postledger.audit.render import picture
from postledger.console.asking import Asking
from postledger.console.desk import Refused
from postledger.console.views.case import Asked, Case

MOST_STOPS = 2_000
"""Events of a delivery that a dossier is made of here."""

_LONGEST_NAME = 60
_HEADERS = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
_UNNAMED = re.compile(r"[^A-Za-z0-9._-]+")


def dossier(asking: Asking, case: Case, asked: Asked) -> Response:
    """The dossier as ``postledger audit --id`` writes it, as of the place of the slider."""
    if len(case.stops) > MOST_STOPS:
        said = f"A dossier of more than {MOST_STOPS} events is written by: postledger audit --id"
        raise Refused(413, said)
    space, key = case.stream
    as_of = None if case.is_latest else case.stop.position
    report = asking.ledger.audit(tracking_id=key, space=space, as_of=as_of, unmask=asked.unmask)
    return saved(report.to_html(), "text/html", f"dossier-{named(case.name)}.html")


def chart(_: Asking, case: Case, __: Asked) -> Response:
    """The statechart with the path taken."""
    text = picture(case.dossier.chart, case.dossier.exhibits)
    return saved(text, "image/svg+xml", f"chart-{named(case.name)}.svg")


def proof(_: Asking, case: Case, __: Asked) -> Response:
    """That one event is in the log: its leaf, the path, and the anchor that the path leads to."""
    event = case.shown
    found = {
        "delivery": case.name,
        "event": event.number,
        "position": event.position,
        "member": event.member,
        "anchor": str(case.anchor),
        "proof": attrs.asdict(event.proof),
        "problems": case.problems,
    }
    # Whoever takes it for HTML all the same finds no tag in it.
    text = json.dumps(found, indent=2).replace("<", r"\u003c") + "\n"
    return saved(text, "application/json", f"proof-{event.position}.json")


def saved(text: str, media_type: str, name: str) -> Response:
    """A file that the browser saves under a name of letters, digits, dots, dashes and low lines."""
    headers = {**_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=media_type, headers=headers)


def named(shown: str) -> str:
    """What of an id can stand in the name of a file on any system.

    >>> named("U01TXzgwNjc4=="), named("../a\\r\\nb"), named("•••")
    ('U01TXzgwNjc4', 'a_b', 'delivery')
    """
    return _UNNAMED.sub("_", shown)[:_LONGEST_NAME].strip("._-") or "delivery"
