"""Reports tell of reason classes, labels and amounts; sums are exact."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postledger import AuditReport, Ledger
from postledger.audit import Sum
from tests.state.test_said import ledger_of_own

VALUES = st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-9, max_value=9)


def sums_of(report: AuditReport) -> tuple[Sum, ...]:
    """The sums of a report."""
    assert report.figures is not None
    return report.figures.amounts.listed


@pytest.fixture
def told() -> Iterator[Ledger]:
    """Three deliveries with prices."""
    postbacks: list[dict[str, Any]] = [
        {"id": "a", "status": "failed", "code": "1", "cost": "-0.00750", "unit": "USD", "ref": "A"},
        {"id": "b", "status": "failed", "code": "2", "cost": "-0.00750", "unit": "USD"},
        {"id": "c", "status": "delivered", "cost": "0.01", "unit": "EUR", "count": "2"},
    ]
    with ledger_of_own(postbacks) as ledger:
        yield ledger


def test_amounts_are_added_up_by_currency(told: Ledger) -> None:
    """By name first, then those of the most deliveries."""
    assert sums_of(told.audit()) == (
        Sum("price", "USD", 2, Decimal("-0.01500"), 0),
        Sum("price", "EUR", 1, Decimal("0.01"), 0),
        Sum("segments", None, 1, Decimal(2), 0),
    )
    said = json.loads(told.audit().to_json())["amounts"]["listed"][0]
    assert (said["total"], said["currency"]) == ("-0.01500", "USD")


@settings(max_examples=25, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_a_sum_is_exact(values: list[Decimal]) -> None:
    """As whole numbers of the smallest unit add up."""
    postbacks = [
        {"id": str(number), "status": "sent", "cost": format(value, "f"), "unit": "USD"}
        for number, value in enumerate(values)
    ]
    with ledger_of_own(postbacks) as ledger:
        (found,) = sums_of(ledger.audit(unmask=True))
    assert found.total * 10**5 == sum(int(value * 10**5) for value in values)
    assert found.deliveries == len(values)


def test_no_digit_of_a_long_sum_is_lost() -> None:
    """A sum of very large and very small amounts has all digits of both."""
    costs = ("1e99", "0.00000000000000000000000000000000000001")
    postbacks = [{"id": c, "status": "sent", "cost": c, "unit": "USD"} for c in costs]
    with ledger_of_own(postbacks) as ledger:
        (found,) = sums_of(ledger.audit(unmask=True))
    assert format(found.total, "f") == f"1{'0' * 99}.{'0' * 37}1"


def test_a_masked_report_adds_up_no_amount_that_may_tell_a_number() -> None:
    """It says how many are left out; prices with many zeros are none."""
    costs = ("16503333058", "0.0075000000", "1650333.305800")
    postbacks = [{"id": f"x{len(c)}", "status": "sent", "cost": c, "unit": "USD"} for c in costs]
    with ledger_of_own(postbacks) as ledger:
        report = ledger.audit()
    assert sums_of(report) == (Sum("price", "USD", 3, Decimal("0.0075000000"), 2),)
    assert "2 amounts that may tell a number are left out." in report.to_markdown()


def test_a_masked_dossier_tells_no_number_by_labels_or_amounts() -> None:
    """Nor does a currency; what can't is shown."""
    to = "16503333058"
    postback = {"id": "a", "status": "sent", "to": to, "ref": f"x{to}", "from": "Shop"}
    postback |= {"cost": "6503333.058", "unit": "USD", "fee": "0.5", "count": "1"}
    with ledger_of_own([postback]) as ledger:
        masked = ledger.audit(tracking_id="a")
        shown = ledger.audit(tracking_id="a", unmask=True)
    assert masked.dossier is not None
    assert shown.dossier is not None
    assert masked.dossier.delivery.labels == {"reference": "•••", "sender": "Shop"}
    assert list(masked.dossier.delivery.amounts) == ["fee", "segments"]
    assert list(shown.dossier.delivery.amounts) == ["fee", "price", "segments"]
    assert "- Fee: 0.5 EUR\n- Segments: 1\n" in masked.to_markdown()


def test_outcomes_stand_by_class_of_the_reason(told: Ledger) -> None:
    """Only those whose reason has one, and only where there are any."""
    report = told.audit()
    assert report.figures is not None
    groups = report.figures.outcomes.reason_classes.groups
    assert [(one.label, one.total) for one in groups] == [("spam", 1), ("unreachable", 1)]
    assert "Deliveries by class of the reason and state" in report.to_html()
    classes = json.loads(report.to_json())["outcomes"]["reason_classes"]["groups"]
    assert classes[0]["states"]["failed"] == 1


def test_a_report_without_classes_and_amounts_has_no_such_tables(tmp_path: Path) -> None:
    """Most providers say neither, and an empty table would only take room."""
    with Ledger(tmp_path / "test.db") as ledger:
        page = ledger.audit().to_html()
    assert "class of the reason" not in page
    assert "Amounts" not in page


def test_a_reason_by_a_code_is_shown_in_a_masked_report(told: Ledger) -> None:
    """It is the vocabulary's own text; what the provider adds hides it."""
    assert "1: the handset is off" in told.audit(tracking_id="a").to_markdown()
    noted = {"id": "a", "status": "failed", "code": "1", "note": "call 16503333058"}
    with ledger_of_own([noted]) as ledger:
        assert "16503333058" not in ledger.audit(tracking_id="a").to_markdown()
