"""Rendering: the templates, filled."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import attrs

from postledger.audit import tables, words
from postledger.audit.dossier import Exhibit
from postledger.audit.plots import calendar, carriers, curves, diagram, drawing
from postledger.audit.tables import Key, Made
from postledger.definitions.chart import Statechart
from postledger.errors import requires

if TYPE_CHECKING:
    from jinja2 import Environment

# Also what would begin an entity, or make a link of an address.
_MARKDOWN = re.compile(
    r"([\\`*_{}\[\]<>#|~$&@]|(?<=http):|(?<=https):|(?<=ftp):|(?<=www)\.)", re.IGNORECASE
)


@attrs.frozen
class Beside:
    """What stands next to a page: dossiers, what the report says of them, and where the report is.

    ``links`` are the files of the deliveries that the report names; ``dossiers`` are all there are.
    """

    links: Mapping[Key, str] = attrs.field(factory=dict)
    note: str = ""
    dossiers: Sequence[Made] = ()
    report: str | None = None


ALONE = Beside()

_LONGEST_MARGIN = 80
"""Characters of a text in the margin of a printed page."""


def render(template: str, report: object, beside: Beside = ALONE) -> str:
    """The report by a template; raises ``PostledgerError`` where Jinja2 is not installed."""
    environment = _environment(markup=not template.endswith(".md"))
    return environment.get_template(template).render(
        report=report, links=beside.links, beside=beside
    )


def picture(chart: Statechart, exhibits: Sequence[Exhibit] = ()) -> str:
    """A chart as one SVG, with the way that the events of a delivery took, if any.

    Raises ``PostledgerError`` without Jinja2.
    """
    template = _environment(markup=True).get_template("chart.svg")
    return template.render(report=chart, exhibits=exhibits)


@cache
def _environment(*, markup: bool) -> Environment:
    """The templates of HTML, or those of Markdown: each escapes all that it is given."""
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise requires("HTML and Markdown (but not JSON) require Jinja2", "jinja2") from None
    environment = Environment(
        # The sheet is the console's, too.
        loader=ChoiceLoader(
            [PackageLoader("postledger.audit"), PackageLoader("postledger", "sheet")]
        ),
        # Markdown has escapes of its own: see as_markdown.
        autoescape=markup,  # noqa: S701
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_html if markup else as_markdown,
    )
    environment.globals.update(
        tables=tables,
        drawing=drawing,
        curves=curves,
        carriers=carriers.carriers,
        findings_by_carrier=carriers.findings_by_carrier,
        before_name=calendar.name_of,
        diagrams=diagram.diagrams,
        words=words,
    )
    environment.filters.update(fenced=_fenced, ticked=_ticked, quoted=_quoted)
    return environment


def _html(value: Any) -> Any:
    """What the environment is about to escape, with nothing in it that can't be seen."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return words.visible(value)
    return value


def as_markdown(value: Any) -> Any:
    """A text that says the same in Markdown, on one line."""
    if hasattr(value, "__html__"):
        return value
    return _MARKDOWN.sub(r"\\\1", " ".join(words.visible(str(value)).split()))


def _fenced(text: str) -> Any:
    """A text as a code block of Markdown, with a fence longer than any in it."""
    from markupsafe import Markup

    text = words.visible(text).removesuffix("\n")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}\n{text}\n{fence}")  # noqa: S704


def _ticked(text: str) -> Any:
    """A text as code of Markdown, within a line."""
    from markupsafe import Markup

    text = " ".join(words.visible(text).split())
    longest = max(map(len, re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if longest else ""
    return Markup(f"{ticks}{pad}{text}{pad}{ticks}")  # noqa: S704


def _quoted(text: str) -> str:
    """A text within a string of CSS, in the margin of printed pages: cut where it is long.

    All but letters and digits are written as escapes (CSS Syntax, section 4.3.7).
    """
    text = words.visible(text)
    text = text if len(text) <= _LONGEST_MARGIN else f"{text[:_LONGEST_MARGIN]}…"
    return "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):06x}" for c in text)
