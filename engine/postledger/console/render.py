"""Rendering: the templates of the console, filled; all that came from outside is text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from postledger.audit import words
from postledger.audit.argument import QUESTIONING
from postledger.audit.plots.diagram import COMPACT, TURNED, diagrams
from postledger.console.asking import MOST_MEANT, Line
from postledger.console.views.bodies import shortened
from postledger.definitions.definitions import Definitions
from postledger.errors import requires
from postledger.model import DELIVERY

if TYPE_CHECKING:
    from jinja2 import Environment

STATES = ("delivered", "sent", "created", "expired", "rejected", "failed")
"""The states that have a colour, a shape and a pattern."""


PLACES = (
    ("/", "Deliveries"),
    ("/carriers", "Carriers"),
    ("/unread", "Unread"),
    ("/parked", "Parked"),
    ("/integrity", "Integrity"),
)
"""The pages that the head of each names, by their paths."""


def render(template: str, root: str, values: Mapping[str, Any]) -> str:
    """A page by a template; ``root`` is the path that the console is mounted at."""

    def url(path: str, **query: object) -> str:
        asked = urlencode({k: v for k, v in query.items() if v not in (None, "")})
        return f"{root}{path}" + (f"?{asked}" if asked else "")

    return environment().get_template(template).render(url=url, now=datetime.now(UTC), **values)


def row_of(line: Line, definitions: Definitions, root: str) -> str:
    """A delivery as a row of the list that is new there."""
    final = definitions.chart(DELIVERY).regions[0].final
    return render("row.html", root, {"line": line, "final": final}).strip()


@cache
def environment() -> Environment:
    """The templates, with autoescape; raises ``PostledgerError`` where Jinja2 is not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise requires("the console requires Jinja2", "jinja2") from None
    made = Environment(
        loader=PackageLoader("postledger.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    made.globals.update(
        words=words,
        diagrams=diagrams,
        COMPACT=COMPACT,
        TURNED=TURNED,
        QUESTIONING=QUESTIONING,
        STATES=STATES,
        MOST_MEANT=MOST_MEANT,
        PLACES=PLACES,
    )
    made.filters.update(shortened=shortened, clock=_clock, ago=_ago, took=_took, spoken=_spoken)
    return made


def _visible(value: Any) -> Any:
    """What is about to be escaped, with nothing in it that can't be seen or that moves the rest."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return words.visible(value)
    return value


def _spoken(word: str | None) -> str:
    """A word of the definitions as people write it."""
    return (word or words.NONE).replace("_", " ")


def _clock(at: datetime | None) -> str:
    """The time of day in UTC, to the second."""
    return words.NONE if at is None else f"{at.astimezone(UTC):%H:%M:%S}"


def _ago(at: datetime, now: datetime) -> str:
    """How long ago a time is, in its largest unit."""
    return words.span(_micros(at, now)).partition(" ")[0] + " " + _unit(_micros(at, now))


def _unit(micros: int) -> str:
    return words.span(micros).split(" ")[1]


def _micros(start: datetime, end: datetime) -> int:
    return max(0, round((end - start).total_seconds() * 1e6))


def _took(start: datetime, end: datetime) -> str:
    """How long it was from one time to another."""
    return words.span(_micros(start, end))
