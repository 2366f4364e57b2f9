"""The picture of a statechart: all of it is there, whatever room it has."""

from __future__ import annotations

import re

import pytest

from postledger import Receipt
from postledger.audit.plots.diagram import COMPACT, TURNED, WIDE, Diagram, Style, diagrams
from postledger.definitions import builtin
from tests.conftest import ledger_of
from tests.samples import delivered, failed, sent

STYLES = {"wide": WIDE, "compact": COMPACT, "turned": TURNED}
PHONE, HALF_A_PAGE = 345, 570
"""So wide is a card on a phone, and one of two that stand side by side, in pixels."""


@pytest.mark.parametrize("chart", builtin().charts)
@pytest.mark.parametrize("style", STYLES)
def test_nothing_is_cut_off_or_hidden(chart: str, style: str) -> None:
    """No state stands on another, and every state and arrow is within the picture."""
    for drawn in diagrams(builtin().charts[chart], (), STYLES[style]):
        for box in drawn.boxes:
            assert box.x >= 0
            assert box.y >= 0
            assert box.x + box.width <= drawn.width
            assert box.y + box.height <= drawn.height
            for other in drawn.boxes:
                apart = abs(box.centre - other.centre)
                assert other is box or (
                    abs(box.centre.real - other.centre.real) >= box.width
                    or abs(box.centre.imag - other.centre.imag) >= box.height
                ), (box.name, other.name, apart)
        for x, y in points(drawn):
            assert -1 <= x <= drawn.width
            assert -1 <= y <= drawn.height


def points(drawn: Diagram) -> list[tuple[float, float]]:
    """The points that arrows run through, or that bend them."""
    found = [re.findall(r"(-?[0-9.]+) (-?[0-9.]+)", arrow.path) for arrow in drawn.arrows]
    return [(float(x), float(y)) for one in found for x, y in one]


@pytest.mark.parametrize(("style", "most"), [(COMPACT, HALF_A_PAGE), (TURNED, PHONE)])
def test_a_picture_fits_its_page(style: Style, most: int) -> None:
    """Of a delivery, whose states have long names: its texts needn't be made smaller."""
    for drawn in diagrams(builtin().charts["delivery"], (), style):
        assert drawn.width <= most


def test_a_turned_picture_says_the_same() -> None:
    """Its columns are rows, in the same order; what it says in words doesn't change."""
    chart = builtin().charts["delivery"]
    for wide, turned in zip(diagrams(chart, ()), diagrams(chart, (), TURNED), strict=True):
        assert turned.description == wide.description
        assert [box.name for box in turned.boxes] == [box.name for box in wide.boxes]
        by_column = sorted(wide.boxes, key=lambda box: (box.x, box.y))
        by_row = sorted(turned.boxes, key=lambda box: (box.y, box.x))
        assert [box.name for box in by_row] == [box.name for box in by_column]


def test_what_contradicts_is_marked_so_where_it_moved_the_delivery() -> None:
    """A contradicting event has one mark, whether it changed the state or not; others have none of it."""
    said = (sent("one"), failed("one"), delivered("one"))
    with ledger_of([Receipt(body, "text/xml") for body in said]) as ledger:
        dossier = ledger.audit(tracking_id="one").dossier
        assert dossier is not None
        against = {str(e.number) for e in dossier.exhibits if e.verdict == "contradicts"}
        moved = {
            str(e.number)
            for e in dossier.exhibits
            if e.before["delivery"] != e.after["delivery"] and str(e.number) in against
        }
        assert moved
        for style in STYLES.values():
            drawn = diagrams(dossier.chart, dossier.exhibits, style)[0]
            kinds = {badge.text: badge.kind for badge in drawn.badges}
            assert {text for text, kind in kinds.items() if kind == "refused"} == against
            assert set(kinds.values()) >= {"refused", "moved"}
